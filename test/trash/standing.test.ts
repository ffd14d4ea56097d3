import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Parser } from '../../src/sql/parsing/parser.ts';
import type { Moved } from '../../src/trash/move.ts';
import { obstacles, restoreDropped } from '../../src/trash/restore.ts';
import { onHidden } from '../../src/trash/session.ts';
import { HiddenClient } from '../support/hidden-client.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { move, type Setting } from './as-dropped.ts';

describe.each([18, 15] as const)('what was done to the trash of PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let parser: Parser;
  let client: RawClient;
  let databases = 0;
  const opened: RawClient[] = [];
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql('create role app login; create role alice login; create role mallory login');
    parser = await Parser.create();
  });
  afterAll(async () => {
    for (const each of opened) each.destroy();
    await postgres?.stop();
  });

  async function as(user: string): Promise<RawClient> {
    const one = await RawClient.open(postgres.port, { database: `d${databases}`, user });
    opened.push(one);
    return one;
  }

  async function open(setup: string): Promise<void> {
    await postgres.sql(`create database d${++databases} owner app`);
    client = await as('postgres');
    await client.rows(setup);
  }

  async function drop(sql: string, by: RawClient = client) {
    await by.rows('begin');
    const setting: Setting = { parser, client: by, judge: client };
    const outcome = await move(setting, sql);
    await by.rows('commit');
    return outcome;
  }

  async function moved(sql: string, by?: RawClient): Promise<Moved> {
    const outcome = await drop(sql, by);
    if (outcome.kind !== 'moved') throw new Error(JSON.stringify(outcome));
    return outcome.moved;
  }

  const session = () => onHidden(new HiddenClient(client));
  const restore = (from: Moved, bearing = false) => restoreDropped(session(), from, { bearing });
  const inTrash = ({ objects }: Moved, of: string) =>
    `holdfast_trash."${objects.find(({ name }) => name === of)!.trash_name}"`;

  it.each([
    ['a type that it rests on was dropped', 'drop type mood cascade', ['columns']],
    ['a function that it rests on was dropped', 'drop function f cascade', ['indexes']],
    ['it was altered', 'alter table T add x int', ['columns']],
    ['it was emptied', 'truncate T', ['emptied']],
    ['it was written anew', 'vacuum full T', ['emptied']],
    ['its owner may write to it', 'grant insert on T to postgres', ['rights']],
    ['it has a trigger', 'create trigger g after insert on T execute function tf()', ['triggers']],
    ['it has no row security', 'alter table T disable row level security', ['settings']],
  ])('is seen where %s, and borne only by who says so', async (_, later, words) => {
    await open(`create type mood as enum ('a'); create function f(int) returns int immutable language sql as 'select $1'; create function tf() returns trigger language plpgsql as 'begin end';
      create table moody (id int, m mood); create index on moody (f(id)); insert into moody values (1, 'a'); alter table moody enable row level security`);
    const dropped = await moved('drop table moody');
    await client.rows(later.replace('T', inTrash(dropped, 'moody')));
    const outcome = await restore(dropped);
    expect(outcome).toMatchObject({ kind: 'conflict' });
    const said = outcome.kind === 'conflict' ? outcome.conflicts.map(({ reason }) => reason).join('\n') : '';
    for (const word of words) expect(said).toContain(word);
    expect(await client.rows(`select to_regclass('moody') is null`)).toEqual([['t']]);
    if (later.startsWith('drop function')) return;
    const borne = await restore(dropped, true);
    expect(borne).toMatchObject({
      kind: 'restored',
      lacking: [{ what: 'table public.moody' }, ...words.slice(1).map(() => ({}))],
    });
    expect(await client.rows(`select to_regclass('moody') is null`)).toEqual([['f']]);
  });

  it('is no matter where it was only looked after', async () => {
    await open(`create table t (id int primary key, v text); insert into t select g, 'x' from generate_series(1, 1000) g; delete from t where id < 500; create sequence q; create view v as select * from t;
      create schema s; create type s.e as enum ('x'); create function s.f(s.e) returns int language sql as 'select 1'; create domain s.d as int check (value > 0); create statistics s.st on id, v from t`);
    const dropped = await moved('drop table t cascade');
    const schema = await moved('drop schema s cascade');
    const t = inTrash(dropped, 't');
    await client.rows(`vacuum ${t}`);
    await client.rows(`analyze ${t}`);
    await client.rows(`reindex table concurrently ${t}`);
    await client.rows('vacuum freeze pg_catalog.pg_class');
    expect(await restore(schema)).toMatchObject({ kind: 'restored', lacking: [] });
    expect(await obstacles(session(), dropped)).toEqual({ conflicts: [], borne: [], leftOut: [] });
    expect(await restore(dropped)).toMatchObject({ kind: 'restored', lacking: [] });
  });

  it('by an owner who changes functions and types is seen', async () => {
    await open(
      `create schema s; create type s.e as enum ('x'); create function s.f() returns int language sql as 'select 1'`,
    );
    const dropped = await moved('drop schema s cascade');
    await client.rows(
      `alter type ${inTrash(dropped, 'e')} add value 'y'; create or replace function ${inTrash(dropped, 'f')}() returns int language sql as 'select 2'`,
    );
    expect(await restore(dropped)).toMatchObject({
      conflicts: [
        { what: 'routine s.f', reason: expect.stringContaining('definition') },
        { what: 'type s.e' },
      ],
    });
  });

  it('is never taken for what was dropped, where another stands in its place', async () => {
    await open(
      `create schema a authorization alice; create table a.secret (id int primary key, v text); alter table a.secret owner to alice; insert into a.secret values (1, 'alice only')`,
    );
    const dropped = await moved('drop table a.secret');
    const t = inTrash(dropped, 'secret');
    await client.rows(
      `drop table ${t}; create table ${t} (id int constraint "${inTrash(dropped, 'secret_pkey').split('"')[1]}" primary key, v text); alter table ${t} owner to mallory`,
    );
    for (const bearing of [false, true])
      expect(await restore(dropped, bearing)).toMatchObject({
        conflicts: [{ what: 'table a.secret', reason: 'it is no longer in the trash' }],
      });
  });

  it('is never brought back to another owner', async () => {
    await open('create table t (i int)');
    const dropped = await moved('drop table t');
    await client.rows(`alter table ${inTrash(dropped, 't')} owner to mallory`);
    expect(await restore(dropped, true)).toMatchObject({
      conflicts: [{ what: 'table public.t', reason: 'it has another owner by now' }],
    });
  });

  describe('by whoever owns the schema', () => {
    it('cannot be, since nobody makes it but who may do as much without it', async () => {
      await open(
        `grant create on database d${databases + 1} to mallory; create schema m authorization mallory; create table m.x (i int); alter table m.x owner to mallory`,
      );
      const mallory = await as('mallory');
      const reason = expect.stringContaining('CREATE SCHEMA "holdfast_trash"; GRANT USAGE, CREATE');
      expect(await drop('drop table m.x', mallory)).toEqual({ kind: 'none', reason });
      const app = await as('app');
      await app.rows('create schema mine create table t ()');
      await moved('drop schema mine cascade', app);
      await moved('drop table m.x', mallory);
    });

    it.each([
      ['mallory', false],
      ['app', true],
      ['pg_database_owner', true],
      ['postgres', true],
    ])('as %s: used %s', async (owner, used) => {
      await open(
        `create table t (i int); create schema holdfast_trash authorization ${owner}; grant usage, create on schema holdfast_trash to public`,
      );
      const outcome = await drop('drop table t');
      if (used) expect(outcome.kind).toBe('moved');
      else expect(outcome).toEqual({ kind: 'none', reason: expect.stringContaining("is mallory's") });
    });
  });
});
