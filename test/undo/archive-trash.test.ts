import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readableKey, trustedKeys } from '../../src/audit/key-file.ts';
import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { openBlobStore } from '../../src/blobs/open.ts';
import { archiveFolder } from '../../src/snapshot/archive.ts';
import { manifestKey, readManifest } from '../../src/snapshot/manifest.ts';
import { SealingStore } from '../../src/snapshot/sealing-store.ts';
import { findSnapshot, inTrashKey, markInTrash } from '../../src/snapshot/snapshots.ts';
import { TrashSweeper } from '../../src/trash-sweeper.ts';
import { archiveDropped } from '../../src/undo/archive-trash.ts';
import { connectForUndo } from '../../src/undo/pg-session.ts';
import type { UndoSession } from '../../src/undo/session.ts';
import { holdfast } from '../cli/support.ts';
import { DecisionFixture } from '../decision/fixture.ts';
import { errorsOf, RawClient } from '../support/raw-client.ts';

const POLICY = `
mode: protect
rules:
  - { name: what goes, match: { operation: ["drop *", "alter table"] }, action: snapshot }
  - { name: the rest, match: {}, action: allow }
`;

const SETUP = `drop schema if exists app, holdfast_trash cascade; create schema app;
  create type app.mood as enum ('sad', 'glad'); create domain app.d as text check (value <> '');
  create table app.big (id int primary key, v text); alter table app.big alter v set storage plain;
  insert into app.big select g, repeat(md5(g::text), 20) from generate_series(1, 32000) g;
  create table app."O'dd ""t" ("a b" serial primary key, m app.mood[], d app.d default 'x', n numeric, g int generated always as (1 + 1) stored,
    b bytea, j jsonb, r int4range, gone int, check (n > 0)); alter table app."O'dd ""t" drop gone; create index on app."O'dd ""t" (lower(d));
  insert into app."O'dd ""t" (m, n, b, j, r) values ('{sad,NULL}', 1.50, '\\x00ff', '{"a": [1]}', '[1,5)'), (null, 'NaN', null, null, 'empty');
  create table app.nothing (); insert into app.nothing default values; insert into app.nothing default values;
  create table app.whole (i int, v text) partition by list (i); create table app.part partition of app.whole for values in (1); insert into app.whole values (1, 'p');
  create view app.v as select * from app.big`;

