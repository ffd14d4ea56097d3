import { afterAll, describe, expect, test } from 'vitest';
import { AnalysisCache } from '../../src/sql/cache.ts';

const cache = new AnalysisCache();
afterAll(() => cache.close());

async function read(text: string) {
  const { status, risk, statements } = await cache.analyzeText(text);
  expect(status, text).toBe('parsed');
  const opaque = statements.some(({ session }) => session.some(({ kind }) => kind === 'opaque-code'));
  return { risk, opaque, functions: statements.flatMap(({ functions }) => functions) };
}

describe('code that a text names without calling it', () => {
  test.each([
    ['an operator that PostgreSQL has not', 'select 1 @#@ 2', 'operator(@#@)'],
    ["another schema's operator", 'select 1 operator(public.+) 2', 'operator(public.+)'],
    ['an operator that sorts', 'select a from t order by a using @#@', 'operator(@#@)'],
    ['an operator of ANY', 'select 1 @#@ any (array[1])', 'operator(@#@)'],
    ['an operator of a subquery', 'select 1 @#@ all (select 2)', 'operator(@#@)'],
    ['an operator of rows', 'select (1, 2) operator(s.<) (3, 4)', 'operator(s.<)'],
    ['a function as an attribute', 'select (1).wipe', 'wipe'],
    ['a function as an attribute of a row', 'select (t).wipe from t', 'wipe'],
    ['a function as an attribute of an attribute', 'select (t.a).b.wipe from t', 'wipe'],
    ['a function that was an argument', 'select (f).wipe from lower($1) f', 'wipe'],
  ])('%s is as a function that is not known', async (_, text, name) => {
    const { risk, opaque, functions } = await read(text);
    expect([risk, opaque]).toEqual(['high', true]);
    expect(functions).toContain(name);
  });

  test.each([
    ['a cast', 'select 1::dm'],
    ['a cast by its name', 'select cast($1 as s.dm)'],
    ['a constant', "select dm 'x'"],
    ['an array', "select '{x}'::dm[]"],
    ['columns of a function', "select * from json_to_recordset('[]') as x(a dm)"],
    ['columns of several functions', "select * from rows from (json_to_recordset('[]') as (a dm))"],
    ['columns of JSON_TABLE', "select * from json_table(jsonb '[]', '$' columns (a dm path '$.a'))"],
    ['columns of XMLTABLE', "select * from xmltable('/a' passing xml '<a/>' columns a dm)"],
    ['what JSON_VALUE gives', "select json_value(jsonb '1', '$' returning dm)"],
    ['what XMLSERIALIZE gives', 'select xmlserialize(content x as dm) from t'],
  ])('%s of a type that PostgreSQL has not is allowed, and no read for sure', async (_, text) => {
    const { risk, opaque, functions } = await read(text);
    expect([risk, opaque]).toEqual(['low', false]);
    expect(functions.join()).toMatch(/type\((s\.)?dm\)/);
  });

  test.each(['select g.lo_unlink from unnest($1) g', 'select t.lo_unlink from t'])(
    '%s may call what is dangerous',
    async (text) => {
      expect(await read(text)).toMatchObject({
        risk: 'critical',
        functions: expect.arrayContaining(['lo_unlink']),
      });
      expect(await read('select t.system, t.name, t.length from t')).toMatchObject({ risk: 'safe' });
    },
  );

  test('a parameter of a type that PostgreSQL has not counts where it is executed', async () => {
    const { statements } = await cache.analyzeText('prepare p (dm) as select $1');
    expect(statements[0]?.session[0]).toMatchObject({ kind: 'prepare', effects: { risk: 'low' } });
  });

  test.each([
    "select '1'::int, cast(a as numeric(3)), date '2026-01-01', x::text[], '{1}'::_int4, 'a'::information_schema.sql_identifier from t",
    'select (t).length, (a).* , a[1], (array[1])[1] from t',
    'select 1 operator(pg_catalog.+) 2',
    "select * from json_to_recordset('[]') as x(a int)",
    "select * from json_table(jsonb '[]', '$' columns (a int path '$.a'))",
  ])('%s is a read', async (text) => {
    expect((await read(text)).risk).toBe('safe');
  });
});

describe('what makes reads run code that their text does not tell', () => {
  test.each([
    ['an operator', 'create operator public.= (function = f, leftarg = varchar, rightarg = varchar)'],
    ['a cast', 'create cast (int as dm) with function f(int)'],
    ['a domain whose check calls a function', 'create domain dm as int check (f(value))'],
    ['a check of a domain', 'alter domain dm add check (f(value))'],
    [
      "a function with the name of one of PostgreSQL's",
      "create function lower(varchar) returns text language sql as 'x'",
    ],
    [
      "an aggregate with the name of one of PostgreSQL's",
      'create aggregate sum(text) (sfunc = f, stype = text)',
    ],
    ['a function of a row', "create function f(t) returns int language sql as 'x'"],
    [
      'a function of a row with a default',
      "create function f(a t, b int default 1) returns int language sql as 'x'",
    ],
    ['a function of anything', "create function f(anyelement, out a int) language sql as 'x'"],
    ['a function of any row', "create function f(record) returns int language sql as 'x'"],
  ])('%s is high', async (_, text) => {
    expect((await read(text)).risk).toBe('high');
  });

  test.each([
    'create domain dm as int check (value > 0)',
    "create function f(a int, b t) returns int language sql as 'x'",
    "create function f(a t, b int) returns int language sql as 'x'",
    "create function f() returns trigger language plpgsql as 'x'",
    "create type st as enum ('a')",
    'create aggregate f(text) (sfunc = g, stype = text)',
  ])('%s is low', async (text) => {
    expect((await read(text)).risk).toBe('low');
  });
});
