import type { AuditEnd, AuditEntry } from '../audit/event.ts';
import { nowMs } from '../base/clock.ts';
import { LIMITS } from '../base/limits.ts';
import { type Reply, ReplyKind } from './replies.ts';
import type { SessionState } from './state.ts';

/** How statements ended, kept until the server tells the status of their transaction, and then given to the audit. */
export class Outcomes {
  private readonly state: SessionState;
  /** Of those that have ended. */
  private textChars = 0;

  constructor(state: SessionState) {
    this.state = state;
  }

  /** The statement of that message has ended. */
  finish(reply: Reply, end: AuditEnd, sqlstate: string | null, rows = -1): void {
    const entry = reply.audit;
    if (entry === null) return;
    reply.audit = null;
    if (reply.kind === ReplyKind.Query) reply.lastAudit = entry;
    this.end(entry, end, sqlstate, rows);
  }

  /** The statement of that event has ended. */
  end(entry: AuditEntry, end: AuditEnd, sqlstate: string | null, rows: number): void {
    entry.end = end;
    entry.sqlstate = sqlstate;
    entry.rows = rows;
    entry.durationMs = nowMs() - entry.startedAtMs;
    const { state } = this;
    state.ended.push(entry);
    if (entry.text !== null) this.textChars += entry.text.length;
    if (state.ended.length >= LIMITS.endedStatementsMax || this.textChars > LIMITS.endedTextChars)
      this.release('?');
  }

  /** A Query with several statements: the next one is under way. */
  nextStatement(reply: Reply): void {
    const { analysis, decision } = reply;
    if (analysis === null || decision === null || reply.statementsDone >= analysis.statements.length) return;
    const before = reply.lastAudit;
    if (before === null) return;
    reply.audit = {
      ...before,
      statementIndex: reply.statementsDone,
      startedAtMs: nowMs(),
      end: 'lost',
      durationMs: 0,
      rows: -1,
      openId: -1,
    };
    this.state.services.audit.begin(reply.audit);
  }

  /** Their transaction stands like that by now. */
  release(status: AuditEntry['transactionStatus']): void {
    const { ended, services } = this.state;
    for (let i = 0; i < ended.length; i++) {
      const entry = ended[i]!;
      entry.transactionStatus = status;
      services.audit.finish(entry);
    }
    // To set the length is a call into the runtime.
    while (ended.length > 0) ended.pop();
    this.textChars = 0;
  }
}
