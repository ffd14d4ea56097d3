import { timesOfIds } from '../base/ids.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { type Manifest, manifestKey } from './manifest.ts';
import { undoMarkKey } from './snapshots.ts';

/** A snapshot of a DROP, whose objects may stand in the trash of their database. */
export interface DroppedSnapshot {
  readonly id: string;
  readonly folder: string;
  readonly createdAtMs: number;
  readonly manifest: Manifest & { readonly dropped: NonNullable<Manifest['dropped']> };
}

const KEY = /^(snapshots\/\d{4}\/\d\d\/\d\d\/([^/]+))\/([^/]+)$/;

/**
 * Those that may have something in the trash still, the oldest first: they have no rows beside their
 * manifest, nor a mark that it was rolled back or purged, so that few others are read. What cannot be read is told.
 */
export async function* droppedSnapshots(
  store: BlobStore,
  wanted: (id: string, createdAtMs: number) => boolean,
  read: (folder: string) => Promise<Manifest>,
  onUnreadable: (id: string, error: unknown) => void,
): AsyncIterable<DroppedSnapshot> {
  for await (const { id, folder, only } of folders(store)) {
    const createdAtMs = timesOfIds(id)?.firstMs;
    if (!only || createdAtMs === undefined || !wanted(id, createdAtMs)) continue;
    let manifest: Manifest;
    try {
      manifest = await read(folder);
    } catch (error) {
      onUnreadable(id, error);
      continue;
    }
    const { dropped } = manifest;
    if (dropped !== undefined) yield { id, folder, createdAtMs, manifest: { ...manifest, dropped } };
  }
}

interface Folder {
  readonly id: string;
  readonly folder: string;
  /** It has a manifest, and nothing else but perhaps a mark that it was undone. */
  only: boolean;
}

async function* folders(store: BlobStore): AsyncIterable<Folder> {
  let last = null as Folder | null;
  for await (const { key } of store.list('snapshots/')) {
    const [, folder, id] = KEY.exec(key) ?? [];
    if (folder === undefined || id === undefined) continue;
    if (last !== null && last.folder !== folder) yield last;
    if (last?.folder !== folder) last = { id, folder, only: true };
    if (key !== manifestKey(folder) && key !== undoMarkKey(folder)) last.only = false;
  }
  if (last !== null) yield last;
}
