import { quoteName } from '../catalog/quote.ts';
import { digest, holding, only, same, sameKey, temp, textOf, whole } from './statements.ts';
import type { UndoTable } from './undo-table.ts';

/** What becomes of rows that are not as the statement has left them. */
export type OnConflict = 'fail' | 'skip' | 'overwrite';

/** How a row is set back: in its place or, where unique values wander from row to row, by being made anew. */
export type SetBackBy = 'update' | 'replace';

export interface Doing {
  readonly onConflict: OnConflict;
  readonly setBackBy: SetBackBy;
}

type Deed = 'put' | 'set' | 'remove';

const ALSO: Readonly<Record<Deed, string>> = {
  put: `w.what OPERATOR(pg_catalog.<>) 'remove' AND w.state OPERATOR(pg_catalog.=) 'gone'`,
  set: `w.what OPERATOR(pg_catalog.=) 'set back' AND w.state OPERATOR(pg_catalog.=) 'changed' OR w.state OPERATOR(pg_catalog.=) 'taken'`,
  remove: `w.what OPERATOR(pg_catalog.=) 'remove' AND w.state OPERATOR(pg_catalog.=) 'changed'`,
};

const CLEARLY: Readonly<Record<Deed, string>> = { put: 'put back', set: 'set back', remove: 'remove' };

/** The condition on a row of `work` for something to be done about it. */
export function isToDo(deed: Deed, { onConflict }: Pick<Doing, 'onConflict'>): string {
  const clearly = `w.what OPERATOR(pg_catalog.=) '${CLEARLY[deed]}' AND w.state OPERATOR(pg_catalog.=) 'clear'`;
  return onConflict === 'overwrite' ? `(${clearly} OR ${ALSO[deed]})` : `(${clearly})`;
}

/** How many rows something was done to, by which what comes after is kept waiting for it. */
const done = (name: string): string => `(SELECT pg_catalog.count(*) FROM ${name})`;
const after = (name: string): string => `${done(name)} OPERATOR(pg_catalog.>=) 0`;

/**
 * Puts everything back in one statement, in all tables at once. Triggers, those of foreign keys included, run when
 * it has ended, and so see only how everything was: no order of tables has to be found, cycles are as good as
 * trees, and a row that is removed takes nothing along that is itself back where it was. Rows go before others
 * change, and those before others come, because unique indexes look at once. Its row holds the counts, four for
 * each table. With `noting` the places of rows that came are kept.
 */
export function applyStatement(tables: readonly UndoTable[], doing: Doing, noting: boolean): string {
  const all = (...deeds: readonly string[]): string =>
    tables.flatMap(({ serial }) => deeds.map((deed) => `SELECT 1 FROM ${deed}${serial}`)).join(' UNION ALL ');
  const clauses = [
    ...tables.flatMap((table) => goings(table, doing)),
    `gone AS MATERIALIZED (${all('gone', 'apart')})`,
    ...tables.map((table) => change(table, doing)),
    // One that has nothing to change would wait for nothing, so that what comes waits for both.
    `changed AS MATERIALIZED (${all('back')})`,
    ...tables.flatMap((table) => comings(table, doing)),
    ...(noting ? tables.map(note) : []),
  ];
  const counts = tables.map((table) => {
    const [put, back, anew, gone] = ['put', 'back', 'anew', 'gone'].map((deed) =>
      done(`${deed}${table.serial}`),
    );
    return `${forgotten(table, doing)}, ${put}, ${back} OPERATOR(pg_catalog.+) ${anew}, ${gone}`;
  });
  return `WITH ${clauses.join(',\n')}\nSELECT ${counts.join(', ')}`;
}

const AT = 't.ctid OPERATOR(pg_catalog.=) w.tid';
const work = (table: UndoTable): string => `${temp('work', table)} w`;
const rowsBefore = (table: UndoTable): string =>
  `${work(table)} JOIN ${temp('before', table)} b ON b.ctid OPERATOR(pg_catalog.=) w.b`;

function goings(table: UndoTable, doing: Doing): string[] {
  const from = `DELETE FROM ${only(table)} t USING ${work(table)}`;
  return [
    `gone${table.serial} AS (${from} WHERE ${AT} AND ${isToDo('remove', doing)} RETURNING 1)`,
    `apart${table.serial} AS (DELETE FROM ${only(table)} t USING ${rowsBefore(table)} WHERE ${AT}
      AND ${isToDo('set', doing)} AND ${isReplaced(table, doing)} RETURNING 1)`,
  ];
}

function change(table: UndoTable, doing: Doing): string {
  const set = table.columns
    .filter(({ identity }) => identity !== 'a')
    .map(({ name, slot }) => `${quoteName(name)} = b.${slot}`);
  const statement =
    set.length === 0
      ? `SELECT NULL::pg_catalog.oid AS tab, w.tid FROM ${work(table)} WHERE false`
      : `UPDATE ${only(table)} t SET ${set.join(', ')} FROM ${rowsBefore(table)} WHERE ${AT}
      AND ${isToDo('set', doing)} AND NOT ${isReplaced(table, doing)} AND ${after('gone')} RETURNING ${place('t.')}`;
  return `back${table.serial} AS (${statement})`;
}

/**
 * A row that is put back gets the defaults of columns that are new since, and one that is made anew what it has in them:
 * as all of the statement, it still sees the row that has gone.
 */
