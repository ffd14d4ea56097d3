import type { BlobStore } from '../blobs/blob-store.ts';
import { isArchived } from '../snapshot/archive.ts';
import { type DroppedSnapshot, droppedSnapshots } from '../snapshot/dropped.ts';
import { type Manifest, readManifest } from '../snapshot/manifest.ts';
import { problemOfSeal, readSealedManifest, type TrustedKeys } from '../snapshot/manifest-seal.ts';
import { markPurged } from '../snapshot/snapshots.ts';
import { bytesOf, purgeable, purgeDropped } from '../trash/purge.ts';
import { faultOfArchive, hasArchive } from './archive-trash.ts';
import type { UndoSession } from './session.ts';
import { trashSession } from './undo-drop.ts';

export interface PurgeTrash {
  readonly store: BlobStore;
  /** Opens a connection to this database, as a role that may drop what is in its trash. */
  connect(database: string): Promise<UndoSession & { close(): Promise<void> }>;
  readonly wanted: (id: string, createdAtMs: number) => boolean;
  /** Ids that are looked at though nothing marks them: those of before there were marks. */
  readonly named?: readonly string[];
  /** With which the manifests have to be signed; null where they are only listed. */
  readonly keys: TrustedKeys | null;
  /** Whether those that are asked about stay. */
  readonly dryRun: boolean;
  /** Whether what is not archived stays. */
  readonly archivedOnly: boolean;
  /** Looks at each beforehand; what it says no of is left as it is. */
  readonly attend?: (session: UndoSession, snapshot: DroppedSnapshot) => Promise<boolean>;
  /** Does the one, for whoever keeps a record of it. */
  readonly doing?: <T>(snapshot: DroppedSnapshot, work: () => Promise<T>) => Promise<T>;
}

export type PurgedSnapshot = Pick<DroppedSnapshot, 'id' | 'createdAtMs'> & {
  readonly database: string;
  readonly statement: string;
  /** Objects that are gone for good, or would be. */
  readonly objects: number;
  /** What they took on the disk of the database. */
  readonly bytes: number;
  readonly archived: boolean;
  /** Objects that stay, and why: something depends on them, or the role may not drop them. */
  readonly kept: { readonly objects: number; readonly reason: string } | null;
};

export interface PurgeFailure {
  /** A snapshot, or a database. */
  readonly of: string;
  readonly reason: string;
}

export interface TrashPurged {
  readonly purged: readonly PurgedSnapshot[];
  readonly failures: readonly PurgeFailure[];
}

/**
 * Drops for good what DROPs have moved into the trash of their databases, the oldest first, and marks their snapshots
 * so that an undo says it. A database that cannot be reached, or a manifest that cannot be read, stops no others.
 */
export async function purgeTrash(request: PurgeTrash): Promise<TrashPurged> {
  const { store, wanted } = request;
  const purged: PurgedSnapshot[] = [];
  const failures: PurgeFailure[] = [];
  const fail = (of: string, error: unknown) =>
    void failures.push({ of, reason: error instanceof Error ? error.message : String(error) });
  const sessions = new Map<string, Awaited<ReturnType<PurgeTrash['connect']>> | null>();
  try {
    for await (const snapshot of droppedSnapshots(
      store,
      wanted,
      (folder) => readTrusted(request, folder),
      fail,
      request.named,
    )) {
      const { database } = snapshot.manifest.session;
      if (!sessions.has(database)) {
        sessions.set(
          database,
          await request.connect(database).catch((error) => {
            fail(database, error);
            return null;
          }),
        );
      }
      const session = sessions.get(database) ?? null;
      if (session === null) continue;
      try {
        if (request.attend !== undefined && !(await request.attend(session, snapshot))) continue;
        const one = await purgeOne(request, session, snapshot);
        if (one !== null) purged.push(one);
      } catch (error) {
        fail(snapshot.id, error);
      }
    }
  } finally {
    for (const session of sessions.values()) await session?.close();
  }
  return { purged, failures };
}

/** What is dropped for good is what a manifest names, so that whoever can write to the storage must not be able to make one. */
async function readTrusted({ store, keys }: PurgeTrash, folder: string): Promise<Manifest> {
  if (keys === null) return await readManifest(store, folder);
  const sealed = await readSealedManifest(store, folder, keys);
  const problem = problemOfSeal(sealed, keys);
  if (problem !== null) throw new Error(problem);
  return sealed.manifest;
}

async function purgeOne(
  { store, keys, dryRun, archivedOnly, doing = (_, work) => work() }: PurgeTrash,
  session: UndoSession,
  snapshot: DroppedSnapshot,
): Promise<PurgedSnapshot | null> {
  const { id, createdAtMs, folder, manifest } = snapshot;
  const of = { id, objects: manifest.dropped.objects };
  // What has been brought back is no longer there; nor is anything of a database of the same name elsewhere.
  const found = await purgeable(trashSession(session), of);
  if (found.length === 0) return null;
  const bytes = await bytesOf(trashSession(session), found);
  const archived =
    keys === null ? await isArchived(store, folder) : await hasArchive({ store, keys }, folder);
  const { database } = manifest.session;
  const told = { id, createdAtMs, database, statement: manifest.statement.text, bytes, archived };
  const isDatabase = found.some(({ kind }) => kind === 'database');
  const reason =
    archivedOnly && !isDatabase && keys !== null ? await faultOfArchive({ store, keys }, folder) : null;
  if (reason !== null) {
    return { ...told, objects: 0, kept: { objects: found.length, reason } };
  }
  if (dryRun) return { ...told, objects: found.length, kept: null };
  return await doing(snapshot, async () => {
    const { objects, kept } = await purgeDropped(trashSession(session), of);
    if (kept === null) await markPurged(store, folder, Date.now());
    return { ...told, objects, kept };
  });
}

/** As the command line and the API tell it. */
export function purgedJson(each: PurgedSnapshot, retentionMs: number | null) {
  const { id, createdAtMs, database, objects, bytes, archived, statement, kept } = each;
  const dropped_at = new Date(createdAtMs).toISOString();
  const purged_after = purgedAfter(createdAtMs, retentionMs);
  return { id, dropped_at, purged_after, archived, database, objects, bytes, statement, kept };
}

/** When a gateway purges it, or null: not before somebody asks for it. */
export function purgedAfter(createdAtMs: number, retentionMs: number | null): string | null {
  return retentionMs === null ? null : new Date(createdAtMs + retentionMs).toISOString();
}

export function totalOf(purged: readonly PurgedSnapshot[]) {
  const sum = (count: (each: PurgedSnapshot) => number) => purged.reduce((all, each) => all + count(each), 0);
  const [objects, bytes] = [sum((each) => each.objects), sum((each) => each.bytes)];
  return { drops: purged.length, objects, bytes };
}
