import { describe, expect, it } from 'vitest';
import type { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { type Manifest, readManifest } from '../../src/snapshot/manifest.ts';
import type { Parser } from '../../src/sql/parsing/parser.ts';
import type { PgSession } from '../../src/undo/pg-session.ts';
import { restoreInto } from '../../src/undo/restore-into.ts';
import { previewUndo, type UndoOptions, undo } from '../../src/undo/undo.ts';
import type { RawClient } from '../support/raw-client.ts';
import { type Begun, COLUMNS_SINCE, REFUSED_SINCE } from './columns-since.ts';
import { contents, ownSnapshot, snap } from './put-back.ts';
import { undoByTest } from './undo-by-test.ts';

describe.each([15, 18] as const)('an undo of rows that have columns since, on PostgreSQL %i', (version) => {
  let client: RawClient;
  let session: PgSession;
  let store: DirectoryBlobStore;
  let parser: Parser;
  undoByTest(version, (under) => {
    ({ client, session, store, parser } = under);
  });

  /** Does it to tables of the schema `w`, which others change behind it. */
  async function begin({ setup, statement, since }: Begun): Promise<Manifest> {
    await client.rows(
      `DROP SCHEMA IF EXISTS w CASCADE; CREATE SCHEMA w; SET search_path = w, pg_catalog; ${setup}`,
    );
    const snapped = await snap({ client, store, parser }, { sql: statement, parameters: [] });
    if (snapped.kind === 'without') throw new Error(snapped.reason);
    await client.rows(since);
    return snapped.manifest;
  }

  const bytes = async () => await contents(client, 'w');
  const told = async (sql = 'SELECT t::text FROM t ORDER BY 1') =>
    (await client.rows(sql)).map(([row]) => row);

  /** Undoes it with a snapshot of that, and gives its manifest. */
  async function undone(manifest: Manifest, options: UndoOptions = {}): Promise<Manifest> {
    const snapshot = ownSnapshot();
    expect(await undo({ store, manifest, session }, { ...options, snapshot })).toMatchObject({
      kind: 'done',
    });
    return await readManifest(store, snapshot.folder);
  }

  it.each(COLUMNS_SINCE.filter(({ from = 15 }) => from <= version))('$name', async (example) => {
    const manifest = await begin(example);
    const stood = await bytes();
    let own = await undone(manifest, example.options);
    expect(await told(example.shown)).toEqual(example.undone);
    const states = [stood, await bytes()];
    // Undone and undone again, it is always the one or the other, byte for byte.
    for (const time of [0, 1, 2, 3]) {
      own = await undone(own, example.again);
      expect(await bytes()).toEqual(states[time % 2]);
    }
  });

  it.each(REFUSED_SINCE.filter(({ from = 15 }) => from <= version))('refuses $name', async (example) => {
    const manifest = await begin(example);
    const before = await bytes();
    const snapshot = ownSnapshot();
    const options = { ...example.options, snapshot };
    expect(await undo({ store, manifest, session }, options)).toMatchObject(example.outcome);
    expect(await bytes()).toEqual(before);
    const left: string[] = [];
    for await (const { key } of store.list(snapshot.folder)) left.push(key);
    expect(left).toEqual([]);
    if (example.outcome.kind === 'refused' && example.onlyByDoing !== true)
      expect(await previewUndo({ store, manifest, session })).toMatchObject(example.outcome);
  });

  it('keeps what new columns have in rows that are made anew, without a snapshot as well', async () => {
    const manifest = await begin({
      setup: 'CREATE TABLE t (id int PRIMARY KEY, n int UNIQUE); INSERT INTO t VALUES (2, 2), (1, 1)',
      statement: 'UPDATE t SET n = n + 1',
      since: 'ALTER TABLE t ADD COLUMN extra int DEFAULT 5; UPDATE t SET extra = 6 + id',
    });
    expect(await undo({ store, manifest, session })).toMatchObject({ kind: 'done' });
    expect(await told()).toEqual(['(1,1,7)', '(2,2,8)']);
  });

  it('undoes an undo behind a column that was added between the two', async () => {
    const manifest = await begin({
      setup: 'CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1), (2, 2)',
      statement: 'DELETE FROM t WHERE id = 1',
      since: 'ALTER TABLE t ADD COLUMN a int DEFAULT 5',
    });
    const first = await undone(manifest);
    await client.rows('ALTER TABLE t ADD COLUMN b int DEFAULT 6; UPDATE t SET b = 60 + id; ANALYZE t');
    const stood = await bytes();
    const second = await undone(first);
    expect(await told()).toEqual(['(2,2,5,62)']);
    await undone(second);
    expect(await bytes()).toEqual(stood);
    // The rows of the statement itself get the defaults again.
    await client.rows('DELETE FROM t WHERE id = 1');
    await undone(manifest);
    expect(await told()).toEqual(['(1,1,5,6)', '(2,2,5,62)']);
  });

  it('keeps all digits of what it keeps as text, whatever the role has set', async () => {
    const manifest = await begin({
      setup: 'CREATE TABLE t (id int PRIMARY KEY, n int)',
      statement: 'INSERT INTO t VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = 1',
      since: `CREATE TYPE odd AS (f float8, x aclitem); ALTER TABLE t ADD COLUMN o odd DEFAULT ROW(0.1::float8 + 0.2::float8, NULL)`,
    });
    await session.query('SET extra_float_digits = 0');
    const own = await undone(manifest);
    expect(await told()).toEqual([]);
    await undone(own);
    await session.query('RESET extra_float_digits');
    expect(await told()).toEqual(['(1,1,"(0.30000000000000004,)")']);
  });

  it('describes the table as it stands, for undo and for people', async () => {
    const manifest = await begin({
      setup: 'CREATE TABLE t (n int, was text); INSERT INTO t VALUES (1, NULL), (2, NULL)',
      statement: 'DELETE FROM t WHERE n = 1',
      since: `ALTER TABLE t ADD COLUMN id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ADD COLUMN d xml DEFAULT '<a/>',
        ADD COLUMN g int GENERATED ALWAYS AS (n + 1) STORED, ALTER COLUMN n SET NOT NULL;
        ALTER TABLE t RENAME COLUMN was TO is_now; ALTER TABLE t RENAME TO u; ALTER TABLE u RENAME TO t`,
    });
    const own = await undone(manifest);
    expect(own.tables[0]!.key).toEqual(['id']);
    expect(own.tables[0]!.columns).toMatchObject([
      { name: 'n', attribute: 1, not_null: true, format: 'binary' },
      { name: 'is_now', attribute: 2, not_null: false, identity: '' },
      { name: 'id', attribute: 3, not_null: true, identity: 'a', type: { name: 'int4', modifier: -1 } },
      { name: 'd', attribute: 4, format: 'text' },
    ]);
    const into = { schema: 'w', name: 'copied' };
    expect(await restoreInto({ store, manifest: await undone(own), session }, { into })).toMatchObject({
      kind: 'done',
    });
    expect(await told('SELECT c::text FROM copied c')).toEqual(['(1,,2,<a/>)']);
  });
});
