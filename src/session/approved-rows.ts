import type { ApprovedRows, Decision } from '../policy/decision.ts';
import { formatRowsTolerance, mostRows } from '../policy/rows-tolerance.ts';
import type { TableProof } from '../snapshot/prove.ts';
import type { Analysis } from '../sql/effects.ts';
import type { ErrorFields } from '../wire/backend.ts';
import { approvedRowsError } from './refusal.ts';

/**
 * How many rows a statement would change is counted before it runs on an approval, and may not be as many by then:
 * whoever keeps a lock that it waits for has time to add some. So it is looked at once it has run, in a transaction that is
 * not committed before.
 */

export function approvedRowsOf(decision: Decision): ApprovedRows | null {
  return decision.action === 'hold' ? (decision.approvedRows ?? null) : null;
}

const COUNTED_BY_TAG = /^(?:UPDATE|DELETE) (\d+)$/;
const WATCHED: ReadonlySet<string> = new Set(['update', 'delete', 'truncate']);

/** Whether what it changes can be told without a capture. */
export function isWatched(decision: Decision, { statements }: Analysis): boolean {
  if (approvedRowsOf(decision) === null || statements.length !== 1) return false;
  return WATCHED.has(statements[0]!.operation);
}

/** Fewer may have been kept back by triggers. The tag is null where an Execute has not fetched all. */
export function exceedsByTag(
  approved: ApprovedRows,
  tag: string | null,
  isCaptured: boolean,
): ErrorFields | null {
  if (tag === null) {
    if (isCaptured) return null;
    return approvedRowsError('How many it changed is not told to who fetches them in parts', words(approved));
  }
  const rows = COUNTED_BY_TAG.exec(tag);
  return rows === null ? null : exceeding(approved, Number(rows[1]));
}

export function exceedsByCapture(approved: ApprovedRows, tables: readonly TableProof[]): ErrorFields | null {
  const own = tables.filter(({ table }) => table.cause.kind === 'target');
  return exceeding(
    approved,
    own.reduce((sum, { before }) => sum + before, 0),
  );
}

export function exceeding(approved: ApprovedRows, rows: number): ErrorFields | null {
  if (rows <= mostRows(approved)) return null;
  return approvedRowsError(`It changed ${rows} rows`, words(approved));
}

function words({ rows, tolerance }: ApprovedRows): string {
  return `${rows}, give or take ${formatRowsTolerance(tolerance)},`;
}
