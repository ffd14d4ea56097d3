import { quoteName, quoteQualified } from '../catalog/quote.ts';
import type { CurrentColumn } from './current-table.ts';
import type { KeyColumn, UndoColumn, UndoTable } from './undo-table.ts';

/**
 * The SQL of an undo. Each table of the snapshot has four temporary ones, numbered by its serial: `before` and
 * `after` as the files hold them, `work` with what is to become of each row, and, for tables without a key, `tally`
 * with how many rows of each kind there are. Where the undo is snapshotted itself, `came` has the places of the rows
 * that it has put back or set back; and `told` what `work` says while something else is done by it (mend.ts). All but the statement that applies runs with search_path = pg_catalog.
 */

export type TempTable = 'before' | 'after' | 'work' | 'tally' | 'came' | 'told';

export const temp = (what: TempTable, { serial }: { readonly serial: number }): string =>
  `pg_temp."holdfast ${what} ${serial}"`;

/** The table alone, without descendants of it. */
export const only = ({ current }: UndoTable): string =>
  `ONLY ${quoteQualified(current.schema, current.name)}`;

/** Where rows are put back: into the whole, which knows the partition that takes them by now. */
export function whole({ current }: UndoTable): string {
  const { schema, name } = current.wholes.at(-1) ?? current;
  return quoteQualified(schema, name);
}

/** The table that holds rows which were put back. */
export const holding = (table: UndoTable): string =>
  table.current.wholes.length === 0 ? only(table) : whole(table);

/** A value as text. A type of the user's may come with a cast to text, which would run: its output function is asked. */
export const written = (value: string, typeOid: number): string =>
  isBuiltIn(typeOid)
    ? `${value}::pg_catalog.text`
    : `CASE WHEN pg_catalog.num_nulls(${value}) OPERATOR(pg_catalog.=) 0 THEN pg_catalog.format('%s', ${value}) END`;

/** The same, whatever search_path is; xml with its declaration, which is not sent, and which a cast leaves as it is. */
export const textOf = (value: string, { base, typeOid }: Pick<CurrentColumn, 'base' | 'typeOid'>): string =>
  base === 'xml' ? `${value}::pg_catalog.text` : written(value, typeOid);

/** What initdb has made, below FirstNormalObjectId. */
export const isBuiltIn = (oid: number): boolean => oid < 16_384;

type Alias = 't' | 'b' | 'a';

const isLoaded = (alias: Alias): boolean => alias === 'a' || alias === 'b';

/** A column of the table itself, or of the rows that were loaded. */
function reference(alias: Alias, column: { readonly name: string; readonly slot: string }): string {
  return `${alias}.${quoteName(isLoaded(alias) ? column.slot : column.name)}`;
}

/**
 * The bytes that the server would send for the row, by which rows are compared: exact for every type, json and point
 * included, which have no `=`, and blind to how a value happens to be stored, which `*=` is not. What has no binary
 * form is compared as text.
 */
function image(table: UndoTable, alias: Alias): string {
  const fields = table.columns.map((column) =>
    column.format === 'binary' ? plain(alias, column) : textOf(reference(alias, column), column),
  );
  return `record_send(ROW(${fields.join(', ')}))`;
}

/** Without its domain: records are compared together with their types. */
function plain(alias: Alias, column: UndoColumn): string {
  const name = reference(alias, column);
  return column.domain && !isLoaded(alias) ? `${name}::${column.base}` : name;
}

export const digest = (table: UndoTable, alias: Alias): string => `sha256(${image(table, alias)})`;

/** Rows that are stored alike are alike; the others are worth a closer look. */
export function same(table: UndoTable, x: Alias, y: Alias): string {
  const stored = table.columns.every(({ format }) => format === 'binary') && table.columns.length > 0;
  const exact = `${image(table, x)} = ${image(table, y)}`;
  if (!stored) return `(${exact})`;
  const row = (alias: Alias) => `ROW(${table.columns.map((column) => plain(alias, column)).join(', ')})`;
  return `(record_image_eq(${row(x)}, ${row(y)}) OR ${exact})`;
}

