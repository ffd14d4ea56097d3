import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { newId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { fromManifest, type Manifest, readManifest, snapshotFolder } from '../../src/snapshot/manifest.ts';
import type { CapturePlan, PlannedTable } from '../../src/snapshot/plan.ts';
import { SnapshotWriter } from '../../src/snapshot/snapshot-writer.ts';
import { findSnapshot, listSnapshots, removeSnapshot, verifySnapshot } from '../../src/snapshot/snapshots.ts';
import { ownStore } from '../blobs/own-store.ts';

const TABLE = {
  oid: 7,
  schema: 'public',
  name: 't',
  cause: { kind: 'target' },
  changes: ['delete'],
  key: null,
  columns: [
    {
      name: 'a',
      attribute: 1,
      type: { oid: 25, schema: 'pg_catalog', name: 'text', modifier: -1, formatted: 'text' },
      notNull: false,
      generated: '',
      identity: '',
      hasDefault: false,
      collation: null,
      binary: true,
    },
  ],
  source: 0,
  direct: true,
  mayGainRows: false,
} as unknown as PlannedTable;
const PLAN = { sources: [{ resultFormats: [1, 1, 1] }], tables: [TABLE] } as unknown as CapturePlan;
const ROW = Buffer.from([0, 1, 0, 0, 0, 1, 0x61]);
const DAY = Date.UTC(2026, 10, 21);
const DAY_MS = 24 * 60 * 60_000;

let store: BlobStore;
let directory: string;
ownStore((own, path) => {
  store = own;
  directory = path;
});

async function write(id: string, rows = 3, atMs = DAY): Promise<Manifest> {
  const writer = new SnapshotWriter(store, snapshotFolder(id, atMs), 1_000, 0);
  const sink = writer.open(TABLE, 'before');
  for (let i = 0; i < rows; i++) await sink.write(ROW);
  return await finish(writer, id, rows);
}

async function finish(writer: SnapshotWriter, id: string, rows: number): Promise<Manifest> {
  const counted = { inserted: 0, updated: 0, deleted: rows };
  const proved = { tables: [{ table: TABLE, before: rows, after: 0, counted }], added: [] };
  return await writer.finish(PLAN, proved, {
    id,
    created_at: new Date(DAY).toISOString(),
    gateway: '0.1.0',
    session: { id: 's', role: 'r', database: 'd', application: '', client: '' },
    server: { version_num: 180_000, encoding: 'UTF8' },
    xid: '1',
    statement: { text: '', sha256: '', operation: 'delete', parameters: 0 },
    decision: { rule: '', risk: '' },
    approval_id: null,
  });
}

async function keys(): Promise<string[]> {
  const out: string[] = [];
  for await (const { key } of store.list('')) out.push(key);
  return out;
}

it('a snapshot of a time in which the clock was ahead is found by its id', async () => {
  const aheadMs = Date.now() + 400 * DAY_MS;
  const id = newId('snap', aheadMs);
  await write(id, 1, aheadMs);
  expect(await findSnapshot(store, id)).toMatchObject({ id, folder: snapshotFolder(id, aheadMs) });
  await expect(findSnapshot(store, newId('snap', 2 ** 49))).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

describe('a snapshot that is written', () => {
  it('has its files and a manifest that tells of them', async () => {
    const manifest = await write('snap_1');
    const at = snapshotFolder('snap_1', DAY);
    expect(await keys()).toEqual([`${at}/0.before.pgcopy.zst`, `${at}/manifest.json`]);
    expect(await readManifest(store, at)).toEqual(manifest);
    expect(manifest.tables[0]).toMatchObject({ oid: 7, after: null, before: { rows: 3 } });
    expect(manifest.tables[0]!.columns[0]).toMatchObject({ name: 'a', attribute: 1, format: 'binary' });
  });

  it('is one file where it has few rows, and takes as many as it needs where they are more', async () => {
    const noise = (bytes: number) => {
      const row = Buffer.concat([Buffer.from([0, 1, 0, 0, 0, 0]), randomBytes(bytes)]);
      row.writeInt32BE(bytes, 2);
      return row;
    };
    for (const [i, [rows, row, files]] of [
      [1, ROW, 0],
      [1, noise(7_000), 0],
      [1, noise(9_000), 1],
      [5_000, ROW, 1],
      [1, noise(LIMITS.snapshotBlockBytes * 2), 1],
    ].entries() as Iterable<[number, [number, Buffer, number]]>) {
      const at = snapshotFolder(`snap_${i}`, DAY);
      const writer = new SnapshotWriter(store, at);
      const sink = writer.open(TABLE, 'before');
      for (let n = 0; n < rows; n++) await sink.write(row);
      const manifest = await finish(writer, `snap_${i}`, rows);
      expect([rows, row.length, (await keys()).filter((key) => key.startsWith(at)).length]).toEqual([
        rows,
        row.length,
        1 + files,
      ]);
      const read = await readManifest(store, at);
      expect(read).toEqual(manifest);
      expect(await verifySnapshot(store, read)).toMatchObject({ files: 1, rows, faults: [] });
    }
  });

  it('is verified also where its rows are in the manifest', async () => {
    const writer = new SnapshotWriter(store, snapshotFolder('snap_1', DAY));
    await writer.open(TABLE, 'before').write(ROW);
    const manifest = await finish(writer, 'snap_1', 1);
    const file = manifest.tables[0]!.before as { inline: string };
    const bytes = Buffer.from(file.inline, 'base64');
    bytes[12]! ^= 4;
    file.inline = bytes.toString('base64');
    expect((await verifySnapshot(store, manifest)).faults).toMatchObject([{ blob: 'manifest.json' }]);
  });

  it('leaves nothing where it is given up, at any point', async () => {
    const early = new SnapshotWriter(store, snapshotFolder('snap_1', DAY), 1_000, 0);
    await early.open(TABLE, 'before').write(ROW);
    await early.abort();
    expect(await keys()).toEqual([]);
    const late = new SnapshotWriter(store, snapshotFolder('snap_2', DAY), 1_000, 0);
    await late.open(TABLE, 'before').write(ROW);
    await finish(late, 'snap_2', 1);
    await late.abort();
    expect(await keys()).toEqual([]);
  });

  it('tells what went wrong with a file, and leaves nothing', async () => {
    const broken = Object.create(store, {
      create: { value: () => Promise.reject(new Error('no space')) },
    }) as BlobStore;
    const writer = new SnapshotWriter(broken, snapshotFolder('snap_1', DAY), 1_000, 0);
    await expect(writer.open(TABLE, 'before').write(ROW)).rejects.toThrow('no space');
    await expect(finish(writer, 'snap_1', 1)).rejects.toThrow('no space');
    await writer.abort();
    expect(await keys()).toEqual([]);
  });
});

describe('snapshots', () => {
  async function listed(from: string, to: string): Promise<string[]> {
    const out: string[] = [];
    for await (const { id, day } of listSnapshots(store, { from, to })) out.push(`${day} ${id}`);
    return out;
  }

  it('are listed by day, the newest first, if they have a manifest', async () => {
    await write('snap_1');
    await write('snap_2');
    await write('snap_3', 1, DAY + DAY_MS);
    const unfinished = new SnapshotWriter(store, snapshotFolder('snap_4', DAY), 1_000, 0);
    await unfinished.open(TABLE, 'before').write(ROW);
    expect(await listed('2026-11-20', '2026-11-22')).toEqual([
      '2026-11-22 snap_3',
      '2026-11-21 snap_2',
      '2026-11-21 snap_1',
    ]);
    expect(await listed('2026-11-21', '2026-11-21')).toEqual(['2026-11-21 snap_2', '2026-11-21 snap_1']);
    expect(await listed('2026-11-22', '2026-11-21')).toEqual([]);
    await unfinished.abort();
  });

  it('are not looked for in no day, or in too many', async () => {
    await expect(listed('yesterday', '2026-11-21')).rejects.toThrow('is no day');
    await expect(listed('1970-01-01', '2026-11-21')).rejects.toThrow('too many');
  });

  it('are verified byte by byte', async () => {
    const manifest = await write('snap_1', 500);
    expect(await verifySnapshot(store, manifest)).toMatchObject({ files: 1, rows: 500, faults: [] });
    const { blob } = fromManifest(manifest.tables[0]!.before!);
    const path = join(directory, blob);
    const bytes = await readFile(path);
    bytes[20]! ^= 4;
    await writeFile(path, bytes);
    expect((await verifySnapshot(store, manifest)).faults).toMatchObject([{ blob }]);
    await store.remove(blob);
    expect((await verifySnapshot(store, manifest)).faults).toMatchObject([{ blob }]);
  });

  it('are gone with all their files', async () => {
    await write('snap_1');
    await removeSnapshot(store, snapshotFolder('snap_1', DAY));
    expect(await keys()).toEqual([]);
  });
});
