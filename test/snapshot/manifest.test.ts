import { describe, expect, it } from 'vitest';
import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { type Manifest, readManifest, snapshotFolder, writeManifest } from '../../src/snapshot/manifest.ts';
import { ownStore } from '../blobs/own-store.ts';

const FOLDER = snapshotFolder('snap_1', Date.UTC(2026, 10, 21, 23, 59));
const MANIFEST: Manifest = {
  format: 1,
  id: 'snap_1',
  created_at: '2026-11-21T23:59:00.000Z',
  gateway: '0.1.0',
  session: { id: 's1', role: 'größe', database: 'shop', application: 'psql', client: '127.0.0.1:5' },
  server: { version_num: 180004, encoding: 'UTF8' },
  xid: '18446744073709551615',
  statement: { text: 'delete from t where id = $1', sha256: 'ab', operation: 'delete', parameters: 1 },
  decision: { rule: 'default:high', risk: 'high' },
  approval_id: null,
  tables: [
    {
      schema: 'public',
      name: 'Odd "name"',
      oid: 4_294_967_295,
      cause: { kind: 'cascade', constraint: 'fk', level: 2 },
      columns: [
        {
          name: 'id',
          attribute: 1,
          type: { oid: 23, schema: 'pg_catalog', name: 'int4', modifier: -1 },
          not_null: true,
          generated: '',
          identity: 'a',
          format: 'binary',
        },
      ],
      key: ['id'],
      before: { blob: `${FOLDER}/0.before`, rows: 1, bytes: 2, sha256: '0'.repeat(64), raw_bytes: 3 },
      after: null,
      proof: { captured: 1, affected: null, server_delta: 1 },
    },
  ],
};

let store: BlobStore;
ownStore((own) => {
  store = own;
});

describe('a manifest', () => {
  it('lies in a folder of its day', () => {
    expect(FOLDER).toBe('snapshots/2026/11/21/snap_1');
  });

  it('comes back as it was written', async () => {
    await writeManifest(store, FOLDER, MANIFEST);
    expect(await readManifest(store, FOLDER)).toEqual(MANIFEST);
  });

  it('is written once', async () => {
    await writeManifest(store, FOLDER, MANIFEST);
    await expect(writeManifest(store, FOLDER, { ...MANIFEST, xid: '1' })).rejects.toMatchObject({
      code: 'SNAPSHOT_FAILED',
    });
    expect((await readManifest(store, FOLDER)).xid).toBe(MANIFEST.xid);
  });

  it('that is not there is not found', async () => {
    await expect(readManifest(store, FOLDER)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
  });

  it.each<[string, string]>([
    ['no JSON', '{'],
    ['of another format', JSON.stringify({ ...MANIFEST, format: 2 })],
    ['with a key that is not known', JSON.stringify({ ...MANIFEST, more: 1 })],
    ['without its tables', JSON.stringify({ ...MANIFEST, tables: undefined })],
  ])('cannot be read: %s', async (_, text) => {
    await store.putIfAbsent(`${FOLDER}/manifest.json`, Buffer.from(text));
    await expect(readManifest(store, FOLDER)).rejects.toMatchObject({ code: 'BLOB_DAMAGED' });
  });
});
