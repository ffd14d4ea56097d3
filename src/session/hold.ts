import type { HeldStatement, HoldOutcome } from '../approval/approval.ts';
import { nowMs } from '../base/clock.ts';
import type { Hold } from '../policy/decision.ts';
import type { Analysis } from '../sql/effects.ts';
import { encodeNoticeResponse } from '../wire/backend.ts';
import type { BoundValues, PreviewDesk } from './preview-desk.ts';
import { heldNotice, heldReason } from './refusal.ts';
import type { SessionState } from './state.ts';
import type { Answer } from './verdict.ts';

const NO_BINDING = {
  key: null,
  runsAs: null,
  searchPath: null,
  schemaSha256: null,
  rows: null,
  withoutSnapshot: null,
};

/**
 * The live hold of one session: at most one statement at a time waits, because nothing behind it is looked at.
 * The wait ends by a person's decision, by time, or because the client cancels or goes; whichever is durable
 * first wins, but that nothing runs for a client that has given up.
 */
export class HoldDesk {
  private readonly state: SessionState;
  private readonly previews: PreviewDesk;
  private statement: HeldStatement | null = null;
  private waiting = false;
  private givenUp: 'canceled' | 'disconnected' | null = null;

  constructor(state: SessionState, previews: PreviewDesk) {
    this.state = state;
    this.previews = previews;
  }

  /** The client cancels or is gone. Returns whether there was anything to give up. */
  giveUp(how: 'canceled' | 'disconnected'): boolean {
    if (!this.waiting) return false;
    this.givenUp ??= how;
    this.statement?.end(how);
    return true;
  }

  async hold(
    analysis: Analysis,
    decision: Hold,
    text: string | null,
    parameters: number,
    read: Analysis,
    bound: BoundValues | null = null,
  ): Promise<Answer> {
    const { services, identity, facts, textFacts } = this.state;
    const answered = (approvalId: string | null, end: HoldOutcome): Answer => {
      const outcome = { kind: 'held' as const, approvalId, holdMs: nowMs() - began, end, approved: decision };
      return { analysis: read, facts: textFacts, outcome };
    };
    const began = nowMs();
    this.waiting = true;
    this.givenUp = null;
    let notice: NodeJS.Timeout | null = null;
    try {
      const asked = await services.approvals.request({
        mode: 'live',
        sessionId: identity.id,
        role: facts.role,
        database: facts.database,
        application: facts.application,
        client: facts.client,
        statement: analysis.redacted ?? text ?? '',
        parameters,
        operation: analysis.operation,
        risk: decision.risk,
        reasons: analysis.statements.flatMap((statement) => statement.reasons).slice(0, 16),
        tables: analysis.tables,
        rule: decision.rule,
        reason: heldReason(decision),
        approvalsNeeded: decision.approvals,
        approvers: decision.approvers,
        binding: { ...NO_BINDING, rowsTolerance: decision.rowsTolerance },
        timeoutMs: decision.timeoutMs,
        grantMs: decision.grantMs,
      });
      if (asked.kind !== 'waits') throw new Error('without a key nothing is found');
      const { held } = asked;
      this.statement = held;
      if (this.givenUp !== null) held.end(this.givenUp);
      const tell = () =>
        this.state.inject(encodeNoticeResponse(heldNotice(held.id, decision), this.state.clientEncoding));
      tell();
      const preview = this.previews.begin(held.id, { analysis, text, decision, parameters, bound });
      // A line that is silent for long is cut by what stands between; a notice now and then keeps it.
      notice = setInterval(tell, decision.noticeMs).unref();
      const outcome = (await held.outcome)!;
      await preview.stop();
      // An approval may have been on its way to the store when the client gave up, who has been told that it runs not.
      const isLate = outcome.kind === 'approved' && this.givenUp !== null;
      return answered(held.id, isLate ? { kind: this.givenUp! } : outcome);
    } catch (cause) {
      const error = cause instanceof Error ? cause : new Error(String(cause));
      return answered(null, { kind: 'failed', error });
    } finally {
      if (notice) clearInterval(notice);
      this.waiting = false;
      this.statement = null;
    }
  }
}
