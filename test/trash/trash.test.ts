import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Parser } from '../../src/sql/parsing/parser.ts';
import type { Moved } from '../../src/trash/move.ts';
import { listTrash, purgeDropped } from '../../src/trash/purge.ts';
import { reachedInTrash } from '../../src/trash/reached.ts';
import { restoreDropped } from '../../src/trash/restore.ts';
import { onHidden } from '../../src/trash/session.ts';
import { HiddenClient } from '../support/hidden-client.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { move, type Setting } from './as-dropped.ts';

describe.each([18, 15] as const)('the trash on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let parser: Parser;
  let databases = 0;
  let client: RawClient;
  let setting: Setting;
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql('create role app login');
    parser = await Parser.create();
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  async function open(setup: string, user = 'app'): Promise<void> {
    await client?.terminate();
    const database = `d${++databases}`;
    await postgres.sql(`create database ${database} owner app`);
    client = await RawClient.open(postgres.port, { database, user });
    setting = { parser, client, judge: client };
    await client.rows(setup);
  }

  async function moved(sql: string): Promise<Moved> {
    await client.rows('begin');
    const outcome = await move(setting, sql);
    await client.rows('commit');
    if (outcome.kind !== 'moved') throw new Error(JSON.stringify(outcome));
    return outcome.moved;
  }

  const asPurgeable = ({ objects }: Moved) => ({ id: objects[0]!.trash_name.slice(0, 25), objects });
  const session = () => onHidden(new HiddenClient(client));

  describe("stands in nobody's way", () => {
    it('when the name is given away and dropped again', async () => {
      await open('create table a (id serial primary key, v text unique)');
      for (let i = 0; i < 3; i++) {
        await moved('drop table a');
        await client.rows(
          `create table a (id serial primary key, v text unique); insert into a (v) values ('${i}')`,
        );
      }
      expect(await listTrash(session())).toHaveLength(3);
    });

    it.each([
      ['drop view v', 'alter table a alter t type int using length(t)'],
      ['drop view v', 'alter table a drop column t'],
      ['drop materialized view m', 'drop table a cascade'],
      ['drop table c', 'delete from a where id = 1'],
      ['drop table c', 'drop table a cascade'],
      ['drop table c', 'drop function tf(), f(int), q() cascade'],
      ['drop table c', 'drop sequence s'],
      ['drop table a cascade', 'drop table c'],
    ])('after %s, with %s', async (drop, later) => {
      await open(`create function f(int) returns int language sql as 'select 1'; create function tf() returns trigger language plpgsql as 'begin end'; create sequence s;
        create function q() returns bool language sql as 'select true'; create table a (id int primary key, t text); insert into a values (1, 'x');
        create table c (a int references a on delete restrict, s int default nextval('s'), f int default f(3)); insert into c values (1);
        create trigger tf before insert on c for each row execute function tf(); create policy p on c using (q()); create policy p2 on c using (a in (select id from a)); create rule r as on delete to c do also update a set t = '';
        create view v as select a.t, c.s from a, c; create materialized view m as select * from a`);
      if (later.includes('alter') || later.includes('drop table c'))
        await client.rows('drop materialized view m');
      if (later.includes('sequence') || later.includes('function')) await client.rows('drop view v');
      if (later.includes('alter')) await client.rows('drop rule r on c');
      if (drop === 'drop table c') await client.rows('drop view if exists v');
      await moved(drop);
      await client.rows(later);
    });

    it('but types that its columns have cannot be dropped, which it tells', async () => {
      await open(`create type mood as enum ('ok'); create table a (m mood)`);
      expect((await moved('drop table a')).binds).toEqual(['type mood']);
    });
  });

  it('is as if nothing had been dropped where the transaction is rolled back', async () => {
    await open('create table a (id int)');
    await client.rows('begin');
    expect((await move(setting, 'drop table a')).kind).toBe('moved');
    expect(await client.rows(`select to_regclass('a') is null`)).toEqual([['t']]);
    await client.rows('rollback');
    expect(
      await client.rows(`select to_regclass('a') is null, to_regnamespace('holdfast_trash') is null`),
    ).toEqual([['f', 't']]);
  });

  it('waits for what a client has under way in the table, and gives up as the DROP would', async () => {
    await open('create table a (id int)');
    const other = await RawClient.open(postgres.port, { database: `d${databases}`, user: 'app' });
    await other.rows('begin; select * from a');
    await client.rows(`begin; set local lock_timeout = '50ms'`);
    expect(await move(setting, 'drop table a')).toMatchObject({
      kind: 'refused',
      error: { sqlstate: '55P03' },
    });
    await client.rows('rollback');
    await other.terminate();
  });

  it('is not moved into by who may not use it, and says so before', async () => {
    await open('create schema holdfast_trash', 'postgres');
    await client.rows('create table public.a (); alter table public.a owner to app; set role app; begin');
    expect(await move(setting, 'drop table a')).toEqual({
      kind: 'none',
      reason: expect.stringContaining('may not use'),
    });
    await client.rows(
      'commit; reset role; grant usage, create on schema holdfast_trash to app; set role app',
    );
    await moved('drop table a');
  });

  it.each([1000, 3])(
    'is told to be reached only where it is, where %d of what is there are compared one by one',
    async (compared) => {
      await open(
        `create type mood as enum ('ok'); create table a (id int primary key, m mood); create function f() returns int language sql as 'select 1'`,
        'postgres',
      );
      await moved('drop table a');
      const reached = async (sql: string) => await reachedInTrash(new HiddenClient(client), sql, compared);
      await client.rows('begin');
      expect(await reached('drop function f() cascade')).toBeNull();
      const found = await reached('drop type mood cascade');
      expect(found?.what).toMatch(compared > 3 ? /^a part of table holdfast_trash/ : /^some of what/);
      await client.rows('commit');
    },
  );

  describe('gives back', () => {
    it('nothing where names were taken since, and says which', async () => {
      await open(
        'create table a (id int primary key); create schema s; create table s.b (); create view s.v as select * from a',
      );
      const a = await moved('drop table a, s.b cascade');
      await client.rows('create table a_pkey (); create view a as select 1 as one; drop schema s');
      const outcome = await restoreDropped(session(), a);
      expect(outcome).toMatchObject({ kind: 'conflict' });
      const said =
        outcome.kind === 'conflict' ? outcome.conflicts.map(({ what, reason }) => `${what}: ${reason}`) : [];
      expect(said.sort()).toEqual([
        'index public.a_pkey: its name is taken by now',
        'table public.a: its name is taken by now',
        'table s.b: the schema s is not there',
        'view s.v: the schema s is not there',
      ]);
      await client.rows('drop table a_pkey; drop view a; create schema s');
      expect(await restoreDropped(session(), a, { dryRun: true })).toMatchObject({
        kind: 'restored',
        dryRun: true,
      });
      expect(await client.rows(`select to_regclass('a') is null`)).toEqual([['t']]);
      expect(await restoreDropped(session(), a)).toMatchObject({ kind: 'restored', dryRun: false });
      expect(await client.rows('select * from s.v')).toEqual([]);
      expect(await restoreDropped(session(), a)).toMatchObject({ kind: 'conflict' });
    });

    it('no default in the place of one that a column was given since, unless told to', async () => {
      await open(
        `create sequence q; create table a (i int default nextval('q'), "J ""j" int default nextval('q'))`,
      );
      const q = await moved('drop sequence q cascade');
      await client.rows('alter table a alter "J ""j" set default 7');
      expect(await restoreDropped(session(), q)).toEqual({
        kind: 'conflict',
        conflicts: [
          { what: 'the default of "public"."a"."J ""j"', reason: 'the column has another one by now' },
        ],
      });
      const defaults = 'insert into a default values returning i, "J ""j"';
      expect(await client.rows(defaults)).toEqual([[null, '7']]);
      const outcome = await restoreDropped(session(), q, { bearing: true, onConflict: 'skip' });
      expect(outcome).toMatchObject({
        kind: 'restored',
        lacking: [{ what: 'the default of "public"."a"."J ""j"' }],
      });
      expect(await client.rows(defaults)).toEqual([['1', '7']]);
      const again = await moved('drop sequence q cascade');
      await client.rows('alter table a alter i set default 8');
      const over = await restoreDropped(session(), again, { onConflict: 'overwrite' });
      expect(over).toMatchObject({ kind: 'restored', lacking: [] });
      expect(await client.rows(defaults)).toEqual([['2', '7']]);
    });

    it('all but a foreign key that no longer holds where it is told to skip, and says which', async () => {
      await open(
        'create table a (id int primary key); create table b (a int constraint fk references a); insert into a values (1); insert into b values (1)',
      );
      await client.rows(`comment on constraint fk on b is 'why'`);
      const a = await moved('drop table a cascade');
      await client.rows('insert into b values (2)');
      const refused = {
        what: 'the foreign key fk of "public"."b"',
        reason: expect.stringContaining('violates'),
      };
      expect(await restoreDropped(session(), a)).toMatchObject({ kind: 'conflict', conflicts: [refused] });
      const outcome = await restoreDropped(session(), a, { bearing: true, onConflict: 'skip' });
      expect(outcome).toMatchObject({ kind: 'restored', lacking: [refused, { what: refused.what }] });
      expect(await client.rows('select a.id, b.a from a full join b on a.id = b.a order by b.a')).toEqual([
        ['1', '1'],
        [null, '2'],
      ]);
    });

    it('nothing where a foreign key no longer holds, and says so', async () => {
      await open(
        'create table a (id int primary key); create table b (a int references a); insert into a values (1); insert into b values (1)',
      );
      const b = await moved('drop table b');
      await client.rows('delete from a');
      const outcome = await restoreDropped(session(), b);
      expect(outcome).toMatchObject({
        kind: 'conflict',
        conflicts: [{ what: 'the foreign key b_a_fkey of "public"."b"' }],
      });
      expect(await client.rows(`select to_regclass('b') is null`)).toEqual([['t']]);
      await client.rows('insert into a values (1)');
      expect(await restoreDropped(session(), b)).toMatchObject({ kind: 'restored' });
    });
  });

  it('says that a foreign key whose triggers were disabled will be enforced again', async () => {
    await open(
      'create table a (id int primary key); create table b (a int references a); alter table b disable trigger all',
      'postgres',
    );
    expect((await moved('drop table a cascade')).notes).toEqual([
      'the foreign key b_a_fkey of "public"."b", whose triggers were disabled, is enforced again',
    ]);
  });

  it('keeps the contents of materialized views that go with all that they rest on', async () => {
    await open(`create table a (id int); create table b (id int); insert into a values (1); create view v as select count(*) as n from a;
      create materialized view m as select n, random() as r from v; create unique index on m (n); create materialized view mm as select * from m; create materialized view o as select m.n from m, b; create materialized view oo as select * from o; insert into a values (2)`);
    const before = await client.rows('select m.n, m.r, mm.r from m, mm');
    const dropped = await moved('drop table a cascade');
    expect(dropped.notes).toEqual([
      'the materialized view "public"."o" is computed anew',
      'the materialized view "public"."oo" is computed anew',
    ]);
    await client.rows('drop table b; create table b (id int)');
    expect(await restoreDropped(session(), dropped)).toMatchObject({ kind: 'restored', lacking: [] });
    expect(await client.rows('select m.n, m.r, mm.r from m, mm')).toEqual(before);
    const again = asPurgeable(await moved('drop table a cascade'));
    expect(await purgeDropped(session(), again)).toMatchObject({ kept: null });
    expect(await listTrash(session())).toEqual([]);
  });

  it.each([
    ['select 1', true],
    ['alter table o alter column b type bigint', true],
    ['alter table o drop column b', false],
    ['drop table o', false],
  ])(
    'holds no statistics of a table that stays, which would go with a part of it: %s',
    async (sql, isBack) => {
      await open(`create table o (id int primary key, a int, b int); create schema q; create table q.t (id int);
      create statistics q.st on a, b from o; alter statistics q.st set statistics 5; comment on statistics q.st is 'hm'`);
      const facts =
        'select pg_get_statisticsobjdef(oid), stxowner, stxstattarget, obj_description(oid) from pg_statistic_ext';
      const before = await client.rows(facts);
      const dropped = await moved('drop schema q cascade');
      expect(await client.rows(facts)).toEqual([]);
      await client.rows(sql);
      const lacking = isBack
        ? []
        : expect.arrayContaining([expect.objectContaining({ what: 'the statistics "q"."st"' })]);
      expect(await restoreDropped(session(), dropped)).toMatchObject({ kind: 'restored', lacking });
      expect(await client.rows(facts)).toEqual(isBack ? before : []);
      expect(await client.rows('select * from q.t')).toEqual([]);
    },
  );

  it('is purged of what is its own alone', async () => {
    await open(`create table a (id serial primary key, b int); create table b (id int primary key, a int references a); alter table a add foreign key (b) references b; insert into a select g from generate_series(1, 1000) g;
      create schema s; create type s.e as enum ('x'); create table s.t (e s.e); create function s.f(s.t) returns int language sql as 'select 1'; create sequence s.q; create statistics s.st on id, b from a`);
    const dropped = [await moved('drop table a, b'), await moved('drop schema s cascade')].map(asPurgeable);
    await client.rows('create table holdfast_trash.by_hand ()');
    const listed = await listTrash(session());
    expect(listed.map(({ objects }) => objects)).toEqual([4, 4]);
    expect(listed[1]!.bytes).toBeGreaterThan(30_000);
    expect(dropped.map(({ id }) => id)).toEqual(listed.map(({ id }) => id).reverse());
    for (const each of dropped) expect(await purgeDropped(session(), each)).toMatchObject({ kept: null });
    expect(await listTrash(session())).toEqual([]);
    expect(await purgeDropped(session(), dropped[0]!)).toEqual({ objects: 0, kept: null });
    expect(
      await client.rows(`select relname from pg_class where relnamespace = 'holdfast_trash'::regnamespace`),
    ).toEqual([['by_hand']]);
  });

  it('keeps what somebody has come to depend on, and says so', async () => {
    await open('create table a (id int)');
    const dropped = await moved('drop table a');
    await client.rows(`create view v as select * from holdfast_trash.${dropped.objects[0]!.trash_name}`);
    const purged = await purgeDropped(session(), asPurgeable(dropped));
    expect(purged).toEqual({ objects: 0, kept: { objects: 1, reason: expect.stringContaining('depend') } });
  });

  it('is never purged of what its manifest does not prove to be what was dropped', async () => {
    await open('create table a (id int); create table b (id int)');
    const dropped = asPurgeable(await moved('drop table a, b'));
    const [a, b] = dropped.objects.map(({ trash_name }) => `holdfast_trash."${trash_name}"`);
    // Another table by the same name, one that was brought back by hand, and one that a false manifest names.
    await client.rows(
      `drop table ${a}; create table ${a} (precious int); alter table ${b} set schema public`,
    );
    await client.rows('create table holdfast_trash.precious ()');
    const [oid] = (await client.rows(`select 'holdfast_trash.precious'::regclass::oid`))[0]!;
    const named = { oid: Number(oid), kind: 'table', schema: 'public', name: 'x', trash_name: 'precious' };
    const lying = { id: dropped.id, objects: [...dropped.objects, named] };
    expect(await purgeDropped(session(), lying)).toEqual({ objects: 0, kept: null });
    expect(
      await client.rows(
        `select count(*) from pg_class where relnamespace = 'holdfast_trash'::regnamespace and relkind = 'r'`,
      ),
    ).toEqual([['2']]);
  });
});
