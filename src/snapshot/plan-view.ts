import type { AskedName } from '../catalog/catalog.ts';
import { quoteLiteral, quoteName, quoteQualified } from '../catalog/quote.ts';
import type { Relation } from '../catalog/relation.ts';
import { textColumns } from '../catalog/row.ts';
import type { InexactSlice, RowsSlice } from '../sql/slices/slice.ts';
import type { ImpliedNames } from '../sql/slices/slice-facts.ts';
import type { ViewSlice } from '../sql/slices/slice-view.ts';
import { plainQuery } from './capture.ts';
import { VIEW_PLACE } from './capture-sql.ts';
import type { HiddenConnection } from './connection.ts';

export interface ThroughView {
  readonly slice: RowsSlice;
  /** The table behind it. */
  readonly base: AskedName;
}

/** Why rows are not written through a view as they stand in its table, or null. */
export function problemOfView(view: Relation, slice: RowsSlice): string | null {
  if (view.rules.length > 0) return `a rule rewrites what is done to ${view.name}`;
  if (view.triggers.length > 0) return `a trigger of the view ${view.name} does the work`;
  if (!view.select) return `this role may not read ${view.name}`;
  if (slice.with !== null) return `${view.name} is a view, whose tables a WITH may hide`;
  return slice.target.only ? `${view.name} is a view, and ONLY is said of it` : null;
}

/**
 * Writes a statement on a view as one on its table: in the place of the view stands its definition, with where each
 * row is stored. The view is locked first, so that nobody gives it another meaning before the statement runs.
 */
export async function throughView(
  connection: HiddenConnection,
  view: Relation,
  slice: RowsSlice,
): Promise<ThroughView | InexactSlice> {
  return onTableOf(slice, await definitionOf(connection, view, true));
}

/** What the view says, in the words of this session. To be locked it has to be planned. */
export async function definitionOf(
  connection: HiddenConnection,
  view: Relation,
  locks: boolean,
): Promise<string> {
  const name = quoteQualified(view.schema, view.name);
  let definition = '';
  const query = `SELECT pg_catalog.pg_get_viewdef(${quoteLiteral(name)}::pg_catalog.regclass)
    FROM (SELECT) one${locks ? ` LEFT JOIN (SELECT FROM ${name} LIMIT 0) none ON true` : ''}`;
  await connection.run(plainQuery(query), (row) => {
    definition = textColumns(row)[0] ?? '';
  });
  return definition;
}

/** A statement on a view of that definition as one on its table. */
export function onTableOf(slice: RowsSlice, definition: string): ThroughView | InexactSlice {
  const found = slice.sliceView(definition);
  if (found.kind === 'inexact') return found;
  return { slice: onTable(slice, found), base: found.base };
}

function onTable(slice: RowsSlice, view: ViewSlice): RowsSlice {
  const row = quoteName(view.base.reference);
  const places = `${row}.tableoid AS ${quoteName(VIEW_PLACE.table)}, ${row}.ctid AS ${quoteName(VIEW_PLACE.row)}`;
  const rows = `SELECT ${places}, ${view.outputs}\nFROM ${view.base.text}\n${view.where === null ? '' : `WHERE ${view.where}\n`}`;
  return {
    ...slice,
    target: {
      ...view.base,
      reference: slice.target.reference,
      text: `(${rows}) AS ${quoteName(slice.target.reference)}`,
    },
    // In the words of the view, so that nothing can be said of the table's own.
    assigned: slice.assigned.map(({ column }) => ({
      column: view.columns.get(column) ?? column,
      expression: null,
      parts: null,
    })),
    functions: [...slice.functions, ...view.functions],
    implied: joined(slice.implied, view.implied),
    calls: [...slice.calls, ...view.functions],
    ownNames: slice.ownNames || view.ownNames,
    readsOthers: slice.readsOthers || view.readsOthers,
    ownRowOnly: false,
    equated: [],
    equatesOnly: false,
  };
}

function joined(a: ImpliedNames, b: ImpliedNames): ImpliedNames {
  return {
    attributes: [...a.attributes, ...b.attributes],
    operators: [...a.operators, ...b.operators],
    placedOperators: [...a.placedOperators, ...b.placedOperators],
    types: [...a.types, ...b.types],
    relations: [...a.relations, ...b.relations],
    readsOthers: a.readsOthers || b.readsOthers,
    ownNames: a.ownNames || b.ownNames,
  };
}
