import { agreedMs } from '../base/clock.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/log.ts';
import { Sweeper } from '../base/sweeper.ts';
import type { ControlStore } from '../store/control-store.ts';

export interface ApprovalRetentionDeps {
  readonly store: Pick<ControlStore, 'dropApprovals'>;
  /** What was over longer ago may go. */
  readonly ageMs: number;
  readonly log: Pick<Logger, 'info' | 'error'>;
}

/**
 * Drops what is over of approvals from time to time, with their votes, previews and texts: those hold rows and statements
 * of the database. What still waits, and what still may be run, is over neither; verdicts stay in the audit.
 */
export class ApprovalRetention extends Sweeper {
  readonly #deps: ApprovalRetentionDeps;
  #failing = false;

  constructor(deps: ApprovalRetentionDeps, everyMs: number = LIMITS.approvalDropMs) {
    super(everyMs);
    this.#deps = deps;
  }

  protected override async work(): Promise<void> {
    const { store, ageMs, log } = this.#deps;
    try {
      const beforeMs = agreedMs() - ageMs;
      let all = 0;
      // A part at a time, since the thread that drops them is the one that writes the audit.
      for (let dropped = 1; dropped > 0 && !this.stopped; all += dropped)
        dropped = await store.dropApprovals(beforeMs, LIMITS.approvalDropRows);
      if (all > 0) log.info({ approvals: all }, 'old approvals are dropped');
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) log.error({ error }, 'old approvals cannot be dropped');
      this.#failing = true;
    }
  }
}
