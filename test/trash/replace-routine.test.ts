import { describe, expect, it } from 'vitest';
import type { MoveOutcome } from '../../src/trash/move.ts';
import { errorsOf } from '../support/raw-client.ts';
import { restoreAndKeep } from './alter-judge.ts';
import { altering } from './altering.ts';
import { messageOf, really } from './as-dropped.ts';

describe.each([18, 15] as const)('a function that is replaced, on PostgreSQL %i', (version) => {
  const under = altering(version);

  const SQL = `create table t (a int, b text); create type pair as (x int, y t);
    create function f(a int, b text default 'x''y') returns int language sql stable as 'select 1'; create function f(a text) returns int language sql as 'select 2'`;

  /** All that the catalog says of functions, with whose they are and who may run them. */
  const routines = () =>
    under.client.rows(
      `select p.oid, n.nspname, pg_get_functiondef(p.oid), proowner, proacl::text, obj_description(p.oid, 'pg_proc'), prosrc, proconfig::text
         from pg_proc p join pg_namespace n on n.oid = pronamespace where p.oid >= 16384 order by 1`,
    );
  const moved = (outcome: MoveOutcome) => {
    if (outcome.kind !== 'moved') throw new Error(JSON.stringify(outcome));
    return outcome;
  };
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
    await under.open(setup);
    const before = await routines();
    const outcome = moved(await under.alter(sql));
    const replaced = await routines();
    expect(replaced).not.toEqual(before);
    const once = await restoreAndKeep(under.client, outcome.moved);
    expect(await routines()).toEqual(before);
    const twice = await restoreAndKeep(under.client, once);
    expect(await routines()).toEqual(replaced);
    await restoreAndKeep(under.client, twice);
    expect(await routines()).toEqual(before);
    const real = await really(under.client, sql);
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
    await under.open(SQL);
    const outcome = await under.alter(sql);
    expect(outcome).toMatchObject({ kind: 'harmless', tag: 'CREATE FUNCTION' });
  });

  it('has no undo where the old definition would be refused behind the new one', async () => {
    await under.open(SQL);
    const before = await routines();
    const sql = `create or replace function f(a int default 3, b text default 'x') returns int language sql as 'select 1'`;
    expect(await under.alter(sql)).toMatchObject({
      kind: 'none',
      reason: expect.stringContaining('undo was tried'),
    });
    expect(await routines()).toEqual(before);
  });

  it('is refused as by the server', async () => {
    await under.open(SQL);
    const sql = `create or replace function f(a int, b text default 'x') returns text language sql as 'select 1'`;
    const outcome = await under.alter(sql);
    if (outcome.kind !== 'refused') throw new Error(JSON.stringify(outcome));
    expect(outcome.error.message).toEqual(errorsOf(await under.client.query(sql))[0]?.['M']);
  });

  const REPLACE = `create or replace function f(a int, b text default 'x''y') returns int language sql stable as 'select 7'`;

  it('does not come back over what has replaced it since, unless it is told to', async () => {
    await under.open(SQL);
    const before = await routines();
    const outcome = await under.alter(REPLACE);
    await under.client.rows(REPLACE.replace('7', '8'));
    expect(await under.restore(outcome)).toMatchObject({
      kind: 'conflict',
      conflicts: [
        { what: 'the function public.f(integer, text)', reason: 'it is not as the statement has left it' },
      ],
    });
    expect(await under.restore(outcome, 'overwrite')).toMatchObject({ kind: 'restored' });
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
    await under.open(SQL);
    const outcome = await under.alter(REPLACE);
    await under.client.rows(since);
    for (const mode of ['fail', 'overwrite'] as const)
      expect(JSON.stringify(await under.restore(outcome, mode))).toContain(why);
  });

  it('comes back with a body that names what is gone', async () => {
    await under.open(`${SQL}; create function s() returns bigint language sql as 'select count(*) from t'`);
    const before = await routines();
    const outcome = await under.alter(
      `create or replace function s() returns bigint language sql as 'select 1'`,
    );
    await under.client.rows('drop table t cascade');
    expect(await under.restore(outcome)).toMatchObject({ kind: 'restored' });
    expect((await routines()).map(([, , definition]) => definition)).toContain(before.at(-1)![2]);
  });
});
