import { nowMs } from '../base/clock.ts';
import { LIMITS } from '../base/limits.ts';
import type { OutboxRow } from '../store/control-store.ts';
import { type Delivery, deliver } from './deliver.ts';
import { messageOf } from './message.ts';
import type { NotifierDeps } from './notifier.ts';
import type { Webhook, WebhookEvent, WebhookTerms } from './webhook.ts';

type Failed = Extract<Delivery, { kind: 'failed' }>;

/**
 * Takes messages to one webhook: of each approval one at a time, in order, and of several at the same time. A message is
 * taken out of the outbox once its receipt is there, so that one may come twice, under the same id, and none is lost.
 * One that was not taken waits for itself, and what else there is of the same approval behind it; where none of those
 * sent together was taken, nor refused as what it is, it is the receiver that is not well, and all wait.
 */
export class Courier {
  readonly #deps: NotifierDeps;
  readonly #webhook: Webhook;
  readonly #terms: WebhookTerms;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #wake = (): void => {};
  #poked = true;
  #failures = 0;
  #finishing = false;
  #isNew = true;

  constructor(deps: NotifierDeps, webhook: Webhook, terms: WebhookTerms) {
    this.#deps = deps;
    this.#webhook = webhook;
    this.#terms = terms;
    this.#running = this.#run();
  }

  poke(): void {
    this.#poked = true;
    if (this.#failures === 0) this.#wake();
  }

  /** Waits for the receipts of what is under way, and tells nothing more. */
  async finish(): Promise<void> {
    this.#finishing = true;
    this.#wake();
    await this.#running;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.finish();
  }

  async #run(): Promise<void> {
    while (!this.#finishing) {
      this.#poked = false;
      let waitMs: number = LIMITS.outboxLookMs;
      try {
        waitMs = await this.#round();
      } catch (error) {
        this.#deps.log.error({ error, webhook: this.#webhook.name }, 'the outbox cannot be read');
      }
      if (waitMs > 0 && !this.#finishing && !(this.#poked && this.#failures === 0)) await this.#sleep(waitMs);
    }
  }

  /** Returns how long to wait for the next. */
  async #round(): Promise<number> {
    const { store, metrics } = this.#deps;
    const { name } = this.#webhook;
    if (this.#isNew) {
      // What waits does so by the terms, and for the receiver, of before.
      await store.retryOutbox(name);
      this.#isNew = false;
    }
    const next = await store.outbox(name, nowMs(), LIMITS.webhookRequestsMax);
    metrics.outboxMessages = await store.outboxSize();
    if (next.length === 0) {
      this.#failures = 0;
      const dueMs = await store.outboxDueMs(name);
      return dueMs === null
        ? LIMITS.outboxLookMs
        : Math.max(1, Math.min(dueMs - nowMs(), LIMITS.outboxLookMs));
    }
    const ends = await Promise.all(next.map(async (row) => ({ row, end: await this.#tell(row) })));
    await store.deleteOutbox(ends.filter(({ end }) => end === 'over').map(({ row }) => row.seq));
    if (this.#stop.signal.aborted) return 0;
    const failed = ends.flatMap(({ row, end }) => (end === 'over' ? [] : [{ row, end }]));
    for (const { row, end } of failed)
      await store.deferOutbox(row.seq, nowMs() + retryMs(this.#terms, row.tries + 1, end.retryAfterMs));
    const isWell = failed.length < ends.length || failed.some(({ end }) => end.refused);
    this.#failures = isWell ? 0 : this.#failures + 1;
    if (this.#failures === 0) return 0;
    const askedMs = Math.max(...failed.map(({ end }) => end.retryAfterMs));
    return retryMs(this.#terms, this.#failures, askedMs);
  }

  async #tell(row: OutboxRow): Promise<'over' | Failed> {
    const { publicUrl, metrics, log } = this.#deps;
    const { name: webhook, events } = this.#webhook;
    const { timeoutMs, giveUpAfterMs } = this.#terms;
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

/** Twice as long after each failure, and not at the same moment as all others. */
function retryMs({ retryFromMs, retryUpToMs }: WebhookTerms, failures: number, askedMs: number): number {
  const doubled = retryFromMs * 2 ** Math.min(failures - 1, 30);
  const waitMs = Math.min(retryUpToMs, Math.max(doubled, askedMs));
  return Math.ceil(waitMs * (0.5 + Math.random() / 2));
}
