import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Catalog } from '../../src/catalog/catalog.ts';
import { captureBefore } from '../../src/snapshot/capture.ts';
import { Places } from '../../src/snapshot/places.ts';
import { NO_PARAMETERS, planCapture } from '../../src/snapshot/plan.ts';
import { captureAfter } from '../../src/snapshot/prove.ts';
import { Parser } from '../../src/sql/parsing/parser.ts';
import { HiddenClient } from '../support/hidden-client.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { judge, type Meanwhile, sliceOf, type Verdict } from './exactness.ts';

const SCHEMA = `
  CREATE SCHEMA s; ALTER DATABASE postgres SET search_path = s;
  SET search_path = s;
  CREATE TABLE t (id int PRIMARY KEY, n int, name text);
  CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE);
  CREATE TABLE bare (a int, b text); CREATE TABLE letters (x xml[]);
  INSERT INTO t SELECT i, i % 5, 'row ' || i FROM generate_series(1, 20) i;
  INSERT INTO child SELECT i, i FROM generate_series(1, 10) i;
  INSERT INTO bare SELECT i % 3, 'same' FROM generate_series(1, 9) i;
  CREATE VIEW v AS SELECT id AS renamed, n, id, upper(name) AS loud FROM t AS inner_name WHERE n IS DISTINCT FROM 2 AND id > 1;
  CREATE VIEW joined AS SELECT t.id FROM t, bare; CREATE VIEW grouped AS SELECT DISTINCT n FROM t;
  CREATE VIEW nested AS SELECT * FROM v; CREATE VIEW instead AS SELECT id FROM t;
  CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
  CREATE TRIGGER i INSTEAD OF DELETE ON instead FOR EACH ROW EXECUTE FUNCTION nothing();
  CREATE VIEW ruled_view AS SELECT id FROM t; CREATE RULE r AS ON DELETE TO ruled_view DO INSTEAD NOTHING;
  CREATE TABLE equal_nulls (a int UNIQUE NULLS NOT DISTINCT, b int); INSERT INTO equal_nulls VALUES (NULL, 1), (1, 1);
  CREATE VIEW random_view AS SELECT id FROM t WHERE random() < 0.5;
  CREATE TABLE ruled (a int); CREATE RULE r AS ON DELETE TO ruled DO ALSO DELETE FROM bare;
  CREATE TABLE secured (a int); ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
  CREATE TABLE audited (id int PRIMARY KEY, n int); INSERT INTO audited SELECT i, 0 FROM generate_series(1, 5) i;
  CREATE TABLE audit (what text);
  CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO s.audit VALUES (old::text); RETURN old; END';
  CREATE FUNCTION mend() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE s.audit SET what = upper(what); RETURN old; END';
  CREATE TABLE touched (id int PRIMARY KEY, n int); INSERT INTO touched SELECT i, 0 FROM generate_series(1, 5) i;
  CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.n := new.n + 10; RETURN new; END';
  CREATE TRIGGER touch BEFORE UPDATE ON touched FOR EACH ROW EXECUTE FUNCTION touch();
  CREATE TABLE meddled (id int PRIMARY KEY, n int); INSERT INTO meddled SELECT i, 0 FROM generate_series(1, 5) i;
  CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF pg_trigger_depth() > 1 THEN RETURN NULL; END IF;
      BEGIN UPDATE s.meddled SET n = 99 WHERE id = 5 AND n <> 99; EXCEPTION WHEN division_by_zero THEN NULL; END;
      RETURN NULL;
    END $$;
  CREATE TRIGGER meddle AFTER UPDATE ON meddled FOR EACH ROW EXECUTE FUNCTION meddle();
  CREATE TABLE kept (id int PRIMARY KEY); INSERT INTO kept VALUES (1), (2);
  CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF old.id = 2 THEN RETURN NULL; END IF; RETURN old; END';
  CREATE TRIGGER keep BEFORE DELETE ON kept FOR EACH ROW EXECUTE FUNCTION keep();
  CREATE TABLE one (id int PRIMARY KEY); INSERT INTO one VALUES (1), (2);
  CREATE TABLE twice (id int PRIMARY KEY, a int REFERENCES one ON DELETE CASCADE, b int REFERENCES one ON DELETE CASCADE);
  INSERT INTO twice VALUES (1, 1, 1), (2, 1, 2), (3, 2, 2);
  CREATE FUNCTION own(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1';
  CREATE ROLE deleter; GRANT USAGE ON SCHEMA s TO deleter; GRANT SELECT, DELETE ON t TO deleter;
  CREATE ROLE parent_only; GRANT USAGE ON SCHEMA s TO parent_only; GRANT SELECT, UPDATE, DELETE ON t TO parent_only;
  CREATE TABLE split (id int PRIMARY KEY, n int) PARTITION BY RANGE (id);
  CREATE TABLE split_low PARTITION OF split FOR VALUES FROM (0) TO (10);
  CREATE TABLE split_high PARTITION OF split FOR VALUES FROM (10) TO (100);
  INSERT INTO split SELECT i, i FROM generate_series(1, 20) i;
  CREATE ROLE of_whole; GRANT USAGE ON SCHEMA s TO of_whole; GRANT SELECT, UPDATE, DELETE ON split TO of_whole;
`;

