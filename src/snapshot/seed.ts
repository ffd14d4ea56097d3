import type { FunctionFacts } from '../catalog/catalog.ts';
import { quoteName } from '../catalog/quote.ts';
import type { Column, Relation } from '../catalog/relation.ts';
import type { RowsSlice, UpsertSlice } from '../sql/slices/slice.ts';
import { placesOf, placesOfView, type RowLock, type SeedSql } from './capture-sql.ts';
import { type CascadeEdge, type Change, isGenerated } from './cascade.ts';
import { CHANGED_BEFORE } from './insert-triggers.ts';

/** The statement's own rows: how they change, and the queries that find them. */
export interface Seed {
  readonly changes: readonly Change[];
  /** One for each change. */
  readonly seeds: readonly SeedSql[];
  /** The whole query of the rows themselves, their columns given; null where they are found through a view. */
  readonly direct: ((columns: string, lock: RowLock | null) => string) | null;
  readonly reference: string;
  readonly inserts: boolean;
  /** Why it cannot be told beforehand which rows get another key, or null. */
  readonly keyProblem: (edge: CascadeEdge) => string | null;
}

export type SeedProblem = { readonly problem: string };

export function seedOf(
  slice: RowsSlice | UpsertSlice,
  target: Relation,
  functions: readonly FunctionFacts[],
  viaView: boolean,
  triggersLeaveKeys = false,
): Seed | SeedProblem {
  const where = slice.kind === 'upsert' ? conflicting(slice, target, triggersLeaveKeys) : slice.where;
  if (where !== null && typeof where === 'object') return where;
  const clause = slice.with === null ? '' : `${slice.with}\n`;
  // Rows of descendants never conflict, though those of partitions do.
  const alone = slice.kind === 'upsert' && target.kind === 'table' ? 'ONLY ' : '';
  const rest = (condition: string | null) =>
    `FROM ${alone}${slice.target.text}\n${condition === null ? '' : `WHERE (${condition}\n)`}`;
  const placesWhere = (condition: string | null) =>
    `${clause}SELECT ${viaView ? placesOfView(slice.target.reference) : placesOf(slice.target.reference)} ${rest(condition)}`;
  const deletes = slice.kind === 'rows' && slice.deletes;
  const updates = slice.kind === 'upsert' || slice.updates || !deletes;
  const assigned = slice.assigned.map(({ column }) => column);
  const changes: Change[] = [
    ...(updates ? [{ kind: 'update' as const, columns: assigned }] : []),
    ...(deletes ? [{ kind: 'delete' as const }] : []),
  ];
  const both = slice.kind === 'rows' && updates && deletes;
  const seeds = changes.map(({ kind }): SeedSql => {
    const own = both ? (kind === 'update' ? slice.whereUpdated : slice.whereDeleted) : where;
    const places = placesWhere(own);
    const keyChanged = (edge: CascadeEdge) =>
      `${places} ${own === null ? 'WHERE' : 'AND'} ${newKeyDiffers(slice, target, edge)}`;
    return { places, keyChanged };
  });
  return {
    changes,
    seeds,
    direct: viaView
      ? null
      : (columns, lock) =>
          `${clause}SELECT ${columns} ${rest(where)}${lock === null ? '' : ` ${lock} OF ${quoteName(slice.target.reference)}`}`,
    reference: slice.target.reference,
    inserts: slice.kind === 'upsert' || slice.inserts,
    keyProblem: (edge) => keyProblem(slice, target, functions, edge),
  };
}

/** PostgreSQL carries a key on where its bytes differ, not where `=` says so. */
function newKeyDiffers(slice: RowsSlice | UpsertSlice, target: Relation, { reference }: CascadeEdge): string {
  const name = quoteName(slice.target.reference);
  const assigned = slice.assigned.filter(({ column }) => reference.columns.includes(column));
  const before = assigned.map(({ column }) => `${name}.${quoteName(column)}`);
  const after = assigned.map(({ column, expression }) => `(${expression}\n)::${typeOf(target, column)}`);
  return `pg_catalog.record_image_ne(ROW(${after.join(', ')}), ROW(${before.join(', ')}))`;
}

