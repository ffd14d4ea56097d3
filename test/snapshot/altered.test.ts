import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Catalog } from '../../src/catalog/catalog.ts';
import { StalePlan } from '../../src/snapshot/capture.ts';
import { Parser } from '../../src/sql/parsing/parser.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { judge } from './exactness.ts';

/** What another session alters between the plan of a capture and its statement, which no lock of a row keeps away. */
interface Race {
  readonly name: string;
  readonly setup: string;
  readonly statement: string;
  readonly change: string;
  /** Where it is kept away by the capture's locks, and so may only come before. */
  readonly onlyBeforeCapture?: true;
  readonly reason?: string;
}

const ALTERED = /a table, or what belongs to it, was altered meanwhile|which is not planned for/;

const LOG = 'CREATE TABLE log (a int); INSERT INTO log VALUES (0)';
const T = `CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1), (2, 2); ${LOG}`;
const NOTES = `CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN UPDATE x.log SET a = a + 1; RETURN coalesce(new, old); END $$`;
/** Its row of pg_class says so, and another trigger leaves that as it is. */
const HAD_TRIGGERS = `CREATE TRIGGER z BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
  DROP TRIGGER z ON t`;
const P = 'CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1), (2)';
const C = `CREATE TABLE c (p int REFERENCES p ON DELETE CASCADE ON UPDATE CASCADE, k int) PARTITION BY LIST (k);
  CREATE TABLE c1 PARTITION OF c FOR VALUES IN (1); INSERT INTO c VALUES (1, 1)`;
const C2 = 'CREATE TABLE c2 (p int, k int); INSERT INTO c2 VALUES (1, 2), (1, 2)';
const ATTACH_C = 'ALTER TABLE c ATTACH PARTITION c2 FOR VALUES IN (2)';
const G = `CREATE TABLE g (id int, k int, v text, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
  CREATE TABLE g1 PARTITION OF g FOR VALUES IN (1); INSERT INTO g VALUES (1, 1, 'one')`;
const G2 = `CREATE TABLE g2 (id int NOT NULL, k int NOT NULL, v text, PRIMARY KEY (id, k)); INSERT INTO g2 VALUES (2, 2, 'two')`;
const ATTACH_G = 'ALTER TABLE g ATTACH PARTITION g2 FOR VALUES IN (2)';

