import type { CatalogAnswer } from '../catalog/catalog.ts';
import type { RowsSlice, UpsertSlice } from '../sql/slices/slice.ts';
import type { CascadeGraph } from './cascade.ts';
import type { KeptBy, PlannedTable } from './plan.ts';
import type { Seed } from './seed.ts';

/**
 * Whether rows that are told by themselves need no locks between their capture and the statement. To lock a row costs
 * the server more than all else of its capture, and a row that others insert meanwhile would be one too many.
 *
 * In a transaction that reads by one snapshot both see the same rows, and the server itself refuses to change one that
 * is another by then. A transaction that the gateway begins may be made such a one where no check of the statement
 * looks at rows that others have committed since: those of foreign keys do as a row is updated.
 */
export function keptBySnapshot(
  slice: RowsSlice | UpsertSlice,
  tables: readonly PlannedTable[],
  graph: CascadeGraph,
  seed: Seed,
  { oneSnapshot, relations, functions }: CatalogAnswer,
): KeptBy {
  const isPlain = slice.kind === 'rows' && slice.operation !== 'merge' && seed.direct !== null;
  if (!isPlain || graph.edges.length > 0 || graph.nodes.length !== 1) return 'locks';
  // Of those that only inherit each is searched by its places.
  if (new Set(tables.map(({ source }) => source)).size > 1) return 'locks';
  if (oneSnapshot) return 'snapshot';
  // It could ask which kind of transaction it is in.
  if (functions.some(({ name }) => name === 'current_setting')) return 'locks';
  const isUnchecked = tables.every(({ oid }) => relations.get(oid)?.lacking.triggers);
  return slice.operation === 'delete' || isUnchecked ? 'locks or snapshot' : 'locks';
}
