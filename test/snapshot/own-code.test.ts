import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Parser } from '../../src/sql/parsing/parser.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { judge } from './exactness.ts';

/** Code of the user's that a statement runs, openly or not, which does more than the plan knows of. */
interface Example {
  readonly name: string;
  readonly setup: string;
  readonly first?: string;
  readonly statement: string;
  readonly reason: string;
}

const T = 'CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1), (2, 2)';
const LOG = 'CREATE TABLE log (a int); INSERT INTO log VALUES (0)';
const PARTS = `CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);
  CREATE TABLE low PARTITION OF p FOR VALUES FROM (0) TO (10)`;
const UPSERT = 'INSERT INTO p VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 2';
const WRITES = 'UPDATE x.log SET a = a + 1';

function trigger(when: string, table: string, body: string, kind = 'TRIGGER', how = ''): string {
  return `CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${body}; RETURN old; END $$;
    CREATE ${kind} f ${when} ON ${table} ${how} FOR EACH ROW EXECUTE FUNCTION f()`;
}

function func(signature: string, result: string, value: string): string {
  return `CREATE FUNCTION ${signature} RETURNS ${result} LANGUAGE sql AS $$ ${WRITES}; SELECT ${value} $$`;
}

/** A function that is volatile and says that it is not: one that says so has no plan where the capture would run it. */
function liar(signature: string, result: string, value: string): string {
  return `${func('h()', 'int', '5')}; CREATE FUNCTION ${signature} RETURNS ${result} STABLE LANGUAGE plpgsql
    AS $$ BEGIN PERFORM x.h(); RETURN ${value}; END $$`;
}

