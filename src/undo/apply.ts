import { applyStatement, countUnlike, type Doing } from './apply-statement.ts';
import type { TableCounts } from './compare.ts';
import { isMended, mend, sizesOf } from './mend.ts';
import { refuse } from './outcome.ts';
import { type ForeignKey, readForeignKeys, referenceChecks } from './references.ts';
import { UndoQueryError, type UndoSession } from './session.ts';
import { setLocally, type Whereabouts } from './transaction.ts';
import type { UndoTable } from './undo-table.ts';

export interface Application {
  readonly session: UndoSession;
  readonly tables: readonly UndoTable[];
  /** What is to be done, table by table. */
  readonly counts: readonly TableCounts[];
  readonly doing: Doing;
  readonly triggers: 'fire' | 'skip';
  /** Where triggers, and checks of the user's, look for names. */
  readonly searchPath: string;
  /** The undo has a snapshot of its own, which needs the places of the rows that come, in the very partition. */
  readonly snapshotted: boolean;
  readonly where: Whereabouts;
}

/** Of a unique value, and of an exclusion constraint. */
const VIOLATIONS = new Set<string | null>(['23505', '23P01']);
const TRIGGERED_DATA_CHANGE_VIOLATION = '27000';

/**
 * Puts everything back. Rows that pass a unique value on to each other, or the room that an exclusion constraint leaves to
 * one of them, cannot always be set back in any order; where the server says so they are made anew instead, for which all
 * the old ones go first. And where triggers change, ahead of the statement itself, rows that it is to change, it leaves
 * these to what comes behind it.
 */
export async function applyAll(application: Application): Promise<void> {
  const { session, where } = application;
  if (application.tables.length === 0) return;
  where.at('apply');
  await session.query('SAVEPOINT holdfast_apply');
  try {
    await applyBy(application);
  } catch (error) {
    const sqlstate = error instanceof UndoQueryError ? error.refusal.sqlstate : null;
    const isAhead = sqlstate === TRIGGERED_DATA_CHANGE_VIOLATION;
    if (!isAhead && !VIOLATIONS.has(sqlstate)) throw error;
    await session.query('ROLLBACK TO SAVEPOINT holdfast_apply');
    if (isAhead) await applyBy(application, true);
    else await applyBy({ ...application, doing: { ...application.doing, setBackBy: 'replace' } });
  }
}

async function applyBy(application: Application, mendsAll = false): Promise<void> {
  const { session, tables, counts, doing, triggers, searchPath, snapshotted } = application;
  const again = triggers === 'fire' ? tables.filter(isMended) : [];
  const mending = { session, tables: again, doing, searchPath, snapshotted };
  const sizes = await sizesOf(mending);
  const foreignKeys = await readForeignKeys(session, tables);
  const before = await readChanges(session);
  await setLocally(session, 'search_path', searchPath);
  if (triggers === 'skip') await setLocally(session, 'session_replication_role', 'replica');
  await session.query('SET CONSTRAINTS ALL DEFERRED');
  const first = mendsAll ? tables.filter((table) => !again.includes(table)) : tables;
  const [row] = first.length === 0 ? [[]] : await session.query(applyStatement(first, doing, snapshotted));
  await session.query('SET CONSTRAINTS ALL IMMEDIATE');
  if (triggers === 'skip') await setLocally(session, 'session_replication_role', 'origin');
  await setLocally(session, 'search_path', 'pg_catalog');
  first.forEach((table, i) => {
    compareCounts(table, counts[tables.indexOf(table)]!, row!.slice(i * 4, i * 4 + 4).map(Number));
  });
  if (again.length > 0)
    await mend(
      mending,
      counts.filter((_, i) => isMended(tables[i]!)),
      sizes,
    );
  await checkAll(application, foreignKeys, before);
}

