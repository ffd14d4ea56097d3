import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import type { BlobWriter } from '../../src/blobs/blob-store.ts';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { fromManifest, readManifest } from '../../src/snapshot/manifest.ts';
import { verifySnapshot } from '../../src/snapshot/snapshots.ts';
import { Parser } from '../../src/sql/parsing/parser.ts';
import type { UndoOutcome } from '../../src/undo/outcome.ts';
import { connectForUndo, type PgSession } from '../../src/undo/pg-session.ts';
import { restoreInto } from '../../src/undo/restore-into.ts';
import { showRows } from '../../src/undo/show-rows.ts';
import { previewUndo, undo } from '../../src/undo/undo.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { EXAMPLES, type Example } from './examples.ts';
import { contents, ownSnapshot, type Setting, snap } from './put-back.ts';

const SCHEMA = 'x y';

/** Takes the first block of each blob. */
class FullStore extends DirectoryBlobStore {
  override async create(key: string): Promise<BlobWriter> {
    const writer = await super.create(key);
    let blocks = 0;
    return {
      write: async (chunk) => {
        if (blocks++ > 0) throw new HoldfastError('BLOBS_FULL', 'there is no space left');
        await writer.write(chunk);
      },
      finish: () => writer.finish(),
      abort: () => writer.abort(),
    };
  }
}

