import type { BlobStore } from '../blobs/blob-store.ts';
import { isArchived } from '../snapshot/archive.ts';
import { type Manifest, snapshotFolder } from '../snapshot/manifest.ts';
import { markEmptied, purgedAtMs } from '../snapshot/snapshots.ts';
import { madeAnew } from '../trash/made-anew.ts';
import {
  obstacles,
  REFUSED,
  type RestoreConflict,
  type RestoreOptions,
  type RestoreOutcome,
  restoreWithin,
  stepsAfter,
} from '../trash/restore.ts';
import { type KeptRestore, restoreKept } from '../trash/restore-kept.ts';
import type { TrashSession } from '../trash/session.ts';
import { areAway } from '../trash/standing.ts';
import { systemOf } from '../trash/system.ts';
import type { OnConflict } from './apply-statement.ts';
import { type BroughtBack, refuse, type UndoOutcome, type UndoPreview } from './outcome.ts';
import type { OwnSnapshotWriter } from './own-snapshot.ts';
import { UndoQueryError, type UndoSession } from './session.ts';
import { inTransaction, Whereabouts } from './transaction.ts';

export type Dropped = NonNullable<Manifest['dropped']>;

export interface DropOptions {
  readonly dryRun: boolean;
  /**
   * `skip` lets what was changed in the trash be as it is by now; the others refuse. Of the values of a column it leaves
   * out those whose row has changed, and `overwrite` those whose row is gone.
   */
  readonly onConflict: OnConflict;
  /** Where what an ALTER has changed is undone, and is to be undone in its turn. */
  readonly own?: OwnSnapshotWriter | null;
  /** It was undone before, and values were left over: whether that is all that is to be undone, once that is known. */
  readonly isRest?: () => boolean;
  /** Values are left over. */
  readonly onLeft?: () => void;
}

/**
 * Brings back from the trash what a DROP has moved there; all of it, or nothing. Materialized views are filled once
 * that is committed, since their queries may take long, and others wait for the locks that the rest has taken.
 */
export async function undoDrop(
  session: UndoSession,
  manifest: Manifest,
  all: Dropped,
  { dryRun, onConflict, own = null, isRest = () => false, onLeft = () => {} }: DropOptions,
  where: Whereabouts,
): Promise<UndoOutcome> {
  const outcome = await inTransaction(session, 'READ COMMITTED', where, async () => {
    await demandDatabase(session, manifest, where);
    where.at('apply');
    const bearing = onConflict === 'skip';
    const options = { dryRun, bearing, onConflict };
    const dropped = isRest() ? { ...all, restores: all.rest ?? [], notes: [] } : all;
    const restored =
      own === null || dryRun || isRest()
        ? await restoreWithin(trashSession(session), dropped, options)
        : await restoreAndKeep(session, dropped, options, own);
    if (restored.kind === 'conflict') refuseFor(restored.conflicts);
    if (restored.left) onLeft();
    const value = {
      kind: 'done',
      dryRun,
      tables: [],
      sequences: [],
      dropped: broughtBack(dropped, restored.lacking),
    } as const;
    return { ending: dryRun ? 'roll back' : 'commit', value };
  });
  if (outcome.kind !== 'done' || dryRun) return outcome;
  const lacking = [...outcome.dropped.lacking];
  for (const { sql, what } of stepsAfter(all)) {
    const reason = await doAfterwards(session, sql);
    if (reason !== null) lacking.push({ what, reason, bareReason: REFUSED });
  }
  return { ...outcome, dropped: { ...outcome.dropped, lacking } };
}

async function restoreAndKeep(
  session: UndoSession,
  dropped: Dropped,
  options: RestoreOptions,
  own: OwnSnapshotWriter,
): Promise<RestoreOutcome> {
  const restored = await restoreKept(trashSession(session), dropped, options, own.id);
  if (restored.kind === 'none') {
    const [what, advice] = [
      'what the undo changes could not be brought back again',
      'undo without a snapshot of it',
    ];
    refuse({
      table: '',
      reason: `${what}, because ${restored.reason}; ${advice}`,
      bareReason: `${what}; ${advice}`,
    });
  }
  const { outcome, kept } = restored;
  if (kept !== null && outcome.kind === 'restored') await own.finish(await droppedOf(session, kept));
  return outcome;
}

async function droppedOf(
  session: UndoSession,
  { objects, restores, notes, altered, replaced, rest }: KeptRestore,
): Promise<Dropped> {
  const system = await systemOf(trashSession(session));
  return {
    objects: objects.map((object) => ({ ...object, state: undefined })),
    restores: restores.map((step) => ({ ...step })),
    notes: [...notes],
    binds: [],
    ...(rest === undefined ? {} : { rest: rest.map((step) => ({ ...step })) }),
    ...(altered === undefined ? {} : { altered: structuredClone(altered) as Dropped['altered'] }),
    ...(replaced === undefined ? {} : { replaced }),
    ...(system === null ? {} : { system }),
  };
}

