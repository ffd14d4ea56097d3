import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { newId } from '../../src/base/ids.ts';
import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { type Manifest, snapshotFolder, writeManifest } from '../../src/snapshot/manifest.ts';

/** Something like a snapshot, of that time: a file of so many bytes and a manifest, unless it is to lack one. */
export async function putSnapshot(
  store: BlobStore,
  atMs: number,
  { bytes = 1000, manifest = true, rows = true, rolledBack = false, directory = '' } = {},
): Promise<string> {
  const id = newId('snap', atMs);
  const folder = snapshotFolder(id, atMs);
  const keys = rows ? [`${folder}/0.before.pgcopy.zst`] : [];
  if (manifest) keys.push(`${folder}/manifest.json`);
  if (rolledBack) keys.push(`${folder}/rolled-back.json`);
  for (const key of keys) {
    await store.putIfAbsent(key, Buffer.alloc(key.endsWith('.zst') ? bytes : 2, '{}'));
    if (directory !== '') await utimes(join(directory, key), atMs / 1000, atMs / 1000);
  }
  return id;
}

/** A snapshot without a file of rows: of a DROP, or of the TRUNCATE of an empty table. */
export async function putRowless(
  store: BlobStore,
  atMs: number,
  operation: 'drop' | 'truncate',
): Promise<string> {
  const id = newId('snap', atMs);
  const manifest: Manifest = {
    format: 1,
    id,
    created_at: new Date(atMs).toISOString(),
    gateway: '0',
    session: { id: 's', role: 'r', database: 'd', application: '', client: '' },
    server: { version_num: 180000, encoding: 'UTF8' },
    xid: '1',
    statement: { text: operation, sha256: '', operation, parameters: 0 },
    decision: { rule: '', risk: '' },
    approval_id: null,
    tables: [],
    ...(operation === 'drop'
      ? { dropped: { objects: [], restores: [], notes: [], binds: [] } }
      : { sequences: [] }),
  };
  await writeManifest(store, snapshotFolder(id, atMs), manifest);
  return id;
}