export function sameKey(key: readonly KeyColumn[], x: Alias, y: Alias): string {
  return key
    .map((column) => {
      const [left, right] = [reference(x, column), reference(y, column)];
      const equal = `${left} OPERATOR(${column.operator}) ${right}`;
      return column.nullsEqual ? `(${equal} OR (${left} IS NULL AND ${right} IS NULL))` : equal;
    })
    .join(' AND ');
}

/** What COPY fills: the columns' own types below domains, and text for what has no binary form. */
export function createLoaded(what: 'before' | 'after', table: UndoTable): string {
  const columns = table.columns.map(({ slot, base, collation, format }) => {
    if (format === 'text') return `${slot} text`;
    return `${slot} ${base}${collation === null ? '' : ` COLLATE ${collation}`}`;
  });
  return `CREATE TEMP TABLE ${temp(what, table)} (${columns.join(', ')}) ON COMMIT DROP`;
}

/** What came as text becomes what it is. */
export function typeLoaded(what: 'before' | 'after', table: UndoTable): string | null {
  const changes = table.columns
    .filter(({ format }) => format === 'text')
    .map(({ slot, base, collation }) => {
      const collate = collation === null ? '' : ` COLLATE ${collation}`;
      return `ALTER COLUMN ${slot} TYPE ${base}${collate} USING ${slot}::${base}`;
    });
  return changes.length === 0 ? null : `ALTER TABLE ${temp(what, table)} ${changes.join(', ')}`;
}

/**
 * One row of `work` for each row of the snapshot: `b` and `a` say where its images are, `tid` where the row is that
 * stands in its place by now, `what` the statement's undoing would be, and `state` whether that can be done.
 */
export function compareByKey(table: UndoTable, key: readonly KeyColumn[]): string {
  const current = (alias: Alias) => `LEFT JOIN ${only(table)} t ON ${sameKey(key, 't', alias)}`;
  return `CREATE TEMP TABLE ${temp('work', table)} ON COMMIT DROP AS
    SELECT b.ctid AS b, a.ctid AS a, t.ctid AS tid, NULL::bytea AS h,
      CASE WHEN a.ctid IS NULL THEN 'put back' ELSE 'set back' END AS what,
      CASE WHEN a.ctid IS NOT NULL AND ${same(table, 'b', 'a')} THEN 'already'
           WHEN t.ctid IS NOT NULL AND ${same(table, 't', 'b')} THEN 'already'
           WHEN a.ctid IS NULL AND t.ctid IS NULL THEN 'clear'
           WHEN a.ctid IS NULL THEN 'taken'
           WHEN t.ctid IS NULL THEN 'gone'
           WHEN ${same(table, 't', 'a')} THEN 'clear' ELSE 'changed' END AS state
      FROM ${temp('before', table)} b LEFT JOIN ${temp('after', table)} a ON ${sameKey(key, 'b', 'a')} ${current('b')}
    UNION ALL
    SELECT NULL, a.ctid, t.ctid, NULL, 'remove',
      CASE WHEN t.ctid IS NULL THEN 'already' WHEN ${same(table, 't', 'a')} THEN 'clear' ELSE 'changed' END
      FROM ${temp('after', table)} a ${current('a')}
     WHERE NOT EXISTS (SELECT FROM ${temp('before', table)} b WHERE ${sameKey(key, 'b', 'a')})`;
}

/**
 * Without a key: what is both before and after cancels out, row for row; the rest of before is put back, and for
 * each of the rest of after one row that is the same is removed.
 */
