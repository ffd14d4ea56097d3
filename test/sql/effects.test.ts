import { afterAll, describe, expect, test } from 'vitest';
import { AnalysisCache } from '../../src/sql/cache.ts';
import { cases, riskCases } from './corpus.ts';

const cache = new AnalysisCache();
afterAll(() => cache.close());

describe('the risk and the operation of a statement', () => {
  test.each(riskCases())('$sql is $risk', async ({ risk, operation, sql }) => {
    const analysis = await cache.analyzeText(sql);
    expect(analysis.status).toBe('parsed');
    expect(
      { risk: analysis.risk, operation: analysis.operation },
      analysis.statements[0]?.reasons.join('; '),
    ).toEqual({
      risk,
      operation,
    });
  });
});

describe('how many rows a statement writes at most', () => {
  test.each([
    ['insert into t values (1)', 1],
    ['insert into t values (1), (2), (3) on conflict do nothing returning *', 3],
    ["insert into t values ('x'), ($1)", 2],
    ['insert into t default values', 1],
    ['insert into t values (1), (1) on conflict (a) do update set b = 1', 2],
    ['insert into t (values (1), (2))', 2],
    [
      "insert into t values (nextval('s'), now(), lower($1) || 'x', 1 + $2, array[1]::int[], ($3::int[])[1])",
      1,
    ],
    ['insert into t values ((select max(f(a)) from u), pg_catalog.lower($1))', 1],
    ['insert into t values (generate_series(1, 1000))', undefined],
    ['insert into t values (1 + pg_catalog.unnest($1::int[]))', undefined],
    ['insert into t values ((jsonb_populate_recordset(null::t, $1)).*)', undefined],
    ['insert into t values (f($1))', undefined],
    ['insert into t values (own.lower($1))', undefined],
    ['insert into t values (($1::u).f)', undefined],
    ['insert into t values ($1 operator(own.+) 1)', undefined],
    ['insert into t values ($1 @+@ 1)', undefined],
    ['insert into t values (array(select 1), case when $1 in (f(1)) then 1 end)', undefined],
    ['update t set a = 1 where current of c', 1],
    ['delete from t where current of c', 1],
    ['insert into t select 1', undefined],
    ['insert into t select * from u', undefined],
    ['insert into t values (1) union all select 1', undefined],
    ['insert into t values (1), (2) limit 1', undefined],
    ['with d as (delete from u returning 1) insert into t values (1)', undefined],
    ['insert into t with w as (select 1) values (1)', undefined],
    ['explain analyze insert into t values (1)', undefined],
    ['update t set a = 1 where id = 1', undefined],
    ['execute p(1)', undefined],
    ['select 1', undefined],
  ])('%s: %s', async (sql, rows) => {
    const { statements } = await cache.analyzeText(sql);
    expect(statements[0]?.rowsMax).toBe(rows);
    // Once more, as its literals leave it.
    const again = await cache.analyzeText(sql.replaceAll('1', '7'));
    expect(again.statements[0]?.rowsMax).toBe(rows);
  });
});

describe('a predicate that bounds nothing', () => {
  test.each(cases('tautologies.txt'))('delete … where %s', async (where) => {
    const { risk, statements } = await cache.analyzeText(`delete from t where ${where}`);
    expect(statements[0]?.predicate).toBe('tautology');
    expect(risk).toBe('critical');
  });

  test.each(cases('tautologies.txt'))('update … where (%s)', async (where) => {
    const { statements } = await cache.analyzeText(`update t set x = 1 where (${where})`);
    expect(statements[0]?.predicate).toBe('tautology');
  });
});

describe('a predicate that bounds the write', () => {
  test.each(cases('scoped.txt'))('delete … where %s', async (where) => {
    const { risk, statements } = await cache.analyzeText(`delete from t where ${where}`);
    expect(statements[0]?.predicate).toBe('scoped');
    expect(risk).toBe('high');
  });
});
