import { timesOfIds } from '../base/ids.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { type Manifest, manifestKey } from './manifest.ts';
import { inTrashKey, undoMarkKey } from './snapshots.ts';

/** A snapshot of a DROP, whose objects may stand in the trash of their database. */
export interface DroppedSnapshot {
  readonly id: string;
  readonly folder: string;
  readonly createdAtMs: number;
  readonly manifest: Manifest & { readonly dropped: NonNullable<Manifest['dropped']> };
}

const KEY = /^(snapshots\/\d{4}\/\d\d\/\d\d\/([^/]+))\/([^/]+)$/;

/**
 * Those that may have something in the trash still, the oldest first: they are marked so, or named as those of before
 * there were marks, and not as rolled back, brought back or purged, so that no others are read. What cannot be read is told.
 */
export async function* droppedSnapshots(
  store: BlobStore,
  wanted: (id: string, createdAtMs: number) => boolean,
  read: (folder: string) => Promise<Manifest>,
  onUnreadable: (id: string, error: unknown) => void,
  named: readonly string[] = [],
): AsyncIterable<DroppedSnapshot> {
  for await (const { id, folder, has } of folders(store)) {
    const createdAtMs = timesOfIds(id)?.firstMs;
    const isOpen = has.manifest && (has.mark || named.includes(id)) && !has.more;
    if (!isOpen || createdAtMs === undefined || !wanted(id, createdAtMs)) continue;
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
  readonly has: { manifest: boolean; mark: boolean; more: boolean };
}

async function* folders(store: BlobStore): AsyncIterable<Folder> {
  let last = null as Folder | null;
  for await (const { key } of store.list('snapshots/')) {
    const [, folder, id] = KEY.exec(key) ?? [];
    if (folder === undefined || id === undefined) continue;
    if (last !== null && last.folder !== folder) yield last;
    if (last?.folder !== folder) last = { id, folder, has: { manifest: false, mark: false, more: false } };
    if (key === manifestKey(folder)) last.has.manifest = true;
    else if (key === inTrashKey(folder)) last.has.mark = true;
    // That it was undone may not be true: its transaction tells.
    else if (key !== undoMarkKey(folder)) last.has.more = true;
  }
  if (last !== null) yield last;
}
