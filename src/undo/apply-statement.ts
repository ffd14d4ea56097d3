import { quoteName } from '../catalog/quote.ts';
import { digest, holding, only, same, sameKey, temp, whole } from './statements.ts';
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
  put: `w.what = 'set back' AND w.state = 'gone'`,
  set: `w.what = 'set back' AND w.state = 'changed' OR w.state = 'taken'`,
  remove: `w.what = 'remove' AND w.state = 'changed'`,
};

const CLEARLY: Readonly<Record<Deed, string>> = { put: 'put back', set: 'set back', remove: 'remove' };

/** The condition on a row of `work` for something to be done about it. */
export function isToDo(deed: Deed, { onConflict }: Pick<Doing, 'onConflict'>): string {
  const clearly = `w.what = '${CLEARLY[deed]}' AND w.state = 'clear'`;
  return onConflict === 'overwrite' ? `(${clearly} OR ${ALSO[deed]})` : `(${clearly})`;
}

/** The number of rows that a deed was done to, by which the next one is kept waiting for it. */
const done = (name: string): string => `(SELECT pg_catalog.count(*) FROM ${name})`;
const after = (name: string): string => `${done(name)} OPERATOR(pg_catalog.>=) 0`;

/**
 * Puts everything back in one statement, in all tables at once. Triggers, those of foreign keys included, run when
 * it has ended, and so see only how everything was: no order of tables has to be found, cycles are as good as
 * trees, and a row that is removed takes nothing along that is itself back where it was. In each table rows go
 * before others come, because unique indexes look at once. Its rows are the counts, three for each table.
 */
export function applyStatement(tables: readonly UndoTable[], doing: Doing): string {
  const clauses = tables.flatMap((table) => deeds(table, doing));
  const counts = tables.flatMap(({ serial }) =>
    ['put', 'set', 'gone'].map((deed) => done(`${deed}${serial}`)),
  );
  return `WITH ${clauses.join(',\n')}\nSELECT ${counts.join(', ')}`;
}

function deeds(table: UndoTable, doing: Doing): string[] {
  const { serial } = table;
  const work = `${temp('work', table)} w`;
  const rows = `${work} JOIN ${temp('before', table)} b ON b.ctid OPERATOR(pg_catalog.=) w.b`;
  const place = 't.ctid OPERATOR(pg_catalog.=) w.tid';
  const replaced = replacedRows(table, doing);
  const names = table.columns.map(({ name }) => quoteName(name)).join(', ');
  const values = table.columns.map(({ slot }) => `b.${slot}`).join(', ');
  const list = table.columns.length === 0 ? '' : `(${names}) OVERRIDING SYSTEM VALUE `;
  return [
    `gone${serial} AS (DELETE FROM ${only(table)} t USING ${work} WHERE ${place}
      AND ${isToDo('remove', doing)} RETURNING 1)`,
    `apart${serial} AS (DELETE FROM ${only(table)} t USING ${rows} WHERE ${place}
      AND ${isToDo('set', doing)} AND ${replaced} AND ${after(`gone${serial}`)} RETURNING 1)`,
    `back${serial} AS (${updateBack(
      table,
      rows,
      `${place} AND ${isToDo('set', doing)} AND NOT ${replaced}
      AND ${after(`apart${serial}`)}`,
    )})`,
    `put${serial} AS (INSERT INTO ${whole(table)} ${list}SELECT ${values} FROM ${rows}
      WHERE ${isToDo('put', doing)} AND ${after(`back${serial}`)} RETURNING 1)`,
    `anew${serial} AS (INSERT INTO ${whole(table)} ${list}SELECT ${values} FROM ${rows}
      WHERE ${isToDo('set', doing)} AND ${replaced} AND ${after(`back${serial}`)} RETURNING 1)`,
    `set${serial} AS MATERIALIZED (SELECT 1 FROM back${serial} UNION ALL SELECT 1 FROM anew${serial})`,
  ];
}

/** PostgreSQL lets nobody update a column that is GENERATED ALWAYS AS IDENTITY, but for a row of its own. */
function replacedRows(table: UndoTable, { setBackBy }: Doing): string {
  if (setBackBy === 'replace') return 'true';
  const fixed = table.columns.filter(({ identity }) => identity === 'a');
  if (fixed.length === 0) return 'false';
  const wanders = fixed.map(({ name, slot }) => `t.${quoteName(name)} OPERATOR(pg_catalog.<>) b.${slot}`);
  return `EXISTS (SELECT FROM ${only(table)} t WHERE t.ctid OPERATOR(pg_catalog.=) w.tid AND (${wanders.join(' OR ')}))`;
}

function updateBack(table: UndoTable, rows: string, where: string): string {
  const set = table.columns
    .filter(({ identity }) => identity !== 'a')
    .map(({ name, slot }) => `${quoteName(name)} = b.${slot}`);
  if (set.length === 0) return `SELECT 1 FROM ${rows} WHERE false`;
  return `UPDATE ${only(table)} t SET ${set.join(', ')} FROM ${rows} WHERE ${where} RETURNING 1`;
}

/** How many rows are to be put back, set back and removed. */
export function countToDo(table: UndoTable, doing: Pick<Doing, 'onConflict'>): string {
  const count = (deed: Deed) => `count(*) FILTER (WHERE ${isToDo(deed, doing)})`;
  return `SELECT ${count('put')}, ${count('set')}, ${count('remove')},
      count(*) FILTER (WHERE w.state = 'already'),
      count(*) FILTER (WHERE w.state NOT IN ('already', 'clear'))
    FROM ${temp('work', table)} w`;
}

/** How many rows that were put back or set back are not as they were. */
export function countUnlike(table: UndoTable, doing: Doing): string {
  const came = `(${isToDo('put', doing)} OR ${isToDo('set', doing)})`;
  if (table.key !== null) {
    return `SELECT count(*) FROM ${temp('work', table)} w JOIN ${temp('before', table)} b ON b.ctid = w.b
      WHERE ${came} AND NOT EXISTS (
        SELECT FROM ${holding(table)} t WHERE ${sameKey(table.key, 't', 'b')} AND ${same(table, 't', 'b')})`;
  }
  return `SELECT count(*) FROM (SELECT w.h, count(*) FILTER (WHERE ${came}) AS came,
        count(*) FILTER (WHERE ${isToDo('remove', doing)}) AS went FROM ${temp('work', table)} w GROUP BY w.h) w
    JOIN ${temp('tally', table)} y ON y.h = w.h
    LEFT JOIN (SELECT t.h, count(*) AS rows FROM (SELECT ${digest(table, 't')} AS h FROM ${holding(table)} t) t
                GROUP BY t.h) n ON n.h = w.h
    WHERE coalesce(n.rows, 0) <> y.rows + w.came - w.went`;
}
