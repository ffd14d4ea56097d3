import { LIMITS } from '../base/limits.ts';
import type { HiddenQuery } from '../catalog/connection.ts';
import { quoteName } from '../catalog/quote.ts';
import type { Relation } from '../catalog/relation.ts';
import type { RowSet } from '../policy/row-set.ts';
import { from, type RowLock } from '../snapshot/capture-sql.ts';
import { type Relations, storedIn } from '../snapshot/cascade.ts';
import { NO_PARAMETERS, type StatementParameters } from '../snapshot/plan.ts';
import { gatherRows, identifying, RowHashes } from '../snapshot/row-identity.ts';
import type { Seed } from '../snapshot/seed.ts';
import type { RowsSlice, UpsertSlice } from '../sql/slices/slice.ts';
import type { RowCount } from './preview.ts';
import type { PreviewSubject } from './request.ts';
import { countOf, withParameters } from './rows.ts';
import type { Sandbox } from './sandbox.ts';

/** Asks for the rows of a statement so that they are told from each other; with `lock` they are locked as the statement will. */
export interface RowLookup {
  readonly query: HiddenQuery;
  readonly locking: HiddenQuery;
  /** Other rows tell which these are, so that it takes another look behind a lock that was waited for. */
  readonly readsOthers: boolean;
  /** Keeps others from adding rows that it would meet though nothing shows them before; null where it meets none. */
  readonly keepingOut: string | null;
}

/** The statement's own rows: how many and, where it is known, which. */
export interface OwnRows {
  readonly count: RowCount;
  readonly set: RowSet | null;
}

export function ownLookup(
  slice: RowsSlice | UpsertSlice,
  target: Relation,
  relations: Relations,
  seed: Seed,
  places: string,
  parameters: StatementParameters,
): RowLookup {
  const { direct } = seed;
  const { columns, resultFormats } = identifying(target, direct === null ? 'r' : seed.reference);
  const through = (lock: RowLock | null) =>
    `SELECT ${columns} FROM (${places}) h
  JOIN ${from(target, false)} r ON r.ctid OPERATOR(pg_catalog.=) h.tid AND r.tableoid OPERATOR(pg_catalog.=) h.tab
  ${lock === null ? '' : `${lock} OF r`}`;
  const query = (lock: RowLock | null) => ({
    ...withParameters(direct === null ? through(lock) : direct(columns, lock), parameters),
    resultFormats,
  });
  // Rows of which the role may change nothing cannot be locked by it, and are changed by nobody else for it.
  const lock = target.update ? lockOf(slice, relations) : null;
  const readsOthers = slice.kind !== 'rows' || !slice.ownRowOnly;
  // It changes what comes to have its key while it waits for whoever inserts that, whatever it reads by itself.
  const keepingOut =
    slice.kind === 'upsert' ? `LOCK TABLE ${from(target)} IN SHARE ROW EXCLUSIVE MODE` : null;
  return { query: query(null), locking: query(lock), readsOthers, keepingOut };
}

/** As strong as the statement's own, which is the stronger one where another row may refer to what it changes. */
function lockOf(slice: RowsSlice | UpsertSlice, relations: Relations): RowLock {
  if (slice.kind === 'rows' && slice.deletes) return 'FOR UPDATE';
  const keyed = new Set(
    [...relations.values()].flatMap(({ keys }) => keys.flatMap(({ columns }) => columns)),
  );
  return slice.assigned.some(({ column }) => keyed.has(column)) ? 'FOR UPDATE' : 'FOR NO KEY UPDATE';
}

/** All rows of tables; none where a row of one is a row of another as well. */
export function wholeLookups({ slice, targets, answer }: PreviewSubject): readonly RowLookup[] {
  const alone = targets.map((target) => isAlone(target, slice, answer.roots));
  const stored = targets.flatMap((target, i) => storedIn(target, alone[i]!, answer.relations));
  if (new Set(stored).size < stored.length) return [];
  return targets.map((target, i) => {
    const { columns, resultFormats } = identifying(target, 'r');
    const sql = `SELECT ${columns} FROM ${from(target, alone[i]!)} ${quoteName('r')}`;
    const query = { ...withParameters(sql, NO_PARAMETERS), resultFormats };
    return { query, locking: query, readsOthers: false, keepingOut: null };
  });
}

/** TRUNCATE ONLY leaves what inherits from the table. */
export function isAlone(
  { kind, oid }: Relation,
  slice: PreviewSubject['slice'],
  roots: readonly (number | null)[],
): boolean {
  if (kind === 'partitioned table' || slice.kind !== 'truncate') return false;
  return slice.targets.some(({ only }, i) => only && roots[i] === oid);
}

/**
 * The rows told from each other, and so counted as well; where they are too many for that they are only counted. What
 * gives no row in the time that there is would not be counted in it either.
 */
export async function identifyRows(
  sandbox: Sandbox,
  lookups: readonly RowLookup[],
  salt: Uint8Array,
  count: () => Promise<RowCount>,
): Promise<OwnRows> {
  const max = LIMITS.rowsIdentifiedMax;
  if (lookups.length === 0) return { count: await count(), set: null };
  const rows = new RowHashes(salt, LIMITS.rowHashesMax, LIMITS.rowsIdentifiedBytes);
  const queries = lookups.map(({ query }) => ({ ...query, sql: `${query.sql}\n LIMIT ${max + 1}` }));
  const found = await sandbox.step(async (each) => (await gatherRows(each, queries, rows, max)) ?? 'more');
  if (found === 'more') return { count: await count(), set: null };
  if (!('kind' in found)) return { count: { kind: 'exact', rows: found.count }, set: found };
  return { count: rows.count === 0 ? found : await count(), set: null };
}

/** As `identifyRows`, of what is found by a query of places. */
export async function identifyAt(
  sandbox: Sandbox,
  lookup: RowLookup,
  salt: Uint8Array | null,
  problem: string | null,
  places: string,
  parameters: StatementParameters,
): Promise<OwnRows> {
  const count = () => countOf(sandbox, problem, places, parameters);
  if (problem !== null || salt === null) return { count: await count(), set: null };
  return await identifyRows(sandbox, [lookup], salt, count);
}
