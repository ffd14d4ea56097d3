import { expect, it } from 'vitest';
import type { BlobStore } from '../../src/blobs/blob-store.ts';
import type { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { discardManifest } from '../../src/snapshot/discard-manifest.ts';
import { manifestKey } from '../../src/snapshot/manifest.ts';
import { rolledBackKey } from '../../src/snapshot/snapshots.ts';
import { ownStore } from '../blobs/own-store.ts';

const FOLDER = 'snapshots/2026/11/21/snap_00000000000000000000';

let store: DirectoryBlobStore;
ownStore((own) => {
  store = own;
});

/** A store that takes nothing away the first times. */
function stubborn(times: number): BlobStore {
  let left = times;
  return new Proxy<BlobStore>(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (name === 'remove' && left-- > 0) return async () => Promise.reject(new Error('not now'));
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

const landed = async () => {
  await store.putIfAbsent(manifestKey(FOLDER), Buffer.from('{}'));
  throw new Error('the answer was lost');
};
const isThere = async (key: string) => (await store.stat(key)) !== null;

it('takes away a manifest whose put failed to us, and landed', async () => {
  await discardManifest(store, FOLDER, landed());
  expect(await isThere(manifestKey(FOLDER))).toBe(false);
  expect(await isThere(rolledBackKey(FOLDER))).toBe(false);
});

it('tries again, and says meanwhile that nothing came of it', async () => {
  await discardManifest(stubborn(3), FOLDER, landed(), 1);
  expect(await isThere(manifestKey(FOLDER))).toBe(false);
  expect(await isThere(rolledBackKey(FOLDER))).toBe(true);
});

it('gives up at last, which leaves the mark', async () => {
  await discardManifest(stubborn(100), FOLDER, landed(), 0);
  expect(await isThere(manifestKey(FOLDER))).toBe(true);
  expect(await isThere(rolledBackKey(FOLDER))).toBe(true);
});
