import { isDeepStrictEqual } from 'node:util';
import type { Logger } from '../base/log.ts';
import type { Metrics } from '../base/metrics.ts';
import type { ControlStore } from '../store/control-store.ts';
import { Courier } from './courier.ts';
import type { Webhook, Webhooks, WebhookTerms } from './webhook.ts';

export interface NotifierDeps {
  readonly store: Pick<
    ControlStore,
    'keepWebhooks' | 'outbox' | 'outboxDueMs' | 'retryOutbox' | 'deferOutbox' | 'deleteOutbox' | 'outboxSize'
  >;
  readonly metrics: Metrics;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly webhooks: Webhooks;
  /** Where the console is, without a slash at the end, or null. */
  readonly publicUrl: string | null;
}

interface Placed {
  readonly webhook: Webhook;
  readonly terms: WebhookTerms;
  readonly courier: Courier;
}

/**
 * Sends what the outbox has. Each webhook has a courier of its own, so that one that is down keeps nothing from the
 * others.
 */
export class Notifier {
  readonly #deps: NotifierDeps;
  #placed: readonly Placed[] = [];
  #webhooks: Webhooks;
  /** One change at a time. */
  #changing: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** To be opened before anything can happen that is to be told. */
  static async open(deps: NotifierDeps): Promise<Notifier> {
    const notifier = new Notifier(deps);
    await notifier.use(deps.webhooks);
    return notifier;
  }

  private constructor(deps: NotifierDeps) {
    this.#deps = deps;
    this.#webhooks = deps.webhooks;
  }

  get webhooks(): Webhooks {
    return this.#webhooks;
  }

  /**
   * From now on these are told. Those that are as they were go on; of one that has changed the old courier ends what it
   * is telling before the new one begins, so that the order stays. Where the store fails, nothing changes.
   */
  async use(webhooks: Webhooks): Promise<void> {
    const change = this.#changing.then(() => this.#change(webhooks));
    this.#changing = change.catch(() => {});
    await change;
  }

  /** There may be something new to tell. */
  poke(): void {
    for (const { courier } of this.#placed) courier.poke();
  }

  /** What was not told by then is told after the next start. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#changing;
    await Promise.all(this.#placed.map(({ courier }) => courier.close()));
  }

  async #change(webhooks: Webhooks): Promise<void> {
    if (this.#closed) return;
    const { terms } = webhooks;
    await this.#deps.store.keepWebhooks(webhooks.all.map(({ name }) => name));
    const stays = (placed: Placed) =>
      webhooks.all.some((webhook) => isDeepStrictEqual([webhook, terms], [placed.webhook, placed.terms]));
    const kept = this.#placed.filter(stays);
    await Promise.all(
      this.#placed.filter((placed) => !kept.includes(placed)).map(({ courier }) => courier.finish()),
    );
    this.#webhooks = webhooks;
    this.#placed = webhooks.all.map(
      (webhook) =>
        kept.find((placed) => placed.webhook.name === webhook.name) ?? {
          webhook,
          terms,
          courier: new Courier(this.#deps, webhook, terms),
        },
    );
  }
}