const RACES: readonly Race[] = [
  {
    name: 'a partition is attached to what a foreign key deletes from',
    setup: `${P}; ${C}`,
    statement: 'DELETE FROM p WHERE id = 1',
    change: `${C2}; ${ATTACH_C}`,
  },
  {
    name: 'a partition is attached to what a foreign key updates',
    setup: `${P}; ${C}`,
    statement: 'UPDATE p SET id = 11 WHERE id = 1',
    change: `${C2}; ${ATTACH_C}`,
  },
  {
    name: 'a partition is attached below a partition that a foreign key deletes from',
    setup: `${P}; CREATE TABLE c (p int REFERENCES p ON DELETE CASCADE, k int) PARTITION BY LIST (k);
      CREATE TABLE c0 PARTITION OF c DEFAULT PARTITION BY LIST (k); CREATE TABLE c1 PARTITION OF c0 FOR VALUES IN (1);
      INSERT INTO c VALUES (1, 1)`,
    statement: 'DELETE FROM p WHERE id = 1',
    change: `${C2}; ALTER TABLE c0 ATTACH PARTITION c2 FOR VALUES IN (2)`,
  },
  {
    name: 'a partition is attached to a table that nothing was captured of yet',
    setup: `${P}; CREATE TABLE c (p int REFERENCES p ON DELETE CASCADE, k int) PARTITION BY LIST (k)`,
    statement: 'DELETE FROM p WHERE id = 1',
    change: `${C2}; ${ATTACH_C}`,
  },
  {
    name: 'a partition is attached to the target of an upsert',
    setup: G,
    statement: `INSERT INTO g VALUES (1, 1, 'x'), (2, 2, 'x') ON CONFLICT (id, k) DO UPDATE SET v = excluded.v`,
    change: `${G2}; ${ATTACH_G}`,
  },
  {
    name: 'a partition is attached to the target of a MERGE that inserts',
    setup: G,
    statement: `MERGE INTO g USING (VALUES (1, 1), (2, 2)) s(i, j) ON g.id = s.i AND g.k = s.j
      WHEN MATCHED THEN UPDATE SET v = 'x' WHEN NOT MATCHED THEN INSERT VALUES (i, j, 'n')`,
    change: `${G2}; ${ATTACH_G}`,
  },
  {
    name: 'a partition is attached to the target of an UPDATE',
    setup: G,
    statement: `UPDATE g SET v = 'x'`,
    change: `${G2}; ${ATTACH_G}`,
  },
  {
    name: 'a table becomes the child of the target',
    setup: `CREATE TABLE g (id int); INSERT INTO g VALUES (1)`,
    statement: 'DELETE FROM g',
    change: 'CREATE TABLE g2 (id int); INSERT INTO g2 VALUES (1); ALTER TABLE g2 INHERIT g',
  },
  {
    name: 'a partition is detached, by and by',
    setup: `${G}; ${G2}; ${ATTACH_G}`,
    statement: `UPDATE g SET v = 'x' WHERE id = 1`,
    change: 'ALTER TABLE g DETACH PARTITION g2',
    onlyBeforeCapture: true,
  },
  {
    name: 'a table comes to refer to the target',
    setup: `${P}; CREATE TABLE c (p int); INSERT INTO c VALUES (1)`,
    statement: 'DELETE FROM p WHERE id = 1',
    change: 'ALTER TABLE c ADD FOREIGN KEY (p) REFERENCES p ON DELETE CASCADE',
  },
  {
    name: 'a table comes to refer to what a foreign key deletes',
    setup: `${P}; CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE); INSERT INTO c VALUES (1, 1);
      CREATE TABLE d (c int); INSERT INTO d VALUES (1)`,
    statement: 'DELETE FROM p WHERE id = 1',
    change: 'ALTER TABLE d ADD FOREIGN KEY (c) REFERENCES c ON DELETE CASCADE',
  },
  {
    name: 'a table comes to refer to the whole that the target is a part of',
    setup: `${G}; CREATE TABLE d (id int, k int); INSERT INTO d VALUES (1, 1)`,
    statement: 'DELETE FROM g1',
    change: 'ALTER TABLE d ADD FOREIGN KEY (id, k) REFERENCES g ON DELETE CASCADE',
  },
  {
    name: 'a trigger is made',
    setup: `${T}; ${NOTES}`,
    statement: 'DELETE FROM t WHERE id = 1',
    change: 'CREATE TRIGGER f AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION f()',
  },
  {
    name: 'a trigger is made on what a foreign key deletes',
    setup: `${P}; ${C}; ${LOG}; ${NOTES}`,
    statement: 'DELETE FROM p WHERE id = 1',
    change: 'CREATE TRIGGER f AFTER DELETE ON c FOR EACH ROW EXECUTE FUNCTION f()',
  },
  {
    name: 'a trigger is enabled',
    setup: `${T}; ${NOTES}; CREATE TRIGGER f AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE t DISABLE TRIGGER f`,
    statement: 'DELETE FROM t WHERE id = 1',
    change: 'ALTER TABLE t ENABLE TRIGGER f',
  },
  {
    name: 'the triggers of a foreign key are enabled again',
    setup: `${P}; CREATE TABLE c (p int REFERENCES p ON DELETE CASCADE); INSERT INTO c VALUES (1); ALTER TABLE p DISABLE TRIGGER ALL`,
    statement: 'DELETE FROM p WHERE id = 1',
    change: 'ALTER TABLE p ENABLE TRIGGER ALL',
  },
  {
    name: 'a trigger in the place of a view is made',
    setup: `${T}; CREATE VIEW v AS SELECT * FROM t; CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN UPDATE x.log SET a = a + 1; DELETE FROM x.t WHERE id = old.id; RETURN old; END $$`,
    statement: 'DELETE FROM v WHERE id = 1',
    change: 'CREATE TRIGGER f INSTEAD OF DELETE ON v FOR EACH ROW EXECUTE FUNCTION f()',
  },
  {
    name: 'a rule does more',
    setup: T,
    statement: 'DELETE FROM t WHERE id = 1',
    change: 'CREATE RULE r AS ON DELETE TO t DO ALSO DELETE FROM log',
    onlyBeforeCapture: true,
  },
  {
    name: 'a rule is enabled',
    setup: `${T}; CREATE RULE r AS ON DELETE TO t DO ALSO DELETE FROM log; ALTER TABLE t DISABLE RULE r`,
    statement: 'DELETE FROM t WHERE id = 1',
    change: 'ALTER TABLE t ENABLE RULE r',
    onlyBeforeCapture: true,
  },
  {
    name: 'row security is enabled',
    setup: T,
    statement: 'DELETE FROM t WHERE id = 1',
    change: 'ALTER TABLE t ENABLE ROW LEVEL SECURITY',
    onlyBeforeCapture: true,
  },
  {
    name: 'a column is added',
    setup: T,
    statement: 'DELETE FROM t WHERE id = 1',
    change: 'ALTER TABLE t ADD more text',
    onlyBeforeCapture: true,
  },
  {
    name: 'a check of the user’s is added',
    setup: `${T}; CREATE FUNCTION f(int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN UPDATE x.log SET a = a + 1; RETURN true; END $$`,
    statement: 'UPDATE t SET n = 5',
    change: 'ALTER TABLE t ADD CHECK (f(n)) NOT VALID',
    onlyBeforeCapture: true,
  },
  {
    name: 'an index of the user’s is made',
    setup: `${T}; CREATE FUNCTION f(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1; END $$`,
    statement: 'UPDATE t SET n = 5',
    change: 'CREATE INDEX ON t (f(n))',
  },
  {
    name: 'the target is another table of the same name',
    setup: `${T}; CREATE TABLE t2 (id int PRIMARY KEY, n int); INSERT INTO t2 VALUES (1, 7)`,
    statement: 'DELETE FROM t WHERE id = 1',
    change: 'ALTER TABLE t RENAME TO t_old; ALTER TABLE t2 RENAME TO t',
    onlyBeforeCapture: true,
    reason: 'row came from table',
  },
  {
    name: 'a partition is attached to what is emptied',
    setup: G,
    statement: 'TRUNCATE g',
    change: `${G2}; ${ATTACH_G}`,
    onlyBeforeCapture: true,
    reason: 'what it empties was altered meanwhile',
  },
  {
    name: 'a table comes to refer to what is emptied with all that refers to it',
    setup: `${P}; CREATE TABLE c (p int); INSERT INTO c VALUES (1)`,
    statement: 'TRUNCATE p CASCADE',
    change: 'ALTER TABLE c ADD FOREIGN KEY (p) REFERENCES p',
    onlyBeforeCapture: true,
    reason: 'what it empties was altered meanwhile',
  },
];