const EXAMPLES: readonly Example[] = [
  {
    name: 'a trigger deletes another row instead of one that a foreign key takes along',
    setup: `CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE);
      INSERT INTO p VALUES (1), (2); INSERT INTO c VALUES (10, 1), (11, 2);
      ${trigger('BEFORE DELETE', 'c', 'IF old.id = 10 THEN DELETE FROM x.c WHERE id = 11; RETURN NULL; END IF')}`,
    statement: 'DELETE FROM p WHERE id = 1',
    reason: '1 of the captured rows did not change, and others did',
  },
  {
    name: 'a trigger empties another table',
    setup: `${T}; ${LOG}; ${trigger('AFTER DELETE', 't', 'TRUNCATE x.log')}`,
    statement: 'DELETE FROM t WHERE id = 1',
    reason: 'it altered or emptied something else: x.log',
  },
  {
    name: 'a trigger empties a table that the transaction has locked before',
    setup: `${T}; ${LOG}; ${trigger('AFTER DELETE', 't', 'TRUNCATE x.log')}`,
    first: 'LOCK TABLE log',
    statement: 'DELETE FROM t WHERE id = 1',
    reason: 'it altered or emptied something else: x.log',
  },
  {
    name: 'a trigger empties a table that the transaction has emptied and filled before',
    setup: `${T}; ${LOG}; ${trigger('AFTER DELETE', 't', 'TRUNCATE x.log')}`,
    first: 'TRUNCATE log; INSERT INTO log VALUES (1)',
    statement: 'DELETE FROM t WHERE id = 1',
    reason: 'it changed x.log as well',
  },
  {
    name: 'a trigger empties such a table, and puts more into it than was there',
    setup: `${T}; ${LOG}; ${trigger('AFTER DELETE', 't', 'TRUNCATE x.log; INSERT INTO x.log VALUES (2), (3)')}`,
    first: 'TRUNCATE log; INSERT INTO log VALUES (1)',
    statement: 'DELETE FROM t WHERE id = 1',
    reason: 'it changed x.log as well',
  },
  {
    name: 'a trigger writes over rows by what looks like an INSERT',
    setup: `${T}; ${LOG}; ALTER TABLE log ADD PRIMARY KEY (a);
      ${trigger('AFTER DELETE', 't', 'INSERT INTO x.log VALUES (0), (1) ON CONFLICT (a) DO UPDATE SET a = 2')}`,
    statement: 'DELETE FROM t WHERE id = 1',
    reason: 'it changed x.log as well: the server counted 1 inserted, 1 updated and 0 deleted',
  },
  {
    name: 'a trigger fills a hole of a large object',
    setup: `${T}; UPDATE t SET n = lo_from_bytea(0, '1')::int;
      ${trigger('BEFORE DELETE', 't', `PERFORM lo_put(old.n::oid, 4096, 'x')`)}`,
    statement: 'DELETE FROM t WHERE id = 1',
    reason: 'it changed pg_catalog.pg_largeobject as well',
  },
  {
    name: 'a trigger adds a row that a foreign key of another table then takes along',
    setup: `${T}; ${LOG}; CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (1);
      CREATE TABLE child (id int REFERENCES other ON DELETE CASCADE); INSERT INTO child VALUES (1);
      ${trigger('AFTER DELETE', 't', 'INSERT INTO x.log VALUES (9); DELETE FROM x.other')}`,
    statement: 'DELETE FROM t WHERE id = 1',
    reason: 'as well: the server counted 0 inserted, 0 updated and 1 deleted',
  },
  {
    name: 'a trigger drops another table after one that was dropped before',
    setup: `${T}; ${LOG}; CREATE TABLE gone (); ${trigger('AFTER DELETE', 't', 'DROP TABLE x.log')}`,
    first: 'DROP TABLE gone',
    statement: 'DELETE FROM t WHERE id = 1',
    reason: 'it altered or emptied something else: ',
  },
  {
    name: 'a trigger drops a function',
    setup: `${T}; CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT 1'; ${trigger('AFTER DELETE', 't', 'DROP FUNCTION x.g')}`,
    statement: 'DELETE FROM t WHERE id = 1',
    reason: 'it altered or emptied something else: object',
  },
  {
    name: 'a trigger removes a large object',
    setup: `${T}; UPDATE t SET n = lo_create(0)::int; ${trigger('BEFORE DELETE', 't', 'PERFORM lo_unlink(old.n::oid)')}`,
    statement: 'DELETE FROM t WHERE id = 1',
    reason: 'it changed pg_catalog.pg_largeobject_metadata as well',
  },
  {
    name: 'a trigger runs at COMMIT',
    setup: `${T}; ${LOG}; ${trigger('AFTER DELETE', 't', 'DELETE FROM x.log', 'CONSTRAINT TRIGGER', 'DEFERRABLE INITIALLY DEFERRED')}`,
    statement: 'DELETE FROM t WHERE id = 1',
    reason: 'the trigger f may run as late as at COMMIT',
  },
  ...[
    ['puts a row', 'CREATE TABLE o (id int)', 'INSERT INTO x.o VALUES (1)', 'INSERT'],
    [
      'puts a row into a partition',
      `${PARTS}; ALTER TABLE p RENAME TO o`,
      'INSERT INTO x.o VALUES (1)',
      'INSERT',
    ],
    [
      'puts a row into a temporary table',
      'CREATE TEMP TABLE o (id int)',
      'INSERT INTO pg_temp.o VALUES (1)',
      'INSERT',
    ],
    [
      'changes one',
      'CREATE TABLE o (id int PRIMARY KEY); INSERT INTO o VALUES (1)',
      'UPDATE x.o SET id = 2',
      'UPDATE',
    ],
    [
      'removes one',
      'CREATE TABLE o (id int PRIMARY KEY); INSERT INTO o VALUES (1)',
      'DELETE FROM x.o',
      'DELETE',
    ],
  ].map(([what, makes, body, event]) => ({
    name: `a trigger ${what} where another runs at COMMIT`,
    setup: `${T}; ${LOG}; DROP TABLE IF EXISTS pg_temp.o; ${makes}; ${trigger('AFTER DELETE', 't', body!)};
      CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM x.log; RETURN NULL; END $$;
      CREATE CONSTRAINT TRIGGER late AFTER ${event} ON o DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()`,
    statement: 'DELETE FROM t WHERE id = 1',
    reason: 'of which the trigger late may run as late as at COMMIT',
  })),
  {
    name: 'a trigger puts a row into the very table where another runs at COMMIT',
    setup: `${T}; ${LOG}; ${trigger('AFTER UPDATE', 't', 'INSERT INTO x.t VALUES (9, 9)')};
      CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM x.log; RETURN NULL; END $$;
      CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()`,
    statement: 'UPDATE t SET n = 3 WHERE id = 1',
    reason: 'of which the trigger late may run as late as at COMMIT',
  },
  {
    name: 'a trigger of the partition that a row comes to',
    setup: `CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE low PARTITION OF p FOR VALUES FROM (0) TO (10);
      CREATE TABLE high PARTITION OF p FOR VALUES FROM (10) TO (20); INSERT INTO p VALUES (1); ${LOG};
      ${trigger('AFTER INSERT', 'high', WRITES)}`,
    statement: 'UPDATE p SET id = id + 10',
    reason: 'it changed x.log as well',
  },
  ...(['DELETE FROM p', 'UPDATE p SET id = id + 1', 'TRUNCATE p', UPSERT] as const).map((statement) => ({
    name: `a trigger for each statement of a whole: ${statement}`,
    setup: `${PARTS}; INSERT INTO p VALUES (1); ${LOG};
      CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${WRITES}; RETURN NULL; END $$;
      CREATE TRIGGER f AFTER ${statement === UPSERT ? 'INSERT' : statement.split(' ')[0]} ON p EXECUTE FUNCTION f()`,
    statement,
    reason: 'it changed x.log as well',
  })),
  {
    name: 'a trigger for each statement of a whole that a foreign key leads to',
    setup: `${T}; ${PARTS}; ALTER TABLE p ADD FOREIGN KEY (id) REFERENCES t ON DELETE CASCADE; INSERT INTO p VALUES (1); ${LOG};
      CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${WRITES}; RETURN NULL; END $$;
      CREATE TRIGGER f AFTER DELETE ON p EXECUTE FUNCTION f()`,
    statement: 'DELETE FROM t WHERE id = 1',
    reason: 'it changed x.log as well',
  },
  {
    name: 'the default of a whole that a foreign key sets',
    setup: `${T}; CREATE TABLE p (id int REFERENCES t ON DELETE SET DEFAULT) PARTITION BY RANGE (id);
      CREATE TABLE low PARTITION OF p FOR VALUES FROM (0) TO (10); INSERT INTO p VALUES (1); ${LOG};
      ${func('g()', 'int', '2')}; ALTER TABLE ONLY p ALTER id SET DEFAULT x.g()`,
    statement: 'DELETE FROM t WHERE id = 1',
    reason: 'it changed x.log as well',
  },
  {
    name: 'the default of a column that is set to it',
    setup: `${T}; ${LOG}; ${func('g()', 'int', '5')}; ALTER TABLE t ALTER n SET DEFAULT g()`,
    statement: 'UPDATE t SET n = DEFAULT',
    reason: 'it changed x.log as well',
  },
  {
    name: 'the default of a column that an upsert fills',
    setup: `${T}; ${LOG}; ${func('g()', 'int', '5')}; ALTER TABLE t ALTER n SET DEFAULT g()`,
    statement: 'INSERT INTO t (id) VALUES (1), (3) ON CONFLICT (id) DO UPDATE SET n = 0',
    reason: 'it changed x.log as well',
  },
  {
    name: 'a check',
    setup: `${T}; ${LOG}; ${func('g(int)', 'bool', 'true')}; ALTER TABLE t ADD CHECK (g(n))`,
    statement: 'UPDATE t SET n = 5',
    reason: 'it changed x.log as well',
  },
  ...[
    'UPDATE t SET n = t.g WHERE id = 1',
    'UPDATE t SET n = (t).g',
    'UPDATE t a SET n = 1 RETURNING a.g',
    'DELETE FROM t WHERE id = 1 RETURNING t.g',
    'INSERT INTO t (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET n = t.g',
    'MERGE INTO t USING (VALUES (1)) v(a) ON t.id = v.a WHEN MATCHED THEN UPDATE SET n = t.g',
  ].map((statement) => ({
    name: `a function that is written as a column: ${statement}`,
    setup: `${T}; ${LOG}; ${func('g(t)', 'int', '5')}`,
    statement,
    reason: 'it changed x.log as well',
  })),
  {
    name: 'an index that lies about its expression',
    setup: `${T}; ${LOG}; ${func('h(int)', 'int', '$1')};
      CREATE FUNCTION g(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN x.h($1); END $$;
      CREATE INDEX ON t (g(n))`,
    statement: 'UPDATE t SET n = 5',
    reason: 'it changed x.log as well',
  },
  ...['p', 'low'].map((table) => ({
    name: `the key by which a table is parted, written by the name ${table}`,
    setup: `${LOG}; ${func('h(int)', 'int', '$1')};
      CREATE FUNCTION g(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN x.h($1); END $$;
      CREATE TABLE p (id int, n int) PARTITION BY RANGE (g(id)); CREATE TABLE low PARTITION OF p FOR VALUES FROM (0) TO (10);
      INSERT INTO p VALUES (1, 1), (2, 2)`,
    statement: `UPDATE ${table} SET n = 5 WHERE id = 1`,
    reason: 'it changed x.log as well',
  })),
  ...[
    'UPDATE t SET n = CALL WHERE id = 1',
    'UPDATE t SET n = (SELECT CALL) WHERE id = 1',
    'WITH q AS (SELECT 1 AS a) UPDATE t SET n = CALL FROM q WHERE id = q.a',
    'DELETE FROM t WHERE id = 1 RETURNING CALL',
    'INSERT INTO t VALUES (1, CALL) ON CONFLICT (id) DO UPDATE SET n = 3',
    'INSERT INTO t VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = CALL',
    'MERGE INTO t USING (VALUES (1)) v(a) ON t.id = v.a WHEN MATCHED THEN UPDATE SET n = CALL',
    'WITH u AS (UPDATE t SET n = 3 WHERE id = 1 RETURNING n) SELECT CALL FROM u',
    'UPDATE v SET n = CALL WHERE id = 1',
    'UPDATE w SET n = 3 WHERE id = 1 AND m IS NULL',
  ].flatMap((statement) =>
    [
      [`length(query_to_xml('SELECT x.g()', true, true, '')::text)`, 'runs SQL that is not in the text'],
      [`setval('x.s', 1)`, 'sets a sequence'],
    ].map(([call, reason]) => ({
      name: `a function of PostgreSQL’s own that ${reason}: ${statement}`,
      setup: `${T}; ${LOG}; ${func('g()', 'int', '5')}; CREATE SEQUENCE s; CREATE VIEW v AS SELECT * FROM t;
        CREATE VIEW w AS SELECT id, n, CALL AS m FROM t`.replaceAll('CALL', call!),
      statement: statement.replaceAll('CALL', call!),
      reason: reason!,
    })),
  ),
  {
    name: 'an operator in the condition, which the capture runs as well',
    setup: `${T}; ${LOG}; ${liar('g(int, int)', 'bool', 'true')}; CREATE OPERATOR @+@ (LEFTARG = int, RIGHTARG = int, FUNCTION = g)`,
    statement: 'UPDATE t SET n = 5 WHERE n @+@ 1',
    reason: 'it changed x.log as well',
  },
  {
    name: 'an operator before a subquery',
    setup: `${T}; ${LOG}; ${liar('g(int, int)', 'bool', 'true')}; CREATE OPERATOR @+@ (LEFTARG = int, RIGHTARG = int, FUNCTION = g)`,
    statement: 'UPDATE t SET n = 5 WHERE n @+@ ANY (SELECT 1)',
    reason: 'it changed x.log as well',
  },
  {
    name: 'an operator that takes the place of one of PostgreSQL',
    setup: `${T}; ${LOG}; ${liar('g(int, int)', 'bool', '$1 OPERATOR(pg_catalog.=) $2')}; CREATE OPERATOR = (LEFTARG = int, RIGHTARG = int, FUNCTION = g)`,
    first: 'SET LOCAL search_path = x, pg_catalog',
    statement: 'UPDATE t SET n = 5 WHERE id = 1',
    reason: 'it changed x.log as well',
  },
  {
    name: 'an operator whose types fit better than those of PostgreSQL’s own',
    setup: `CREATE TABLE t (id int PRIMARY KEY, n varchar); INSERT INTO t VALUES (1, 'a'), (2, 'b'); ${LOG};
      ${liar('g(varchar, varchar)', 'bool', '$1::text OPERATOR(pg_catalog.=) $2::text')};
      CREATE OPERATOR = (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = g)`,
    statement: `UPDATE t SET n = 'c' WHERE n = 'a'`,
    reason: 'it changed x.log as well',
  },
  {
    name: 'a function whose types fit better than those of PostgreSQL’s own',
    setup: `CREATE TABLE t (id int PRIMARY KEY, n varchar); INSERT INTO t VALUES (1, 'a'), (2, 'b'); ${LOG};
      CREATE FUNCTION lower(varchar) RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN PERFORM x.h(); RETURN 'a'; END $$;
      ${func('h()', 'int', '5')}`,
    statement: `UPDATE t SET n = lower(n)`,
    reason: 'it changed x.log as well',
  },
  {
    name: 'a cast between types of PostgreSQL’s own',
    setup: `CREATE TABLE t (id int PRIMARY KEY, n date); INSERT INTO t VALUES (1, '2026-01-01'); ${LOG};
      ${func('g(int)', 'date', `'2026-02-02'::date`)}; CREATE CAST (int AS date) WITH FUNCTION g(int) AS ASSIGNMENT`,
    statement: 'UPDATE t SET n = id',
    reason: 'it changed x.log as well',
  },
  {
    name: 'a cast to the type of a column',
    setup: `CREATE TYPE k AS (a int); CREATE TABLE t (id int PRIMARY KEY, n k); INSERT INTO t VALUES (1, ROW(1)); ${LOG};
      ${func('g(int)', 'x.k', 'ROW($1)::x.k')}; CREATE CAST (int AS k) WITH FUNCTION g(int) AS ASSIGNMENT`,
    statement: 'UPDATE t SET n = 5',
    reason: 'it changed x.log as well',
  },
  {
    name: 'a function behind a view',
    setup: `${T}; ${LOG}; ${func('g()', 'int', '5')}; CREATE VIEW v AS SELECT g() AS n`,
    statement: 'UPDATE t SET n = (SELECT n FROM v)',
    reason: 'it changed x.log as well',
  },
  {
    name: 'a row as a whole, whose system column a lock changes',
    setup: T,
    statement: `DELETE FROM t WHERE (t).xmax::text = '0'`,
    reason: 'it reads the system column xmax, which a row lock changes',
  },
  {
    name: 'a change of how texts are sent',
    setup: `CREATE TABLE t (id int PRIMARY KEY, n text); INSERT INTO t VALUES (1, 'ä')`,
    statement: `UPDATE t SET n = n || set_config('client_encoding', 'LATIN1', true)`,
    reason: 'it changed the encoding of texts from UTF8 to LATIN1',
  },
];

