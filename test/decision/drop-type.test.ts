import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { openBlobStore } from '../../src/blobs/open.ts';
import { readManifest } from '../../src/snapshot/manifest.ts';
import { purgeDropped } from '../../src/trash/purge.ts';
import { connectForUndo } from '../../src/undo/pg-session.ts';
import { undo } from '../../src/undo/undo.ts';
import { trashSession } from '../../src/undo/undo-drop.ts';
import * as fe from '../support/frontend-messages.ts';
import { type BackendMessage, errorsOf, fieldsOf, RawClient } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

const POLICY = `
mode: protect
without_plan: block
rules:
  - { name: migrations, match: { application: [migrations], risk: [high, critical] }, action: snapshot, without_plan: allow }
  - { name: what goes, match: { operation: ["drop *", "alter table"] }, action: snapshot }
  - { name: the rest, match: {}, action: allow }
`;

const SETUP = `create schema app; create type app.mood as enum ('glad', 'sad');
  create domain app.positive as int constraint above check (value > 0); create type app.pair as (a int, b app.mood);
  grant usage on type app.mood to public; comment on type app.mood is 'how it is';
  create table app.t (id int primary key, m app.mood default 'glad'::app.mood check (m <> 'sad'::app.mood or id > 1), p app.positive, q app.pair);
  create index on app.t (m);
  insert into app.t values (1, 'glad', 3, (1, 'sad')), (2, 'sad', 4, null)`;

const FUNCTION = `create function app.f(int) returns bool immutable language sql as 'select $1 > 0';
  alter table app.t add check (app.f(id))`;

const ROWS = [
  ['1', 'glad', '3', '(1,sad)'],
  ['2', 'sad', '4', null],
];

