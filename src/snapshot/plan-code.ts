import type { CatalogAnswer } from '../catalog/catalog.ts';
import type { Relation } from '../catalog/relation.ts';
import type { WriteSlice } from '../sql/slices/slice.ts';
import type { CascadeGraph } from './cascade.ts';
import type { PlannedTable } from './plan.ts';

/** Whose code a statement runs, and what that may do. */

/** Whether the statement surely runs code of the user's: by a name, or by what belongs to the tables. */
export function runsOwnCode(
  slice: Extract<WriteSlice, { kind: 'rows' | 'upsert' }>,
  { nodes }: CascadeGraph,
  tables: readonly PlannedTable[],
  { functions, relations }: CatalogAnswer,
): boolean {
  const called = slice.ownNames || functions.some(({ own }) => own);
  const belongs = nodes.some(({ relation }) => relation.ownCode);
  return called || belongs || tables.some(({ oid }) => relations.get(oid)?.ownCode);
}

/** What every table has besides its columns. */
const SYSTEM_COLUMNS: ReadonlySet<string> = new Set(['ctid', 'tableoid', 'xmin', 'xmax', 'cmin', 'cmax']);

/** Whether it may call a function of its row as if that were a column, which may write anywhere. */
export const mayCallAsColumn = (
  { attributes }: Extract<WriteSlice, { kind: 'rows' | 'upsert' }>,
  { columns }: Relation,
): boolean =>
  attributes.some((name) => !SYSTEM_COLUMNS.has(name) && !columns.some((column) => column.name === name));

/** Whether what operators and values run can only be PostgreSQL's own code. */
export function knowsAllCode(tables: readonly PlannedTable[], { catalogFirst }: CatalogAnswer): boolean {
  return (
    catalogFirst && tables.every(({ columns }) => columns.every(({ type }) => type.schema === 'pg_catalog'))
  );
}

/** Stable, and told by the settings and the transaction's time alone; others look into the catalog. */
const BY_TIME: ReadonlySet<string> = new Set(
  'now transaction_timestamp current_setting date_part date_trunc to_char to_date to_timestamp timezone date'.split(
    ' ',
  ),
);

/** Whether a function gives the same for the same row as long as the transaction lasts. */
export function givesTheSame({ name, volatility }: CatalogAnswer['functions'][number]): boolean {
  return volatility === 'immutable' || BY_TIME.has(name);
}
