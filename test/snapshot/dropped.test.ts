import { expect, it } from 'vitest';
import type { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { droppedSnapshots } from '../../src/snapshot/dropped.ts';
import { readManifest, snapshotFolder } from '../../src/snapshot/manifest.ts';
import { markEmptied, markInTrash, markPurged, markRolledBack } from '../../src/snapshot/snapshots.ts';
import { ownStore } from '../blobs/own-store.ts';
import { putRowless } from './old-snapshots.ts';

let store: DirectoryBlobStore;
ownStore((own) => {
  store = own;
});

it('reads no manifest but of what may be in the trash, of which there are few among many', async () => {
  const nowMs = Date.now();
  const ids: string[] = [];
  for (let i = 0; i < 8; i++) ids.push(await putRowless(store, nowMs + i, i < 4 ? 'truncate' : 'drop'));
  const at = (i: number) => snapshotFolder(ids[i]!, nowMs + i);
  for (const i of [4, 5, 6, 7]) await markInTrash(store, at(i));
  await markPurged(store, at(5), nowMs);
  await markEmptied(store, at(6), nowMs);
  await markRolledBack(store, at(7), nowMs);
  const read: string[] = [];
  const found: string[] = [];
  const reading = async (each: string) => {
    read.push(each);
    return await readManifest(store, each);
  };
  for await (const { id } of droppedSnapshots(
    store,
    () => true,
    reading,
    () => {},
  ))
    found.push(id);
  expect(found).toEqual([ids[4]]);
  expect(read).toEqual([at(4)]);
});
