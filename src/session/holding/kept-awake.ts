import { plainQuery } from '../../snapshot/capture.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import type { SessionState } from '../state.ts';

/** Sooner than the server's own limit by so much. */
const SHARE = 1 / 3;
const NOTHING = plainQuery('SELECT');

/**
 * Keeps the server from ending a session as idle (`idle_session_timeout`) while its client waits, which is not idle. A
 * transaction is not kept: `idle_in_transaction_session_timeout` is there to free its locks.
 */
export class KeptAwake {
  private readonly state: SessionState;
  private readonly hidden: HiddenQueries;
  private readonly timer: NodeJS.Timeout | null;
  private asked: Promise<unknown> = Promise.resolve();

  static start(state: SessionState, hidden: HiddenQueries, idleMs: number | null): KeptAwake {
    return new KeptAwake(state, hidden, idleMs);
  }

  private constructor(state: SessionState, hidden: HiddenQueries, idleMs: number | null) {
    this.state = state;
    this.hidden = hidden;
    this.timer =
      idleMs === null ? null : setInterval(() => this.ask(), Math.min(idleMs * SHARE, 2 ** 31 - 1)).unref();
  }

  /** Resolves when nothing of it is under way. */
  async stop(): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer);
    await this.asked;
  }

  private ask(): void {
    const { state } = this;
    if (state.transactionStatus !== 'I' || state.replies.segmentOpen || !state.owesNothing()) return;
    // What goes wrong with it the session is told of as of anything else.
    this.asked = this.hidden
      .ending('sync')
      .run(NOTHING, () => {})
      .catch(() => {});
  }
}
