import { nowMs } from '../base/clock.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/log.ts';
import type { Metrics } from '../base/metrics.ts';
import type { ControlStore, OutboxRow } from '../store/control-store.ts';
import { type Delivery, deliver } from './deliver.ts';
import { messageOf } from './message.ts';
import type { Webhook, WebhookEvent, Webhooks, WebhookTerms } from './webhook.ts';

export interface NotifierDeps {
  readonly store: Pick<ControlStore, 'keepWebhooks' | 'outbox' | 'deleteOutbox' | 'outboxSize'>;
  readonly metrics: Metrics;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly webhooks: Webhooks;
  /** Where the console is, without a slash at the end, or null. */
  readonly publicUrl: string | null;
}

/**
 * Sends what the outbox has. Each webhook has a courier of its own, so that one that is down keeps nothing from the
 * others.
 */
export class Notifier {
  readonly #couriers: readonly Courier[];

  /** To be opened before anything can happen that is to be told. */
  static async open(deps: NotifierDeps): Promise<Notifier> {
    await deps.store.keepWebhooks(deps.webhooks.all.map(({ name }) => name));
    return new Notifier(deps);
  }

  private constructor(deps: NotifierDeps) {
    this.#couriers = deps.webhooks.all.map((webhook) => new Courier(deps, webhook));
  }

  /** There may be something new to tell. */
  poke(): void {
    for (const courier of this.#couriers) courier.poke();
  }

  /** What was not told by then is told after the next start. */
  async close(): Promise<void> {
    await Promise.all(this.#couriers.map((courier) => courier.close()));
  }
}

/**
 * Takes messages to one webhook: of each approval one at a time, in order, and of several at the same time. A message is
 * taken out of the outbox once its receipt is there, so that one may come twice, under the same id, and none is lost.
 * After a failure all of them wait.
 */
class Courier {
  readonly #deps: NotifierDeps;
  readonly #webhook: Webhook;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #wake = (): void => {};
  #poked = true;
  #failures = 0;

  constructor(deps: NotifierDeps, webhook: Webhook) {
    this.#deps = deps;
    this.#webhook = webhook;
    this.#running = this.#run();
  }

  poke(): void {
    this.#poked = true;
    if (this.#failures === 0) this.#wake();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#wake();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      this.#poked = false;
      let waitMs: number = LIMITS.outboxLookMs;
      try {
        waitMs = await this.#round();
      } catch (error) {
        this.#deps.log.error({ error, webhook: this.#webhook.name }, 'the outbox cannot be read');
      }
      if (waitMs > 0 && !(this.#poked && this.#failures === 0)) await this.#sleep(waitMs);
    }
  }

  /** Returns how long to wait for the next. */
  async #round(): Promise<number> {
    const { store, metrics, webhooks } = this.#deps;
    const rows = await store.outbox(this.#webhook.name, LIMITS.outboxBatch);
    metrics.outboxMessages = await store.outboxSize();
    if (rows.length === 0) return LIMITS.outboxLookMs;
    const next = headsOf(rows).slice(0, LIMITS.webhookRequestsMax);
    const ends = await Promise.all(next.map(async (row) => ({ row, end: await this.#tell(row) })));
    await store.deleteOutbox(ends.filter(({ end }) => end === 'over').map(({ row }) => row.seq));
    const failed = ends.flatMap(({ end }) => (end === 'over' ? [] : [end]));
    this.#failures = failed.length === 0 ? 0 : this.#failures + 1;
    const askedMs = Math.max(0, ...failed.map(({ retryAfterMs }) => retryAfterMs));
    return failed.length === 0 ? 0 : retryMs(webhooks.terms, this.#failures, askedMs);
  }

  async #tell(row: OutboxRow): Promise<'over' | Extract<Delivery, { kind: 'failed' }>> {
    const { webhooks, publicUrl, metrics, log } = this.#deps;
    const { name: webhook, events } = this.#webhook;
    const { timeoutMs, giveUpAfterMs } = webhooks.terms;
    if (!events.includes(row.event as WebhookEvent)) return 'over';
    const body = messageOf(row, this.#webhook, publicUrl);
    const delivery = await deliver(this.#webhook, row.id, body, timeoutMs, this.#stop.signal);
    if (delivery.kind === 'failed' && this.#stop.signal.aborted) return delivery;
    const isOld = delivery.kind === 'failed' && nowMs() - row.createdAtMs > giveUpAfterMs;
    const outcome = isOld ? 'given up' : delivery.kind;
    metrics.webhookMessages.add(metrics.webhookMessages.cellOf(outcome));
    if (delivery.kind === 'delivered') return 'over';
    const said = { webhook, id: row.id, why: delivery.why };
    if (!isOld) log.warn(said, 'a webhook has not taken a message, which is sent again later');
    else log.error(said, 'a message is given up, which its webhook has not taken for too long');
    return isOld ? 'over' : delivery;
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms).unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** The first of each subject, oldest first. */
function headsOf(rows: readonly OutboxRow[]): readonly OutboxRow[] {
  const told = new Set<string>();
  return rows.filter(({ subject }) => !told.has(subject) && told.add(subject));
}

/** Twice as long after each failure, and not at the same moment as all others. */
function retryMs({ retryFromMs, retryUpToMs }: WebhookTerms, failures: number, askedMs: number): number {
  const doubled = retryFromMs * 2 ** Math.min(failures - 1, 30);
  const waitMs = Math.min(retryUpToMs, Math.max(doubled, askedMs));
  return Math.ceil(waitMs * (0.5 + Math.random() / 2));
}
