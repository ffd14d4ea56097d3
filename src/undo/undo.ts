import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import type { Manifest, ManifestTable } from '../snapshot/manifest.ts';
import { isAlter } from '../trash/restore-kept.ts';
import { applyAll } from './apply.ts';
import type { OnConflict } from './apply-statement.ts';
import {
  compareMoved,
  compareTable,
  countTable,
  type Page,
  readConflicts,
  readHeld,
  type TableCounts,
} from './compare.ts';
import { readCurrentTables } from './current-table.ts';
import { loadTable } from './load.ts';
import { isMended } from './mend.ts';
import { type Marking, Once } from './once.ts';
import { type Progress, refuse, UndoEnded, type UndoOutcome, type UndoPreview } from './outcome.ts';
import { type OwnSnapshot, OwnSnapshotWriter } from './own-snapshot.ts';
import { refuseOtherServer } from './same-server.ts';
import { moveSequences, refuseUnmovable, restoreSequences } from './sequences.ts';
import type { UndoSession } from './session.ts';
import { only } from './statements.ts';
import { inTransaction, Whereabouts } from './transaction.ts';
import { refuseForeignCode, refuseForeignDrop, type Trusted } from './trust.ts';
import { previewDrop, toldOfPurge, undoDrop } from './undo-drop.ts';
import { matchTable, type UndoTable } from './undo-table.ts';

/** A snapshot, and where to undo what it was taken of. */
export interface UndoRequest {
  readonly store: BlobStore;
  readonly manifest: Manifest;
  readonly session: UndoSession;
  /** Whose code may run with the rights of the session. */
  readonly trusted?: Trusted | undefined;
}

export interface PreviewOptions {
  /** Which of the conflicts to show; the first ones by default. */
  readonly page?: Page;
  /** What is to become of conflicts, by which the counts go. */
  readonly onConflict?: OnConflict;
  /** What the undo is to do about triggers, by which it may be refused. */
  readonly triggers?: 'fire' | 'skip';
  /** Where the snapshot's marks are, by which it may be refused. */
  readonly marking?: Marking;
  readonly onProgress?: (progress: Progress) => void;
}

export interface UndoOptions {
  /** Rows that are not as the statement has left them end the undo, stay as they are, or become what they were. */
  readonly onConflict?: OnConflict;
  /** Whether triggers fire, those of foreign keys included; without them the undo checks foreign keys itself. */
  readonly triggers?: 'fire' | 'skip';
  /** Everything is done, checks included, and taken back. */
  readonly dryRun?: boolean;
  /** What a preview has counted: where it is otherwise by now, nothing is done. */
  readonly expected?: readonly TableCounts[];
  /** Where to snapshot the undo itself, so that it can be undone; durable before the undo is committed. */
  readonly snapshot?: OwnSnapshot;
  /** Where to say that it is undone; without it, that is kept from nobody. */
  readonly marking?: Marking;
  readonly onProgress?: (progress: Progress) => void;
}

/** Says what an undo would do, and which rows are in its way. Nothing is changed, and nobody is kept waiting. */
export async function previewUndo(request: UndoRequest, options: PreviewOptions = {}): Promise<UndoPreview> {
  const { session, trusted } = request;
  const { dropped } = request.manifest;
  const once = onceOf(request, options.marking);
  const where = new Whereabouts(options.onProgress, {
    first: async () => {
      await once?.refuseUseless();
      await refuseUntrusted(request, false);
    },
  });
  if (dropped !== undefined)
    return await toldOfPurge(
      request,
      await previewDrop(session, request.manifest, dropped, options.onConflict ?? 'fail', where),
    );
  const page = options.page ?? { from: 0, max: LIMITS.undoConflictsMax };
  const outcome = await inTransaction(session, 'REPEATABLE READ', where, async () => {
    const tables = await findTables(request, where);
    await refuseForeignCode(session, tables, options.triggers ?? 'fire', { trusted, lock: false });
    const { counts } = await compareAll(request, tables, options.onConflict ?? 'fail', where);
    refuseUnfilled(tables, counts);
    const conflicts = await readConflicts(session, tables, counts, bounded(page));
    return {
      ending: 'roll back',
      value: { kind: 'preview', tables: counts, conflicts, ...staysOf(request.manifest) } as const,
    };
  });
  return outcome.kind === 'conflicts' ? { ...outcome, kind: 'preview' } : outcome;
}

