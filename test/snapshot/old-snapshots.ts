import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { newId } from '../../src/base/ids.ts';
import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { snapshotFolder } from '../../src/snapshot/manifest.ts';

/** Something like a snapshot, of that time: a file of so many bytes and a manifest, unless it is to lack one. */
export async function putSnapshot(
  store: BlobStore,
  atMs: number,
  { bytes = 1000, manifest = true, rows = true, rolledBack = false, directory = '' } = {},
): Promise<string> {
  const id = newId('snap', atMs);
  const folder = snapshotFolder(id, atMs);
  const keys = rows ? [`${folder}/0.before.pgcopy.gz`] : [];
  if (manifest) keys.push(`${folder}/manifest.json`);
  if (rolledBack) keys.push(`${folder}/rolled-back.json`);
  for (const key of keys) {
    await store.putIfAbsent(key, Buffer.alloc(key.endsWith('.gz') ? bytes : 2, '{}'));
    if (directory !== '') await utimes(join(directory, key), atMs / 1000, atMs / 1000);
  }
  return id;
}