describe.each([18, 15] as const)('what is in the trash, in the archive, on PostgreSQL %i', (version) => {
  let fixture: DecisionFixture;
  let direct: RawClient;
  let client: RawClient;
  let files: BlobStore;
  let store: SealingStore;
  let place: string[];
  let env: Record<string, string>;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(POLICY, { HOLDFAST_SNAPSHOTS_TAKEN: 'on' }, version);
    direct = await RawClient.open(fixture.postgres.port);
    client = await fixture.client();
    const directory = join(fixture.gateway.directory, 'snapshots');
    files = openBlobStore({ kind: 'file', directory });
    env = { HOLDFAST_AUDIT_SIGNING_KEY: join(fixture.gateway.directory, 'audit-key.pem') };
    store = new SealingStore(files, readableKey(env['HOLDFAST_AUDIT_SIGNING_KEY']!)!);
    place = ['--snapshots', `file:${directory}`, '--connection', fixture.postgres.url()];
  });
  afterAll(async () => {
    await files?.close();
    direct?.destroy();
    client?.destroy();
    await fixture?.stop();
  });
  beforeEach(async () => {
    for await (const { key } of files.list('snapshots/')) await files.remove(key);
    await direct.rows(SETUP);
  });

  async function sweep(ageMs: number | null): Promise<string[]> {
    const told: string[] = [];
    const log = (facts: unknown, text?: string) => void told.push(`${text} ${JSON.stringify(facts)}`);
    const sweeper = new TrashSweeper({
      store,
      audit: { begin: () => {}, finish: () => {}, flush: async () => true },
      log: { info: log, warn: log, error: log },
      connection: fixture.postgres.url(),
      ageMs,
      archive: true,
      keys: keys(),
    });
    await sweeper.sweep();
    await sweeper.close();
    return told;
  }
  const keys = () => trustedKeys({ signingKey: env['HOLDFAST_AUDIT_SIGNING_KEY']!, formerKeys: [] });

  async function dropped(sql: string): Promise<{ id: string; folder: string }> {
    const messages = await client.query(sql);
    expect(errorsOf(messages)).toEqual([]);
    const { id, folder } = await findSnapshot(store, 'latest');
    return { id, folder };
  }

  const digest = async (table: string) =>
    (await direct.rows(`select count(*), md5(string_agg(t::text, ',' order by t::text)) from ${table} t`))[0];
  const inTrash = async () =>
    Number(
      (
        await direct.rows(
          `select count(*) from pg_class where relnamespace = to_regnamespace('holdfast_trash') and relkind in ('r', 'p')`,
        )
      )[0]![0],
    );
  const cli = (...args: readonly string[]) => holdfast([...args, ...place], { env });
  const offline = (...args: readonly string[]) => holdfast([...args, ...place.slice(0, 2)], { env });

  it('has all rows, so that they outlast the purge', async () => {
    const names = ['big', 'nothing', 'part'];
    const before: unknown[] = [];
    for (const name of names) before.push(await digest(`app.${name}`));
    const { id } = await dropped('drop schema app cascade');
    expect(await sweep(null)).toEqual([expect.stringMatching(/was archived .*"tables":4,"rows":32005/)]);
    expect(await inTrash()).toBe(5);
    expect(await sweep(null)).toEqual([]);
    expect((await cli('trash', 'list')).out).toMatch(/never +yes .*\n1 DROP, \d+ objects, \d/);
    expect(await sweep(-1)).toEqual([expect.stringMatching(/was purged/)]);
    expect(await inTrash()).toBe(0);
    expect(await cli('undo', id, '--yes')).toMatchObject({
      code: 1,
      err: expect.stringMatching(
        /was purged from the trash on .*, and does not come back as it was; its archive has the rows/,
      ),
    });
    const rows = await cli('snapshots', 'rows', id, '--table', 'part', '--json');
    expect(JSON.parse(rows.out)).toMatchObject({ total: 1, items: [{ i: 1, v: 'p' }] });
    // The types went with the schema.
    await direct.rows(`create schema app`);
    for (const [i, name] of ['big', 'nothing', 'part'].entries()) {
      const into = await cli('undo', id, '--into', `public.back${i}`, '--table', `app.${name}`, '--yes');
      expect(into.code, into.err).toBe(0);
      expect(await digest(`public.back${i}`)).toEqual(before[names.indexOf(name)]);
      await direct.rows(`drop table public.back${i}`);
    }
    const shown = (await offline('snapshots', 'show', id)).out;
    expect(shown).toContain('CREATE TABLE "app"."big" (\n  id integer NOT NULL,\n  v text,\n  ');
    expect(shown).toMatch(/ALTER TABLE "app"\."whole" ATTACH PARTITION "app"\."part" FOR VALUES IN \(1\)/);
    expect(shown).toMatch(/CREATE TYPE "app"\."mood" AS ENUM \('sad', 'glad'\)/);
    expect(shown.slice(shown.indexOf('Archived'))).not.toMatch(/holdfast_trash|snap_/);
    expect((await offline('snapshots', 'verify', id)).code).toBe(0);
  });

  it('has values of every type exactly, where their types are there still', async () => {
    const select = `(select "a b", m, d, n, b, j, r from app."O'dd ""t")`;
    const before = await digest(select);
    const { id } = await dropped(`drop table app."O'dd ""t"`);
    await sweep(-1);
    expect(await inTrash()).toBe(0);
    const into = await cli('undo', id, '--into', 'app.back', '--yes');
    expect(into.code, into.err).toBe(0);
    expect(await digest('app.back')).toEqual(before);
  });

  it('keeps the rest from being purged until it is there and is the own', async () => {
    const { id, folder } = await dropped('drop table app.part, app.nothing');
    const archived = { env: { ...env, HOLDFAST_TRASH_ARCHIVE: 'on' } };
    const kept = await holdfast(['trash', 'purge', id, ...place], archived);
    expect(kept.out).toMatch(/2 objects kept: it is not archived yet/);
    expect(await sweep(null)).toEqual([expect.stringMatching(/was archived/)]);
    const manifest = join(fixture.gateway.directory, 'snapshots', manifestKey(archiveFolder(folder)));
    await writeFile(manifest, (await readFile(manifest, 'utf8')).replace('"rows": 2', '"rows": 1'));
    expect((await holdfast(['trash', 'purge', id, ...place], archived)).out).toMatch(/not archived yet/);
    // Another one is made, of the tables that are whole.
    expect(await sweep(-1)).toEqual([
      expect.stringMatching(/was archived/),
      expect.stringMatching(/was purged/),
    ]);
  });

  it('is read again before the purge, which keeps what is not there as it was written', async () => {
    const { id, folder } = await dropped('drop table app.big cascade');
    expect(await sweep(null)).toEqual([expect.stringMatching(/was archived/)]);
    for await (const { key } of files.list(`${archiveFolder(folder)}/`)) {
      if (!key.endsWith('.zst')) continue;
      const path = join(fixture.gateway.directory, 'snapshots', key);
      const bytes = await readFile(path);
      bytes[1000]! ^= 1;
      await writeFile(path, bytes);
    }
    expect(await sweep(-1)).toEqual([expect.stringMatching(/its archive cannot be read/)]);
    expect(await inTrash()).toBe(1);
    expect((await cli('undo', id, '--yes')).code).toBe(0);
    expect(await direct.rows('select count(*) from app.big')).toEqual([['32000']]);
  });

  it('is purged by the beginning of an id, which says where there is nothing', async () => {
    const { id, folder } = await dropped('drop view app.v');
    const cut = id.slice(0, -2);
    // As the versions did that made no marks.
    await files.remove(inTrashKey(folder));
    expect((await cli('trash', 'list')).out).toContain('nothing in the trash');
    expect((await cli('undo', id, '--into', 'app.x', '--yes')).err).toMatch(
      /not in its snapshot[\s\S]*until they are purged/,
    );
    expect((await cli('trash', 'purge', cut, '--dry-run')).out).toMatch(/1 object would be dropped/);
    expect((await cli('trash', 'list')).out).toContain('nothing in the trash');
    await markInTrash(files, folder);
    expect((await cli('trash', 'list')).out).toContain(id);
    expect(await sweep(null)).toEqual([expect.stringMatching(/was archived/)]);
    expect((await cli('undo', id, '--into', 'app.x', '--yes')).err).toContain('no rows of tables');
    expect((await cli('trash', 'purge', cut)).out).toMatch(/1 object dropped/);
    expect((await cli('undo', id, '--yes')).err).toContain('does not come back as it was');
    expect((await cli('trash', 'purge', cut)).out).toContain(`${id}: nothing of it is in the trash`);
    expect(await cli('trash', 'purge', 'snap_nothing')).toMatchObject({
      code: 1,
      err: expect.stringContaining('there is no snapshot'),
    });
    const other = await dropped('alter table app.big set (fillfactor = 50)');
    expect((await cli('trash', 'purge', other.id)).err).toContain('has left nothing in the trash');
  });

  it('is not said to be gone where nobody could look', async () => {
    const { id } = await dropped('drop view app.v');
    const purge = ['trash', 'purge', id] as const;
    for (const command of [['trash', 'list'], purge]) {
      const { code, out, err } = await offline(...command);
      expect([code, out, err]).toEqual([2, '', expect.stringMatching(/nobody has said[\s\S]+--connection/)]);
    }
    const away = ['--connection', 'postgres://nobody@127.0.0.1:9/app'] as const;
    const list = await offline('trash', 'list', ...away);
    expect([list.code, list.out]).toEqual([1, '']);
    const purged = await offline(...purge, ...away);
    expect([purged.code, purged.out]).toEqual([1, '0 objects dropped for good\n']);
    expect((await cli(...purge)).out).toMatch(/1 object dropped/);
  });

  it('is made by one gateway at a time', async () => {
    await dropped('drop table app.part');
    const [one, other] = await Promise.all([sweep(null), sweep(null)]);
    expect([...one, ...other].filter((text) => /was archived/.test(text)).length).toBeGreaterThan(0);
    expect(await sweep(-1)).toEqual([expect.stringMatching(/was purged/)]);
  });

  describe('of the copy of a column', () => {
    /** Archives it, and does something to the copy once the first step of several has been copied. */
    async function archiveWhile(folder: string, meanwhile: (copy: string) => Promise<unknown>) {
      const manifest = await readManifest(store, folder);
      const id = manifest.id;
      const copy = `holdfast_trash."${manifest.dropped!.objects[0]!.trash_name}"`;
      const session = await connectForUndo(fixture.postgres.url());
      let steps = 0;
      const interrupted: UndoSession = {
        ...session,
        copyOut: async function* (sql) {
          if (++steps === 2) await meanwhile(copy);
          yield* session.copyOut(sql);
        },
      };
      try {
        const request = { store, keys: keys(), stopped: () => false };
        const snapshot = { id, createdAtMs: Date.parse(manifest.created_at), folder, manifest } as never;
        return await archiveDropped(request, interrupted, snapshot).finally(() =>
          expect(steps).toBeGreaterThan(1),
        );
      } finally {
        await session.close();
      }
    }

    it.each([
      // Rows of the first step are removed, so that those behind them move to the front.
      ['written anew', (copy: string) => [`delete from ${copy} where id <= 100`, `vacuum full ${copy}`]],
      ['clustered', (copy: string) => [`create index i on ${copy} (v)`, `cluster ${copy} using i`]],
      ['emptied in part, as by an undo', (copy: string) => [`delete from ${copy} where id <= 100`]],
      ['dropped', (copy: string) => [`drop table ${copy}`]],
    ])('it is not where that was %s meanwhile', async (_, meanwhile) => {
      await direct.rows('drop view app.v');
      const { folder } = await dropped('alter table app.big drop column v');
      await expect(
        archiveWhile(folder, async (copy) => {
          for (const sql of meanwhile(copy)) await direct.rows(sql);
        }),
      ).rejects.toThrow(/while it was copied|does not exist/);
      expect(await files.stat(manifestKey(archiveFolder(folder)))).toBeNull();
    });

    it('it is made anew of what an undo has left over since it was begun', async () => {
      await direct.rows('drop view app.v');
      const { id, folder } = await dropped('alter table app.big drop column v');
      // Ends once the table is archived, and the whole is not.
      await expect(archiveWhile(folder, async () => {})).resolves.toMatchObject({ rows: 32000 });
      await files.remove(manifestKey(archiveFolder(folder)));
      await direct.rows('delete from app.big where id > 31990');
      const undone = await cli('undo', id, '--on-conflict', 'skip', '--yes');
      expect(undone.code, undone.err).toBe(0);
      expect(await sweep(null)).toEqual([expect.stringMatching(/was archived .*"tables":1,"rows":10/)]);
    });
  });

  it('is not of what was changed in the trash, which stays', async () => {
    const { id } = await dropped('drop table app.part, app.nothing');
    await direct.rows(`do $$ declare t record; begin for t in select oid::regclass as name from pg_class
      where relnamespace = 'holdfast_trash'::regnamespace and relkind = 'r' loop execute 'truncate ' || t.name; end loop; end $$`);
    expect(await sweep(-1)).toEqual([
      expect.stringMatching(/could not be archived .*emptied or written anew/),
    ]);
    expect(await inTrash()).toBe(2);
    expect((await cli('trash', 'purge', id, '--unarchived')).out).toContain('2 objects dropped');
  });
});