/** A value that can only be sent as text, and what the text leans on. */
const AS_TEXT = `CREATE TYPE k AS (acl aclitem, d date, i interval, f float8);
  CREATE TABLE t (id int PRIMARY KEY, c k); INSERT INTO t VALUES (1, ROW('postgres=r/postgres', '2026-02-01', '-1 year 2 days', 0.1::float8 + 0.2))`;

describe.each([15, 18] as const)('on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let client: RawClient;
  let parser: Parser;

  beforeAll(async () => {
    postgres = await startPostgres({ version });
    client = await RawClient.open(postgres.port);
    parser = await Parser.create();
  });
  afterAll(async () => {
    client?.destroy();
    await postgres?.stop();
  });

  /** With `once` nothing is looked at a second time that code has changed besides. */
  async function reasonOf(setup: string, statement: string, first = '', once?: true): Promise<string> {
    await client.rows(
      `DROP SCHEMA IF EXISTS x CASCADE; CREATE SCHEMA x; SET search_path = x; ${setup}; SET check_function_bodies = on`,
    );
    await client.rows(`BEGIN; ${first}`);
    try {
      const meanwhile = once === undefined ? {} : { once };
      const verdict = await judge(client, parser, { sql: statement, parameters: [] }, meanwhile);
      return 'reason' in verdict ? verdict.reason : verdict.kind;
    } finally {
      await client.query('ROLLBACK');
    }
  }

  describe('what code of the user’s does beyond the plan is never called proved', () => {
    it.each(EXAMPLES.map((example) => [example.name, example] as const))('%s', async (_, example) => {
      expect(await reasonOf(example.setup, example.statement, example.first, true)).toContain(example.reason);
    });
  });

  describe('where it is looked at, all of it is kept, or none called proved', () => {
    it.each(EXAMPLES.map((example) => [example.name, example] as const))('%s', async (_, example) => {
      const found = await reasonOf(example.setup, example.statement, example.first);
      if (found !== 'exact') expect(found).not.toMatch(/^wrong/);
    });
  });

  it.each(['', 'TRUNCATE noted', 'UPDATE noted SET id = 5', 'DELETE FROM noted'])(
    'a temporary table of a trigger is no loss: %s',
    async (then) => {
      const body = `CREATE TEMP TABLE noted ON COMMIT DROP AS SELECT old.id${then === '' ? '' : `; ${then}`}`;
      const setup = `${T}; ${trigger('AFTER DELETE', 't', body)}`;
      expect(await reasonOf(setup, 'DELETE FROM t WHERE id = 1')).toBe('exact');
    },
  );

  describe('what code of the user’s only adds elsewhere is no loss, and is named', () => {
    const note = 'INSERT INTO x.log SELECT old.id FROM generate_series(1, 3)';
    it.each([
      ['a trigger', `${trigger('AFTER DELETE', 't', note)}`],
      [
        'a trigger behind a foreign key',
        `CREATE TABLE c (id int REFERENCES t ON DELETE CASCADE); INSERT INTO c VALUES (1);
        ${trigger('AFTER DELETE', 'c', note)}`,
      ],
      [
        'a trigger, into a partition',
        `DROP TABLE log; CREATE TABLE log (a int) PARTITION BY LIST (a);
        CREATE TABLE one PARTITION OF log FOR VALUES IN (1); ${trigger('AFTER DELETE', 't', note)}`,
      ],
    ])('%s', async (_, more) => {
      expect(await reasonOf(`${T}; ${LOG}; ${more}`, 'DELETE FROM t WHERE id = 1')).toBe('exact');
    });
  });

  describe('what is sent as text', () => {
    it('is captured where its text says all of the value', async () => {
      expect(await reasonOf(AS_TEXT, 'DELETE FROM t')).toBe('exact');
      expect(await reasonOf(AS_TEXT, 'TRUNCATE t')).toBe('exact');
    });

    it.each(['DateStyle = "SQL, DMY"', 'IntervalStyle = sql_standard', 'extra_float_digits = 0'])(
      'has no plan with %s',
      async (setting) => {
        const reason = 'its text is not exact';
        expect(await reasonOf(AS_TEXT, 'DELETE FROM t', `SET LOCAL ${setting}`)).toContain(reason);
        expect(await reasonOf(AS_TEXT, 'TRUNCATE t', `SET LOCAL ${setting}`)).toContain(reason);
      },
    );
  });
});
