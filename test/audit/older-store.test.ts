import { DatabaseSync } from 'node:sqlite';
import { zstdDecompressSync } from 'node:zlib';
import { afterEach, expect, it } from 'vitest';
import { AuditQuery } from '../../src/audit/query.ts';
import type { ChainedStore } from './chained-store.ts';
import { olderStore } from './older-store.ts';
import { entry } from './statements.ts';

let audit: ChainedStore;

afterEach(async () => {
  await audit.stop();
  await audit.remove();
});

it('the audit of a version that wrote records of 48 bytes verifies, is read, and goes on', async () => {
  audit = await olderStore('./store-of-records.json');
  expect(await audit.verify()).toMatchObject({ faults: [], lastSeq: 31, chainedFrom: 1 });
  await audit.start();
  for (let i = 0; i < 3; i++) audit.log.finish(entry({ text: `select ${i}` }));
  await audit.log.flush();
  const query = new AuditQuery({ store: audit.store, log: audit.log });
  const { items } = await query.search({ filter: {}, cursor: null, limit: 100 });
  await query.close();
  expect(items.map(({ id }) => Number(id))).toEqual(Array.from({ length: 35 }, (_, i) => 35 - i));
  const bySeq = new Map(items.map((item) => [Number(item.id), item]));
  expect(bySeq.get(4)).toMatchObject({ sql: 'select 03', approval_id: 'apr_1', duration_ms: 0.429 });
  expect(bySeq.get(20)).toMatchObject({ sql: 'select 25', time: '2001-09-09T01:46:42.001666Z' });
  expect(bySeq.get(31)).toMatchObject({ sql_truncated: true, sqlstate: '22012', end: 'failed' });
  // It was under way as that version was killed.
  expect(bySeq.get(32)).toMatchObject({ sql: 'delete from orders', end: 'lost' });
  await audit.stop();
  expect(await audit.verify()).toMatchObject({ faults: [], lastSeq: 35, chainedFrom: 1, signedTo: 35 });
});

it('is found to be changed, wherever it is', async () => {
  audit = await olderStore('./store-of-records.json');
  const database = new DatabaseSync(audit.path);
  const set = database.prepare('update audit_blocks set encoding = ?, bytes = ? where first_seq = ?');
  const rows = database.prepare('select * from audit_blocks order by first_seq').all();
  for (const row of rows) {
    const stored = row['bytes'] as Uint8Array;
    const bytes = Buffer.from(row['encoding'] === 'zstd' ? zstdDecompressSync(stored) : stored);
    for (let at = 0; at < bytes.length; at += 1 + (bytes.length >> 6)) {
      bytes[at]! ^= 1 << (at & 7);
      set.run('raw', bytes, row['first_seq']!);
      expect((await audit.verify()).faultCount).toBeGreaterThan(0);
      bytes[at]! ^= 1 << (at & 7);
    }
    set.run(row['encoding']!, stored, row['first_seq']!);
  }
  database.close();
  expect((await audit.verify()).faults).toEqual([]);
});
