import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Parser } from '../../src/sql/parsing/parser.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { judge } from './exactness.ts';

/** Each run of a volatile function of the schema leaves the sequence one further on, which no proof of rows sees. */
const SCHEMA = `
  CREATE SCHEMA x; SET search_path = x; CREATE SEQUENCE s;
  CREATE TABLE t (id int PRIMARY KEY, n int, note text); INSERT INTO t VALUES (1, 1, 'a'), (2, 2, 'b');
  CREATE TABLE r (t int REFERENCES t ON UPDATE CASCADE ON DELETE CASCADE); INSERT INTO r VALUES (1);
  CREATE FUNCTION f(t) RETURNS boolean LANGUAGE sql AS $$ SELECT nextval('x.s') > 0 $$;
  CREATE FUNCTION g(int, int) RETURNS boolean LANGUAGE sql AS $$ SELECT nextval('x.s') > 0 $$;
  CREATE FUNCTION note(r) RETURNS text LANGUAGE sql AS $$ SELECT nextval('x.s')::text $$;
  CREATE OPERATOR @+@ (LEFTARG = int, RIGHTARG = int, FUNCTION = g);
  CREATE FUNCTION calm(int, int) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$ SELECT $1 = $2 $$;
  CREATE OPERATOR @-@ (LEFTARG = int, RIGHTARG = int, FUNCTION = calm);
  CREATE FUNCTION more(int, int) RETURNS int LANGUAGE sql AS $$ SELECT nextval('x.s')::int + 10 $$;
  CREATE OPERATOR @*@ (LEFTARG = int, RIGHTARG = int, FUNCTION = more);
  CREATE TYPE k AS (a int);
  CREATE FUNCTION h(int) RETURNS k LANGUAGE sql AS $$ SELECT ROW(nextval('x.s')::int)::x.k $$;
  CREATE CAST (int AS k) WITH FUNCTION h(int);
  CREATE DOMAIN d AS int CHECK (g(value, 1)); CREATE DOMAIN e AS d;
  CREATE VIEW v AS SELECT id FROM t WHERE g(id, 1); CREATE VIEW w AS SELECT id FROM v;
  CREATE VIEW one AS SELECT id, n FROM t WHERE n @+@ 1;
  CREATE TABLE guarded (id int); INSERT INTO guarded VALUES (1); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
  CREATE POLICY p ON guarded USING (g(id, 1));`;

const REFUSED: readonly (readonly [sql: string, name: string])[] = [
  ['DELETE FROM t c WHERE c.f', 'f'],
  ['DELETE FROM t c WHERE (c).f', 'f'],
  ['UPDATE t SET n = 5 WHERE t.f', 'f'],
  ['DELETE FROM t USING r WHERE r.t = t.id AND r.note IS NOT NULL', 'note'],
  ['DELETE FROM t WHERE n @+@ 1', 'g'],
  ['DELETE FROM t WHERE n OPERATOR(x.@+@) 1', 'g'],
  ['DELETE FROM t WHERE n @+@ ANY (SELECT 1)', 'g'],
  ['DELETE FROM t WHERE (n::k) IS NOT NULL', 'h'],
  ['DELETE FROM t WHERE n::d = 1', 'g'],
  ['DELETE FROM t WHERE n::e = 1', 'g'],
  ['DELETE FROM t WHERE id IN (SELECT id FROM v)', 'g'],
  ['DELETE FROM t WHERE id IN (SELECT id FROM x.w)', 'g'],
  ['DELETE FROM t WHERE id IN (SELECT id FROM guarded)', 'g'],
  ['WITH q AS (SELECT id FROM v) DELETE FROM t USING q WHERE q.id = t.id', 'g'],
  ['DELETE FROM one WHERE id = 1', 'g'],
  ['MERGE INTO t USING r ON r.t = t.id AND t.n @+@ 1 WHEN MATCHED THEN DELETE', 'g'],
  ['INSERT INTO t VALUES (1) ON CONFLICT (id) DO UPDATE SET n = 3 WHERE t.n @+@ 1', 'g'],
  ['UPDATE t SET id = id @*@ 1', 'more'],
];

/** What the capture runs is not volatile, or what is volatile it does not run. */
const CAPTURED: readonly string[] = [
  'DELETE FROM t WHERE n = 1',
  'DELETE FROM t WHERE n @-@ 1',
  "DELETE FROM t WHERE note = 'a'",
  'UPDATE t SET n = n @*@ 1',
  'DELETE FROM t WHERE id IN (SELECT t FROM r)',
];

describe.each([15, 18] as const)('on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let client: RawClient;
  let parser: Parser;

  beforeAll(async () => {
    postgres = await startPostgres({ version });
    client = await RawClient.open(postgres.port);
    parser = await Parser.create();
    await client.rows(SCHEMA);
  });
  afterAll(async () => {
    client?.destroy();
    await postgres?.stop();
  });

  async function verdictOf(sql: string) {
    await client.rows('BEGIN; ALTER SEQUENCE s RESTART');
    try {
      const verdict = await judge(client, parser, { sql, parameters: [] });
      return { verdict, runs: (await client.rows('SELECT is_called FROM s'))[0]![0] };
    } finally {
      await client.query('ROLLBACK');
    }
  }

  it('has no plan for a condition that runs a volatile function without calling it', async () => {
    for (const [sql, name] of REFUSED) {
      const reason = `${name} may answer differently a second time`;
      expect(await verdictOf(sql), sql).toEqual({ verdict: { kind: 'none', reason }, runs: 'f' });
    }
  });

  it('captures what runs none', async () => {
    for (const sql of CAPTURED) expect((await verdictOf(sql)).verdict.kind, sql).toBe('exact');
  });
});
