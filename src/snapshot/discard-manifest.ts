import { setTimeout as sleep } from 'node:timers/promises';
import { LIMITS } from '../base/limits.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { manifestKey } from './manifest.ts';
import { inTrashKey, markRolledBack } from './snapshots.ts';

let underWay = 0;

/**
 * Takes away the manifest of a statement that was not committed, whatever became of its writing: a put that failed to us
 * may have landed, and would tell of a DROP that never was. A storage that takes nothing now is asked again, later and
 * later; until it is gone, a mark says that it was rolled back, wherever that could be put. What a process leaves that
 * dies meanwhile is found by the sweep of the trash. Never rejects.
 */
export async function discardManifest(
  store: BlobStore,
  folder: string,
  writing: Promise<unknown>,
  retryMs: number = LIMITS.snapshotDiscardRetryMs,
): Promise<void> {
  await writing.catch(() => {});
  // Behind a storage that is down for long there may be very many.
  const attempts = underWay < LIMITS.snapshotDiscardsMax ? LIMITS.snapshotDiscardAttemptsMax : 1;
  underWay++;
  try {
    for (let attempt = 1, waitMs = retryMs; ; attempt++, waitMs *= 2) {
      if (await isDiscarded(store, folder)) return;
      if (attempt >= attempts) return;
      await sleep(waitMs, null, { ref: false });
    }
  } finally {
    underWay--;
  }
}

async function isDiscarded(store: BlobStore, folder: string): Promise<boolean> {
  try {
    await store.remove(manifestKey(folder));
    if ((await store.stat(manifestKey(folder))) === null) {
      await store.remove(inTrashKey(folder));
      return true;
    }
  } catch {}
  await markRolledBack(store, folder, Date.now()).catch(() => {});
  return false;
}
