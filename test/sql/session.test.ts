import { afterAll, describe, expect, test } from 'vitest';
import { AnalysisCache } from '../../src/sql/cache.ts';
import type { SessionEffect } from '../../src/sql/effects.ts';

const cache = new AnalysisCache();
afterAll(() => cache.close());

async function effectsOf(text: string): Promise<readonly SessionEffect[]> {
  const analysis = await cache.analyzeText(text);
  const effects = analysis.statements.flatMap((each) => each.session);
  expect(analysis.touchesSession).toBe(effects.some(({ kind }) => kind !== 'transaction'));
  return analysis.statements.flatMap((each) => each.session);
}

describe('what a statement does to its session', () => {
  const cases: readonly [string, readonly SessionEffect[]][] = [
    ['select 1', []],
    ['insert into t values (1)', []],
    ['begin', [{ kind: 'transaction', verb: 'begin' }]],
    [
      'begin read only',
      [
        { kind: 'transaction', verb: 'begin' },
        { kind: 'set', name: 'transaction_read_only', value: 'on', local: true },
      ],
    ],
    ['commit and chain', [{ kind: 'transaction', verb: 'commit' }]],
    ['rollback to a', [{ kind: 'transaction', verb: 'rollback-to', savepoint: 'a' }]],
    ['set search_path = a, "B c"', [{ kind: 'set', name: 'search_path', value: 'a, "B c"', local: false }]],
    ["set local TimeZone = 'UTC'", [{ kind: 'set', name: 'timezone', value: 'UTC', local: true }]],
    ['set search_path to default', [{ kind: 'reset', name: 'search_path' }]],
    ["set names 'latin1'", [{ kind: 'set', name: 'client_encoding', value: 'latin1', local: false }]],
    ["set schema 'a'", [{ kind: 'set', name: 'search_path', value: 'a', local: false }]],
    ['set role a', [{ kind: 'set', name: 'role', value: 'a', local: false }]],
    ['reset role', [{ kind: 'reset', name: 'role' }]],
    ['reset all', [{ kind: 'reset', name: null }]],
    ['discard all', [{ kind: 'discard', target: 'all' }]],
    [
      "select set_config('search_path', 'a', true)",
      [{ kind: 'set', name: 'search_path', value: 'a', local: true }],
    ],
    [
      "select set_config('search_path', a, false) from t",
      [{ kind: 'set', name: 'search_path', value: null, local: false }],
    ],
    [
      "update pg_settings set setting = 'off' where name = 'standard_conforming_strings'",
      [
        { kind: 'set', name: 'search_path', value: null, local: false },
        { kind: 'set', name: 'client_encoding', value: null, local: false },
      ],
    ],
    [
      "select set_config(a, 'off', false) from t",
      [
        { kind: 'set', name: 'search_path', value: null, local: false },
        { kind: 'set', name: 'client_encoding', value: null, local: false },
        { kind: 'opaque-code' },
      ],
    ],
    [
      "select set_config(name, 'a', false) from pg_catalog.pg_settings where name = 'Search_path'",
      [{ kind: 'set', name: 'search_path', value: 'a', local: false }],
    ],
    [
      "select set_config(s.name, 'a', true) from pg_settings s where 'role' = s.name",
      [{ kind: 'set', name: 'role', value: 'a', local: true }, { kind: 'opaque-code' }],
    ],
    ['execute p (1)', [{ kind: 'execute', name: 'p', ownRisk: 'safe' }]],
    ['deallocate p', [{ kind: 'deallocate', name: 'p' }]],
    ['deallocate all', [{ kind: 'deallocate', name: null }]],
    ['declare c cursor for select 1', [{ kind: 'declare-cursor', name: 'c' }]],
    ['close c', [{ kind: 'close-cursor', name: 'c' }]],
    ['close all', [{ kind: 'close-cursor', name: null }]],
    ['create table t ()', [{ kind: 'schema-change' }]],
    ['drop view v', [{ kind: 'schema-change' }]],
    ['alter table t add a int', [{ kind: 'schema-change' }]],
    ['select my_function()', [{ kind: 'opaque-code' }]],
    ['do $$begin end$$', [{ kind: 'opaque-code' }]],
    ['call p()', [{ kind: 'opaque-code' }]],
    ['selec', [{ kind: 'opaque-code' }]],
    ['explain create table a as select 1', []],
    ['explain execute p', [{ kind: 'execute', name: 'p', ownRisk: 'safe' }]],
  ];

  test.each(cases)('%s', async (text, effects) => {
    expect(await effectsOf(text)).toEqual(effects);
  });

  test('a prepared statement keeps the effects of what it will run', async () => {
    const [effect] = await effectsOf('prepare p (int) as delete from t where id = $1');
    expect(effect).toMatchObject({
      kind: 'prepare',
      name: 'p',
      effects: {
        operation: 'delete',
        risk: 'high',
        predicate: 'scoped',
        writes: [{ schema: null, name: 't' }],
      },
    });
  });
});