export function compareByRow(table: UndoTable): string {
  const numbered = (alias: 'b' | 'a') =>
    `SELECT ${alias}.ctid AS tid, ${alias}.h, row_number() OVER (PARTITION BY ${alias}.h ORDER BY ${alias}.ctid) AS i
       FROM (SELECT ${alias}.ctid, ${digest(table, alias)} AS h FROM ${temp(alias === 'b' ? 'before' : 'after', table)} ${alias}) ${alias}`;
  return `CREATE TEMP TABLE ${temp('work', table)} ON COMMIT DROP AS
    WITH bb AS (${numbered('b')}), aa AS (${numbered('a')}),
    rest AS (SELECT aa.tid, aa.h, row_number() OVER (PARTITION BY aa.h ORDER BY aa.i) AS i
               FROM aa LEFT JOIN bb ON bb.h = aa.h AND bb.i = aa.i WHERE bb.tid IS NULL),
    tt AS (SELECT t.tid, t.h, row_number() OVER (PARTITION BY t.h ORDER BY t.tid) AS i
             FROM (SELECT t.ctid AS tid, ${digest(table, 't')} AS h FROM ${only(table)} t) t
            WHERE t.h IN (SELECT h FROM rest))
    SELECT bb.tid AS b, NULL::tid AS a, NULL::tid AS tid, bb.h, 'put back' AS what, 'clear' AS state
      FROM bb LEFT JOIN aa ON aa.h = bb.h AND aa.i = bb.i WHERE aa.tid IS NULL
    UNION ALL
    SELECT NULL, rest.tid, tt.tid, rest.h, 'remove', CASE WHEN tt.tid IS NULL THEN 'gone' ELSE 'clear' END
      FROM rest LEFT JOIN tt ON tt.h = rest.h AND tt.i = rest.i`;
}

/** How many rows there are of each kind that the work is about. */
function countByRow(table: UndoTable, from: string): string {
  return `SELECT w.h, count(t.h) AS rows FROM (SELECT DISTINCT h FROM ${temp('work', table)}) w
    LEFT JOIN (SELECT ${digest(table, 't')} AS h FROM ${from} t) t ON t.h = w.h GROUP BY w.h`;
}

export const createTally = (table: UndoTable): string =>
  `CREATE TEMP TABLE ${temp('tally', table)} ON COMMIT DROP AS ${countByRow(table, holding(table))}`;

export const createCame = (table: UndoTable): string =>
  `CREATE TEMP TABLE ${temp('came', table)} (tab oid, tid tid) ON COMMIT DROP`;

/** Of rows that have another key by the statement: how many are there as before, are changed, and are there no more. */
export function countMoved(tables: readonly UndoTable[]): string {
  const work = tables.map((table) => `SELECT what, state FROM ${temp('work', table)}`).join(' UNION ALL ');
  return `SELECT count(*) FILTER (WHERE what = 'put back' AND state = 'already'),
      count(*) FILTER (WHERE what = 'remove' AND state = 'changed'),
      count(*) FILTER (WHERE what = 'remove' AND state = 'already') FROM (${work}) w`;
}

/** Makes conflicts of rows to put back, with the key that they had. */
export const markGone = (table: UndoTable): string =>
  `UPDATE ${temp('work', table)} SET state = 'gone' WHERE what = 'put back' AND state = 'clear'`;

/** Marks rows to put back or set back whose other unique values belong to a row that stays, and counts them. */
export function findHeld(table: UndoTable, index: readonly KeyColumn[]): string {
  return `WITH held AS (UPDATE ${temp('work', table)} w SET state = 'held'
    FROM ${temp('before', table)} b
   WHERE w.b = b.ctid AND w.state = 'clear' AND EXISTS (
     SELECT FROM ${only(table)} t WHERE ${sameKey(index, 't', 'b')} AND t.ctid IS DISTINCT FROM w.tid
        AND NOT EXISTS (SELECT FROM ${temp('work', table)} o
                         WHERE o.tid = t.ctid AND o.state = 'clear' AND o.what IN ('set back', 'remove'))) RETURNING 1)
   SELECT count(*) FROM held`;
}
