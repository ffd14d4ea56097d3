import { LIMITS } from '../../base/limits.ts';
import type { HiddenQueryError } from '../../catalog/connection.ts';
import { type Count, rowsToCount } from '../../policy/row-bands.ts';
import { countWritten } from '../../preview/count.ts';
import { NotLeft } from '../../preview/sandbox.ts';
import type { StatementParameters } from '../../snapshot/plan.ts';
import type { Analysis, TextFacts } from '../../sql/effects.ts';
import { type AskedText, Asking } from '../hidden/asking.ts';
import { HiddenQueryEnded } from '../hidden/hidden-exchange.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { isReadAlike, NOT_ASCII } from '../known/text-encoding.ts';
import type { SessionState } from '../state.ts';
import type { Answer, Verdict } from '../verdict.ts';
import type { EndedCount } from './bound-policy.ts';
import { nativeError } from './refusal.ts';

/** What is to be counted, and how its text was read. */
export interface ToCount extends AskedText {
  readonly facts: TextFacts;
}

/**
 * Rows of a statement are counted before it is decided, where policy decides otherwise by their number: by hidden queries
 * that only read, on the session's own connection, as far as the largest number that a rule names. What cannot be counted
 * might be any number.
 */
export class RowCounts {
  private readonly state: SessionState;
  private readonly hidden: HiddenQueries;
  /** For the message that is looked at. */
  private hasAsked = false;
  private asking: Asking | null = null;
  private ended: EndedCount | null = null;

  constructor(state: SessionState, hidden: HiddenQueries) {
    this.state = state;
    this.hidden = hidden;
  }

  /** A message of the client's is looked at for the first time. */
  begins(): void {
    this.hasAsked = false;
    this.state.policy.counted = null;
  }

  /** Whether what is decided of the statement hangs on a number that is yet to be counted. */
  wants(analysis: Analysis): boolean {
    return !this.hasAsked && this.state.takesQueries && this.state.policy.rowBands(analysis) !== null;
  }

  /** The wait for the number; once for each message. */
  count(analysis: Analysis, read: Analysis, asked: ToCount): Verdict {
    const { textFacts: facts } = this.state;
    this.hasAsked = true;
    this.ended = null;
    const answer: Answer = { analysis: read, facts, outcome: null };
    const counting = this.counted(analysis, asked).then((count) => {
      const { ended } = this;
      const why = ended === null ? count : { reason: 'its statement ended before it was counted' };
      this.state.policy.counted = { analysis, count: why, ended };
      return answer;
    });
    return { kind: 'wait', until: counting };
  }

  /**
   * The client has given up. A question of ours that is to be cancelled is for the server to end, as what the client has sent
   * before is; but the statement that is counted for does not run.
   */
  giveUp(how: 'canceled' | 'disconnected'): void {
    if (this.asking === null || (how === 'canceled' && !this.asking.isUnderWay)) return;
    // Whoever only sends no more is owed the answer to what it has sent.
    if (how === 'disconnected' && !this.state.client.socket.destroyed) return;
    this.ended = { kind: 'canceled' };
    void this.asking.stop();
  }

  /** The statement would have met the same. */
  private endedBy(error: HiddenQueryError, analysis: Analysis): void {
    this.ended ??= { kind: 'refused', error: nativeError(error, analysis) };
  }

  private async counted(analysis: Analysis, asked: ToCount): Promise<Count> {
    const { state } = this;
    const { counts, log } = state.services;
    const bands = state.policy.rowBands(analysis);
    if (counts === null || bands === null) return { reason: 'rows are not counted' };
    const { text, facts } = asked;
    if (text !== null && !isReadAlike(state, facts, Buffer.from(text, 'utf8'))) return { reason: NOT_ASCII };
    const asking = new Asking(state, this.hidden, null, COUNT_LIMITS);
    this.asking = asking;
    try {
      const found = await asking.ask({ ...asked, inUtf8: true }, async (sandbox, parameters) => {
        const request = requestOf(state, analysis, text!, parameters);
        const count = await countWritten(sandbox, counts, request, rowsToCount(bands));
        if (sandbox.metOwnLimit !== null) this.endedBy(sandbox.metOwnLimit, analysis);
        return count;
      });
      return 'kind' in found ? { reason: found.reason } : found;
    } catch (err) {
      // The session ends, and policy has said nothing of its statement.
      if (err instanceof NotLeft || (err instanceof HiddenQueryEnded && err.why === 'lost'))
        this.ended ??= { kind: 'disconnected' };
      log.debug({ err, session: state.identity.id }, 'rows were not counted');
      return { reason: 'the server could not be asked' };
    } finally {
      this.asking = null;
    }
  }
}

const COUNT_LIMITS = {
  statementMs: LIMITS.rowsCountMs,
  lockMs: LIMITS.rowsCountMs,
  totalMs: LIMITS.rowsCountMs,
  asWhole: true,
} as const;

function requestOf(state: SessionState, analysis: Analysis, text: string, parameters: StatementParameters) {
  const scope = state.facts.database;
  return { scope, text, analysis, parameters, snapshot: 'off', noSnapshot: null, masks: [] } as const;
}