describe('a text of several statements', () => {
  test('has the risk and the operation of the worst', async () => {
    const analysis = await cache.analyzeText(
      'begin read only; commit; insert into t values (1); truncate u; select 1',
    );
    expect(analysis.statements.map((each) => each.operation)).toEqual([
      'begin',
      'commit',
      'insert',
      'truncate',
      'select',
    ]);
    expect([analysis.risk, analysis.operation]).toEqual(['critical', 'truncate']);
  });

  test('says where each begins, in bytes', async () => {
    const text = "select 'é' ; -- c\n delete from t";
    const analysis = await cache.analyzeText(text);
    const bytes = Buffer.from(text);
    const slices = analysis.statements.map((each) =>
      bytes
        .subarray(each.startByte, each.startByte + each.lengthBytes)
        .toString()
        .trim(),
    );
    expect(slices[0]).toBe("select 'é'");
    expect(slices[1]).toMatch(/delete from t$/);
  });
});

describe('what a statement names', () => {
  const names = async (text: string) => {
    const [effects] = (await cache.analyzeText(text)).statements;
    const show = ({ schema, name }: { schema: string | null; name: string }) =>
      schema === null ? name : `${schema}.${name}`;
    return {
      reads: effects?.reads.map(show),
      writes: effects?.writes.map(show),
      columns: effects?.columns
        .map(({ table, name }) => `${table === null ? '?' : show(table)}.${name}`)
        .sort(),
      functions: effects?.functions,
    };
  };

  test.each<[string, Partial<Awaited<ReturnType<typeof names>>>]>([
    ['select a from t', { reads: ['t'], writes: [], columns: ['t.a'] }],
    [
      'select x.a, u.b, c from s.t x join u on x.id = u.id',
      { reads: ['s.t', 'u'], columns: ['?.c', 's.t.a', 's.t.id', 'u.b', 'u.id'] },
    ],
    ['select * from t, u', { columns: ['t.*', 'u.*'] }],
    ['select t from t', { columns: ['?.t', 't.*'] }],
    ['with a as (select b from t) select c from a', { reads: ['t'], columns: ['?.c', 't.b'] }],
    ['with t as (select 1 from t) select * from t', { reads: ['t'] }],
    ['with recursive t as (select 1 union select a from t) select * from t', { reads: [] }],
    ['with a as (select 1) select * from s.a', { reads: ['s.a'] }],
    ['select * from (with a as (select 1) select * from a) x, a', { reads: ['a'] }],
    ['update t set a = 1, b = c where d = 2', { writes: ['t'], columns: ['t.a', 't.b', 't.c', 't.d'] }],
    ['update t x set (a, b) = (1, 2) from u where x.id = u.id', { reads: ['u'], writes: ['t'] }],
    ['delete from only t using u where t.id = u.id', { reads: ['u'], writes: ['t'] }],
    ['delete from t', { columns: ['t.*'] }],
    ['insert into t (a, b) values (1, 2)', { columns: ['t.a', 't.b'] }],
    ['insert into t select x from u', { writes: ['t'], reads: ['u'] }],
    [
      'insert into t (a) values (1) on conflict (a) do update set b = excluded.c',
      { columns: ['t.a', 't.b', 't.c'] },
    ],
    ['insert into "T"""" " values (1)', { writes: ['T"" '] }],
    [
      'merge into t using u on t.id = u.id when matched then update set a = u.b',
      { writes: ['t'], reads: ['u'] },
    ],
    ['copy t (a, b) to stdout', { reads: ['t'], writes: [], columns: ['t.a', 't.b'] }],
    ['copy t from stdin', { writes: ['t'], columns: ['t.*'] }],
    ['truncate a, s.b', { writes: ['a', 's.b'] }],
    ['drop table a, s.b', { writes: ['a', 's.b'] }],
    ['drop index s.i', { writes: ['s.i'] }],
    ['drop trigger x on s.t', { writes: ['s.t'] }],
    ['alter table s.t drop column a', { writes: ['s.t'], columns: ['s.t.a'] }],
    ['alter table t rename column a to b', { writes: ['t'], columns: ['t.a', 't.b'] }],
    ['create view v as select a from t', { writes: ['v'], reads: ['t'] }],
    ['create table a as select * from t', { writes: ['a'], reads: ['t'] }],
    ['select * into a from t', { writes: ['a'], reads: ['t'] }],
    ["comment on column s.t.a is 'x'", { writes: ['s.t'], columns: ['s.t.a'] }],
    ['grant select on t to u', { writes: ['t'] }],
    ['explain delete from t', { reads: ['t'], writes: [] }],
    ['refresh materialized view v', { writes: ['v'] }],
    ['select f(a), s.g(), lower(b) from t', { functions: ['f', 's.g', 'lower'] }],
    ['select 1 operator(s.+) 2', { functions: ['operator(s.+)'] }],
    ['select * from f(1) x', { functions: ['f'], reads: [] }],
  ])('%s', async (text, expected) => {
    expect(await names(text)).toMatchObject(expected);
  });
});

