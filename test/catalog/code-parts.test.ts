import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCodeParts } from '../../src/catalog/code-parts.ts';
import type { HiddenConnection, HiddenQuery } from '../../src/catalog/connection.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';

/** As many as a database of some age has, with extensions that bring operators of functions in C. */
const SETUP = `
create extension citext; create extension hstore; create extension pg_trgm; create extension ltree;
do $$ begin for i in 1..3000 loop
  execute format('create function many_%s(int) returns int language sql return $1', i);
end loop; end $$;
analyze;
`;

/** The text of the question. */
async function question(): Promise<string> {
  let sql = '';
  const run = async (query: HiddenQuery) => {
    ({ sql } = query);
  };
  await readCodeParts({ run } as unknown as HiddenConnection, [], true);
  return sql;
}

describe.each([18, 15] as const)('the question what names mean, on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql(SETUP);
  });
  afterAll(async () => await postgres?.stop());

  it('looks at what it is asked about, and not at each function of the database', async () => {
    const rows = await postgres.sql(`
      prepare question (text[], text[], text[], text[], bool) as ${await question()};
      explain (analyze, timing off, costs off)
        execute question('{function,operator}', '{many_7,=}', '{"",""}', '{f,f}', true)`);
    const removed = rows.map(([line]) => Number(/Removed by Join Filter: (\d+)/.exec(line ?? '')?.[1] ?? 0));
    expect(Math.max(...removed)).toBeLessThan(1000);
    expect(rows.filter(([line]) => /Seq Scan on pg_proc p /.test(line ?? ''))).toEqual([]);
  });
});
