import { HoldfastError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { BlobStore } from './blob-store.ts';

const FOLDER = 'probe/';

/**
 * Goes once through what a capture needs. That the second put is refused matters most: there are servers that take
 * the condition for nothing, with which two writers of one manifest would both believe that theirs is there.
 */
export async function probeStore(store: BlobStore): Promise<void> {
  const key = FOLDER + newId('probe');
  const bytes = Buffer.from(`Holdfast was here to see whether it can write: ${key}\n`);
  const put = await store.putIfAbsent(key, bytes);
  try {
    if (put.kind === 'exists' || (await store.putIfAbsent(key, bytes)).kind === 'created') {
      throw new HoldfastError('BLOBS_REFUSED', 'the snapshots storage does not honour conditional writes', {
        detail: 'A blob that must not replace another one did so, or was refused where there was none.',
        hint: 'Use a server that knows If-None-Match on PUT, also in buckets with versions, as with a lock: Ceph 16 does not there.',
      });
    }
    for await (const _ of store.read(key, { expected: put.summary }));
  } finally {
    await store.remove(key);
  }
}

/** Removes probes whose process has died in between; returns how many. */
export async function sweepProbes(store: BlobStore, beforeMs: number): Promise<number> {
  let removed = 0;
  for await (const { key, modifiedAtMs } of store.list(FOLDER)) {
    if (modifiedAtMs >= beforeMs) continue;
    await store.remove(key);
    removed++;
  }
  return removed;
}

/** Writes so much and takes it away again: what could not be, because it may only be written, is left to be swept. */
export async function probeWrite(store: BlobStore, bytes: number): Promise<void> {
  const key = FOLDER + newId('probe');
  await store.putIfAbsent(key, Buffer.alloc(bytes, 'Holdfast was here to see whether it can write.\n'));
  await store.remove(key).catch(() => {});
}
