import type { CatalogAnswer } from '../catalog/catalog.ts';
import type { HiddenConnection } from '../catalog/connection.ts';
import { quoteName } from '../catalog/quote.ts';
import { bestKey, type Column, type Relation } from '../catalog/relation.ts';
import { textColumns } from '../catalog/row.ts';
import { from } from '../snapshot/capture-sql.ts';
import type { StatementParameters } from '../snapshot/plan.ts';
import type { Assignment, RowsSlice, UpsertSlice } from '../sql/slices/slice.ts';
import { type Masks, maskedColumns } from './masks.ts';
import type { Sample, SampleColumn, SampleValues } from './preview.ts';
import { withParameters } from './rows.ts';
import { withheldOf } from './withheld.ts';

/** Some of the rows as they are and, where the new values can be computed by a query, as they would be. */

export interface SampleRequest {
  readonly target: Relation;
  /** A query of the places of the rows, as `tab` and `tid`. */
  readonly places: string;
  readonly after: After;
  readonly parameters: StatementParameters;
  readonly masks: Masks;
  readonly rowsMax: number;
  readonly columnsMax: number;
  readonly valueChars: number;
}

/** What the rows become. */
export type After =
  | { readonly kind: 'removed' }
  | { readonly kind: 'unknown'; readonly reason: string }
  /** New values are expressions over what the statement calls its target. */
  | {
      readonly kind: 'computed';
      readonly assigned: readonly Assignment[];
      readonly functions: CatalogAnswer['functions'];
      readonly reference: string;
      readonly targetText: string;
      readonly clause: string;
      readonly where: string | null;
      readonly reason: string | null;
    };

/** How the rows of a statement will stand, as far as a query can tell. */
export function afterOf(
  slice: RowsSlice | UpsertSlice,
  target: Relation,
  answer: Pick<CatalogAnswer, 'functions'>,
): After {
  const because = (reason: string): After => ({ kind: 'unknown', reason });
  if (slice.kind === 'upsert') return because('the new values come from the rows that are inserted');
  if (slice.operation === 'delete') return { kind: 'removed' };
  if (slice.operation === 'merge') return because('a MERGE does another thing to each row');
  if (slice.joined) return because('the new values may come from other tables');
  const volatile = answer.functions.find(
    ({ volatility }) => volatility !== 'immutable' && volatility !== 'stable',
  );
  if (volatile !== undefined)
    return because(`${volatile.name} may do something, or answer differently, each time`);
  const plain = slice.assigned.every(
    ({ column, expression }) => expression !== null && typeOf(target, column) !== null,
  );
  if (!plain) return because('a new value is not a plain expression');
  const domain = slice.assigned.find(({ column }) => typeOf(target, column)!.schema !== 'pg_catalog');
  if (domain !== undefined)
    return because(`the type of ${domain.column} may check new values by code of its own`);
  const trigger = target.triggers.find(
    ({ timing, events }) => timing === 'before' && events.includes('update'),
  );
  return {
    kind: 'computed',
    assigned: slice.assigned,
    functions: answer.functions,
    reference: slice.target.reference,
    targetText: slice.target.text,
    clause: slice.with === null ? '' : `${slice.with}\n`,
    where: slice.where,
    reason: trigger === undefined ? null : `the trigger ${trigger.name} may change it`,
  };
}

function typeOf(target: Relation, name: string): Column['type'] | null {
  return target.columns.find((column) => column.name === name)?.type ?? null;
}