describe('the context comment', () => {
  test.each<[string, Record<string, string>]>([
    ["select 1 /*application='web',route='%2Fa%20b'*/", { application: 'web', route: '/a b' }],
    ["/*a='1'*/ select 1", { a: '1' }],
    ["select 1 /*a='1'*/ ;", { a: '1' }],
    ["select 1 /*a='it\\'s'*/", { a: "it's" }],
    ["select '/*a=''1''*/'", {}],
    ["select $$ /*a='1'*/ $$", {}],
    ["select 1 /*a='1'*/ + 2", {}],
    ['select 1 /* just words */', {}],
    ["select 1 /*a='1', and more*/", {}],
    ["select 1 -- a='1'", {}],
    ["select 1 /*__proto__='1'*/", { ['__proto__']: '1' }],
  ])('%s', async (text, context) => {
    const found = (await cache.analyzeText(text)).context;
    expect(Object.entries(found)).toEqual(Object.entries(context));
    expect(Object.isFrozen(found)).toBe(true);
  });

  test('is bounded', async () => {
    const many = Array.from({ length: 40 }, (_, i) => `k${i}='v'`).join(',');
    expect((await cache.analyzeText(`select 1 /*${many}*/`)).context).toEqual({});
    expect((await cache.analyzeText(`select 1 /*a='${'x'.repeat(2_000)}'*/`)).context).toEqual({});
  });
});

describe('what stands behind a change of search_path in one text', () => {
  test.each([
    ["set search_path = evil, pg_catalog; select lower('A')", 'high'],
    ["set search_path = public; select lower('A')", 'low'],
    ["select lower('A'); set search_path = evil, pg_catalog", 'low'],
  ])('%s is %s', async (text, risk) => {
    expect((await cache.analyzeText(text)).risk).toBe(risk);
  });
});
