import type { Binding, HeldStatement, NewApproval } from '../../src/approval/approval.ts';
import type { Decider } from '../../src/approval/approver.ts';
import type { StoredApprovalDesk } from '../../src/approval/desk.ts';

export const BINDING: Binding = {
  key: null,
  runsAs: 'app',
  searchPath: '"$user", public',
  schemaSha256: 'aa',
  rows: null,
  rowsTolerance: { unit: 'percent', percent: 10 },
  withoutSnapshot: null,
};

/** What a session asks for; with a key for the binding where it can be asked for again. */
export function wanted(changes: Partial<NewApproval> = {}): NewApproval {
  return {
    mode: 'live',
    sessionId: 'ses_1',
    role: 'app',
    database: 'shop',
    application: 'psql',
    client: '127.0.0.1:50000',
    statement: 'delete from orders',
    parameters: 0,
    operation: 'delete',
    risk: 'critical',
    reasons: ['delete without WHERE'],
    tables: ['orders'],
    rule: 'default:critical',
    reason: '',
    approvalsNeeded: 1,
    approvers: null,
    binding: BINDING,
    timeoutMs: 60_000,
    grantMs: 60_000,
    ...changes,
  };
}

/** A session that waits. */
export async function hold(
  desk: StoredApprovalDesk,
  changes: Partial<NewApproval> = {},
): Promise<HeldStatement> {
  const asked = await desk.request(wanted(changes));
  if (asked.kind !== 'waits') throw new Error(`it is ${asked.kind}, and does not wait`);
  return asked.held;
}

export function person(by: string, comment: string | null = null, changes: Partial<Decider> = {}): Decider {
  return {
    by,
    person: by,
    subject: null,
    comment,
    lookedAt: null,
    roles: [],
    groups: [],
    breakGlass: false,
    ...changes,
  };
}
