import type { ManifestTable } from '../snapshot/manifest.ts';
import type { CurrentColumn, CurrentTable, UniqueIndex } from './current-table.ts';

/** A table of the snapshot and what it is by now, matched: by its OID, and column by column by their numbers. */
export interface UndoTable {
  /** Its place in the manifest, by which the tables of the undo itself are named. */
  readonly serial: number;
  readonly entry: ManifestTable;
  readonly current: CurrentTable;
  /** As people know it by now. */
  readonly label: string;
  /** In the order of the row files. */
  readonly columns: readonly UndoColumn[];
  /** What tells rows apart, or null: then whole rows are counted. */
  readonly key: readonly KeyColumn[] | null;
  /** Other unique indexes, which rows to put back may run against. */
  readonly others: readonly (readonly KeyColumn[])[];
  /** Columns that are new since, but for those that the server computes. */
  readonly since: readonly CurrentColumn[];
  /** Why rows that are put back have no value for some of these, or null. */
  readonly unfilled: string | null;
  /** What tells its rows apart by now, if anything does, also where the snapshot knows nothing of it. */
  readonly keyNow: readonly string[] | null;
}

export interface UndoColumn {
  /** Its name by now. */
  readonly name: string;
  /** Its name in the tables that the files are loaded into. */
  readonly slot: string;
  readonly typeOid: number;
  /** Its type below all domains, as SQL writes it. */
  readonly base: string;
  readonly domain: boolean;
  readonly collation: string | null;
  readonly identity: '' | 'a' | 'd';
  readonly format: 'binary' | 'text';
}

export interface KeyColumn {
  readonly name: string;
  readonly slot: string;
  /** What its index takes for equal. */
  readonly operator: string;
  readonly nullsEqual: boolean;
}

export interface Problem {
  readonly table: string;
  readonly reason: string;
  /** The same for those who may not see rows, where the reason has the server's words, which may have values of them. */
  readonly bareReason?: string;
  /** It is no matter of what can be done, and may be forced. */
  readonly forceable?: true;
}

export type Matched =
  | { readonly kind: 'matched'; readonly table: UndoTable }
  | { readonly kind: 'refused'; readonly problem: Problem };

export function matchTable(serial: number, entry: ManifestTable, current: CurrentTable | undefined): Matched {
  const label = `${entry.schema}.${entry.name}`;
  const refused = (reason: string): Matched => ({ kind: 'refused', problem: { table: label, reason } });
  if (current === undefined) return refused('it was dropped since');
  if (current.kind !== 'table') return refused('it is no plain table by now');
  if (current.rewritten)
    return refused('a rule rewrites what is done to it; disable it for as long as the undo takes');
  if (current.rowSecurity) return refused('row security hides rows of it from this role');
  if (current.denied.length > 0) return refused(`this role may not ${current.denied.join(', ')} there`);
  const columns: UndoColumn[] = [];
  for (const [i, column] of entry.columns.entries()) {
    const now = current.columns.find(({ attribute }) => attribute === column.attribute);
    const problem = problemOfColumn(column, now);
    if (problem !== null) return refused(problem);
    columns.push(undoColumn(now!, `c${i + 1}`, column.format));
  }
  const key = keyOf(entry, current, columns);
  const others = current.indexes
    .map((index) => keyColumns(index, columns))
    .filter((each) => each !== null)
    .filter((each) => !sameColumns(each, key));
  const since = current.columns
    .filter(({ name }) => !columns.some((column) => column.name === name))
    .filter(({ generated }) => generated === '');
  const named = `${current.schema}.${current.name}`;
  return {
    kind: 'matched',
    table: {
      serial,
      entry,
      current,
      label: named,
      columns,
      key,
      others,
      since,
      unfilled: unfilledBy(since, entry),
      keyNow: key?.map(({ name }) => name) ?? keyNowOf(current),
    },
  };
}

/** A column that is older than one of the snapshot was there then, and the server computed it. */
function unfilledBy(since: readonly CurrentColumn[], entry: ManifestTable): string | null {
  const last = Math.max(0, ...entry.columns.map(({ attribute }) => attribute));
  const computed = since.filter(({ attribute }) => attribute < last).map(({ name }) => name);
  if (computed.length > 0)
    return `its column ${computed.join(', ')} was computed then and is not by now, so that rows to put back have no value for it`;
  const demanding = since.filter(({ demanding }) => demanding).map(({ name }) => name);
  if (demanding.length === 0) return null;
  return `it has the column ${demanding.join(', ')} since, for which the rows to put back have no value`;
}

function problemOfColumn(column: ManifestTable['columns'][number], now: CurrentColumn | undefined) {
  if (now === undefined) return `its column ${column.name} was dropped since`;
  if (now.typeOid !== column.type.oid || now.modifier !== column.type.modifier) {
    return `its column ${now.name} is of the type ${now.formatted} by now, and was of ${column.type.name}`;
  }
  return now.generated === '' ? null : `its column ${now.name} is computed by now`;
}

function undoColumn(now: CurrentColumn, slot: string, format: 'binary' | 'text'): UndoColumn {
  const { name, typeOid, base, collation, identity } = now;
  return { name, slot, typeOid, base, domain: base !== now.formatted, collation, identity, format };
}

/** The key counts only where an index still holds it. */
function keyOf(entry: ManifestTable, current: CurrentTable, columns: readonly UndoColumn[]) {
  if (entry.key === null) return null;
  const names = entry.key.map((name) => {
    const i = entry.columns.findIndex((column) => column.name === name);
    return columns[i]?.name;
  });
  const held = current.indexes.find(
    (index) =>
      isKey(index, current) &&
      index.columns.length === names.length &&
      index.columns.every((name) => names.includes(name)),
  );
  return held === undefined ? null : keyColumns(held, columns);
}

const isKey = ({ immediate, columns }: UniqueIndex, current: CurrentTable): boolean =>
  immediate &&
  columns.every((name) => current.columns.find((column) => column.name === name)?.notNull === true);

function keyNowOf(current: CurrentTable): readonly string[] | null {
  const computed = (name: string) =>
    current.columns.some((column) => column.name === name && column.generated !== '');
  const held = current.indexes.find(
    (index) => isKey(index, current) && !index.columns.some(computed) && !index.operators.includes(null),
  );
  return held?.columns ?? null;
}

/** Null where the index has a column that the snapshot does not have, or equality of an unknown kind. */
function keyColumns(index: UniqueIndex, columns: readonly UndoColumn[]): KeyColumn[] | null {
  const out: KeyColumn[] = [];
  for (const [i, name] of index.columns.entries()) {
    const slot = columns.find((column) => column.name === name)?.slot;
    const operator = index.operators[i];
    if (slot === undefined || operator === null || operator === undefined) return null;
    out.push({ name, slot, operator, nullsEqual: index.nullsEqual });
  }
  return out;
}

function sameColumns(a: readonly KeyColumn[], b: readonly KeyColumn[] | null): boolean {
  return b !== null && a.length === b.length && a.every(({ name }) => b.some((each) => each.name === name));
}