/** What is brought back from the trash is dropped again by a DROP. */
export const takesOwnSnapshot = ({ dropped }: Pick<Manifest, 'dropped'>): boolean =>
  dropped === undefined || isAlter(dropped);

function onceOf({ store, session, manifest }: UndoRequest, marking: Marking | undefined): Once | null {
  const hasRest = (manifest.dropped?.rest?.length ?? 0) > 0;
  return marking === undefined ? null : new Once(store, session, manifest.xid, marking, hasRest);
}

async function refuseUntrusted(
  { manifest: { dropped }, session, trusted }: UndoRequest,
  lock: boolean,
): Promise<void> {
  if (dropped !== undefined) await refuseForeignDrop(session, dropped, { trusted, lock });
}

function bounded({ from, max }: Page): Page {
  return { from: Math.max(0, from), max: Math.min(Math.max(0, max), LIMITS.undoConflictsMax) };
}

/**
 * Puts back what was, in one transaction: all of it, or nothing. Others may read the tables meanwhile and not write.
 */
export async function undo(request: UndoRequest, options: UndoOptions = {}): Promise<UndoOutcome> {
  const { session, store, manifest } = request;
  const { dryRun = false, onConflict = 'fail' } = options;
  const once = onceOf(request, options.marking);
  let isUndone = manifest.dropped !== undefined;
  let left = false;
  const where = new Whereabouts(options.onProgress, {
    first: async () => {
      await once?.lock();
      await once?.refuseUseless();
      await refuseUntrusted(request, true);
    },
    last: async (xid) => {
      if (isUndone) await once?.mark(xid, own?.id ?? null, left);
    },
  });
  const own =
    options.snapshot === undefined || !takesOwnSnapshot(manifest)
      ? null
      : new OwnSnapshotWriter(store, session, options.snapshot);
  const isRest = () => once?.isRest === true;
  const onLeft = () => {
    left = true;
  };
  const takeBack = async () => void (await Promise.all([own?.discard(), once?.unmark()]));
  const ending =
    manifest.dropped === undefined
      ? undoRows(request, options, own, where, (whole) => {
          isUndone = whole;
        })
      : undoDrop(session, manifest, manifest.dropped, { dryRun, onConflict, own, isRest, onLeft }, where);
  const outcome = await ending.catch(async (error: unknown) => {
    // Where the answer to COMMIT was lost, they may be needed.
    if (!(error instanceof HoldfastError && error.code === 'UPSTREAM_LOST')) await takeBack();
    throw error;
  });
  if (outcome.kind !== 'done' || dryRun) await takeBack();
  return manifest.dropped === undefined ? outcome : await toldOfPurge(request, outcome);
}