const does = (what: 'note' | 'mend'): string =>
  `CREATE TRIGGER ${what} AFTER DELETE ON audited FOR EACH ROW EXECUTE FUNCTION ${what}()`;

describe.each([15, 18] as const)('on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let client: RawClient;
  let parser: Parser;

  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql(SCHEMA);
    client = await RawClient.open(postgres.port);
    parser = await Parser.create();
  });
  afterAll(async () => {
    client?.destroy();
    await postgres?.stop();
  });

  async function tried(sql: string, first = '', meanwhile: Meanwhile = {}): Promise<Verdict> {
    await client.rows(`BEGIN; ${first}`);
    try {
      return await judge(client, parser, { sql, parameters: [] }, meanwhile);
    } finally {
      await client.query('ROLLBACK');
    }
  }

  describe('there is no plan', () => {
    it.each([
      ['DELETE FROM s.v WHERE s.v.id = 2', 'it names a view with its schema, or its rows as a whole'],
      ['DELETE FROM v WHERE v IS NOT NULL', 'it names a view with its schema, or its rows as a whole'],
      [
        'DELETE FROM v AS x USING bare b WHERE (x.*) IS NULL',
        'it names a view with its schema, or its rows as a whole',
      ],
      ['DELETE FROM joined', 'its target is a view of more than one table'],
      ['DELETE FROM grouped', 'its target is a view of more than plain rows of a table'],
      ['DELETE FROM nested', 'nested is a view of a view'],
      ['DELETE FROM random_view', 'random may answer differently a second time'],
      ['DELETE FROM instead', 'a trigger of the view instead does the work'],
      ['DELETE FROM ruled_view', 'a rule rewrites what is done to ruled_view'],
      ['WITH t AS (SELECT 1 AS id) DELETE FROM v USING t WHERE v.id = t.id', 'whose tables a WITH may hide'],
      ['UPDATE v SET renamed = renamed + 100', 'the new key is not a plain expression'],
      [
        'INSERT INTO v (renamed) VALUES (1) ON CONFLICT (renamed) DO UPDATE SET n = 1',
        'v is a view, and it inserts',
      ],
      ['DELETE FROM ruled', 'a rule rewrites what is done to ruled'],
      ['DELETE FROM t WHERE random() < 0.5', 'random may answer differently a second time'],
      ['DELETE FROM t WHERE nowhere(id)', 'the function nowhere is not known'],
      [
        'WITH d AS (DELETE FROM bare RETURNING a) DELETE FROM t WHERE id IN (SELECT a FROM d)',
        'changes data by itself',
      ],
      ['UPDATE t SET id = id + random()::int', 'a function may give another new key a second time'],
      ['UPDATE t SET id = DEFAULT', 'the new key is not a plain expression'],
      ['UPDATE t SET id = bare.a FROM bare WHERE bare.a = t.n', 'the new key comes from other rows'],
      ['UPDATE t SET n = 1 FROM bare WHERE CURRENT OF c', 'other tables stand beside its WHERE CURRENT OF'],
      ['DELETE FROM letters', 'x has xml within'],
      ['TRUNCATE letters', 'x has xml within'],
      ['DELETE FROM no_such_table', 'its target does not exist'],
      [
        "INSERT INTO t VALUES (1, 2, 'x') ON CONFLICT (name) DO UPDATE SET n = 1",
        'not told by a plain unique key',
      ],
    ])('%s', async (sql, reason) => {
      const verdict = await tried(sql);
      expect(verdict.kind).toBe('none');
      expect(verdict.kind === 'none' && verdict.reason).toContain(reason);
    });

    it.each([
      ['deleter', 'DELETE FROM t WHERE id = 12', 'this role may not lock rows of t'],
      ['parent_only', 'DELETE FROM t WHERE id = 12', 'this role may not read child'],
    ])('where the role %s lacks a privilege', async (role, sql, reason) => {
      expect(await tried(sql, `SET LOCAL ROLE ${role}`)).toEqual({ kind: 'none', reason });
    });

    it.each(['DELETE FROM own', 'TRUNCATE own'])(
      'nor a need for one in a temporary table: %s',
      async (sql) => {
        const verdict = await tried(sql, 'CREATE TEMP TABLE own AS SELECT 1 AS a');
        expect(verdict.kind === 'none' && verdict.reason).toContain(
          'temporary tables end with their session',
        );
      },
    );

    it('where row security hides rows', async () => {
      const grant = 'GRANT SELECT, UPDATE, DELETE ON secured TO deleter; SET LOCAL ROLE deleter';
      const verdict = await tried('DELETE FROM secured', grant);
      expect(verdict).toEqual({ kind: 'none', reason: 'row security hides rows of secured from this role' });
    });
  });

  it.each([
    ['UPDATE touched SET n = 1', false],
    ['DELETE FROM touched', true],
  ])('rests on the lock of its target alone only where no trigger fires: %s', async (sql, isKept) => {
    await client.rows('BEGIN');
    const request = { scope: 'kept', slice: sliceOf(parser, sql), parameters: NO_PARAMETERS };
    const planned = await planCapture(new HiddenClient(client), new Catalog(), request);
    await client.query('ROLLBACK');
    expect(planned).toMatchObject({ kind: 'exact', plan: { keptByTargetLock: isKept, opaque: !isKept } });
  });

  describe('the capture is exact', () => {
    it.each([
      ['UPDATE t SET n = n + 1 WHERE id = 3'],
      ['UPDATE t SET id = id + 1000'],
      ['UPDATE t SET id = id WHERE id < 5'],
      ['DELETE FROM t'],
      ['DELETE FROM bare WHERE a = 1'],
      ['DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY id LIMIT 3)'],
      ['DELETE FROM t WHERE own(id) = 4'],
      ['UPDATE t SET n = own(n) WHERE id = 4'],
      ['UPDATE touched SET n = 5'],
      ['DELETE FROM one WHERE id = 1'],
      ['UPDATE split SET id = id + 50 WHERE id BETWEEN 3 AND 12'],
      ['TRUNCATE t CASCADE'],
      ['DELETE FROM v WHERE renamed < 9'],
      ['DELETE FROM v AS x WHERE x.id < 9 AND id > 2'],
      ['DELETE FROM s.v AS "V x" USING bare WHERE bare.a = "V x".n'],
      ["UPDATE v SET n = 3 WHERE loud LIKE '%1%' RETURNING *"],
      ['INSERT INTO equal_nulls VALUES (NULL, 2), (1, 2) ON CONFLICT (a) DO UPDATE SET b = excluded.b'],
      ['COPY (DELETE FROM t WHERE id < 5 RETURNING *) TO STDOUT'],
      ['EXPLAIN ANALYZE DELETE FROM t WHERE id < 5'],
      [
        "INSERT INTO t VALUES (1, 2, 'x'), (99, 1, 'y') ON CONFLICT (id) DO UPDATE SET n = excluded.n WHERE t.n < 5",
      ],
      [
        "INSERT INTO t (name, id) VALUES ('x', '1') ON CONFLICT ON CONSTRAINT t_pkey DO UPDATE SET name = excluded.name",
      ],
    ])('%s', async (sql) => {
      expect(await tried(sql)).toMatchObject({ kind: 'exact' });
    });

    it('after other changes in the same transaction, in savepoints and out of them', async () => {
      const first = `UPDATE split SET n = -1 WHERE id = 3; SAVEPOINT a; UPDATE split SET n = -2 WHERE id = 4;
        RELEASE a; SAVEPOINT b; INSERT INTO split VALUES (60, 1)`;
      expect(await tried('UPDATE split SET id = id + 20 WHERE id < 9', first)).toMatchObject({
        kind: 'exact',
      });
      expect(await tried('DELETE FROM split WHERE id > 3', first)).toMatchObject({ kind: 'exact' });
    });

    it.each([['UPDATE split SET n = 0 WHERE id < 15'], ['DELETE FROM split WHERE id > 5']])(
      'where the role may reach partitions through the whole only: %s',
      async (sql) => {
        expect(await tried(sql, 'SET LOCAL ROLE of_whole')).toMatchObject({ kind: 'exact' });
      },
    );

    it('where the new rows are too many to be followed one by one', async () => {
      const verdict = await tried('UPDATE t SET n = 7 WHERE n < 4', '', { places: new Places(3) });
      expect(verdict).toMatchObject({ kind: 'exact' });
      expect(await tried('DELETE FROM t WHERE n < 4', '', { places: new Places(3) })).toMatchObject({
        kind: 'exact',
      });
    });
  });

  it('a row that a trigger adds to another table is no drift', async () => {
    expect(await tried('DELETE FROM audited WHERE id = 1', does('note'))).toMatchObject({ kind: 'exact' });
  });

  describe('a drift is seen', () => {
    it.each([
      [
        'a function hidden in a view answers differently',
        'DELETE FROM t WHERE id IN (SELECT id FROM random_view)',
        'drift',
      ],
      ['a trigger keeps a row', 'DELETE FROM kept', 'drift'],
      [
        'a trigger changes another row, in a transaction of its own',
        'UPDATE meddled SET n = 1 WHERE id = 1',
        'drift',
      ],
      ['too many rows to prove', 'DELETE FROM t WHERE id IN (SELECT id FROM t)', 'drift'],
    ])('where %s', async (name, sql, kind) => {
      const places = name.startsWith('too many') ? new Places(3) : new Places();
      expect((await tried(sql, '', { places })).kind).toBe(kind);
    });

    it('where a trigger changes another table', async () => {
      const verdict = await tried(
        'DELETE FROM audited WHERE id = 1',
        `INSERT INTO audit VALUES ('then'); ${does('mend')}`,
        { once: true },
      );
      expect(verdict.kind === 'drift' && verdict.reason).toContain('it changed s.audit as well');
    });

    it('where another session adds a row that matches', async () => {
      const verdict = await tried('DELETE FROM t WHERE n = 3', '', {
        afterCapture: async () => void (await postgres.sql("INSERT INTO t VALUES (50, 3, 'new')")),
      });
      await postgres.sql('DELETE FROM t WHERE id = 50');
      expect(verdict.kind === 'drift' && verdict.reason).toContain('4 rows were captured');
    });

    it('where a foreign key was added behind the snapshot of the transaction', async () => {
      await postgres.sql('CREATE TABLE s.late (id int PRIMARY KEY); INSERT INTO s.late VALUES (1)');
      await postgres.sql('CREATE TABLE s.later (late int); INSERT INTO s.later VALUES (1)');
      // Another trigger leaves the row of pg_class as it is then.
      await postgres.sql('CREATE TABLE s.former (id int REFERENCES s.late); DROP TABLE s.former');
      const isolated = 'ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1';
      const verdict = await tried('DELETE FROM late', isolated, {
        once: true,
        beforePlan: async () => {
          await postgres.sql(
            'ALTER TABLE s.later ADD FOREIGN KEY (late) REFERENCES s.late ON DELETE CASCADE',
          );
        },
      });
      await postgres.sql('DROP TABLE s.late, s.later');
      expect(verdict.kind === 'drift' && verdict.reason).toContain('it changed s.later as well');
    });

    it('where rows move to a partition that was attached behind the snapshot of the transaction', async () => {
      await postgres.sql(`CREATE TABLE s.moving (id int) PARTITION BY RANGE (id); CREATE TABLE s.moved (id int);
        CREATE TABLE s.here PARTITION OF s.moving FOR VALUES FROM (0) TO (10); INSERT INTO s.moving VALUES (1)`);
      const isolated = 'ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1';
      const verdict = await tried('UPDATE moving SET id = id + 10', isolated, {
        beforePlan: async () => {
          await postgres.sql('ALTER TABLE s.moving ATTACH PARTITION s.moved FOR VALUES FROM (10) TO (20)');
        },
      });
      await postgres.sql('DROP TABLE s.moving');
      expect(verdict.kind === 'drift' && verdict.reason).toContain('it changed s.moved as well');
    });

    it('where as many rows change as were captured, but others', async () => {
      await postgres.sql('CREATE TABLE s.queue (id int PRIMARY KEY); INSERT INTO s.queue VALUES (5), (6)');
      const verdict = await tried('DELETE FROM queue WHERE id = (SELECT min(id) FROM queue)', '', {
        afterCapture: async () => void (await postgres.sql('INSERT INTO s.queue VALUES (1)')),
      });
      expect(verdict.kind === 'drift' && verdict.reason).toContain('1 of the captured rows did not change');
    });
  });

  it.each([
    ['UPDATE bare SET b = $$x$$ WHERE a = 1', 6, 3],
    ['DELETE FROM bare WHERE a = 1', 5, 3],
    ['DELETE FROM t WHERE id = 1', 6, 3],
  ])('knows its round trips: %s', async (sql, runs, roundTrips) => {
    const catalog = new Catalog();
    await tried(sql, '', { catalog });
    const alone = new HiddenClient(client);
    expect(await tried(sql, '', { connection: alone, catalog })).toMatchObject({ kind: 'exact' });
    expect(alone.runs).toBe(runs);
    const overlapping = new HiddenClient(client, true);
    expect(await tried(sql, '', { connection: overlapping, catalog })).toMatchObject({ kind: 'exact' });
    expect(overlapping.roundTrips).toBe(roundTrips);
  });

  it('is not misled by a hostile search_path', async () => {
    const types = ['oid', 'tid', 'int4', 'int8', 'text', 'xid', 'name'];
    const operators = types.flatMap((type) =>
      ['=', '<>', '<=', '>', '+', '-', '%'].map(
        (name) =>
          `CREATE OPERATOR evil.${name} (leftarg = ${type}, rightarg = ${type}, function = evil.hostile);`,
      ),
    );
    const functions = types.map(
      (type) =>
        `CREATE FUNCTION evil.hostile(${type}, ${type}) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RAISE ''ran''; END';`,
    );
    const first = `CREATE SCHEMA evil; ${functions.join(' ')} ${operators.join(' ')}
      SET LOCAL search_path = evil, pg_catalog, s`;
    for (const sql of [
      'UPDATE s.t SET name = $$x$$',
      'DELETE FROM s.t',
      'UPDATE s.split SET name = $$x$$',
      'TRUNCATE s.t CASCADE',
    ]) {
      const connection = new HiddenClient(client);
      await client.rows(`BEGIN; ALTER TABLE s.split ADD name text; ${first}`);
      const slice = sliceOf(parser, sql);
      const planned = await planCapture(connection, new Catalog(), {
        scope: 'evil',
        slice,
        parameters: NO_PARAMETERS,
      });
      if (planned.kind !== 'exact') throw new Error(planned.reason);
      const files = { open: () => ({ write() {} }) };
      const capture = await captureBefore(connection, planned.plan, files);
      const messages = await client.query(sql);
      const tag = messages
        .find(({ type }) => type === 'C')!
        .body.toString('utf8')
        .slice(0, -1);
      expect(await captureAfter(connection, planned.plan, capture, tag, files), sql).toMatchObject({
        kind: 'proved',
      });
      await client.query('ROLLBACK');
    }
  });

  it('locks no more than the statement does', async () => {
    const other = () =>
      postgres.sql("SET lock_timeout = '200ms'; INSERT INTO s.child VALUES (70, 12)").then(
        () => 'inserted',
        () => 'waited',
      );
    const seen: string[] = [];
    const afterCapture = async () => void seen.push(await other());
    await tried('UPDATE t SET n = 1 WHERE id = 12', '', { afterCapture });
    await postgres.sql('DELETE FROM s.child WHERE id = 70');
    await tried('DELETE FROM t WHERE id = 12', '', { afterCapture });
    expect(seen).toEqual(['inserted', 'waited']);
  });
});
