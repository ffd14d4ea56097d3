import { isRunning } from '../snapshot/look.ts';
import { applyStatement, type Doing, isToDo } from './apply-statement.ts';
import type { TableCounts } from './compare.ts';
import { refuse } from './outcome.ts';
import type { UndoSession } from './session.ts';
import { only, same, sameKey, temp } from './statements.ts';
import { setLocally } from './transaction.ts';
import type { UndoTable } from './undo-table.ts';

/**
 * What triggers changed in other tables as the statement ran, they change again as it is undone, so that a total which was
 * put back would have the line twice. Such tables are looked at once more when the triggers have run, and what is not as it
 * was is made so; where triggers have changed other rows of them, nothing is done.
 */

/** Whether it was changed by code of the user's, and its rows are told from each other. */
export const isMended = ({ entry, key }: UndoTable): boolean => entry.cause.kind === 'code' && key !== null;

export interface Mending {
  readonly session: UndoSession;
  readonly tables: readonly UndoTable[];
  readonly doing: Doing;
  readonly searchPath: string;
  readonly snapshotted: boolean;
}

/** How many rows the tables have, before any is changed. */
export async function sizesOf({ session, tables }: Mending): Promise<readonly number[]> {
  const sizes: number[] = [];
  for (const table of tables) {
    const [row] = await session.query(`SELECT pg_catalog.count(*) FROM ${only(table)}`);
    sizes.push(Number(row![0]));
  }
  return sizes;
}

/** Runs with search_path = pg_catalog, behind the statement that applies. */
export async function mend(mending: Mending, counts: readonly TableCounts[], sizes: readonly number[]) {
  const { session, tables, doing, searchPath, snapshotted } = mending;
  let left = 0;
  for (const table of tables) {
    await session.query(
      `CREATE TEMP TABLE ${temp('told', table)} ON COMMIT DROP AS TABLE ${temp('work', table)}`,
    );
    await session.query(`DELETE FROM ${temp('work', table)}`);
    const [row] = await session.query(
      `WITH rest AS (${stillToDo(table, doing)} RETURNING 1) SELECT count(*) FROM rest`,
    );
    left += Number(row![0]);
  }
  if (left > 0) {
    await setLocally(session, 'search_path', searchPath);
    await session.query('SET CONSTRAINTS ALL DEFERRED');
    await session.query(applyStatement(tables, { onConflict: 'fail', setBackBy: doing.setBackBy }, false));
    await session.query('SET CONSTRAINTS ALL IMMEDIATE');
    await setLocally(session, 'search_path', 'pg_catalog');
  }
  for (const table of tables) {
    await session.query(`DELETE FROM ${temp('work', table)}`);
    await session.query(`INSERT INTO ${temp('work', table)} TABLE ${temp('told', table)}`);
    if (!snapshotted) continue;
    await session.query(`DELETE FROM ${temp('came', table)}`);
    await session.query(`INSERT INTO ${temp('came', table)} ${placesNow(table, doing)}`);
  }
  await refuseOthers(mending, counts, sizes);
}

/** Rows that the snapshot knows nothing of are to be left alone: what triggers make of them nobody could put back. */
async function refuseOthers(
  mending: Mending,
  counts: readonly TableCounts[],
  sizes: readonly number[],
): Promise<void> {
  const { session, tables } = mending;
  const refuseRows = (table: UndoTable, rows: number, what: string) => {
    if (rows === 0) return;
    refuse({ table: table.label, reason: `${rows} other rows there were ${what} by a trigger` });
  };
  for (const table of tables) {
    const [row] = await session.query(countOthers(table));
    refuseRows(table, Number(row![0]), 'changed');
  }
  for (const [i, now] of (await sizesOf(mending)).entries()) {
    const { putBack, removed } = counts[i]!;
    refuseRows(tables[i]!, sizes[i]! + putBack - removed - now, 'removed');
  }
}

/** What was as before the statement already is to stay so. */
const cameOrIs = (doing: Doing): string => `(${came(doing)} OR w.what <> 'remove' AND w.state = 'already')`;

const came = (doing: Doing): string => `(${isToDo('put', doing)} OR ${isToDo('set', doing)})`;

const rowsBefore = (table: UndoTable): string =>
  `${temp('work', table)} w JOIN ${temp('before', table)} b ON b.ctid = w.b`;

/** What would still have to be done, as rows of `work`. */
function stillToDo(table: UndoTable, doing: Doing): string {
  const key = table.key!;
  const told = (from: string) => from.replace(temp('work', table), temp('told', table));
  return `INSERT INTO ${temp('work', table)}
    SELECT w.b, w.a, t.ctid, w.h, CASE WHEN t.ctid IS NULL THEN 'put back' ELSE 'set back' END, 'clear'
      FROM ${told(rowsBefore(table))} LEFT JOIN ${only(table)} t ON ${sameKey(key, 't', 'b')}
     WHERE ${cameOrIs(doing)} AND (t.ctid IS NULL OR NOT ${same(table, 't', 'b')})
    UNION ALL
    SELECT NULL, w.a, t.ctid, w.h, 'remove', 'clear'
      FROM ${temp('told', table)} w JOIN ${temp('after', table)} a ON a.ctid = w.a JOIN ${only(table)} t ON ${sameKey(key, 't', 'a')}
     WHERE ${isToDo('remove', doing)} OR w.what = 'remove' AND w.state = 'already'`;
}

/** Where the rows are by now that were put back or set back. */
function placesNow(table: UndoTable, doing: Doing): string {
  return `SELECT t.tableoid, t.ctid FROM ${rowsBefore(table)} JOIN ${only(table)} t ON ${sameKey(table.key!, 't', 'b')}
    WHERE ${came(doing)}`;
}

/** How many rows this transaction has made that are none of the snapshot's. Nobody else writes to the table meanwhile. */
function countOthers(table: UndoTable): string {
  const known = (which: 'before' | 'after', alias: 'b' | 'a') =>
    `EXISTS (SELECT FROM ${temp(which, table)} ${alias} WHERE ${sameKey(table.key!, 't', alias)})`;
  return `SELECT count(*) FROM ${only(table)} t WHERE ${isRunning('t.xmin')}
    AND NOT ${known('before', 'b')} AND NOT ${known('after', 'a')}`;
}
