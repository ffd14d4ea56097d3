import { nowMs } from '../base/clock.ts';
import { newId } from '../base/ids.ts';
import type { Analysis } from '../sql/effects.ts';
import type { AuditEntry } from './event.ts';

/** Something that is done without a client's statement: over the admin API, or by the gateway itself. */
export interface AdminAction {
  readonly operation:
    | 'undo'
    | 'delete snapshot'
    | 'purge trash'
    | 'approve'
    | 'deny'
    | 'break glass'
    | 'pause'
    | 'resume'
    | 'quarantine'
    | 'lift quarantine'
    | 'new token'
    | 'revoke token';
  /** What it is done to, and for what reason, in words. */
  readonly text: string;
  readonly reason: string;
  readonly tables: readonly string[];
  readonly database: string;
  /** `token:` and its name, or `holdfast`. */
  readonly by: string;
  readonly client: string;
}

/** It is recorded as a statement is, so that one search finds what changed a table. */
export function adminEntry(action: AdminAction): AuditEntry {
  const { operation, text, reason, tables, database, by, client } = action;
  return {
    session: { id: newId('adm'), role: by, database, application: 'holdfast admin', client },
    analysis: analysisOf(operation, tables),
    decision: Object.freeze({ action: 'allow', rule: 'admin', reason, risk: 'critical', wouldBe: null }),
    text,
    literals: null,
    shape: null,
    protocol: 'admin',
    statementIndex: 0,
    startedAtMs: nowMs(),
    parameters: 0,
    approvalId: null,
    holdMs: 0,
    end: 'lost',
    durationMs: -1,
    rows: -1,
    sqlstate: null,
    transactionStatus: '?',
  };
}

function analysisOf(operation: AdminAction['operation'], tables: readonly string[]): Analysis {
  const statement = {
    operation,
    operations: [operation],
    risk: 'critical' as const,
    reasons: [],
    reads: [],
    writes: [],
    columns: [],
    functions: [],
    predicate: 'not-applicable' as const,
    session: [],
    startByte: 0,
    lengthBytes: 0,
  };
  return {
    status: 'parsed',
    problem: '',
    statements: [statement],
    risk: 'critical',
    operation,
    tables,
    redacted: null,
    context: {},
    touchesSession: false,
  };
}
