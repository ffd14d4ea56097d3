import { generateKeyPairSync } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, it } from 'vitest';
import { signingKey } from '../../src/audit/signed-head.ts';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { type Manifest, readManifest, writeManifest } from '../../src/snapshot/manifest.ts';
import { problemOfSeal, readSealedManifest } from '../../src/snapshot/manifest-seal.ts';
import { SealingStore } from '../../src/snapshot/sealing-store.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';

const key = () => signingKey(generateKeyPairSync('ed25519').privateKey);
const trusting = (...keys: readonly ReturnType<typeof key>[]) =>
  new Map(keys.map(({ id, publicKey }) => [id, publicKey]));

const FOLDER = 'snapshots/2026/11/21/snap_1';
const MANIFEST: Manifest = {
  format: 1,
  id: 'snap_1',
  created_at: '2026-11-21T00:00:00.000Z',
  gateway: '0.1.0',
  session: { id: 's', role: 'anna', database: 'shop', application: '', client: '' },
  server: { version_num: 180004, encoding: 'UTF8' },
  xid: '7',
  statement: {
    text: 'drop table t -- ,\n "signature": {}\n}\n',
    sha256: '',
    operation: 'drop table',
    parameters: 0,
  },
  decision: { rule: 'r', risk: 'critical' },
  approval_id: null,
  tables: [],
  dropped: { objects: [], restores: [{ sql: 'SELECT 1', what: 'all' }], notes: [], binds: [] },
};
const ROWS: Manifest = { ...MANIFEST, dropped: undefined };

const folders: { remove(): Promise<void> }[] = [];
let path: string;
let store: DirectoryBlobStore;
const mine = key();

beforeEach(async () => {
  const folder = await temporaryFolder();
  folders.push(folder);
  path = folder.path;
  store = new DirectoryBlobStore(path);
});
afterAll(async () => {
  for (const folder of folders) await folder.remove();
});

const sealed = async (manifest = MANIFEST, signer = mine) =>
  await writeManifest(new SealingStore(store, signer), FOLDER, manifest);

const stateBy = async (...keys: readonly ReturnType<typeof key>[]) => {
  const read = await readSealedManifest(store, FOLDER, trusting(...keys));
  return [read.seal, problemOfSeal(read, trusting(...keys)) === null];
};

it('a manifest is believed that was signed with the key of the audit, or one before', async () => {
  await sealed();
  expect(await readManifest(store, FOLDER)).toEqual({
    ...MANIFEST,
    signature: { key: mine.id, value: expect.stringMatching(/^[\w+/=]{88}$/) },
  });
  expect(await stateBy(mine)).toEqual(['valid', true]);
  expect(await stateBy(key(), mine)).toEqual(['valid', true]);
  expect(await stateBy(key())).toEqual(['of an unknown key', false]);
});

it('none is that was changed in any byte, or moved', async () => {
  await sealed();
  const file = join(path, FOLDER, 'manifest.json');
  const text = await readFile(file, 'utf8');
  await writeFile(file, text.replace('SELECT 1', 'SELECT 2'));
  expect(await stateBy(mine)).toEqual(['wrong', false]);
  await writeFile(file, text.replace(/,\n "signature": .*\n\}\n$/, '\n}\n'));
  expect(await stateBy(mine)).toEqual(['none', false]);
  await writeFile(file, text.replace(/\n\}\n$/, ' \n}\n'));
  expect((await stateBy(mine))[1]).toBe(false);
  await writeFile(file, text);
  expect(await stateBy(mine)).toEqual(['valid', true]);
  await rename(join(path, FOLDER), join(path, `${FOLDER}0`));
  const moved = await readSealedManifest(store, `${FOLDER}0`, trusting(mine));
  expect(moved.seal).toBe('wrong');
});

it('where no key is known, one of rows is believed, and none with SQL', async () => {
  await sealed(ROWS);
  expect(await stateBy()).toEqual(['of an unknown key', true]);
  await store.remove(`${FOLDER}/manifest.json`);
  await sealed();
  expect(await stateBy()).toEqual(['of an unknown key', false]);
});

it('none is that nobody has signed', async () => {
  await writeManifest(store, FOLDER, ROWS);
  expect(await stateBy(mine)).toEqual(['none', false]);
});
