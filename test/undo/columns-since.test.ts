import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { type Manifest, readManifest } from '../../src/snapshot/manifest.ts';
import { Parser } from '../../src/sql/parsing/parser.ts';
import { connectForUndo, type PgSession } from '../../src/undo/pg-session.ts';
import { undo } from '../../src/undo/undo.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { ownSnapshot, snap } from './put-back.ts';

describe.each([15, 18] as const)('an undo of rows that have columns since, on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let temporary: { readonly path: string; remove(): Promise<void> };
  let client: RawClient;
  let session: PgSession;
  let store: DirectoryBlobStore;
  let parser: Parser;
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    temporary = await temporaryFolder();
    client = await RawClient.open(postgres.port);
    session = await connectForUndo(postgres.url());
    store = new DirectoryBlobStore(temporary.path);
    parser = await Parser.create();
  });
  afterAll(async () => {
    client?.destroy();
    await session?.close();
    await postgres?.stop();
    await temporary?.remove();
  });

  /** Does it to a table of that definition, and adds a column behind it, which has 7 in each row. */
  async function widenedBehind(definition: string, sql: string): Promise<Manifest> {
    await client.rows(`DROP TABLE IF EXISTS t; CREATE TABLE t ${definition}`);
    const snapped = await snap({ client, store, parser }, { sql, parameters: [] });
    if (snapped.kind === 'without') throw new Error(snapped.reason);
    await client.rows('ALTER TABLE t ADD COLUMN extra int DEFAULT 5; UPDATE t SET extra = 7');
    return snapped.manifest;
  }

  const rows = async () => (await client.rows('SELECT t::text FROM t ORDER BY 1')).map(([row]) => row);
  const undone = async (manifest: Manifest) => {
    const snapshot = ownSnapshot();
    const outcome = await undo({ store, manifest, session }, { snapshot });
    return { outcome, own: () => readManifest(store, snapshot.folder) };
  };
  const REFUSED = {
    kind: 'refused',
    problems: [{ reason: expect.stringContaining('it has columns since, whose values') }],
  };
  const KEYED = '(id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1), (2, 2)';

  it('sets them back in their place, and undoes that, with what the columns have', async () => {
    const manifest = await widenedBehind(KEYED, 'UPDATE t SET n = n + 10');
    const { outcome, own } = await undone(manifest);
    expect([outcome.kind, await rows()]).toEqual(['done', ['(1,1,7)', '(2,2,7)']]);
    const again = await undone(await own());
    expect([again.outcome.kind, await rows()]).toEqual(['done', ['(1,11,7)', '(2,12,7)']]);
    expect([(await undone(await again.own())).outcome.kind, await rows()]).toEqual([
      'done',
      ['(1,1,7)', '(2,2,7)'],
    ]);
  });

  it('puts them back with the default, and removes none again, whose values nothing would have', async () => {
    const manifest = await widenedBehind(KEYED, 'DELETE FROM t WHERE id = 1');
    const { outcome, own } = await undone(manifest);
    expect([outcome.kind, await rows()]).toEqual(['done', ['(1,1,5)', '(2,2,7)']]);
    expect((await undone(await own())).outcome).toMatchObject(REFUSED);
    const without = await undo({ store, manifest: await own(), session });
    expect([without.kind, await rows()]).toEqual(['done', ['(2,2,7)']]);
  });

  it.each([
    ['are removed', KEYED, 'INSERT INTO t VALUES (1, 5), (3, 3) ON CONFLICT (id) DO UPDATE SET n = 5'],
    ['have no key', '(n int); INSERT INTO t VALUES (1), (2)', 'UPDATE t SET n = n + 10'],
    [
      'pass a unique value on',
      '(id int PRIMARY KEY, n int UNIQUE); INSERT INTO t VALUES (2, 2), (1, 1)',
      'UPDATE t SET n = n + 1',
    ],
    [
      'have an identity that nobody may set',
      '(id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int); INSERT INTO t (n) VALUES (1), (2)',
      'UPDATE t SET id = DEFAULT',
    ],
  ])('refuses where rows %s', async (_, definition, sql) => {
    const manifest = await widenedBehind(definition, sql);
    const before = await rows();
    expect((await undone(manifest)).outcome).toMatchObject(REFUSED);
    expect(await rows()).toEqual(before);
  });
});