describe.each([15, 18] as const)('undo on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let folder: { readonly path: string; remove(): Promise<void> };
  let setting: Setting;

  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql(`ALTER DATABASE postgres SET search_path = "${SCHEMA}"; CREATE ROLE plain LOGIN;
      GRANT TEMP ON DATABASE postgres TO plain`);
    folder = await temporaryFolder();
    setting = {
      client: await RawClient.open(postgres.port),
      session: await connectForUndo(postgres.url()),
      store: new DirectoryBlobStore(folder.path),
      parser: await Parser.create(),
    };
  });
  afterAll(async () => {
    await setting?.session.close();
    setting?.client.destroy();
    await postgres?.stop();
    await folder?.remove();
  });

  async function prepare(setup: string, statement: string) {
    const { client } = setting;
    await client.rows(`DROP SCHEMA IF EXISTS "${SCHEMA}" CASCADE; CREATE SCHEMA "${SCHEMA}"; ${setup}`);
    const snapped = await snap(setting, { sql: statement, parameters: [] });
    if (snapped.kind === 'without') throw new Error(snapped.reason);
    return { ...setting, manifest: snapped.manifest };
  }

  async function play({ setup, statement, since, options, outcome: expected, end }: Example): Promise<void> {
    const { client } = setting;
    await client.rows(`DROP SCHEMA IF EXISTS "${SCHEMA}" CASCADE; CREATE SCHEMA "${SCHEMA}"; ${setup}`);
    const start = await contents(client, SCHEMA);
    const snapped = await snap(setting, { sql: statement, parameters: [] });
    if (snapped.kind === 'without') throw new Error(snapped.reason);
    if (since !== undefined) await client.rows(since);
    const before = await contents(client, SCHEMA);
    const outcome = await undo({ ...setting, manifest: snapped.manifest }, options);
    expect(shown(outcome)).toEqual(asShown(expected));
    if (typeof end === 'object') {
      const rows = await client.rows(end.sql);
      expect(rows.map((row) => row.join('|'))).toEqual(end.rows);
    } else {
      expect(await contents(client, SCHEMA)).toEqual(end === 'start' ? start : before);
    }
  }

  for (const [topic, examples] of Object.entries(EXAMPLES)) {
    describe(topic, () => {
      it.each(examples.map((example) => [example.name, example] as const))('%s', async (_, example) => {
        await play(example);
      });
    });
  }

  const ROWS = `CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 300) i`;

  it('is tried, and taken back', async () => {
    const request = await prepare(ROWS, 'DELETE FROM t WHERE id > 250');
    const outcome = await undo(request, { dryRun: true });
    expect(outcome).toMatchObject({ kind: 'done', dryRun: true, tables: [{ putBack: 50 }] });
    expect(await setting.client.rows('SELECT count(*) FROM t')).toEqual([['250']]);
  });

  it('does nothing a second time', async () => {
    const request = await prepare(ROWS, `UPDATE t SET v = 'x'`);
    expect(await undo(request)).toMatchObject({ tables: [{ setBack: 300, already: 0 }] });
    expect(await undo(request)).toMatchObject({ kind: 'done', tables: [{ setBack: 0, already: 300 }] });
  });

  it('is previewed, with conflicts page by page, and keeps nobody waiting', async () => {
    const request = await prepare(ROWS, `UPDATE t SET v = 'x'`);
    await setting.client.rows(`UPDATE t SET v = repeat('long', 1000) WHERE id % 2 = 0`);
    await setting.client.rows('BEGIN; UPDATE t SET v = v WHERE id = 1');
    const preview = await previewUndo(request, { page: { from: 100, max: 1000 } });
    await setting.client.rows('COMMIT');
    if (preview.kind !== 'preview') throw new Error(JSON.stringify(preview));
    expect(preview.tables).toEqual([
      { table: 'x y.t', putBack: 0, setBack: 150, removed: 0, already: 0, conflicts: 150 },
    ]);
    expect(preview.conflicts).toHaveLength(50);
    const [first] = preview.conflicts;
    expect(first).toMatchObject({ table: 'x y.t', undoing: 'set back', kind: 'changed', after: { v: 'x' } });
    expect(first?.before?.['v']).toBe(`v${first?.current?.['id']}`);
    expect(first?.current?.['v']).toBe('long'.repeat(50));
  });

  describe('with a snapshot of its own', () => {
    it('is undone, and what others had done is there again', async () => {
      const request = await prepare(ROWS, 'DELETE FROM t WHERE id > 290');
      await setting.client.rows(`INSERT INTO t VALUES (295, 'by others')`);
      const edited = await contents(setting.client, SCHEMA);
      const snapshot = ownSnapshot();
      expect((await undo(request, { onConflict: 'overwrite', snapshot })).kind).toBe('done');
      const manifest = await readManifest(setting.store, snapshot.folder);
      expect(await verifySnapshot(setting.store, manifest)).toMatchObject({ rows: 11, faults: [] });
      expect(await undo({ ...setting, manifest })).toMatchObject({ tables: [{ setBack: 1, removed: 9 }] });
      expect(await contents(setting.client, SCHEMA)).toEqual(edited);
    });

    it('ends where the storage is full in the middle of it, and lets go of the tables', async () => {
      const wide = `CREATE TABLE t (id int PRIMARY KEY, v text);
        INSERT INTO t SELECT i, repeat(md5(i::text), 32) FROM generate_series(1, 12000) i`;
      const request = await prepare(wide, 'UPDATE t SET v = v || 1');
      const store = new FullStore(folder.path);
      const outcome = await undo({ ...request, store }, { snapshot: ownSnapshot() });
      expect(outcome).toMatchObject({ kind: 'failed', step: 'keep', reason: 'there is no space left' });
      expect((await undo(request)).kind).toBe('done');
    });

    it.each([
      ['is tried only', { dryRun: true }, ''],
      ['fails', {}, `ALTER TABLE t ADD CHECK (id < 295) NOT VALID`],
    ])('leaves none where it %s', async (_, options, since) => {
      const request = await prepare(ROWS, 'DELETE FROM t WHERE id > 290');
      await setting.client.rows(since === '' ? 'SELECT 1' : since);
      const snapshot = ownSnapshot();
      await undo(request, { ...options, snapshot });
      const left: string[] = [];
      for await (const { key } of setting.store.list(snapshot.folder)) left.push(key);
      expect(left).toEqual([]);
    });
  });

  it('says where it is', async () => {
    const request = await prepare(ROWS, 'DELETE FROM t');
    const steps: string[] = [];
    await undo(request, { onProgress: ({ step }) => void steps.push(step) });
    expect([...new Set(steps)]).toEqual(['find', 'lock', 'load', 'compare', 'apply', 'check', 'commit']);
  });

  it('fails with the name of a file that was damaged, and has done nothing', async () => {
    const noise = ROWS.replace("'v' || i", 'md5(i::text) || md5((-i)::text)');
    const request = await prepare(noise, 'DELETE FROM t');
    const path = join(folder.path, fromManifest(request.manifest.tables[0]!.before!).blob);
    const bytes = await readFile(path);
    bytes[bytes.length - 6]! ^= 1;
    await writeFile(path, bytes);
    const outcome = await undo(request);
    expect(outcome).toMatchObject({ kind: 'failed', step: 'load', table: 'x y.t' });
    expect(outcome.kind === 'failed' && outcome.reason).toContain('0.before.pgcopy.zst');
    expect(await setting.client.rows('SELECT count(*) FROM t')).toEqual([['0']]);
    expect((await undo(await prepare(ROWS, 'DELETE FROM t'))).kind).toBe('done');
  });

  it('waits for writers no longer than it may', async () => {
    const request = await prepare(ROWS, 'DELETE FROM t WHERE id > 250');
    await setting.client.rows('BEGIN; UPDATE t SET v = v WHERE id = 1');
    const running = undo(request);
    await untilWaiting();
    await setting.client.rows('COMMIT');
    expect((await running).kind).toBe('done');
  });

  async function untilWaiting(): Promise<void> {
    for (;;) {
      const rows = await postgres.sql('SELECT count(*) FROM pg_locks WHERE NOT granted');
      if (rows[0]![0] !== '0') return;
    }
  }

  describe('by a role that may little', () => {
    let session: PgSession;
    beforeAll(async () => {
      session = await connectForUndo(postgres.url('postgres', 'plain'));
    });
    afterAll(async () => {
      await session?.close();
    });

    it.each([
      ['without privileges', 'GRANT SELECT, INSERT ON t TO plain', 'this role may not UPDATE, DELETE there'],
      [
        'from which rows are hidden',
        'GRANT ALL ON t TO plain; ALTER TABLE t ENABLE ROW LEVEL SECURITY',
        'row security hides rows of it from this role',
      ],
    ])('is refused %s', async (_, grant, reason) => {
      const request = await prepare(ROWS, 'DELETE FROM t WHERE id = 1');
      await setting.client.rows(`GRANT USAGE ON SCHEMA "${SCHEMA}" TO plain; ${grant}`);
      expect(await undo({ ...request, session })).toEqual({
        kind: 'refused',
        problems: [{ table: 'x y.t', reason }],
      });
    });

    it('leaves sequences that it may not move, but for those that the statement has started anew', async () => {
      const setup = `CREATE TABLE s (id serial PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY);
        INSERT INTO s SELECT FROM generate_series(1, 3);
        GRANT USAGE ON SCHEMA "${SCHEMA}" TO plain; GRANT ALL ON s TO plain`;
      const deleted = await prepare(setup, 'DELETE FROM s WHERE id = 3');
      expect(await undo({ ...deleted, session })).toMatchObject({ kind: 'done', sequences: [] });
      const emptied = await prepare(setup, 'TRUNCATE s RESTART IDENTITY');
      expect(await previewUndo({ ...emptied, session })).toEqual({
        kind: 'refused',
        problems: ['id', 'n'].map((column) => ({
          table: `x y.s_${column}_seq`,
          reason:
            'this role may not SELECT and UPDATE there, and the statement has started the sequence anew',
        })),
      });
    });

    it('is done where nothing more is needed, and refused where triggers are to be skipped', async () => {
      const request = await prepare(ROWS, 'DELETE FROM t WHERE id = 1');
      await setting.client.rows(`GRANT USAGE ON SCHEMA "${SCHEMA}" TO plain; GRANT ALL ON t TO plain`);
      const skipping = await undo({ ...request, session }, { triggers: 'skip' });
      expect(skipping.kind === 'refused' && skipping.problems[0]?.reason).toContain(
        'session_replication_role',
      );
      expect((await undo({ ...request, session })).kind).toBe('done');
    });
  });

  it.runIf(version === 18)('takes the time that it needs, whatever a role has set', async () => {
    await setting.client.rows(`ALTER ROLE plain SET transaction_timeout = '400ms'`);
    const session = await connectForUndo(postgres.url('postgres', 'plain'));
    await setting.client.rows('ALTER ROLE plain RESET transaction_timeout');
    const request = await prepare(
      `${ROWS}; CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.6); RETURN NULL; END';
       CREATE TRIGGER pause AFTER INSERT ON t EXECUTE FUNCTION pause();
       GRANT USAGE ON SCHEMA "${SCHEMA}" TO plain; GRANT ALL ON t TO plain`,
      'DELETE FROM t WHERE id = 1',
    );
    expect(await undo({ ...request, session })).toMatchObject({ kind: 'done' });
    await session.close();
  });

  it('is refused in another database', async () => {
    const request = await prepare(ROWS, 'DELETE FROM t');
    const session = await connectForUndo(postgres.url('template1'));
    const outcome = await undo({ ...request, session });
    await session.close();
    expect(outcome.kind === 'refused' && outcome.problems[0]?.reason).toContain('this is template1');
  });

  describe('into a table of its own', () => {
    const ODD = `CREATE DOMAIN short AS varchar(5); CREATE TABLE o (id int PRIMARY KEY, s short, acl aclitem, j json);
      INSERT INTO o VALUES (1, 'a', 'postgres=r/postgres', '{"a":  1}'), (2, NULL, NULL, NULL)`;

    it('puts the rows of one that is gone', async () => {
      const request = await prepare(ODD, 'DELETE FROM o');
      await setting.client.rows('DROP TABLE o');
      const outcome = await restoreInto(request, { into: { schema: SCHEMA, name: 'Rest ored' } });
      expect(outcome).toMatchObject({ kind: 'done', tables: [{ putBack: 2 }] });
      expect(await setting.client.rows('SELECT id, s, acl, j FROM "Rest ored" ORDER BY id')).toEqual([
        ['1', 'a', 'postgres=r/postgres', '{"a":  1}'],
        ['2', null, null, null],
      ]);
    });

    it('fails where there is one already', async () => {
      const request = await prepare(ODD, 'DELETE FROM o');
      const outcome = await restoreInto(request, { into: { schema: SCHEMA, name: 'o' } });
      expect(outcome).toMatchObject({ kind: 'failed', sqlstate: '42P07' });
    });

    it('is refused where a type is gone', async () => {
      const request = await prepare(ODD, 'DELETE FROM o');
      await setting.client.rows('DROP TABLE o; DROP DOMAIN short');
      const outcome = await restoreInto(request, { into: { schema: SCHEMA, name: 'o' } });
      expect(outcome.kind === 'refused' && outcome.problems[0]?.reason).toBe(
        'the type short of its column s is gone',
      );
    });

    it('shows rows as text and as JSON', async () => {
      const request = await prepare(ODD, 'DELETE FROM o');
      const table = request.manifest.tables[0]!;
      const asText = await showRows(request, table, 'before', 'text', { from: 0, max: 1 });
      expect(asText.kind === 'rows' && asText.rows.map((row) => JSON.parse(row))).toEqual([
        { id: '1', s: 'a', acl: 'postgres=r/postgres', j: '{"a":  1}' },
      ]);
      const asJson = await showRows(request, table, 'before', 'json', { from: 1, max: 9 });
      expect(asJson.kind === 'rows' && asJson.rows.map((row) => JSON.parse(row))).toEqual([
        { id: 2, s: null, acl: null, j: null },
      ]);
    });

    it('shows rows of columns that have the names of ours', async () => {
      const request = await prepare(
        `CREATE TABLE o (x xml, r text, c1 int, c2 int); INSERT INTO o VALUES ('<a/>', 'r', 1, 2)`,
        'DELETE FROM o',
      );
      for (const form of ['text', 'json'] as const) {
        const shown = await showRows(request, request.manifest.tables[0]!, 'before', form, {
          from: 0,
          max: 9,
        });
        const [c1, c2] = form === 'json' ? [1, 2] : ['1', '2'];
        expect(shown.kind === 'rows' && shown.rows.map((row) => JSON.parse(row))).toEqual([
          { x: '<a/>', r: 'r', c1, c2 },
        ]);
      }
    });
  });
});

function shown(outcome: UndoOutcome): unknown {
  switch (outcome.kind) {
    case 'done':
      return {
        done: Object.fromEntries(
          outcome.tables.map((each) => [
            each.table.slice(SCHEMA.length + 1),
            [each.putBack, each.setBack, each.removed, each.already, each.conflicts],
          ]),
        ),
      };
    case 'conflicts':
      return { conflicts: outcome.conflicts.map(({ undoing, kind }) => `${undoing} ${kind}`).sort() };
    case 'refused':
      return { refused: outcome.problems.map(({ reason }) => reason).join('; ') };
    case 'failed':
      return { failed: outcome.reason };
    default:
      return outcome satisfies never;
  }
}

function asShown(expected: Example['outcome']): unknown {
  if ('refused' in expected) return { refused: expect.stringContaining(expected.refused) };
  if ('failed' in expected) return { failed: expect.stringContaining(expected.failed) };
  return expected;
}
