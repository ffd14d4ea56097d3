import { generateKeyPairSync } from 'node:crypto';
import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { anchorKey, encodeAnchor, type SigningKey, signHead, signingKey } from '../src/audit/signed-head.ts';
import { createLogger } from '../src/base/log.ts';
import { Metrics } from '../src/base/metrics.ts';
import { DirectoryBlobStore } from '../src/blobs/directory-blob-store.ts';
import { snapshotFolder } from '../src/snapshot/manifest.ts';
import { SealingStore } from '../src/snapshot/sealing-store.ts';
import { SnapshotSweeper } from '../src/snapshot-sweeper.ts';
import { ChainedStore } from './audit/chained-store.ts';
import { holdfast } from './cli/support.ts';
import { putRowless, putSnapshot } from './snapshot/old-snapshots.ts';
import { temporaryFolder } from './store/temporary-folder.ts';
import { startGateway, type TestGateway } from './support/gateway.ts';
import { startPostgres, type TestPostgres } from './support/postgres.ts';
import { eventually } from './support/process-facts.ts';

const DAY_MS = 24 * 60 * 60_000;

let postgres: TestPostgres;
let gateway: TestGateway;
let folder: { readonly path: string; remove(): Promise<void> };
let store: DirectoryBlobStore;
/** Of how many days ago. */
const ids: Record<number, string> = {};

beforeAll(async () => {
  postgres = await startPostgres();
  folder = await temporaryFolder();
  store = new DirectoryBlobStore(folder.path);
  for (const days of [0, 5, 9]) {
    ids[days] = await putSnapshot(store, Date.now() - days * DAY_MS, { directory: folder.path });
  }
  await putSnapshot(store, Date.now() - 2 * DAY_MS, { directory: folder.path, manifest: false });
});
afterAll(async () => {
  await gateway?.stop();
  await postgres?.stop();
  await store?.close();
  await folder?.remove();
});

async function left(of = store): Promise<string[]> {
  const found = new Set<string>();
  for await (const { key } of of.list('snapshots/')) found.add(key.split('/')[4]!);
  return [...found];
}

it('a clock that is a year ahead for a moment makes nothing old', async () => {
  const audit = await ChainedStore.create();
  await audit.start();
  const own = await temporaryFolder();
  const blobs = new DirectoryBlobStore(own.path);
  const id = await putSnapshot(blobs, Date.now() - 2 * DAY_MS, { directory: own.path });
  const wall = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 365 * DAY_MS);
  try {
    const sweeper = new SnapshotSweeper({
      ...{ store: blobs, retention: { ageMs: 30 * DAY_MS, bytes: null }, audit: audit.log },
      ...{ keys: new Map(), metrics: new Metrics(), log: createLogger('silent') },
    });
    await sweeper.sweep();
    await sweeper.close();
    expect(await left(blobs)).toEqual([id]);
  } finally {
    wall.mockRestore();
    await audit.stop();
    await audit.remove();
    await blobs.close();
    await own.remove();
  }
});

it('leaves what another gateway has signed, and says that there is one', async () => {
  const audit = await ChainedStore.create();
  await audit.start();
  const own = await temporaryFolder();
  const blobs = new DirectoryBlobStore(own.path);
  const [ours, before, theirs] = [1, 2, 3].map(() =>
    signingKey(generateKeyPairSync('ed25519').privateKey),
  ) as [SigningKey, SigningKey, SigningKey];
  const ids: string[] = [];
  for (const key of [ours, before, theirs]) {
    const atMs = Date.now() - 40 * DAY_MS;
    const id = await putRowless(new SealingStore(blobs, key), atMs, 'truncate');
    await utimes(join(own.path, snapshotFolder(id, atMs), 'manifest.json'), atMs / 1000, atMs / 1000);
    const first = { sequence: 0, hash: Buffer.alloc(32), time: new Date(atMs).toISOString() };
    const head = signHead(first, key);
    await blobs.putIfAbsent(anchorKey(head), encodeAnchor(head));
    ids.push(id);
  }
  const warnings: unknown[] = [];
  const sweeper = new SnapshotSweeper({
    ...{
      store: blobs,
      retention: { ageMs: 30 * DAY_MS, bytes: 1 },
      audit: audit.log,
      metrics: new Metrics(),
    },
    keys: new Map([ours, before].map(({ id, publicKey }) => [id, publicKey])),
    log: { ...createLogger('silent'), info: vi.fn(), warn: (...said: unknown[]) => void warnings.push(said) },
  });
  await sweeper.sweep();
  await sweeper.sweep();
  await sweeper.close();
  expect(await left(blobs)).toEqual([ids[2]]);
  const leaving = [{ snapshots: 1 }, expect.stringContaining('another key has signed them')];
  expect(warnings).toEqual([
    [{ keys: [theirs.id] }, expect.stringContaining('another gateway keeps its snapshots')],
    ...[leaving, leaving],
  ]);
  await audit.stop();
  await audit.remove();
  await blobs.close();
  await own.remove();
});

it('holdfast snapshots prune says what would go, and has it go', async () => {
  const args = ['snapshots', 'prune', '--snapshots', folder.path];
  const tried = await holdfast([...args, '--bytes', '2KiB', '--dry-run']);
  expect(tried.out).toMatch(new RegExp(`^${ids[9]}  .* 1002 B  over the size$`, 'm'));
  expect(tried.out).toMatch(/^3 folders would be removed \(2\.9 KiB\), 1 snapshot kept \(1002 B\) in file:/m);
  expect(await left()).toHaveLength(4);
  expect((await holdfast([...args, '--bytes', '2 miles'])).code).toBe(2);
  const done = await holdfast([...args, '--days', '8', '--json']);
  expect(JSON.parse(done.out)).toMatchObject({
    removed: 2,
    items: [{ id: ids[9], reason: 'age' }, { reason: 'leftover' }],
    kept: { snapshots: 2, bytes: 2004 },
  });
  expect(await left()).toEqual([ids[5], ids[0]]);
});

it('a gateway removes at its start what is too old, and says so in the audit and the metrics', async () => {
  gateway = await startGateway({
    upstreamPort: postgres.port,
    environment: { HOLDFAST_SNAPSHOTS: `file:${folder.path}`, HOLDFAST_SNAPSHOTS_RETENTION_DAYS: '3' },
  });
  await eventually('the sweep', async () => ((await left()).length === 1 ? null : 'they are all there'));
  expect(await left()).toEqual([ids[0]]);
  await eventually('the audit', async () => {
    const { items } = (await gateway.http('/v1/audit?rule=admin')).body as { items: unknown[] };
    if (items.length === 0) return 'there is no event';
    expect(items).toMatchObject([
      {
        sql: `holdfast snapshots delete ${ids[5]}`,
        role: 'holdfast',
        reason: 'older than snapshots_retention.days',
        end: 'completed',
      },
    ]);
    return null;
  });
  await eventually('the metrics', async () => {
    return (await gateway.metric('holdfast_snapshots_kept')) === 1 ? null : 'none is kept';
  });
  expect(await gateway.metric('holdfast_snapshots_removed_total')).toBe(1);
  expect(await gateway.metric('holdfast_snapshots_removed_bytes_total')).toBe(1002);
  expect(gateway.log()).toContain('snapshots were removed');
});
