import { agreedMs } from '../base/clock.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/log.ts';
import { Sweeper } from '../base/sweeper.ts';
import type { ControlStore } from '../store/control-store.ts';
import { type SigningKey, signCut } from './signed-head.ts';

export interface AuditRetentionDeps {
  readonly store: ControlStore;
  readonly key: SigningKey;
  /** What began longer ago may go. */
  readonly ageMs: number;
  readonly log: Pick<Logger, 'info' | 'error'>;
}

/**
 * Drops the oldest records from time to time. Where the rest begins is signed as such in the same commit, so that a
 * verification tells what was dropped from what somebody took away.
 */
export class AuditRetention extends Sweeper {
  readonly #deps: AuditRetentionDeps;
  #failing = false;

  constructor(deps: AuditRetentionDeps, everyMs: number = LIMITS.auditDropMs) {
    super(everyMs);
    this.#deps = deps;
  }

  protected override async work(): Promise<void> {
    const { store, key, ageMs, log } = this.#deps;
    try {
      const beforeMs = agreedMs() - ageMs;
      let dropped: number | null = null;
      // A part at a time, since the thread that drops them is the one that writes the audit.
      while (!this.stopped) {
        const end = await store.auditEndBefore(beforeMs, LIMITS.auditDropRows);
        if (end === null) break;
        await store.cutAudit(signCut({ ...end, time: new Date().toISOString() }, key));
        dropped = end.sequence;
      }
      if (dropped !== null) log.info({ to: dropped }, 'the oldest records of the audit are dropped');
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) log.error({ error }, 'the oldest records of the audit cannot be dropped');
      this.#failing = true;
    }
  }
}
