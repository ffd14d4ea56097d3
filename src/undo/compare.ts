import { LIMITS } from '../base/limits.ts';
import { quoteLiteral, quoteName } from '../catalog/quote.ts';
import { countToDo, type OnConflict } from './apply-statement.ts';
import type { UndoSession } from './session.ts';
import {
  compareByKey,
  compareByRow,
  countMoved,
  createTally,
  findHeld,
  markGone,
  only,
  temp,
  written,
} from './statements.ts';
import type { UndoTable } from './undo-table.ts';

/** What an undo does in a table, in rows. */
export interface TableCounts {
  readonly table: string;
  readonly putBack: number;
  readonly setBack: number;
  readonly removed: number;
  /** Rows that are as they were before the statement. */
  readonly already: number;
  readonly conflicts: number;
}

/** How many rows an undo changes. */
export function changesOf(tables: readonly TableCounts[]): number {
  return tables.reduce((sum, { putBack, setBack, removed }) => sum + putBack + setBack + removed, 0);
}

/** A row that is not as the statement has left it. */
export interface Conflict {
  readonly table: string;
  readonly undoing: 'put back' | 'set back' | 'remove';
  /**
   * `taken`: another row has its key. `held`: another row has another unique value of it. `changed` and `gone` since
   * the statement.
   */
  readonly kind: 'taken' | 'held' | 'changed' | 'gone';
  /** The columns of the table's key, by their names of now; none where it has no key. */
  readonly key: readonly string[];
  /** The row before and after the statement and by now, its values as text, cut short; null where there is none. */
  readonly before: ShownRow | null;
  readonly after: ShownRow | null;
  readonly current: ShownRow | null;
}

export type ShownRow = Readonly<Record<string, string | null>>;

/** Finds out what is to become of each row. */
export async function compareTable(session: UndoSession, table: UndoTable): Promise<void> {
  const { key } = table;
  await session.query(key === null ? compareByRow(table) : compareByKey(table, key));
  await markHeld(session, table);
  await session.query(`ANALYZE ${temp('work', table)}`);
  if (key === null) await session.query(createTally(table));
}

/** A row that is held stays, and so may hold the next. Each round looks through all; a longer chain the server refuses. */
const HELD_ROUNDS_MAX = 20;

async function markHeld(session: UndoSession, table: UndoTable): Promise<void> {
  for (let round = 0; round < HELD_ROUNDS_MAX; round++) {
    let found = 0;
    for (const index of table.others) {
      const [row] = await session.query(findHeld(table, index));
      found += Number(row![0]);
    }
    if (found === 0) return;
  }
}

/**
 * Where an UPDATE has given rows other keys, nothing tells which of them was which. As many as are there no more should be
 * back as they were; where more have gone, they have got another key since or were removed, and those that would be put back
 * may still be there under another name. Resolves to whether a part of them can not be told from the rest.
 */
export async function compareMoved(session: UndoSession, tables: readonly UndoTable[]): Promise<boolean> {
  const [row] = await session.query(countMoved(tables));
  const [back, changed, gone] = row!.map(Number);
  if (gone! > back!) for (const table of tables) await session.query(markGone(table));
  return gone! > back! || changed! > 0;
}

export async function countTable(
  session: UndoSession,
  table: UndoTable,
  onConflict: OnConflict,
): Promise<TableCounts> {
  const [row] = await session.query(countToDo(table, { onConflict }));
  const [putBack, setBack, removed, already, conflicts] = row!.map(Number);
  return {
    table: table.label,
    putBack: putBack!,
    setBack: setBack!,
    removed: removed!,
    already: already!,
    conflicts: conflicts!,
  };
}

export interface Page {
  readonly from: number;
  readonly max: number;
}

/** Conflicts of all tables one after the other, of which a page is read. */
export async function readConflicts(
  session: UndoSession,
  tables: readonly UndoTable[],
  counts: readonly TableCounts[],
  page: Page,
): Promise<Conflict[]> {
  const out: Conflict[] = [];
  let skip = page.from;
  for (const [i, table] of tables.entries()) {
    const { conflicts } = counts[i]!;
    const rest = { from: skip, max: page.max - out.length };
    if (skip < conflicts && rest.max > 0) out.push(...(await conflictsIn(session, table, CONFLICT, rest)));
    skip = Math.max(0, skip - conflicts);
  }
  return out;
}

/** The first of the rows with a unique value that another row holds, of all tables and behind however many conflicts. */
export async function readHeld(
  session: UndoSession,
  tables: readonly UndoTable[],
  max: number,
): Promise<Conflict[]> {
  const out: Conflict[] = [];
  for (const table of tables) {
    const rest = { from: 0, max: max - out.length };
    if (rest.max > 0) out.push(...(await conflictsIn(session, table, `state = 'held'`, rest)));
  }
  return out;
}

async function conflictsIn(
  session: UndoSession,
  table: UndoTable,
  condition: string,
  page: Page,
): Promise<Conflict[]> {
  const rows = await session.query(conflictsOf(table, condition, page));
  return rows.map(([undoing, kind, before, after, current]) => ({
    table: table.label,
    undoing: undoing as Conflict['undoing'],
    kind: kind as Conflict['kind'],
    key: (table.key ?? []).map(({ name }) => name),
    before: shown(before),
    after: shown(after),
    current: shown(current),
  }));
}

function shown(json: string | null | undefined): ShownRow | null {
  return typeof json === 'string' ? (JSON.parse(json) as ShownRow) : null;
}

const CONFLICT = `state NOT IN ('already', 'clear')`;

/** Those first that cannot be overwritten either. */
function conflictsOf(table: UndoTable, condition: string, { from, max }: Page): string {
  const row = (alias: 't' | 'b' | 'a') => {
    const names = table.columns.map(({ name }) => quoteLiteral(name)).join(', ');
    const values = table.columns
      .map(({ name, slot }, i) => {
        const value = `${alias}.${alias === 't' ? quoteName(name) : slot}`;
        return written(value, table.entry.columns[i]!.type.oid);
      })
      .map((value) => `left(${value}, ${LIMITS.undoShownChars})`);
    return `CASE WHEN ${alias}.ctid IS NOT NULL
      THEN jsonb_object(ARRAY[${names}]::text[], ARRAY[${values.join(', ')}]::text[])::text END`;
  };
  return `SELECT w.what, w.state, ${row('b')}, ${row('a')}, ${row('t')}
    FROM (SELECT * FROM ${temp('work', table)} WHERE ${condition} ORDER BY state <> 'held', ctid
           LIMIT ${max} OFFSET ${from}) w
    LEFT JOIN ${temp('before', table)} b ON b.ctid = w.b LEFT JOIN ${temp('after', table)} a ON a.ctid = w.a
    LEFT JOIN ${only(table)} t ON t.ctid = w.tid`;
}
