import { z } from 'zod';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { findSnapshot, undoMarkKey } from './snapshots.ts';

/**
 * Stands beside the manifest of a snapshot that was undone. It is written before the undo is committed, so that none
 * is without one; where the commit then failed and the mark could not be taken away again, the server says by the
 * number of the transaction that it was not committed.
 */
const markSchema = z.strictObject({
  undone_at: z.iso.datetime(),
  by: z.string(),
  xid: z.string().regex(/^\d+$/),
  /** The snapshot of the undo, by which it may have been taken back since. */
  undo_snapshot: z.string().nullable(),
  /** Values of a dropped column were left over, which can be undone as well. */
  left: z.literal(true).optional(),
});

export type UndoMark = Readonly<z.infer<typeof markSchema>>;

export async function writeUndoMark(store: BlobStore, folder: string, mark: UndoMark): Promise<void> {
  const writer = await store.create(undoMarkKey(folder));
  try {
    await writer.write(Buffer.from(`${JSON.stringify(mark)}\n`));
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

/** Puts back the mark that was there before, if there was one. Never rejects: one that stays is told from a true one by its transaction. */
export async function takeBackUndoMark(
  store: BlobStore,
  folder: string,
  earlier: UndoMark | null,
): Promise<void> {
  const restored =
    earlier === null ? store.remove(undoMarkKey(folder)) : writeUndoMark(store, folder, earlier);
  await restored.catch(() => {});
}

const nothingKnown = async (): Promise<boolean> => false;

/**
 * The mark of a snapshot that is undone as things are, or null. An undo that was undone itself does not count, nor
 * does one whose undoing was undone, and so on; nor one that was never committed, where that can be asked.
 */
export async function undoneBy(
  store: BlobStore,
  folder: string,
  wasNotCommitted: (mark: UndoMark) => Promise<boolean> = nothingKnown,
): Promise<UndoMark | null> {
  let first: UndoMark | null = null;
  let marks = 0;
  for (let at: string | null = folder; at !== null && marks < LIMITS.undoChainMax; ) {
    const mark = await readUndoMark(store, at);
    if (mark === null || (await wasNotCommitted(mark))) break;
    first ??= mark;
    marks++;
    at = await folderOf(store, mark.undo_snapshot);
  }
  // Where it goes on and on, nobody knows.
  return marks % 2 === 1 || marks === LIMITS.undoChainMax ? first : null;
}

/** An undo whose snapshot was not taken or is gone cannot be undone any more. */
async function folderOf(store: BlobStore, id: string | null): Promise<string | null> {
  if (id === null) return null;
  try {
    return (await findSnapshot(store, id)).folder;
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'NOT_FOUND') return null;
    throw error;
  }
}

export async function readUndoMark(store: BlobStore, folder: string): Promise<UndoMark | null> {
  const key = undoMarkKey(folder);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of store.read(key)) {
      bytes += chunk.length;
      if (bytes > LIMITS.snapshotManifestBytes) throw new Error('it is too long');
      chunks.push(chunk);
    }
    return markSchema.parse(JSON.parse(Buffer.concat(chunks).toString('utf8')));
  } catch (cause) {
    if (cause instanceof HoldfastError && cause.code === 'BLOB_NOT_FOUND') return null;
    if (cause instanceof HoldfastError) throw cause;
    throw new HoldfastError('BLOB_DAMAGED', `the mark ${key} cannot be read`, { cause });
  }
}
