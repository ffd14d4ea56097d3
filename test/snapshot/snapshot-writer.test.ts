import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PutResult } from '../../src/blobs/blob-store.ts';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import type { CapturePlan, PlannedTable } from '../../src/snapshot/plan.ts';

import { type Proved, type SnapshotFacts, SnapshotWriter } from '../../src/snapshot/snapshot-writer.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';

/** Puts only when it is let to, and says when it was asked. */
class SlowStore extends DirectoryBlobStore {
  readonly asked = Promise.withResolvers<void>();
  readonly go = Promise.withResolvers<void>();

  override async putIfAbsent(key: string, bytes: Uint8Array): Promise<PutResult> {
    this.asked.resolve();
    await this.go.promise;
    return await super.putIfAbsent(key, bytes);
  }
}

const TABLE: PlannedTable = {
  oid: 1,
  schema: 's',
  name: 't',
  cause: { kind: 'target' },
  changes: ['delete'],
  key: null,
  columns: [],
  source: 0,
  direct: true,
  mayGainRows: false,
};
const PLAN = { tables: [TABLE], sources: [] } as unknown as CapturePlan;
const PROVED: Proved = {
  tables: [{ table: TABLE, before: 1, after: 0, counted: { inserted: 0, updated: 0, deleted: 1 } }],
  added: [],
};
const FACTS: SnapshotFacts = {
  id: 'snap_1',
  created_at: '2026-11-21T00:00:00.000Z',
  gateway: '0.1.0',
  session: { id: '', role: '', database: '', application: '', client: '' },
  server: { version_num: 180000, encoding: 'UTF8' },
  xid: '7',
  statement: { text: '', sha256: '', operation: 'delete', parameters: 0 },
  decision: { rule: '', risk: '' },
  approval_id: null,
};

describe('a snapshot that is given up', () => {
  let folder: { readonly path: string; remove(): Promise<void> };
  let store: SlowStore;
  let writer: SnapshotWriter;

  beforeEach(async () => {
    folder = await temporaryFolder();
    store = new SlowStore(folder.path);
    writer = new SnapshotWriter(store, 'snapshots/a', 1_000, 0);
    // A tuple of PGCOPY (no columns) and its place is gone already.
    await writer.open(TABLE, 'before').write(Buffer.of(0, 0));
  });
  afterEach(() => folder.remove());

  async function keys(): Promise<string[]> {
    const out: string[] = [];
    for await (const { key } of store.list('')) out.push(key);
    return out;
  }

  it('leaves nothing while its manifest is on its way', async () => {
    const finishing = writer.finish(PLAN, PROVED, FACTS);
    await store.asked.promise;
    const aborting = writer.abort();
    setTimeout(() => store.go.resolve(), 50);
    await Promise.allSettled([finishing, aborting]);
    expect(await keys()).toEqual([]);
  });

  it('leaves nothing while its files are on their way', async () => {
    store.go.resolve();
    const finishing = writer.finish(PLAN, PROVED, FACTS);
    const aborting = writer.abort();
    await expect(finishing).rejects.toThrow();
    await aborting;
    expect(await keys()).toEqual([]);
  });

  it('leaves nothing when it was finished', async () => {
    store.go.resolve();
    await writer.finish(PLAN, PROVED, FACTS);
    expect(await keys()).toEqual(['snapshots/a/0.before.pgcopy.zst', 'snapshots/a/manifest.json']);
    await writer.abort();
    expect(await keys()).toEqual([]);
  });
});
