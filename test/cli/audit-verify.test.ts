import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ChainedStore } from '../audit/chained-store.ts';
import { entry } from '../audit/statements.ts';
import { holdfast } from './support.ts';

let audit: ChainedStore;
let given: string[];

beforeAll(async () => {
  audit = await ChainedStore.create();
  await audit.start();
  for (let i = 0; i < 30; i++) {
    audit.log.finish(entry({ text: `select ${i}` }));
    if (i % 10 === 9) await audit.log.flush();
  }
  await audit.stop();
  given = ['audit', 'verify', '--store', audit.path, '--anchors', audit.anchors];
});
afterAll(() => audit.remove());

it('says that an audit is intact, and of what it was sure', async () => {
  const { code, out, err } = await holdfast(given);
  expect([code, err]).toEqual([0, '']);
  expect(out).toMatch(/^records +30, the last is 30$/m);
  expect(out).toMatch(/^heads +2, signed up to record 30$/m);
  expect(out).toMatch(/^anchors +2, up to record 30$/m);
  expect(out).toMatch(/^key +[0-9a-f]{16} \(as the store says; --public-key proves it\)$/m);
  expect(out).toMatch(/^verdict +intact$/m);
});

it('takes store, anchors and key from the configuration, and the key that it prints', async () => {
  const env = {
    HOLDFAST_STORE: `sqlite:${audit.path}`,
    HOLDFAST_SNAPSHOTS: `file:${audit.anchors}`,
  };
  const { out: pem, code } = await holdfast(['audit', 'key'], { env });
  expect(code).toBe(0);
  expect(pem).toMatch(/^-----BEGIN PUBLIC KEY-----\n/);
  const file = join(audit.folder, 'public.pem');
  writeFileSync(file, pem);
  const verified = await holdfast(['audit', 'verify', '--public-key', file, '--json'], { env });
  expect(verified.code).toBe(0);
  const { id } = JSON.parse((await holdfast(['audit', 'key', '--json'], { env })).out);
  expect(JSON.parse(verified.out)).toMatchObject({
    ok: true,
    store: audit.path,
    records: 30,
    last: 30,
    chained_from: 1,
    signed_to: 30,
    anchored_to: 30,
    anchors_of_others: 0,
    keys: [id],
    faults: [],
  });
});

it('does without anchors, and says what that means', async () => {
  const { code, out } = await holdfast([
    'audit',
    'verify',
    '--store',
    `sqlite:${audit.path}`,
    '--no-anchors',
  ]);
  expect(code).toBe(0);
  expect(out).toMatch(/^anchors +not compared: what is missing at the end is not found without them$/m);
});

it('names what is wrong, and exits with 1', async () => {
  audit.tamper((database) => database.exec('delete from audit_blocks where first_seq = 11'));
  const { code, out } = await holdfast(given);
  expect(code).toBe(1);
  expect(out).toMatch(/^verdict +1 fault$/m);
  expect(out).toMatch(/^missing: records 11 to 20: not there$/m);
  const json = JSON.parse((await holdfast([...given, '--json'])).out);
  expect(json).toMatchObject({ ok: false, fault_count: 1 });
  expect(json.faults[0]).toEqual({ kind: 'missing', first: 11, last: 20, time: null, what: 'not there' });
});

it.each([
  [['--store', '/nonexistent/h.db'], 1, 'there is no store /nonexistent/h.db'],
  [['--store', 'postgres://x'], 2, 'a store in PostgreSQL is not there in this version'],
  [['--public-key', '/nonexistent/key.pem'], 2, 'the key of the audit /nonexistent/key.pem cannot be used'],
  [['--anchors', 's3://B'], 2, 'the place for snapshots'],
  [['--keys', 'x'], 2, "unknown option '--keys'"],
])('%j is answered with %i', async (more, expected, message) => {
  const { code, err } = await holdfast([...given, ...more]);
  expect(err).toContain(message);
  expect(code).toBe(expected);
});
