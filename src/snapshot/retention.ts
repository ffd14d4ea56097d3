import { HoldfastError } from '../base/errors.ts';
import { timesOfIds } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { archiveFolder } from './archive.ts';
import { manifestKey, readManifest } from './manifest.ts';
import { inTrashKey, rolledBackKey, undoMarkKey } from './snapshots.ts';

/** How long snapshots are kept, and how much of them; null is without a limit. */
export interface Retention {
  readonly ageMs: number | null;
  readonly bytes: number | null;
}

/** A folder that is to go. What has no manifest is no snapshot, but what a dead process has left. */
export interface Expired {
  readonly id: string;
  readonly folder: string;
  readonly bytes: number;
  readonly createdAtMs: number;
  readonly reason: 'age' | 'size' | 'rolled back' | 'leftover';
}

export interface Kept {
  readonly snapshots: number;
  readonly bytes: number;
  /** How much more there is than there should be, because it is too young to go. */
  readonly excessBytes: number;
  /** Those that are due, and somebody else's to remove; they count in none of the others. */
  readonly ofOthers: number;
}

/**
 * Finds what is to go, the oldest first, and has it removed. Nothing younger than a day goes, whatever is asked for:
 * it may still be written, its transaction may be open, and a mistake has had no time to be noticed. Memory stays flat
 * however many there are, at the price of looking through them twice where their size counts.
 */
export async function expire(
  store: BlobStore,
  retention: Retention,
  nowMs: number,
  remove: (expired: Expired) => Promise<void>,
  isOfOthers: (folder: string) => Promise<boolean> = async () => false,
): Promise<Kept> {
  let total = 0;
  if (retention.bytes !== null) for await (const { bytes } of folders(store)) total += bytes;
  let [snapshots, bytes, ofOthers] = [0, 0, 0];
  for await (const folder of folders(store)) {
    const over = retention.bytes !== null && total > retention.bytes;
    const due = reasonToGo(folder, retention, nowMs, over);
    const reason = due !== null && (await isWayBack(store, folder, due)) ? null : due;
    if (reason === null) {
      if (folder.complete) snapshots++;
      bytes += folder.bytes;
      continue;
    }
    const { id, path, createdAtMs } = folder;
    total -= folder.bytes;
    if ((reason === 'age' || reason === 'size') && (await isOfOthers(path))) {
      ofOthers++;
      continue;
    }
    await remove({ id, folder: path, bytes: folder.bytes, createdAtMs, reason });
  }
  return {
    snapshots,
    bytes,
    excessBytes: retention.bytes === null ? 0 : Math.max(0, bytes - retention.bytes),
    ofOthers,
  };
}

function reasonToGo(
  { complete, rolledBack, createdAtMs }: Folder,
  { ageMs }: Retention,
  nowMs: number,
  over: boolean,
): Expired['reason'] | null {
  const age = nowMs - createdAtMs;
  if (age < LIMITS.snapshotKeptMs) return null;
  if (!complete) return 'leftover';
  if (rolledBack) return 'rolled back';
  if (ageMs !== null && age > ageMs) return 'age';
  return over ? 'size' : null;
}

/**
 * What a DROP took is in the trash of the database, and would stay there without a way back. That is for the manifest
 * to say: others too may have no file of rows. One that cannot be read may be of a DROP.
 */
async function isWayBack(
  store: BlobStore,
  { path, hasRows }: Folder,
  due: Expired['reason'],
): Promise<boolean> {
  if (hasRows || (due !== 'age' && due !== 'size')) return false;
  try {
    const { dropped } = await readManifest(store, path);
    // What an ALTER has changed has left nothing there, unless that was values.
    const isInTrash = dropped?.altered === undefined && dropped?.replaced === undefined;
    return dropped !== undefined && (isInTrash || dropped.objects.length > 0);
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'BLOB_DAMAGED') return true;
    throw error;
  }
}

interface Folder {
  readonly id: string;
  readonly path: string;
  bytes: number;
  /** Of what the id and the files say the latest: files may have been copied here, and clocks differ. */
  createdAtMs: number;
  complete: boolean;
  /** It has rows of its own, as that of a DROP has not; or a mark that there is nothing in the trash any more. */
  hasRows: boolean;
  /** Its statement was taken back, so that it is of no use. */
  rolledBack: boolean;
}

const FOLDER = /^(snapshots\/\d{4}\/\d\d\/\d\d\/([^/]+))\/.+$/;

/** By day and by id, and so the oldest first. */
async function* folders(store: BlobStore): AsyncIterable<Folder> {
  let folder: Folder | null = null;
  for await (const { key, bytes, modifiedAtMs } of store.list('snapshots/')) {
    const [, path, id] = FOLDER.exec(key) ?? [];
    if (path === undefined || id === undefined) continue;
    if (folder !== null && folder.path !== path) {
      yield folder;
      folder = null;
    }
    folder ??= {
      id,
      path,
      bytes: 0,
      createdAtMs: timesOfIds(id)?.firstMs ?? 0,
      complete: false,
      hasRows: false,
      rolledBack: false,
    };
    folder.bytes += bytes;
    folder.createdAtMs = Math.max(folder.createdAtMs, modifiedAtMs);
    if (key === manifestKey(path)) folder.complete = true;
    else if (key === rolledBackKey(path)) folder.rolledBack = true;
    else if (
      key === undoMarkKey(path) ||
      key === inTrashKey(path) ||
      key.startsWith(`${archiveFolder(path)}/`)
    )
      continue;
    else folder.hasRows = true;
  }
  if (folder !== null) yield folder;
}
