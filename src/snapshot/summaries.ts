import { HoldfastError } from '../base/errors.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { readManifest } from './manifest.ts';
import type { SnapshotEntry } from './snapshots.ts';
import { type SnapshotSummary, summaryOf } from './summary.ts';
import { undoneBy } from './undo-mark.ts';

/** A snapshot whose manifest cannot be read is listed all the same, with what is wrong with it. */
/** `rolled_back`: its statement was taken back with its transaction. */
export type Listed =
  | (SnapshotSummary & { readonly rolled_back: boolean; readonly undone: boolean })
  | { readonly id: string; readonly problem: string };

const READ_AT_ONCE = 16;

/** Those of a list, in its order. */
export async function readSummaries(store: BlobStore, entries: readonly SnapshotEntry[]): Promise<Listed[]> {
  const out: Listed[] = [];
  for (let at = 0; at < entries.length; at += READ_AT_ONCE) {
    const some = entries.slice(at, at + READ_AT_ONCE);
    out.push(...(await Promise.all(some.map((entry) => readSummary(store, entry)))));
  }
  return out;
}

async function readSummary(
  store: BlobStore,
  { id, folder, rolledBack, undoMarked }: SnapshotEntry,
): Promise<Listed> {
  try {
    const undone = undoMarked && (await undoneBy(store, folder)) !== null;
    return { ...summaryOf(await readManifest(store, folder)), rolled_back: rolledBack, undone };
  } catch (error) {
    // Gone meanwhile, or damaged; a storage that does not answer is another thing.
    if (!(error instanceof HoldfastError) || !error.code.startsWith('BLOB_')) throw error;
    return { id, problem: error.message };
  }
}
