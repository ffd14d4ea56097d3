import { LIMITS } from '../../base/limits.ts';
import type { HiddenConnection } from '../../catalog/connection.ts';
import type { ApprovedRows, Decision } from '../../policy/decision.ts';
import { differenceOf, type RowSet } from '../../policy/row-set.ts';
import { driftOfSet } from '../../policy/rows-drift.ts';
import { allowedApart, formatRowsTolerance, mostRows } from '../../policy/rows-tolerance.ts';
import type { RowLookup } from '../../preview/identify.ts';
import type { TableProof } from '../../snapshot/prove.ts';
import { gatherRows, RowHashes } from '../../snapshot/row-identity.ts';
import type { Analysis, StatementEffects } from '../../sql/effects.ts';
import type { ErrorFields } from '../../wire/backend.ts';
import type { PreparedSnapshot } from '../capturing/prepared.ts';
import { countedOf } from '../ruling/counted-rows.ts';
import { approvedRowsError, otherRowsError, tooManyRowsError } from '../ruling/refusal.ts';

/**
 * Which rows a statement would change, and how many, is looked at before it runs on an approval, and may be otherwise by
 * then: whoever keeps a lock that it waits for has time to change that. So the rows are locked and looked at again in its
 * own transaction, and how many they were once it has run; before that nothing is committed.
 */

/** With how they are asked for once more; nothing where it is not known which they are. */
export interface LocatedRows extends ApprovedRows {
  readonly lookups: readonly RowLookup[];
}

/** What a hold has ended with, which is the only place that they come from. */
export function approvedRowsOf(decision: Decision): LocatedRows | null {
  return decision.action === 'hold' ? ((decision.approvedRows as LocatedRows | undefined) ?? null) : null;
}

const CHANGED_BY_TAG = /^(?:UPDATE|DELETE|MERGE) (\d+)$/;
const COUNTED: ReadonlySet<string> = new Set(['update', 'delete', 'truncate']);

/** Whether what it changes can be told without a capture. */
export function isWatched(decision: Decision, analysis: Analysis): boolean {
  if (analysis.statements.length !== 1) return false;
  if (countedOf(decision) !== null) return true;
  const approved = approvedRowsOf(decision);
  if (approved === null) return false;
  return isCounted(analysis) || approved.lookups.length > 0;
}

/** Whether it tells how many rows it has changed, and no others besides; or empties tables, which are counted before. */
export function isCounted({ statements }: Analysis): boolean {
  const [statement] = statements;
  if (statement === undefined) return false;
  return COUNTED.has(statement.operation) || (statement.operation === 'merge' && !inserts(statement));
}

/** Of a MERGE the tag counts what it inserts as well, of which nobody was told how many they would be. */
export function countingTag(tag: string | null, { statements }: Analysis): string | null {
  const isMixed = tag?.startsWith('MERGE ') === true && statements.some(inserts);
  return isMixed ? '' : tag;
}

function inserts({ operations }: StatementEffects): boolean {
  return operations.includes('insert');
}

/** Its rows as they were under their locks. */
export interface SeenRows {
  readonly count: number;
  /** How many more it may change, which have come since. */
  readonly spare: number;
}

export type Compared = { readonly refusal: ErrorFields } | { readonly seen: SeenRows | null };

/** Why what it is about to change is not what was approved, as the client is told; else how much more may come. */
export function comparedWith(approved: ApprovedRows, now: RowSet | number): Compared {
  const { set, tolerance } = approved;
  if (set === null) return { seen: null };
  const rows = typeof now === 'number' ? now : now.count;
  if (typeof now === 'number' || rows > mostRows(approved))
    return { refusal: tooManyRowsError(`It would change ${rows} rows`, words(approved)) };
  const drift = driftOfSet(set, now, tolerance);
  if (drift !== null) return { refusal: otherRowsError(drift) };
  const spare = allowedApart(tolerance, set.count) - differenceOf(set, now).added.most;
  return { seen: { count: now.count, spare } };
}

/** Asks for its rows once more; where they are far too many only how many have come. */
export async function locatedRows(
  connection: HiddenConnection,
  approved: LocatedRows,
  which: 'query' | 'locking',
): Promise<RowSet | number> {
  const rows = new RowHashes(approved.set!.salt, LIMITS.rowHashesMax);
  const rowsMax = Math.max(Math.floor(mostRows(approved)), LIMITS.rowsIdentifiedMax);
  const queries = approved.lookups.map((lookup) => ({ ...lookup[which], rowsMax: rowsMax + 1 }));
  return (await gatherRows(connection, queries, rows, rowsMax)) ?? rows.count;
}

/** Fewer may have been kept back by triggers. The tag is null where an Execute has not fetched all. */
export function exceedsByTag(
  approved: ApprovedRows,
  tag: string | null,
  seen: SeenRows | null,
  mayBeUntold: boolean,
): ErrorFields | null {
  if (tag === null) {
    if (mayBeUntold) return null;
    return approvedRowsError('How many it changed is not told to who fetches them in parts', words(approved));
  }
  const rows = CHANGED_BY_TAG.exec(tag);
  if (rows === null) return null;
  const changed = Number(rows[1]);
  if (seen === null || changed <= seen.count + seen.spare) return exceeding(approved, changed);
  const others = `${changed - seen.count} of the ${changed} rows that it changed came while it waited`;
  return approvedRowsError(others, words(approved));
}

/**
 * Why what a tag does not count may not go on where its capture is not proved. What a TRUNCATE empties was captured under the
 * lock that keeps it so.
 */
export function uncounted(
  approved: ApprovedRows,
  tag: string | null,
  { plan, capture }: PreparedSnapshot,
): ErrorFields | null {
  if (tag !== null && CHANGED_BY_TAG.test(tag)) return null;
  if (plan.operation === 'truncate') {
    const tables = plan.tables.map((table) => ({ table, before: capture.rows.get(table.oid) ?? 0 }));
    return exceedsByCapture(approved, tables);
  }
  return approvedRowsError(
    'How many it changed cannot be told, because its snapshot failed',
    words(approved),
  );
}

export function exceedsByCapture(
  approved: ApprovedRows,
  tables: readonly Pick<TableProof, 'table' | 'before'>[],
): ErrorFields | null {
  const own = tables.filter(({ table }) => table.cause.kind === 'target');
  // Rows that foreign keys lead to in the same tables were counted by themselves.
  if (own.some(({ table }) => table.identity === undefined)) return null;
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
