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

it.each([['./store-without-shapes.json']])('%s verifies, is read, and goes on', async (file) => {
  audit = await olderStore(file);
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
