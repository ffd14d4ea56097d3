import { HoldfastError } from '../base/errors.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { asksOfManifest, isMarkedSo, matches, type SnapshotFilter } from './filter.ts';
import { readManifest } from './manifest.ts';
import type { SnapshotEntry } from './snapshots.ts';
import { type SnapshotSummary, summaryOf } from './summary.ts';
import { undoneBy } from './undo-mark.ts';

/** A snapshot whose manifest cannot be read is listed all the same, with what is wrong with it. */
/** `rolled_back`: its statement was taken back with its transaction. */
export type Listed =
  | (SnapshotSummary & { readonly rolled_back: boolean; readonly undone: boolean })
  | { readonly id: string; readonly problem: string };

/** One of a list, or null where it is not what is looked for; nobody knows of one that cannot be read. */
export async function readSummary(
  store: BlobStore,
  { id, folder, rolledBack, undoMarked }: SnapshotEntry,
  filter: SnapshotFilter = {},
): Promise<Listed | null> {
  try {
    const undone = undoMarked && (await undoneBy(store, folder)) !== null;
    if (!isMarkedSo({ undone, rolledBack }, filter)) return null;
    const manifest = await readManifest(store, folder);
    if (!matches(manifest, filter)) return null;
    return { ...summaryOf(manifest), rolled_back: rolledBack, undone };
  } catch (error) {
    // Gone meanwhile, or damaged; a storage that does not answer is another thing.
    if (!(error instanceof HoldfastError) || !error.code.startsWith('BLOB_')) throw error;
    return asksOfManifest(filter) ? null : { id, problem: error.message };
  }
}