function typeOf(target: Relation, name: string): string {
  return target.columns.find((column) => column.name === name)?.type.formatted ?? 'pg_catalog.text';
}

function keyProblem(
  slice: RowsSlice | UpsertSlice,
  target: Relation,
  functions: readonly FunctionFacts[],
  { reference }: CascadeEdge,
): string | null {
  const key = `the foreign key ${reference.name} carries a changed key on, and`;
  if (slice.kind === 'upsert' || slice.joined) return `${key} the new key comes from other rows`;
  if (reference.columns.some((name) => isGenerated(target, name))) return `${key} the key is computed`;
  if (functions.some(({ volatility }) => volatility === 'volatile'))
    return `${key} a function may give another new key a second time`;
  if (target.triggers.some(({ timing, events }) => timing === 'before' && events.includes('update'))) {
    return `${key} a trigger may change the key as well`;
  }
  const plain = slice.assigned.every(
    ({ column, expression }) => expression !== null || !reference.columns.includes(column),
  );
  return plain ? null : `${key} the new key is not a plain expression`;
}

/** The rows that a row to insert conflicts with. */
function conflicting(slice: UpsertSlice, target: Relation, triggersLeaveKeys: boolean): string | SeedProblem {
  const changes = target.triggers.some(
    ({ timing, level, events }) => timing === 'before' && level === 'row' && events.includes('insert'),
  );
  if (changes && !triggersLeaveKeys) return { problem: CHANGED_BEFORE };
  const filled = filledColumns(slice, target);
  if ('problem' in filled) return filled;
  const { arbiter } = slice;
  const key = target.keys.find((candidate) =>
    arbiter.kind === 'constraint'
      ? candidate.name === arbiter.name
      : candidate.columns.length === arbiter.columns.length &&
        candidate.columns.every((name) => arbiter.columns.includes(name)),
  );
  if (key === undefined) return { problem: 'its conflict is not told by a plain unique key' };
  const columns = key.columns.map((name) => filled.columns.find((column) => column.name === name));
  if (columns.some((column) => column === undefined))
    return { problem: 'the key of its conflict is filled by the server' };
  if (columns.some((column) => column!.type.schema !== 'pg_catalog'))
    return { problem: 'the key of its conflict has a type of its own' };
  if (slice.excluded.some((name) => !filled.columns.some((column) => column.name === name))) {
    return { problem: 'its condition looks at values that the server fills in' };
  }
  const given = filled.columns.map(({ name }) => quoteName(name)).join(', ');
  const cast = filled.columns.map(
    ({ name, type }) => `(s.${quoteName(name)})::${type.formatted} AS ${quoteName(name)}`,
  );
  const reference = quoteName(slice.target.reference);
  const same = key.columns.map((name) => {
    const [there, given] = [`${reference}.${quoteName(name)}`, `excluded.${quoteName(name)}`];
    const equal = `${there} OPERATOR(pg_catalog.=) ${given}`;
    return key.nullsEqual ? `(${equal} OR ${there} IS NULL AND ${given} IS NULL)` : equal;
  });
  const condition = slice.where === null ? '' : ` AND (${slice.where}\n)`;
  return `EXISTS (SELECT FROM (SELECT ${cast.join(', ')} FROM (${slice.source}\n) AS s(${given})) AS excluded WHERE ${same.join(' AND ')}${condition})`;
}

function filledColumns(
  slice: UpsertSlice,
  target: Relation,
): { readonly columns: readonly Column[] } | SeedProblem {
  if (slice.columns === null) {
    if (slice.width === null) return { problem: 'its text does not tell how many columns it inserts' };
    return { columns: target.columns.slice(0, slice.width) };
  }
  const columns = slice.columns.map((name) => target.columns.find((column) => column.name === name));
  return columns.every((column) => column !== undefined)
    ? { columns }
    : { problem: 'it fills a column that is not there' };
}