async function undoRows(
  request: UndoRequest,
  options: UndoOptions,
  own: OwnSnapshotWriter | null,
  where: Whereabouts,
  onDone: (whole: boolean) => void,
): Promise<UndoOutcome> {
  const { session, trusted, manifest } = request;
  const { onConflict = 'fail', triggers = 'fire', dryRun = false } = options;
  const searchPath = (await session.query(`SELECT pg_catalog.current_setting('search_path')`))[0]![0]!;
  return await inTransaction(session, 'READ COMMITTED', where, async () => {
    if (triggers === 'skip') await refuseWithoutRightToSkip(session);
    const tables = await lockTables(request, where);
    await refuseForeignCode(session, tables, triggers, { trusted, lock: true });
    const { counts, inseparable } = await compareAll(request, tables, onConflict, where);
    await refuseConflicts(session, tables, counts, onConflict, inseparable);
    refuseUnexpected(counts, options.expected);
    refuseUnfilled(tables, counts);
    const isDone = doneBy(counts, triggers);
    const work = tables.filter(isDone);
    const toDo = counts.filter((_, i) => isDone(tables[i]!, i));
    const doing = { onConflict, setBackBy: 'update' } as const;
    for (const [i, table] of own === null ? [] : work.entries()) {
      where.at('keep', table.label, i, work.length);
      await own!.keepBefore(table, toDo[i]!, doing);
    }
    const snapshotted = own !== null;
    await applyAll({ session, tables: work, counts: toDo, doing, triggers, searchPath, snapshotted, where });
    for (const [i, table] of own === null ? [] : work.entries()) {
      where.at('keep', table.label, i, work.length);
      await own!.keepAfter(table, toDo[i]!);
    }
    const sequences: string[] = [];
    for (const table of dryRun ? [] : work) sequences.push(...(await moveSequences(session, table, doing)));
    if (!dryRun) sequences.push(...(await restoreSequences(session, manifest.sequences ?? [])));
    // Where nothing was to be done there is nothing to undo.
    if (!dryRun && work.length > 0) await own?.finish();
    onDone(isUndoneBy(work, counts, onConflict));
    return {
      ending: dryRun ? 'roll back' : 'commit',
      value: {
        kind: 'done',
        dryRun,
        tables: counts,
        sequences: [...new Set(sequences)],
        ...staysOf(manifest),
      } as const,
    };
  });
}

const staysOf = ({ added }: Manifest) => (added === undefined ? {} : { added });

/** What was left out may be undone later; but not again what has no key. */
function isUndoneBy(
  work: readonly UndoTable[],
  counts: readonly TableCounts[],
  onConflict: OnConflict,
): boolean {
  const partly = onConflict === 'skip' && counts.some(({ conflicts }) => conflicts > 0);
  return partly ? work.some(({ key }) => key === null) : work.length > 0;
}

const isWork = ({ putBack, setBack, removed }: TableCounts): boolean => putBack + setBack + removed > 0;

/** Whether an undo has to do with a table; also where only triggers that fire would change what is as it was. */
function doneBy(counts: readonly TableCounts[], triggers: 'fire' | 'skip') {
  const isAny = counts.some(isWork);
  return (table: UndoTable, i: number): boolean =>
    isWork(counts[i]!) || (isAny && triggers === 'fire' && isMended(table) && counts[i]!.already > 0);
}

async function refuseWithoutRightToSkip(session: UndoSession): Promise<void> {
  const [row] = await session.query(`SELECT has_parameter_privilege('session_replication_role', 'SET')`);
  if (row?.[0] === 't') return;
  const reason =
    'this role may not set session_replication_role, without which triggers fire; connect as one that may, or let them';
  refuse({ table: '', reason });
}

/** Finds the tables by their OIDs, which names may have been given to others since. */
async function findTables({ manifest, session }: UndoRequest, where: Whereabouts): Promise<UndoTable[]> {
  where.at('find');
  const { database } = manifest.session;
  const [here] = await session.query('SELECT current_database()');
  if (here?.[0] !== database) {
    refuse({ table: '', reason: `the snapshot is of the database ${database}, and this is ${here?.[0]}` });
  }
  await refuseOtherServer(session, manifest);
  const entries = manifest.tables.filter(({ before, after }) => before !== null || after !== null);
  const current = await readCurrentTables(
    session,
    entries.map(({ oid }) => oid),
  );
  const matched = entries.map((entry, serial) => matchTable(serial, entry, current.get(entry.oid)));
  const problems = matched.flatMap((each) => (each.kind === 'refused' ? [each.problem] : []));
  if (problems.length > 0) refuse(...problems);
  await refuseUnmovable(session, manifest.sequences ?? []);
  return matched.flatMap((each) => (each.kind === 'matched' ? [each.table] : []));
}

/** What was read before the lock may have changed until it was there. */
async function lockTables(request: UndoRequest, where: Whereabouts): Promise<UndoTable[]> {
  const found = await findTables(request, where);
  if (found.length === 0) return found;
  where.at('lock');
  const names = found.toSorted((a, b) => a.current.oid - b.current.oid).map(only);
  await request.session.query(`LOCK TABLE ${names.join(', ')} IN SHARE ROW EXCLUSIVE MODE`);
  return await findTables(request, where);
}

