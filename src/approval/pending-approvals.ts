import { nowMs } from '../base/clock.ts';
import type { Metrics } from '../base/metrics.ts';
import { Admission } from './admission.ts';
import type { Approval, HoldOutcome } from './approval.ts';

interface Pending {
  readonly role: string;
  readonly timer: NodeJS.Timeout;
  /** Sessions that wait for it; none of a ticket that nobody asks for at the moment. */
  readonly waiters: Set<(outcome: HoldOutcome) => void>;
}

export interface Waiter {
  readonly outcome: Promise<HoldOutcome>;
  /** Waits no longer, whatever becomes of the approval. */
  readonly leave: (outcome: HoldOutcome) => void;
}

/** What a timer can wait at most; a longer one would ring at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** The approvals that are pending, each with its time and the sessions that wait for it. */
export class PendingApprovals {
  readonly #metrics: Metrics;
  readonly #timedOut: (id: string) => void;
  readonly #pending = new Map<string, Pending>();
  readonly #admission = new Admission();

  constructor(metrics: Metrics, timedOut: (id: string) => void) {
    this.#metrics = metrics;
    this.#timedOut = timedOut;
  }

  get size(): number {
    return this.#pending.size;
  }

  has(id: string): boolean {
    return this.#pending.has(id);
  }

  ids(): readonly string[] {
    return [...this.#pending.keys()];
  }

  /** Throws TOO_MANY_HELD where the role may not ask now. */
  async whileAsking<T>(role: string, store: () => Promise<T>): Promise<T> {
    return await this.#admission.whileAsking(role, nowMs(), store);
  }

  /** Counts it as pending until it is dropped; when its time is over, that is told. */
  expect({ id, role, expiresAtMs }: Approval): Pending {
    const leftMs = Math.min(Math.max(expiresAtMs - nowMs(), 0), TIMER_MS_MAX);
    const timer = setTimeout(() => this.#timedOut(id), leftMs).unref();
    const pending: Pending = { role, timer, waiters: new Set() };
    this.#pending.set(id, pending);
    this.#admission.add(role);
    this.#metrics.statementsHeld = this.#pending.size;
    return pending;
  }

  /** One more session waits for it. */
  join(approval: Approval): Waiter {
    const { waiters } = this.#pending.get(approval.id) ?? this.expect(approval);
    const { promise, resolve } = Promise.withResolvers<HoldOutcome>();
    waiters.add(resolve);
    const leave = (outcome: HoldOutcome) => {
      if (waiters.delete(resolve)) resolve(outcome);
    };
    return { outcome: promise, leave };
  }

  /** Nobody waits any longer. True for the first call. */
  drop(id: string, outcome: HoldOutcome): boolean {
    const pending = this.#pending.get(id);
    if (pending === undefined) return false;
    this.#pending.delete(id);
    this.#admission.remove(pending.role);
    this.#metrics.statementsHeld = this.#pending.size;
    clearTimeout(pending.timer);
    for (const settle of pending.waiters) settle(outcome);
    return true;
  }
}