function comings(table: UndoTable, doing: Doing): string[] {
  const old = table.columns.map(({ name, slot }) => ({ name, value: `b.${slot}` }));
  const since = table.since.map(({ name }) => ({ name, value: `t.${quoteName(name)}` }));
  const insert = (columns: readonly { readonly name: string; readonly value: string }[], from: string) => {
    const names = columns.map(({ name }) => quoteName(name)).join(', ');
    const list = columns.length === 0 ? '' : `(${names}) OVERRIDING SYSTEM VALUE `;
    return `INSERT INTO ${whole(table)} ${list}SELECT ${columns.map(({ value }) => value).join(', ')} FROM ${from}
      WHERE ${after('gone')} AND ${after('changed')}`;
  };
  const standing = `${rowsBefore(table)} JOIN ${only(table)} t ON ${AT}`;
  return [
    `put${table.serial} AS (${insert(old, rowsBefore(table))} AND ${isToDo('put', doing)} RETURNING ${place('')})`,
    `anew${table.serial} AS (${insert([...old, ...since], standing)} AND ${isToDo('set', doing)}
      AND ${isReplaced(table, doing)} RETURNING ${[place(''), ...traits(table)].join(', ')})`,
  ];
}

/** By what a row that was made anew is told, and what it has by then in columns that are new. */
function traits({ key, since }: UndoTable): string[] {
  const keys = (key ?? []).map(({ name, slot }) => `${quoteName(name)} AS ${slot}`);
  return [...keys, ...since.map((column, i) => `${textOf(quoteName(column.name), column)} AS s${i}`)];
}

/** How many rows that were made anew have otherwise than before what the snapshot does not know. */
function forgotten(table: UndoTable, doing: Doing): string {
  const { key, since, serial } = table;
  if (key === null || since.length === 0 || isReplaced(table, doing) === 'false') return '0';
  const had = since.map((column) => textOf(`t.${quoteName(column.name)}`, column));
  return `(SELECT pg_catalog.count(*) FROM anew${serial} a JOIN (${rowsBefore(table)}) ON ${sameKey(key, 'a', 'b')}
    JOIN ${only(table)} t ON ${AT} WHERE ${isToDo('set', doing)}
      AND pg_catalog.record_image_ne(ROW(${since.map((_, i) => `a.s${i}`).join(', ')}), ROW(${had.join(', ')})))`;
}

const place = (of: string): string => `${of}tableoid AS tab, ${of}ctid AS tid`;

function note(table: UndoTable): string {
  const came = ['put', 'back', 'anew'].map((deed) => `SELECT tab, tid FROM ${deed}${table.serial}`);
  return `came${table.serial} AS (INSERT INTO ${temp('came', table)} ${came.join(' UNION ALL ')})`;
}

/** PostgreSQL lets nobody update a column that is GENERATED ALWAYS AS IDENTITY, but for a row of its own. */
function isReplaced(table: UndoTable, { setBackBy }: Doing): string {
  if (setBackBy === 'replace') return 'true';
  const fixed = table.columns.filter(({ identity }) => identity === 'a');
  if (fixed.length === 0) return 'false';
  const wanders = fixed.map(({ name, slot }) => `t.${quoteName(name)} OPERATOR(pg_catalog.<>) b.${slot}`);
  return `EXISTS (SELECT FROM ${only(table)} t WHERE t.ctid OPERATOR(pg_catalog.=) w.tid AND (${wanders.join(' OR ')}))`;
}

/** How many rows are to be put back, set back and removed. */
export function countToDo(table: UndoTable, doing: Pick<Doing, 'onConflict'>): string {
  const count = (deed: Deed) => `count(*) FILTER (WHERE ${isToDo(deed, doing)})`;
  return `SELECT ${count('put')}, ${count('set')}, ${count('remove')},
      count(*) FILTER (WHERE w.state OPERATOR(pg_catalog.=) 'already'),
      count(*) FILTER (WHERE w.state NOT IN ('already', 'clear'))
    FROM ${temp('work', table)} w`;
}

/** How many rows that were put back or set back are not as they were: in that very table, or wherever its whole has them. */
export function countUnlike(table: UndoTable, doing: Doing, inPlace: boolean): string {
  const came = `(${isToDo('put', doing)} OR ${isToDo('set', doing)})`;
  if (table.key !== null) {
    return `SELECT count(*) FROM ${temp('work', table)} w JOIN ${temp('before', table)} b ON b.ctid = w.b
      WHERE ${came} AND NOT EXISTS (
        SELECT FROM ${inPlace ? only(table) : holding(table)} t WHERE ${sameKey(table.key, 't', 'b')} AND ${same(table, 't', 'b')})`;
  }
  return `SELECT count(*) FROM (SELECT w.h, count(*) FILTER (WHERE ${came}) AS came,
        count(*) FILTER (WHERE ${isToDo('remove', doing)}) AS went FROM ${temp('work', table)} w GROUP BY w.h) w
    JOIN ${temp('tally', table)} y ON y.h = w.h
    LEFT JOIN (SELECT t.h, count(*) AS rows FROM (SELECT ${digest(table, 't')} AS h FROM ${holding(table)} t) t
                GROUP BY t.h) n ON n.h = w.h
    WHERE coalesce(n.rows, 0) <> y.rows + w.came - w.went`;
}