export async function sampleRows(connection: HiddenConnection, request: SampleRequest): Promise<Sample> {
  const { target, after, rowsMax } = request;
  const columns = chosenColumns(request);
  const assigned = after.kind === 'computed' ? after.assigned.map(({ column }) => column) : [];
  const masked = await maskedColumns(connection, request.masks, target, assigned);
  const described = describedColumns(request, columns, masked);
  const rows: { before: SampleValues; after: SampleValues | null }[] = [];
  let count = 0;
  await connection.run(withParameters(queryOf(request, columns, described), request.parameters), (row) => {
    count++;
    if (count > rowsMax) return;
    const values = textColumns(row);
    const before = values.slice(0, columns.length);
    const computed = values.slice(columns.length);
    let at = 0;
    const becomes = described.map((column, i) => {
      if (column.withheld === 'mask') return null;
      return column.assigned ? (computed[at++] ?? null) : before[i]!;
    });
    rows.push({ before, after: after.kind === 'computed' ? becomes : null });
  });
  return {
    kind: 'rows',
    table: `${target.schema}.${target.name}`,
    columns: described,
    rows,
    after: after.kind,
    after_reason: after.kind === 'removed' ? null : after.reason,
    more: count > rowsMax,
  };
}

function describedColumns(
  { target, after, masks, parameters }: SampleRequest,
  columns: readonly Column[],
  masked: ReadonlySet<string>,
): SampleColumn[] {
  return columns.map(({ name, type }): SampleColumn => {
    const assignment =
      after.kind === 'computed' ? after.assigned.find(({ column }) => column === name) : undefined;
    const shown = { name, type: type.formatted, masked: masked.has(name) };
    if (after.kind !== 'computed' || assignment === undefined)
      return { ...shown, assigned: false, withheld: shown.masked ? 'mask' : null };
    const withheld = withheldOf(assignment, {
      target,
      masks: masks.columns.length > 0 || masks.besideSecret !== null,
      masked,
      functions: after.functions,
      parameters: parameters.values.length > 0,
    });
    return { ...shown, assigned: true, withheld };
  });
}

function isComputed({ assigned, withheld }: SampleColumn): boolean {
  return assigned && withheld !== 'mask';
}

/** The key, what is assigned, then the rest, as many as there is room for; in the order of the table. */
function chosenColumns({ target, after, columnsMax }: SampleRequest): Column[] {
  const key = bestKey(target)?.columns ?? [];
  const assigned = after.kind === 'computed' ? after.assigned.map(({ column }) => column) : [];
  const rank = ({ name }: Column): number => (key.includes(name) ? 0 : assigned.includes(name) ? 1 : 2);
  const usable = target.columns.filter(({ generated }) => generated === '');
  const chosen = usable.toSorted((a, b) => rank(a) - rank(b)).slice(0, columnsMax);
  return usable.filter((column) => chosen.includes(column));
}

function queryOf(
  request: SampleRequest,
  columns: readonly Column[],
  described: readonly SampleColumn[],
): string {
  const { target, places, after, rowsMax, valueChars } = request;
  // By the type's output function: a cast may be one of the user's.
  const shown = (expression: string) =>
    `CASE WHEN (${expression}) IS NOT NULL THEN pg_catalog.left(pg_catalog.concat((${expression})), ${valueChars}) END`;
  const before = (name: string) =>
    columns.map((column, i) =>
      described[i]!.masked ? 'NULL' : shown(`${quoteName(name)}.${quoteName(column.name)}`),
    );
  if (after.kind !== 'computed') {
    const found = `SELECT h.tab, h.tid FROM (${places}\n) h LIMIT ${rowsMax + 1}`;
    return `SELECT ${before('r').join(', ')} FROM (${found}) h
      JOIN ${from(target, false)} r ON r.ctid OPERATOR(pg_catalog.=) h.tid AND r.tableoid OPERATOR(pg_catalog.=) h.tab`;
  }
  const becomes = columns
    .filter((_, i) => isComputed(described[i]!))
    .map(({ name, type }) => {
      const { expression } = after.assigned.find(({ column }) => column === name)!;
      return shown(`(${expression}\n)::${type.formatted}`);
    });
  const condition = after.where === null ? '' : `WHERE (${after.where}\n)`;
  return `${after.clause}SELECT ${[...before(after.reference), ...becomes].join(', ')} FROM ${after.targetText}\n${condition} LIMIT ${rowsMax + 1}`;
}