/** What the catalogs say of it. Nothing is tried, so that nobody is kept waiting, and no code of others runs. */
export async function previewDrop(
  session: UndoSession,
  manifest: Manifest,
  dropped: Dropped,
  onConflict: OnConflict,
  where: Whereabouts,
): Promise<UndoPreview> {
  return await inTransaction<Extract<UndoPreview, { kind: 'preview' }>>(
    session,
    'READ COMMITTED',
    where,
    async () => {
      await demandDatabase(session, manifest, where);
      const found = await obstacles(trashSession(session), dropped, {
        bearing: onConflict === 'skip',
        onConflict,
      });
      if (found.conflicts.length > 0) refuseFor(found.conflicts);
      const value = {
        kind: 'preview',
        tables: [],
        conflicts: [],
        dropped: broughtBack(dropped, found.borne),
      } as const;
      return { ending: 'roll back', value };
    },
  ).then((outcome) => (outcome.kind === 'conflicts' ? { ...outcome, kind: 'preview' } : outcome));
}

/**
 * That it was purged says more than that nothing of it is there. And where all of it is back, the manifest is the way
 * back of nothing any more, so that retention may remove it.
 */
export async function toldOfPurge<T extends UndoOutcome | UndoPreview>(
  { store, manifest, session }: DropUndone,
  outcome: T,
): Promise<T | Extract<UndoOutcome, { kind: 'refused' }>> {
  const folder = snapshotFolder(manifest.id, Date.parse(manifest.created_at));
  if (outcome.kind === 'done' && !outcome.dryRun) {
    await noteEmptied(store, folder, manifest, session).catch(() => {});
  }
  if (outcome.kind !== 'refused') return outcome;
  const atMs = await purgedAtMs(store, folder);
  if (atMs === null) return outcome;
  const left = (await isArchived(store, folder))
    ? 'and does not come back as it was; its archive has the rows of tables, which --into TABLE (into) puts into a new one without keys and defaults, and the definitions as text, which holdfast snapshots show tells'
    : 'and is gone for good: it was not archived';
  const reason = `what was dropped was purged from the trash on ${new Date(atMs).toISOString()}, ${left}`;
  return { kind: 'refused', problems: [{ table: '', reason }] };
}

interface DropUndone {
  readonly store: BlobStore;
  readonly manifest: Manifest;
  readonly session: UndoSession;
}

/** The undo is committed by then: what fails here is done by the sweep of the trash. */
async function noteEmptied(
  store: BlobStore,
  folder: string,
  { dropped }: Manifest,
  session: UndoSession,
): Promise<void> {
  if (await areAway(trashSession(session), dropped?.objects ?? []))
    await markEmptied(store, folder, Date.now());
}

async function demandDatabase(
  session: UndoSession,
  { session: { database } }: Manifest,
  where: Whereabouts,
): Promise<void> {
  where.at('find');
  const [here] = await session.query('SELECT current_database()');
  if (here?.[0] === database) return;
  refuse({ table: '', reason: `the snapshot is of the database ${database}, and this is ${here?.[0]}` });
}

function refuseFor(conflicts: readonly RestoreConflict[]): never {
  refuse(...conflicts.map(({ what, ...why }) => ({ table: what, ...why })));
}

function broughtBack(
  { objects, restores, notes, altered, replaced }: Dropped,
  lacking: readonly RestoreConflict[],
): BroughtBack {
  const tables = (altered?.tables ?? []).map((table) => ({ kind: 'table', ...table }));
  const routines = replaced === undefined ? [] : [replaced];
  const all = [...objects, ...madeAnew(restores), ...tables, ...routines];
  return { objects: all.map(({ kind, schema, name }) => ({ kind, schema, name })), lacking, notes };
}

/** Why it could not be done, or null. Whatever it is, the undo itself is committed by now. */
async function doAfterwards(session: UndoSession, sql: string): Promise<string | null> {
  const where = new Whereabouts();
  try {
    const done = await inTransaction(session, 'READ COMMITTED', where, async () => {
      where.at('apply');
      await session.query(sql);
      return { ending: 'commit', value: null };
    });
    if (done === null) return null;
    return done.kind === 'failed' ? done.reason : 'it was refused';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

export function trashSession(session: UndoSession): TrashSession {
  return {
    query: (sql, parameters) => session.query(sql, parameters),
    refusal: (error) => (error instanceof UndoQueryError ? error.message : null),
  };
}