function compareCounts(table: UndoTable, counts: TableCounts, [forgotten, ...done]: readonly number[]): void {
  if (forgotten !== 0) {
    const reason = `${forgotten} rows lost what they had in columns that it has since, because a trigger changed it while they were made anew`;
    refuse({ table: table.label, reason });
  }
  const planned = [counts.putBack, counts.setBack, counts.removed];
  if (planned.every((rows, i) => rows === done[i])) return;
  const told = (rows: readonly number[]) => `${rows[0]} put back, ${rows[1]} set back and ${rows[2]} removed`;
  refuse({
    table: table.label,
    reason: `a trigger kept rows from it: ${told(done)}, instead of ${told(planned)}`,
  });
}

/** What was done is looked at once more, since triggers and foreign keys may have done other things. */
async function checkAll(
  application: Application,
  foreignKeys: readonly ForeignKey[],
  before: ReadonlyMap<number, Changes>,
): Promise<void> {
  const { session, tables, doing, triggers, snapshotted, where } = application;
  for (const [i, table] of tables.entries()) {
    where.at('check', table.label, i, tables.length);
    const [row] = await session.query(countUnlike(table, doing, snapshotted));
    if (row?.[0] !== '0') {
      const why =
        snapshotted && table.current.wholes.length > 0
          ? 'a trigger or another partition took them'
          : 'a trigger changed them';
      refuse({ table: table.label, reason: `${row?.[0]} rows are not as they were, because ${why}` });
    }
  }
  compareChanges(application, foreignKeys, before, await readChanges(session));
  if (triggers === 'fire') return;
  for (const { table, constraint, sql } of referenceChecks(tables, foreignKeys, doing)) {
    where.at('check', table);
    const [row] = await session.query(sql);
    if (row?.[0] !== '0') {
      refuse({ table, reason: `${row?.[0]} rows would break the foreign key ${constraint}` });
    }
  }
}

interface Changes {
  readonly label: string;
  /** Versions of rows that this transaction has ended. */
  readonly ended: number;
}

const CHANGES = `SELECT s.relid::int8, s.schemaname || '.' || s.relname, s.n_tup_upd + s.n_tup_del
  FROM pg_stat_xact_user_tables s JOIN pg_class c ON c.oid = s.relid
 WHERE c.relpersistence <> 't' AND s.n_tup_upd + s.n_tup_del > 0`;

async function readChanges(session: UndoSession): Promise<Map<number, Changes>> {
  const rows = await session.query(CHANGES);
  return new Map(rows.map(([oid, label, ended]) => [Number(oid), { label: label!, ended: Number(ended) }]));
}

/** By the server's own count: no row changed but those that were to, though a foreign key may act on others. */
function compareChanges(
  { tables, counts, doing, triggers }: Application,
  foreignKeys: readonly ForeignKey[],
  before: ReadonlyMap<number, Changes>,
  after: ReadonlyMap<number, Changes>,
): void {
  const counted = tables.every(({ current }, i) => {
    return counts[i]!.setBack + counts[i]!.removed === 0 || after.has(current.oid);
  });
  if (!counted)
    refuse({ table: tables[0]!.label, reason: 'the server does not count changes (track_counts is off)' });
  const roots = new Set(
    tables.flatMap(({ current }) => [current.oid, ...current.wholes.map(({ oid }) => oid)]),
  );
  for (const [oid, { label, ended }] of after) {
    const i = tables.findIndex(({ current }) => current.oid === oid);
    const planned = i < 0 ? 0 : counts[i]!.setBack + counts[i]!.removed;
    const more = ended - (before.get(oid)?.ended ?? 0) - planned;
    const acted = foreignKeys.some(
      ({ child, parent, acts }) => acts && roots.has(parent.oid) && (child.oid === oid || child.partitioned),
    );
    // Triggers that fire may write where they like, but not where the undo has, unless that has come behind them.
    const free = triggers === 'fire' && (i < 0 || isMended(tables[i]!)) && !acted;
    if (more === 0 || free) continue;
    const reason = `${more} more rows would change than the snapshot knows of, by a foreign key or a trigger`;
    refuse({
      table: label,
      reason: doing.setBackBy === 'replace' ? `${reason}, while rows are made anew` : reason,
    });
  }
}