describe.each([18, 15] as const)('a DROP TYPE on PostgreSQL %i', (version) => {
  let fixture: DecisionFixture;
  let store: BlobStore;
  let direct: RawClient;
  let client: RawClient;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(POLICY, { HOLDFAST_SNAPSHOTS_TAKEN: 'on' }, version);
    store = openBlobStore({ kind: 'file', directory: join(fixture.gateway.directory, 'snapshots') });
  });
  afterAll(async () => {
    await store?.close();
    await fixture?.stop();
  });
  beforeEach(async () => {
    direct = await RawClient.open(fixture.postgres.port);
    await direct.rows(`drop schema if exists app, holdfast_trash cascade; ${SETUP}`);
    client = await fixture.client();
    return async () => {
      await direct.terminate();
      await client.terminate();
    };
  });

  async function folders(): Promise<string[]> {
    const found: string[] = [];
    for await (const { key } of store.list('snapshots/'))
      if (key.endsWith('/manifest.json')) found.push(key.slice(0, -14));
    return found.sort();
  }

  /** The folder of the snapshot that was taken of it. */
  async function dropped(sql: string): Promise<string> {
    expect([sql, errorsOf(await client.query(sql))]).toEqual([sql, []]);
    const folder = (await folders()).at(-1)!;
    expect((await readManifest(store, folder)).statement.text).toBe(sql);
    return folder;
  }

  async function undone(folder: string): Promise<unknown> {
    const session = await connectForUndo(fixture.postgres.url());
    try {
      return await undo({ store, manifest: await readManifest(store, folder), session });
    } finally {
      await session.close();
    }
  }
  const rows = async () => await direct.rows('select id, m, p, q from app.t order by id');
  const types = async () =>
    await direct.rows(
      `select t.typname from pg_type t where t.typnamespace = 'app'::regnamespace and t.typtype in ('e', 'd')
         and t.typcategory <> 'A' order by 1`,
    );

  it('moves it, and brings it back as it was', async () => {
    const facts = `select t.typname, has_type_privilege('public', t.oid, 'USAGE'), obj_description(t.oid, 'pg_type'), t.oid,
      (select string_agg(enumlabel, ',' order by enumsortorder) from pg_enum where enumtypid = t.oid)
      from pg_type t where t.oid = 'app.mood'::regtype`;
    await direct.rows('drop table app.t; drop type app.pair');
    const before = await direct.rows(facts);
    const folder = await dropped('drop type if exists app.mood, app.nothing');
    expect(await types()).toEqual([['positive']]);
    expect(await undone(folder)).toMatchObject({ kind: 'done' });
    expect(await direct.rows(facts)).toEqual(before);
  });

  it.each(['drop table app.t', 'alter table app.t drop column m, drop column p, drop column q'])(
    'takes no heed of what is in the trash, and both come back: %s',
    async (first) => {
      const folders = [await dropped(first)];
      for (const type of ['type app.pair', 'type app.mood', 'domain app.positive'])
        folders.push(await dropped(`drop ${type}`));
      expect(await types()).toEqual([]);
      // The names are free, as after a DROP.
      await direct.rows("create type app.mood as enum ('other'); drop type app.mood");
      for (const folder of folders.reverse()) expect(await undone(folder)).toMatchObject({ kind: 'done' });
      expect(await rows()).toEqual(ROWS);
    },
  );

  it('is brought back before what used it, or that says so', async () => {
    const column = await dropped('alter table app.t drop column p');
    const type = await dropped('drop domain app.positive');
    expect(await undone(column)).toMatchObject({ kind: expect.stringMatching(/refused|failed/) });
    expect(await undone(type)).toMatchObject({ kind: 'done' });
    expect(await undone(column)).toMatchObject({ kind: 'done' });
    expect((await rows()).map((row) => row[2])).toEqual(['3', '4']);
  });

  it.each([
    ['another type uses it', [], 'select 1'],
    ['a table uses it', ['drop table app.t', 'drop type app.pair'], 'create table app.u (m app.mood)'],
    [
      'a function uses it',
      ['drop table app.t', 'drop type app.pair'],
      "create function app.f(app.mood) returns int language sql as 'select 1'",
    ],
  ])('is refused as by the server where %s, besides the trash', async (_, first, sql) => {
    for (const each of ['alter table app.t drop column m', ...first]) await dropped(each);
    await direct.rows(sql);
    const said = errorsOf(await direct.query('drop type app.mood'));
    expect(said).toMatchObject([{ C: '2BP01' }]);
    const { M, D, H } = said[0]!;
    expect(errorsOf(await client.query('drop type app.mood'))).toMatchObject([{ C: '2BP01', M, D, H }]);
    expect(await types()).toEqual([['mood'], ['positive']]);
  });

  it('cuts a table from the type that it is of, and ties it to that again', async () => {
    const facts = async () =>
      await direct.rows("select reloftype, w.* from app.w, pg_class c where c.oid = 'app.w'::regclass");
    await direct.rows(
      "create type app.whole as (a int, b text); create table app.w of app.whole; insert into app.w values (1, 'b')",
    );
    const before = await facts();
    let table = await dropped('drop table app.w');
    await direct.rows('begin; alter type app.whole drop attribute b cascade');
    await direct.rows(
      'rollback; begin; alter type app.whole alter attribute a type bigint cascade; rollback',
    );
    const type = await dropped('drop type app.whole');
    for (const folder of [type, table]) expect(await undone(folder)).toMatchObject({ kind: 'done' });
    expect(await facts()).toEqual(before);
    table = await dropped('drop table app.w');
    await direct.rows('alter type app.whole drop attribute b cascade');
    const what = 'what "app"."w" is a table of';
    expect(JSON.stringify(await undone(table))).toContain(JSON.stringify(what));
    expect(await direct.rows('select * from app.w')).toEqual([['1', 'b']]);
  });

  describe.each(['block', 'allow'])('with CASCADE, and without_plan: %s', (withoutPlan) => {
    beforeEach(async () => {
      if (withoutPlan === 'block') return;
      await client.terminate();
      client = await fixture.client({ application_name: 'migrations' });
    });
    const told = (answer: readonly BackendMessage[]) =>
      answer
        .filter(({ type }) => 'NE'.includes(type))
        .map((each) => [fieldsOf(each)['M'], fieldsOf(each)['D']]);
    const trash = async () =>
      await direct.rows(
        `select c.relname, a.attname, a.atttypid, d.oid, (select string_agg(conname, ',' order by conname) from pg_constraint where conrelid = c.oid)
           from pg_class c left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
           left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
          where c.relnamespace = 'holdfast_trash'::regnamespace and c.relkind in ('r', 'c') order by 1, a.attnum`,
      );
    const checks = async () =>
      await direct.rows(
        "select pg_get_constraintdef(oid) from pg_constraint where conrelid = 'app.t'::regclass order by 1",
      );
    const U = 'create table app.u (m app.mood); create view app.v as select * from app.u';

    it.each([
      [U, 'drop type if exists app.mood cascade', ['drop table app.u cascade', 'drop type app.pair']],
      [U, 'drop type app.mood, app.pair cascade', ['drop table app.u cascade']],
      ['select 1', 'drop domain app.positive cascade', []],
      [`${FUNCTION}; ${U}`, 'drop schema app cascade', []],
      [
        `${FUNCTION}; create function app.g(int) returns int language sql as 'select 1'`,
        'drop schema app cascade',
        [],
      ],
    ])('leaves the trash as it is, and all comes back: %s; %s', async (setup, sql, others) => {
      await direct.rows(setup);
      const before = await checks();
      const all = [await dropped('drop table app.t')];
      await direct.rows('set client_min_messages = error');
      await direct.rows(`begin; drop schema holdfast_trash cascade; ${others.join('; ')}`);
      await direct.rows('set client_min_messages = notice');
      const natively = told(await direct.query(sql));
      await direct.rows('rollback; set client_min_messages = notice');
      for (const each of others) all.push(await dropped(each));
      const there = await trash();
      const answer = await client.query(sql);
      expect(told(answer)).toEqual(natively);
      all.push((await folders()).at(-1)!);
      expect(await trash()).toEqual(expect.arrayContaining(there));
      for (const folder of all.reverse()) expect(await undone(folder)).toMatchObject({ kind: 'done' });
      expect(await rows()).toEqual(ROWS);
      expect(await checks()).toEqual(before);
    });

    it.each([
      ['drop type app.mood cascade', 'it would take along a column of a table that stays'],
      ['drop schema app cascade', 'it would take along operator'],
      ['drop function app.f(int) cascade', 'only tables, views'],
      ['drop owned by app_owner', 'only tables, views'],
      ['drop extension citext cascade', 'only tables, views'],
      ['begin; drop function app.f(int) cascade', 'only tables, views'],
      ['begin isolation level repeatable read; drop schema app cascade', 'not READ COMMITTED'],
      ['select 1; drop function app.f(int) cascade; select 2', 'only tables, views'],
    ])('is refused where it would reach the trash and cannot be moved: %s', async (sql, why) => {
      await direct.rows(`${FUNCTION}; create operator app.### (function = app.f, rightarg = int); create extension if not exists citext;
        alter table app.t add c citext; drop role if exists app_owner; create role app_owner; alter table app.t owner to app_owner`);
      const table = await dropped('drop table app.t');
      const id = table.split('/').at(-1)!;
      const there = await trash();
      const [, begin, drop] = /^(begin.*?); (.*)/.exec(sql) ?? [null, null, sql];
      if (begin !== null) await client.query(begin!);
      const [error] = errorsOf(await client.query(drop!));
      expect(error).toMatchObject({ C: 'HF002' });
      expect(error!['D']).toContain(why);
      expect(error!['H']).toContain(`holdfast trash purge ${id}`);
      if (begin !== null) await client.query('rollback');
      expect(await trash()).toEqual(there);
      expect(await undone(table)).toMatchObject({ kind: 'done' });
      expect(await direct.rows('select id, m, p, q from app.t order by id')).toEqual(ROWS);
    });

    it.each([
      [
        'create table app.w (a int primary key, b int); create schema code; create function code.g() returns setof int begin atomic select b from app.w; end',
        'drop schema code cascade',
        'alter table app.w drop column b cascade',
      ],
    ])('is refused likewise of what changes something there: %s; %s; %s', async (setup, first, sql) => {
      await direct.rows(`drop schema if exists code cascade; ${setup}`);
      const folder = await dropped(first);
      const there = await trash();
      const [error] = errorsOf(await client.query(sql));
      expect(error).toMatchObject({ C: 'HF002' });
      expect(error!['H']).toContain(`holdfast trash purge ${folder.split('/').at(-1)}`);
      expect(await trash()).toEqual(there);
      expect(await undone(folder)).toMatchObject({ kind: 'done' });
    });

    it.each(['drop schema if exists holdfast_trash', 'create schema holdfast_trash'])(
      'is refused in a transaction that does not see what has come there since it began: %s',
      async (first) => {
        await direct.rows(`${FUNCTION}; ${first}`);
        await client.query('begin isolation level repeatable read; select 1');
        const other = await fixture.client();
        expect(errorsOf(await other.query('drop table app.t'))).toEqual([]);
        await other.terminate();
        const [error] = errorsOf(await client.query('drop function app.f(int) cascade'));
        await client.query('rollback');
        const table = (await folders()).at(-1)!;
        expect(error).toMatchObject({ C: 'HF002' });
        expect(error!['H']).toContain(`holdfast trash purge ${table.split('/').at(-1)}`);
        expect(await undone(table)).toMatchObject({ kind: 'done' });
      },
    );

    it('is refused where event triggers keep it from being tried, and something in the trash rests on anything', async () => {
      await direct.rows(FUNCTION);
      const table = await dropped('drop table app.t');
      await direct.rows(`create function public.told() returns event_trigger language plpgsql as 'begin end';
        create event trigger told on sql_drop execute function public.told()`);
      const [error] = errorsOf(await client.query('drop function app.f(int) cascade'));
      await direct.rows('drop event trigger told; drop function public.told()');
      expect(error).toMatchObject({ C: 'HF002' });
      expect(error!['H']).toContain(`holdfast trash purge ${table.split('/').at(-1)}`);
      expect(await undone(table)).toMatchObject({ kind: 'done' });
    });

    it('runs as ever, or not, where it does not reach the trash', async () => {
      await direct.rows('create function app.f(int) returns int language sql as $$ select 1 $$');
      await dropped('drop table app.t');
      const errors = errorsOf(await client.query('drop function app.f(int) cascade'));
      expect(errors.map((each) => each['C'])).toEqual(withoutPlan === 'block' ? ['HF002'] : []);
      for (const each of errors) expect(each['H']).not.toContain('purge');
    });
  });

  it('comes by the extended protocol as well', async () => {
    await client.query('drop table app.t');
    client.write(fe.parse('', 'drop type app.pair'), fe.bind(), fe.execute(), fe.sync());
    expect(errorsOf(await client.untilReady())).toEqual([]);
    expect(await direct.rows("select to_regtype('app.pair')")).toEqual([[null]]);
  });

  it('is purged behind what uses it', async () => {
    const table = await dropped('drop table app.t');
    const type = await dropped('drop type app.pair');
    const session = await connectForUndo(fixture.postgres.url());
    try {
      const purge = async (folder: string) => {
        const { id, dropped: what } = await readManifest(store, folder);
        return await purgeDropped(trashSession(session), { id, objects: what!.objects });
      };
      expect(await purge(type)).toMatchObject({ objects: 0, kept: { objects: 1 } });
      expect(await purge(table)).toMatchObject({ kept: null });
      expect(await purge(type)).toMatchObject({ objects: 1, kept: null });
    } finally {
      await session.close();
    }
  });
});