/** A TRUNCATE takes more than its transaction sees, whatever others have altered. */
const EARLIER = 'sees only those of an earlier moment';

/** In a transaction that reads the catalog as it was, what came since is not to be seen there, and happens all the same. */
const SINCE: readonly Omit<Race, 'onlyBeforeCapture'>[] = [
  {
    name: 'a partition that was there is attached to what a foreign key deletes from',
    setup: `${P}; ${C}; ${C2}`,
    statement: 'DELETE FROM p WHERE id = 1',
    change: ATTACH_C,
    reason: 'which is not planned for',
  },
  {
    name: 'a partition that is new takes what is moved',
    setup: G,
    statement: 'UPDATE g SET k = 2',
    change: 'CREATE TABLE g3 PARTITION OF g FOR VALUES IN (2)',
    reason: 'it changed table',
  },
  {
    name: 'the first trigger of a table is new',
    setup: `${T}; ${NOTES}`,
    statement: 'DELETE FROM t WHERE id = 1',
    change: 'CREATE TRIGGER f AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION f()',
    reason: 'was altered meanwhile',
  },
  {
    name: 'a trigger that is new writes to a table that is new',
    setup: `${T}; ${HAD_TRIGGERS}`,
    statement: 'DELETE FROM t WHERE id = 1',
    change: `CREATE TABLE noted (a int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO x.noted VALUES (1); RETURN old; END $$;
      CREATE TRIGGER f AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION f()`,
    reason: 'it changed table',
  },
  {
    name: 'a partition that was there is attached to what is emptied',
    setup: `${G}; ${G2}`,
    statement: 'TRUNCATE g',
    change: ATTACH_G,
    reason: EARLIER,
  },
  {
    name: 'a partition that is new is emptied',
    setup: G,
    statement: 'TRUNCATE g',
    change: `CREATE TABLE g3 PARTITION OF g FOR VALUES IN (3); INSERT INTO g3 VALUES (3, 3, 'three')`,
    reason: EARLIER,
  },
];