async function compareAll(
  { store, manifest, session }: UndoRequest,
  tables: readonly UndoTable[],
  onConflict: OnConflict,
  where: Whereabouts,
): Promise<{ readonly counts: TableCounts[]; readonly inseparable: boolean }> {
  for (const [i, table] of tables.entries()) {
    where.at('load', table.label, i, tables.length);
    await loadTable(session, store, table, manifest.server.encoding);
  }
  for (const [i, table] of tables.entries()) {
    where.at('compare', table.label, i, tables.length);
    await compareTable(session, table);
  }
  const own = tables.filter(({ entry }) => isOfStatement(entry));
  const inseparable = onlyUpdates(manifest, own) && (await compareMoved(session, own));
  const counts: TableCounts[] = [];
  for (const table of tables) counts.push(await countTable(session, table, onConflict));
  return { counts, inseparable };
}

/** Not only of what triggers did besides, which may be of any kind. */
const isOfStatement = ({ cause }: ManifestTable): boolean => cause.kind !== 'code';

/** Whether each row was there before the statement, and is behind it, and has a key. */
function onlyUpdates({ statement, tables: all }: Manifest, tables: readonly UndoTable[]): boolean {
  if (statement.operation !== 'update' || tables.some(({ key }) => key === null)) return false;
  const entries = all.filter(isOfStatement);
  const sum = (image: 'before' | 'after') => entries.reduce((all, each) => all + (each[image]?.rows ?? 0), 0);
  return tables.length > 0 && sum('before') === sum('after');
}

/**
 * Rows that are held by others' unique values are never written over: it would take away rows that the statement had
 * nothing to do with. And in a table without a key nobody can tell which rows belong together, so that a part of
 * them would be a guess.
 */
async function refuseConflicts(
  session: UndoSession,
  tables: readonly UndoTable[],
  counts: readonly TableCounts[],
  onConflict: OnConflict,
  inseparable: boolean,
): Promise<void> {
  if (counts.every(({ conflicts }) => conflicts === 0)) return;
  const page = { from: 0, max: LIMITS.undoConflictsMax };
  switch (onConflict) {
    case 'fail': {
      const conflicts = await readConflicts(session, tables, counts, page);
      throw new UndoEnded({ kind: 'conflicts', tables: counts, conflicts });
    }
    case 'skip': {
      const keyless = tables.filter(({ key }, i) => key === null && counts[i]!.conflicts > 0);
      const reason = 'it has no key, and so it cannot be told which rows to leave out with those in conflict';
      if (keyless.length > 0) refuse(...keyless.map(({ label }) => ({ table: label, reason })));
      if (inseparable) refuse({ table: tables[0]!.label, reason: INSEPARABLE });
      return;
    }
    case 'overwrite': {
      const held = await readHeld(session, tables, page.max);
      if (held.length > 0) throw new UndoEnded({ kind: 'conflicts', tables: counts, conflicts: held });
      return;
    }
    default:
      return onConflict satisfies never;
  }
}

const INSEPARABLE =
  'the statement has changed keys, and so it cannot be told which rows to leave out with those in conflict';

function refuseUnexpected(
  counts: readonly TableCounts[],
  expected: readonly TableCounts[] | undefined,
): void {
  if (expected === undefined) return;
  for (const [i, now] of counts.entries()) {
    const then = expected[i];
    const same =
      then !== undefined &&
      then.putBack === now.putBack &&
      then.setBack === now.setBack &&
      then.removed === now.removed &&
      then.conflicts === now.conflicts;
    if (!same) refuse({ table: now.table, reason: 'it has changed since the preview' });
  }
}

function refuseUnfilled(tables: readonly UndoTable[], counts: readonly TableCounts[]): void {
  const problems = tables.flatMap(({ label, unfilled }, i) =>
    unfilled !== null && counts[i]!.putBack > 0 ? [{ table: label, reason: unfilled }] : [],
  );
  if (problems.length > 0) refuse(...problems);
}
