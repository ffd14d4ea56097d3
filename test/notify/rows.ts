import type { ApprovalRow } from '../../src/store/control-store.ts';

/** A held statement, as it is stored. */
export function approvalRow(id: string, changes: Readonly<Record<string, unknown>> = {}): ApprovalRow {
  const nowMs = Date.now();
  return {
    ...{ id, state: 'pending', mode: 'live', role: 'app', createdAtMs: nowMs, expiresAtMs: nowMs + 60_000 },
    ...{ resolvedAtMs: null, resolvedBy: null, comment: null, bindingKey: null, terms: '' },
    ...{ grantUntilMs: null, consumedAtMs: null, consumedBy: null, votes: [] },
    body: JSON.stringify({
      ...{ sessionId: 'ses_1', database: 'shop', application: 'psql', client: '127.0.0.1:5' },
      ...{ statement: 'delete from orders', operation: 'delete', risk: 'critical', tables: ['orders'] },
      ...{ rule: 'default:critical', reason: 'delete without WHERE' },
      ...changes,
    }),
  };
}
