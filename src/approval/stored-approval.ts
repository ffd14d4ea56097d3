import { createHash } from 'node:crypto';
import { nowMs } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { ApprovalRow } from '../store/control-store.ts';
import { APPROVAL_STATES, type Approval, type Binding, type NewApproval } from './approval.ts';
import { termsOf } from './drift.ts';

export function newApproval(wanted: NewApproval, drift: readonly string[]): Approval {
  const { timeoutMs, grantMs: _, drift: _drift, findRows: _find, ...asked } = wanted;
  const createdAtMs = nowMs();
  return {
    ...asked,
    id: newId('apr', Math.floor(createdAtMs)),
    state: 'pending',
    createdAtMs,
    expiresAtMs: createdAtMs + timeoutMs,
    resolvedAtMs: null,
    resolvedBy: null,
    comment: null,
    votes: [],
    grant: null,
    drift,
    statement: cutText(wanted.statement, LIMITS.auditTextBytes),
    statementEnd: endOf(wanted.statement),
    statementBytes: Buffer.byteLength(wanted.statement),
    statementSha256: createHash('sha256').update(wanted.statement).digest('hex'),
  };
}

/** What is kept of a text besides its beginning; null where that is all of it. */
export function longText(text: string): string | null {
  return Buffer.byteLength(text) <= LIMITS.auditTextBytes ? null : cutText(text, LIMITS.approvalTextBytes);
}

function endOf(text: string): string {
  if (Buffer.byteLength(text) <= LIMITS.auditTextBytes) return '';
  const bytes = Buffer.from(text);
  let from = Math.max(LIMITS.auditTextBytes, bytes.length - LIMITS.approvalEndBytes);
  // Not in the middle of a character.
  while (from < bytes.length && (bytes[from]! & 0xc0) === 0x80) from++;
  return bytes.toString('utf8', from);
}

function cutText(text: string, bytesMax: number): string {
  if (Buffer.byteLength(text) <= bytesMax) return text;
  const cut = Buffer.alloc(bytesMax);
  return cut.toString('utf8', 0, cut.write(text));
}

/** What does not change is in the body. */
type Body = Omit<
  Approval,
  | ('id' | 'state' | 'mode' | 'role' | 'createdAtMs' | 'expiresAtMs' | 'resolvedAtMs' | 'resolvedBy')
  | ('comment' | 'votes' | 'grant')
> & { readonly grantMs: number };

export function rowOf(approval: Approval, grantMs: number): ApprovalRow {
  const { id, state, mode, role, createdAtMs, expiresAtMs, resolvedAtMs, resolvedBy, comment } = approval;
  const { votes: _, grant, ...rest } = approval;
  return {
    ...{ id, state, mode, role, createdAtMs, expiresAtMs, resolvedAtMs, resolvedBy, comment },
    bindingKey: approval.binding.key,
    terms: termsOf(approval),
    grantUntilMs: grant?.untilMs ?? null,
    consumedAtMs: grant?.consumedAtMs ?? null,
    consumedBy: grant?.consumedBy ?? null,
    votes: [],
    body: JSON.stringify({ ...rest, grantMs } satisfies Body),
  };
}

export function approvalOf(row: ApprovalRow): Approval {
  const { approval } = storedApproval(row);
  return approval;
}

/** With how long it may be run once it is approved. */
export function storedApproval(row: ApprovalRow): { readonly approval: Approval; readonly grantMs: number } {
  const state = APPROVAL_STATES.find((one) => one === row.state);
  if (state === undefined)
    throw new HoldfastError('STORE_FAILED', `approval ${row.id} has a state of another version`);
  const { id, createdAtMs, resolvedAtMs, resolvedBy, comment, grantUntilMs, consumedAtMs, consumedBy } = row;
  // Of earlier versions much of it is missing.
  const body = { ...OF_BEFORE, ...(JSON.parse(row.body) as Body & { expiresAtMs: number; role: string }) };
  const { grantMs, ...rest } = body;
  const approval: Approval = {
    ...rest,
    id,
    state,
    mode: row.mode === 'ticket' ? 'ticket' : 'live',
    createdAtMs,
    expiresAtMs: row.expiresAtMs ?? body.expiresAtMs,
    resolvedAtMs,
    resolvedBy,
    comment,
    votes: row.votes.map(({ approvalId: _, ...vote }) => vote),
    grant: grantUntilMs === null ? null : { untilMs: grantUntilMs, consumedAtMs, consumedBy },
  };
  return { approval, grantMs };
}

const NO_BINDING: Binding = {
  key: null,
  runsAs: null,
  searchPath: null,
  schemaSha256: null,
  rows: null,
  rowsTolerance: { unit: 'rows', rows: 0 },
  withoutSnapshot: null,
};

const OF_BEFORE = {
  approvalsNeeded: 1,
  approvers: null,
  binding: NO_BINDING,
  drift: [],
  statementEnd: '',
  statementBytes: null,
  grantMs: 0,
} as const;
