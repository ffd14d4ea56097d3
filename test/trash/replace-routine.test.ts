import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Parser } from '../../src/sql/parsing/parser.ts';
import type { MoveOutcome } from '../../src/trash/move.ts';
import { restoreDropped } from '../../src/trash/restore.ts';
import { onHidden } from '../../src/trash/session.ts';
import { HiddenClient } from '../support/hidden-client.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { errorsOf, RawClient } from '../support/raw-client.ts';
import { alterWith, restoreAndKeep } from './alter-judge.ts';
import { messageOf, really } from './as-dropped.ts';

describe.each([18, 15] as const)('a function that is replaced, on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let parser: Parser;
  let client: RawClient;
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql('create role app login; create role reader');
    await postgres.sql('create database d owner app');
    client = await RawClient.open(postgres.port, { database: 'd', user: 'app' });
    parser = await Parser.create();
  });
  afterAll(async () => {
    await client?.terminate();
    await postgres?.stop();
  });

  const SQL = `create table t (a int, b text); create type pair as (x int, y t);
    create function f(a int, b text default 'x''y') returns int language sql stable as 'select 1'; create function f(a text) returns int language sql as 'select 2'`;

  async function open(setup: string): Promise<void> {
    await client.rows('drop schema if exists public, other cascade; create schema public');
    await client.rows(setup);
  }

  /** All that the catalog says of functions, with whose they are and who may run them. */
  const routines = () =>
    client.rows(
      `select p.oid, n.nspname, pg_get_functiondef(p.oid), proowner, proacl::text, obj_description(p.oid, 'pg_proc'), prosrc, proconfig::text
         from pg_proc p join pg_namespace n on n.oid = pronamespace where p.oid >= 16384 order by 1`,
    );
  const moved = (outcome: MoveOutcome) => {
    if (outcome.kind !== 'moved') throw new Error(JSON.stringify(outcome));
    return outcome;
  };
  const restored = async (outcome: MoveOutcome, onConflict: 'fail' | 'overwrite' = 'fail') =>
    await restoreDropped(onHidden(new HiddenClient(client)), moved(outcome).moved, { onConflict });

  it.each([
    [
      'by another body',
      SQL,
      `create or replace function f(a int, b text default 'x''y') returns int language sql stable as 'select 7'`,
    ],
    [
      'with all that it may have',
      `${SQL}; create function "F f"(inout "A" numeric(5, 2), variadic v t[]) returns numeric language plpgsql
         volatile strict security definer parallel safe cost 7 set search_path = public, "o's" set work_mem = '5MB' as $x$begin
         -- a word 'and' $y$more$y$
         "A" := 1; end$x$; grant execute on function "F f" to reader; revoke execute on function "F f" from public;
       comment on function "F f" is 'why'`,
      `CREATE OR REPLACE FUNCTION public . "F f"(inout "A" numeric, variadic v t[]) language sql as 'select 3.0'`,
    ],
    [
      'a set',
      `${SQL}; create function many(pair) returns table (i int, u pair) language sql rows 50 as 'select 1, $1'`,
      `create or replace function many(pair) returns table (i int, u pair) language plpgsql rows 5 as 'begin return; end'`,
    ],
    [
      'a trigger',
      `${SQL}; create function g() returns trigger language plpgsql as 'begin return new; end'; create trigger g before insert on t for each row execute function g()`,
      `create or replace function g() returns trigger language plpgsql as 'begin return null; end'`,
    ],
    [
      'a procedure',
      `${SQL}; create procedure p(a int, inout b int) language plpgsql as 'begin b := a; end'`,
      `create or replace procedure p(a int, inout b int) language plpgsql as 'begin b := 2 * a; commit; end'`,
    ],
    [
      'a body that is SQL',
      `${SQL}; create function s(i int) returns bigint language sql begin atomic select count(*) from t where a > i; end`,
      `create or replace function s(i int) returns bigint language sql return i`,
    ],
    [
      'one that is found first',
      `${SQL}; create schema other; create function other.f(a int, b text default 'z') returns int language sql as 'select 3'`,
      `create or replace function f(int, b text default 'q') returns int language sql as 'select 4'`.replace(
        '(int',
        '(a int',
      ),
    ],
  ])('comes back, and goes again: %s', async (_, setup, sql) => {
    await open(setup);
    const before = await routines();
    const outcome = moved(await alterWith(client, parser, sql));
    const replaced = await routines();
    expect(replaced).not.toEqual(before);
    const once = await restoreAndKeep(client, outcome.moved);
    expect(await routines()).toEqual(before);
    const twice = await restoreAndKeep(client, once);
    expect(await routines()).toEqual(replaced);
    await restoreAndKeep(client, twice);
    expect(await routines()).toEqual(before);
    const real = await really(client, sql);
    expect({ tag: outcome.tag, notices: outcome.notices.map(messageOf) }).toEqual(real);
    expect(await routines()).toEqual(replaced);
  });

  it.each([
    ['is new', `create or replace function new() returns int language sql as 'select 1'`],
    [
      'is as it was',
      `create or replace function f(a int, b text default 'x''y') returns int language sql stable as 'select 1'`,
    ],
    ['is for other types', `create or replace function f(a bigint) returns int language sql as 'select 1'`],
  ])('leaves nothing to keep where it %s', async (_, sql) => {
    await open(SQL);
    const outcome = await alterWith(client, parser, sql);
    expect(outcome).toMatchObject({ kind: 'harmless', tag: 'CREATE FUNCTION' });
  });

  it('has no undo where the old definition would be refused behind the new one', async () => {
    await open(SQL);
    const before = await routines();
    const sql = `create or replace function f(a int default 3, b text default 'x') returns int language sql as 'select 1'`;
    expect(await alterWith(client, parser, sql)).toMatchObject({
      kind: 'none',
      reason: expect.stringContaining('undo was tried'),
    });
    expect(await routines()).toEqual(before);
  });

  it('is refused as by the server', async () => {
    await open(SQL);
    const sql = `create or replace function f(a int, b text default 'x') returns text language sql as 'select 1'`;
    const outcome = await alterWith(client, parser, sql);
    if (outcome.kind !== 'refused') throw new Error(JSON.stringify(outcome));
    expect(outcome.error.message).toEqual(errorsOf(await client.query(sql))[0]?.['M']);
  });

  const REPLACE = `create or replace function f(a int, b text default 'x''y') returns int language sql stable as 'select 7'`;

  it('does not come back over what has replaced it since, unless it is told to', async () => {
    await open(SQL);
    const before = await routines();
    const outcome = await alterWith(client, parser, REPLACE);
    await client.rows(REPLACE.replace('7', '8'));
    expect(await restored(outcome)).toMatchObject({
      kind: 'conflict',
      conflicts: [
        { what: 'the function public.f(integer, text)', reason: 'it is not as the statement has left it' },
      ],
    });
    expect(await restored(outcome, 'overwrite')).toMatchObject({ kind: 'restored' });
    expect(await routines()).toEqual(before);
  });

  it.each([
    ['was dropped', 'drop function f(int, text)', 'it was dropped since'],
    ['was dropped and made anew', `drop function f(int, text); ${REPLACE}`, 'it was dropped since'],
    [
      'has another name',
      'alter function f(int, text) rename to g',
      'is the function public.g(integer, text) by now',
    ],
    [
      'has another schema',
      'create schema other; alter function f(int, text) set schema other',
      'other.f(integer, text) by now',
    ],
  ])('does not come back where it %s', async (_, since, why) => {
    await open(SQL);
    const outcome = await alterWith(client, parser, REPLACE);
    await client.rows(since);
    for (const mode of ['fail', 'overwrite'] as const)
      expect(JSON.stringify(await restored(outcome, mode))).toContain(why);
  });

  it('comes back with a body that names what is gone', async () => {
    await open(`${SQL}; create function s() returns bigint language sql as 'select count(*) from t'`);
    const before = await routines();
    const outcome = await alterWith(
      client,
      parser,
      `create or replace function s() returns bigint language sql as 'select 1'`,
    );
    await client.rows('drop table t cascade');
    expect(await restored(outcome)).toMatchObject({ kind: 'restored' });
    expect((await routines()).map(([, , definition]) => definition)).toContain(before.at(-1)![2]);
  });
});
