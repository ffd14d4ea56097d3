import type { AuditEntry } from '../audit/event.ts';
import type { Decision } from '../policy/decision.ts';
import type { Analysis } from '../sql/effects.ts';
import type { SessionState } from './state.ts';

/** The audit event of a statement that has been decided, before anything is known of how it ends. */
export function newEntry(
  state: SessionState,
  protocol: AuditEntry['protocol'],
  analysis: Analysis,
  text: string | null,
  parameters: number,
  ruling: { readonly decision: Decision; readonly approvalId: string | null; readonly holdMs: number },
  startedAtMs: number,
): AuditEntry {
  return {
    session: state.identity,
    analysis,
    decision: ruling.decision,
    text,
    literals: null,
    shape: null,
    protocol,
    statementIndex: 0,
    startedAtMs,
    parameters,
    approvalId: ruling.approvalId,
    holdMs: ruling.holdMs,
    end: 'lost',
    durationMs: 0,
    rows: -1,
    sqlstate: null,
    transactionStatus: '?',
    openId: -1,
  };
}