describe.each([15, 18] as const)('what is altered between plan and statement on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let client: RawClient;
  let other: RawClient;
  let parser: Parser;

  beforeAll(async () => {
    postgres = await startPostgres({ version });
    client = await RawClient.open(postgres.port);
    other = await RawClient.open(postgres.port);
    await other.rows(`SET search_path = x; SET lock_timeout = '300ms'`);
    parser = await Parser.create();
  });
  afterAll(async () => {
    client?.destroy();
    other?.destroy();
    await postgres?.stop();
  });

  async function setUp(setup: string): Promise<void> {
    await client.rows(
      `DROP SCHEMA IF EXISTS x CASCADE; CREATE SCHEMA x; SET search_path = x; SET check_function_bodies = off; ${setup}`,
    );
  }

  async function reasonOf(statement: string, meanwhile: Parameters<typeof judge>[3]): Promise<string> {
    try {
      const verdict = await judge(client, parser, { sql: statement, parameters: [] }, meanwhile);
      return 'reason' in verdict ? `${verdict.kind}: ${verdict.reason}` : verdict.kind;
    } catch (error) {
      if (error instanceof StalePlan) return `stale: ${error.message}`;
      throw error;
    } finally {
      await client.query('ROLLBACK');
    }
  }

  describe.each([
    ['afterPlan', 'before anything is locked'],
    ['afterCapture', 'when the rows are captured'],
  ] as const)('%s, %s', (when, _) => {
    const races = RACES.filter(({ onlyBeforeCapture }) => when === 'afterPlan' || !onlyBeforeCapture);
    it.each(races.map((race) => [race.name, race] as const))('%s', async (_, race) => {
      await setUp(race.setup);
      await client.rows('BEGIN');
      const change = async () => {
        await other.rows(race.change);
      };
      const reason = await reasonOf(race.statement, { [when]: change });
      expect(reason).toMatch(/^(?:drift|stale): /);
      expect(reason).toMatch(race.reason ?? ALTERED);
    });
  });

  describe('since the snapshot of a transaction that reads by one', () => {
    it.each(SINCE.map((race) => [race.name, race] as const))('%s', async (_, race) => {
      await setUp(race.setup);
      await client.rows('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class');
      await other.rows(race.change);
      expect(await reasonOf(race.statement, {})).toContain(race.reason);
    });
  });

  it('what the transaction itself alters twice is seen both times', async () => {
    await setUp(`${T}; ${NOTES}`);
    await client.rows(`BEGIN; CREATE TRIGGER f AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION f();
      ALTER TABLE t DISABLE TRIGGER f`);
    const catalog = new Catalog();
    const statement = { sql: 'DELETE FROM t WHERE id = 1', parameters: [] };
    expect((await judge(client, parser, statement, { catalog })).kind).toBe('exact');
    await client.rows('ALTER TABLE t ENABLE TRIGGER f');
    const again = 'DELETE FROM t WHERE id = 2';
    expect(await reasonOf(again, { catalog, once: true })).toBe(
      'drift: it changed x.log as well: the server counted 0 inserted, 1 updated and 0 deleted',
    );
  });

  it('what alters nothing of it does no harm', async () => {
    await setUp(`${P}; ${C}; ${T}`);
    await client.rows('BEGIN');
    const change = async () => {
      await other.rows(
        'ANALYZE p; ANALYZE c; CREATE TABLE elsewhere (p int); ALTER TABLE t DISABLE TRIGGER ALL',
      );
    };
    expect(await reasonOf('DELETE FROM p WHERE id = 1', { afterCapture: change })).toBe('exact');
  });
});
