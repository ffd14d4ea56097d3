import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/log.ts';
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
export class ApprovalRetention {
  readonly #deps: ApprovalRetentionDeps;
  readonly #timer: NodeJS.Timeout;
  #failing = false;
  #closed = false;
  #underWay: Promise<void> | null = null;

  constructor(deps: ApprovalRetentionDeps, everyMs: number = LIMITS.approvalDropMs) {
    this.#deps = deps;
    this.#timer = setInterval(() => void this.sweep(), everyMs);
    this.#timer.unref();
    void this.sweep();
  }

  /** Never rejects; what fails is tried again at the next time. */
  sweep(): Promise<void> {
    this.#underWay ??= this.#sweep().finally(() => {
      this.#underWay = null;
    });
    return this.#underWay;
  }

  /** To be called with the store still open. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#underWay;
  }

  async #sweep(): Promise<void> {
    const { store, ageMs, log } = this.#deps;
    try {
      const beforeMs = Date.now() - ageMs;
      let all = 0;
      // A part at a time, since the thread that drops them is the one that writes the audit.
      for (let dropped = 1; dropped > 0 && !this.#closed; all += dropped)
        dropped = await store.dropApprovals(beforeMs, LIMITS.approvalDropRows);
      if (all > 0) log.info({ approvals: all }, 'old approvals are dropped');
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) log.error({ error }, 'old approvals cannot be dropped');
      this.#failing = true;
    }
  }
}
