import type { AuditEntry, AuditSession } from '../../src/audit/event.ts';
import type { Decision } from '../../src/policy/decision.ts';
import { DEFAULT_HOLD } from '../../src/policy/rule.ts';
import type { Analysis, Risk } from '../../src/sql/effects.ts';

/** Statements as a session would hand them to the audit, for tests that do not run one. */
export const SESSION: AuditSession = {
  id: 'ses_1',
  role: 'app',
  database: 'shop',
  application: 'psql',
  client: '192.0.2.7:50123',
};

export function analysis(changes: Partial<Analysis> = {}): Analysis {
  const operation = changes.operation ?? 'select';
  const risk = changes.risk ?? 'safe';
  return {
    status: 'parsed',
    problem: '',
    statements: [
      {
        operation,
        operations: [operation],
        risk,
        reasons: [],
        reads: [],
        writes: [],
        columns: [],
        functions: [],
        predicate: 'not-applicable',
        session: [],
        startByte: 0,
        lengthBytes: 8,
      },
    ],
    risk,
    operation,
    tables: [],
    redacted: null,
    context: {},
    touchesSession: false,
    ...changes,
  };
}

export function decision(action: Decision['action'] = 'allow', risk: Risk = 'safe'): Decision {
  const ground = { rule: `default:${risk}`, reason: 'because', risk, wouldBe: null };
  switch (action) {
    case 'allow':
      return { ...ground, action };
    case 'snapshot':
      return { ...ground, action, snapshot: 'required' };
    case 'hold':
      return { ...ground, action, ...DEFAULT_HOLD, snapshot: 'required' };
    case 'block':
      return { ...ground, action, hint: 'ask' };
  }
}

export function entry(changes: Partial<AuditEntry> = {}): AuditEntry {
  return {
    session: SESSION,
    analysis: analysis(),
    decision: decision(),
    text: 'select 1',
    literals: null,
    shape: null,
    protocol: 'simple',
    statementIndex: 0,
    startedAtMs: Date.UTC(2026, 4, 17, 9, 30, 5, 250),
    parameters: 0,
    approvalId: null,
    holdMs: 0,
    end: 'completed',
    durationMs: 1.5,
    rows: 1,
    sqlstate: null,
    transactionStatus: 'I',
    ...changes,
  };
}

/** A delete that the store has to know of before its outcome. */
export function graveEntry(changes: Partial<AuditEntry> = {}): AuditEntry {
  return entry({
    analysis: analysis({ operation: 'delete', risk: 'critical', tables: ['orders'] }),
    decision: decision('hold', 'critical'),
    text: 'delete from orders',
    rows: 12,
    ...changes,
  });
}
