import type { UndoOptions } from '../../src/undo/undo.ts';

/**
 * What undo does, by example: `setup`, then a snapshot of `statement`, then what others do `since`, then the undo.
 * Everything is in a schema of its own. Counts are rows put back, set back, removed, already as they were, and in
 * conflict, table by table.
 */
export interface Example {
  readonly name: string;
  readonly setup: string;
  readonly statement: string;
  readonly since?: string;
  readonly options?: UndoOptions;
  /** The kind of the outcome, with counts by table, or what the reason has in it. */
  readonly outcome:
    | { readonly done: Readonly<Record<string, Counts>> }
    | { readonly conflicts: readonly string[] }
    | { readonly refused: string }
    | { readonly failed: string };
  /**
   * The end: all tables as at the `start`, `untouched` by the undo, or what a query gives. Where others changed
   * things since, `start` is to be read as with these changes taken back by the statements given.
   */
  readonly end: 'start' | 'untouched' | { readonly sql: string; readonly rows: readonly string[] };
}

type Counts = readonly [
  putBack: number,
  setBack: number,
  removed: number,
  already: number,
  conflicts: number,
];

const T = `CREATE TABLE t (id int PRIMARY KEY, n int, name text); INSERT INTO t SELECT i, i, 'row ' || i FROM generate_series(5, 1, -1) i`;
const FAMILY = `${T}; CREATE TABLE child (id int PRIMARY KEY, t int REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE);
  INSERT INTO child SELECT i, i FROM generate_series(1, 5) i`;
const UNIQUE = `CREATE TABLE u (id int PRIMARY KEY, mail int UNIQUE);
  INSERT INTO u SELECT i, i FROM generate_series(1, 9) i ORDER BY i DESC`;
const ROOMS = `CREATE TABLE r (id int PRIMARY KEY, taken int4range, EXCLUDE USING gist (taken WITH &&));
  INSERT INTO r SELECT i, int4range(i * 10, i * 10 + 10) FROM generate_series(9, 1, -1) i`;
const NUDGED = `${T}; CREATE FUNCTION nudge() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN new.n := coalesce(new.n, 0) + 100; RETURN new; END';
  CREATE TRIGGER nudge BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION nudge()`;
const NOTED = `${T}; CREATE TABLE notes (what text); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN INSERT INTO notes VALUES (tg_op); RETURN NULL; END';
  CREATE TRIGGER note AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION note()`;
const PARTED = `CREATE TABLE p (id int, k text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
  CREATE TABLE low PARTITION OF p FOR VALUES FROM (0) TO (10); CREATE TABLE high PARTITION OF p DEFAULT;
  INSERT INTO p SELECT i, 'k' FROM generate_series(5, 14) i`;
const BARE = `CREATE TABLE bare (a int, j json); INSERT INTO bare SELECT i % 2, '{"a":  1}' FROM generate_series(1, 6) i`;

const rowsOf = (sql: string, ...rows: readonly string[]): { sql: string; rows: readonly string[] } => ({
  sql,
  rows,
});

const WHAT_BECOMES_OF_ROWS: readonly Example[] = [
  {
    name: 'rows that were deleted are put back',
    setup: T,
    statement: 'DELETE FROM t WHERE id < 4',
    outcome: { done: { t: [3, 0, 0, 0, 0] } },
    end: 'start',
  },
  {
    name: 'rows that were updated are set back',
    setup: T,
    statement: `UPDATE t SET n = NULL, name = '' WHERE id > 2`,
    outcome: { done: { t: [0, 3, 0, 0, 0] } },
    end: 'start',
  },
  {
    name: 'rows that were changed through a view are set back in its table',
    setup: `${T}; CREATE VIEW v (number, n) AS SELECT id, n FROM t WHERE n > 2`,
    statement: 'UPDATE v SET n = n - 100 WHERE number <> 4',
    outcome: { done: { t: [0, 2, 0, 0, 0] } },
    end: 'start',
  },
  {
    name: 'rows that an upsert inserted are removed',
    setup: T,
    statement: `INSERT INTO t VALUES (1, 7, 'x'), (9, 9, 'new') ON CONFLICT (id) DO UPDATE SET n = 0`,
    outcome: { done: { t: [0, 1, 1, 0, 0] } },
    end: 'start',
  },
  {
    name: 'rows that the statement left as they were need nothing',
    setup: T,
    statement: 'UPDATE t SET n = n',
    outcome: { done: { t: [0, 0, 0, 5, 0] } },
    end: 'start',
  },
  {
    name: 'a changed key goes, and the old one comes back',
    setup: T,
    statement: 'UPDATE t SET id = id + 2',
    outcome: { done: { t: [2, 3, 2, 0, 0] } },
    end: 'start',
  },
  {
    name: 'without a key whole rows are counted',
    setup: BARE,
    statement: `UPDATE bare SET a = 0 WHERE a = 1`,
    outcome: { done: { bare: [3, 0, 3, 0, 0] } },
    end: 'start',
  },
  {
    name: 'without a key as many rows come back as went',
    setup: BARE,
    statement: 'DELETE FROM bare WHERE ctid IN (SELECT ctid FROM bare ORDER BY ctid LIMIT 3)',
    outcome: { done: { bare: [3, 0, 0, 0, 0] } },
    end: 'start',
  },
  {
    name: 'values that belong to no equality are compared by their bytes',
    setup: `CREATE TABLE odd (id int PRIMARY KEY, j json, x xml, p point, f float8, acl aclitem, n numeric);
      INSERT INTO odd VALUES (1, '{"a":  1}', '<a  b="c"/>', '(1,2)', '-0', 'postgres=r/postgres', 1.00)`,
    statement: `UPDATE odd SET j = '{"a": 1}', x = '<a b="c"/>', p = '(1,3)', f = 0, acl = NULL, n = 1.0`,
    outcome: { done: { odd: [0, 1, 0, 0, 0] } },
    end: 'start',
  },
  {
    name: 'xml comes back with its declaration, which the server does not send',
    setup: `CREATE DOMAIN doc AS xml; CREATE TABLE x (id int PRIMARY KEY, x xml, d doc, n text GENERATED ALWAYS AS (x::text) STORED);
      INSERT INTO x (id, x, d) VALUES (1, '<?xml version="1.0" encoding="UTF-8"?><a>ö</a>', '<?xml version="1.0"?><b/>'), (2, 'just text', NULL), (3, '<?xml version="1.0" standalone="yes"?><c/>', '')`,
    statement: `UPDATE x SET x = '<a>ö</a>', d = '<b/>' WHERE id = 1`,
    outcome: { done: { x: [0, 1, 0, 0, 0] } },
    end: 'start',
  },
  {
    name: 'a table without columns has rows as well',
    setup: 'CREATE TABLE nothing (); INSERT INTO nothing SELECT FROM generate_series(1, 3)',
    statement: 'DELETE FROM nothing',
    outcome: { done: { nothing: [3, 0, 0, 0, 0] } },
    end: 'start',
  },
  {
    name: 'a domain is no hindrance',
    setup: `CREATE DOMAIN short AS varchar(5) CHECK (value <> 'no'); CREATE TABLE d (k short PRIMARY KEY, v short[]);
      INSERT INTO d VALUES ('a', '{x,y}'), ('b', NULL)`,
    statement: `UPDATE d SET v = '{z}'`,
    outcome: { done: { d: [0, 2, 0, 0, 0] } },
    end: 'start',
  },
  {
    name: 'texts of a session with another encoding',
    setup: `CREATE TABLE l (id int PRIMARY KEY, v text); INSERT INTO l VALUES (1, U&'caf\\00e9'); SET client_encoding = LATIN1`,
    statement: 'DELETE FROM l',
    outcome: { done: { l: [1, 0, 0, 0, 0] } },
    end: rowsOf(`RESET client_encoding; SELECT v = U&'caf\\00e9' FROM l`, 't'),
  },
];

const COLUMNS: readonly Example[] = [
  {
    name: 'an identity that is always generated comes back as it was, and computed columns are computed',
    setup: `CREATE TABLE i (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, twice int GENERATED ALWAYS AS (n * 2) STORED, n int);
      INSERT INTO i (n) SELECT g FROM generate_series(1, 3) g`,
    statement: 'DELETE FROM i WHERE id > 1',
    outcome: { done: { i: [2, 0, 0, 0, 0] } },
    end: 'start',
  },
  {
    name: 'an identity that was given anew goes back',
    setup: `CREATE TABLE i (k int PRIMARY KEY, own int GENERATED ALWAYS AS IDENTITY, n int);
      INSERT INTO i (k, n) SELECT g, g FROM generate_series(1, 3) g`,
    statement: 'UPDATE i SET own = DEFAULT, n = 0 WHERE k < 3',
    outcome: { done: { i: [0, 2, 0, 0, 0] } },
    end: 'start',
  },
  {
    name: 'a sequence that is behind is moved on',
    setup: `CREATE TABLE s (id serial PRIMARY KEY, v text); INSERT INTO s (v) VALUES ('a'), ('b'), ('c')`,
    statement: 'TRUNCATE s RESTART IDENTITY',
    outcome: { done: { s: [3, 0, 0, 0, 0] } },
    end: rowsOf(`INSERT INTO s (v) VALUES ('d') RETURNING id`, '4'),
  },
  {
    name: 'sequences that TRUNCATE has started anew go on where they stood, as far as numbers of 64 bits go',
    setup: `CREATE TABLE s (id bigserial PRIMARY KEY, back int GENERATED ALWAYS AS IDENTITY (INCREMENT -1), v text);
      CREATE TABLE c (id int GENERATED ALWAYS AS IDENTITY, s int REFERENCES s); INSERT INTO s (v) VALUES ('a');
      SELECT setval('s_id_seq', 9007199254740993), setval('s_back_seq', -70), setval('c_id_seq', 40)`,
    statement: 'TRUNCATE s RESTART IDENTITY CASCADE',
    outcome: { done: { s: [1, 0, 0, 0, 0] } },
    end: rowsOf(
      `SELECT nextval('s_id_seq'), nextval('s_back_seq'), nextval('c_id_seq')`,
      '9007199254740994|-71|41',
    ),
  },
  {
    name: 'a sequence of an empty table goes on where it stood',
    setup: `CREATE TABLE p (id int GENERATED ALWAYS AS IDENTITY, k int) PARTITION BY LIST (k);
      CREATE TABLE p1 PARTITION OF p DEFAULT; SELECT setval('p_id_seq', 40)`,
    statement: 'TRUNCATE p RESTART IDENTITY',
    outcome: { done: {} },
    end: rowsOf(`SELECT nextval('p_id_seq')`, '41'),
  },
  {
    name: 'a sequence that TRUNCATE has started anew, and that is further by now, stays there',
    setup: `CREATE TABLE s (id serial PRIMARY KEY, v text); INSERT INTO s (v) VALUES ('a'), ('b')`,
    statement: 'TRUNCATE s RESTART IDENTITY',
    since: `SELECT setval('s_id_seq', 7)`,
    outcome: { done: { s: [2, 0, 0, 0, 0] } },
    end: rowsOf(`SELECT nextval('s_id_seq')`, '8'),
  },
  {
    name: 'a sequence that is ahead stays there',
    setup: `CREATE TABLE s (id serial PRIMARY KEY, v text); INSERT INTO s (v) VALUES ('a'), ('b'), ('c')`,
    statement: 'DELETE FROM s WHERE id = 1',
    since: `INSERT INTO s (v) VALUES ('d')`,
    outcome: { done: { s: [1, 0, 0, 0, 0] } },
    end: rowsOf(`INSERT INTO s (v) VALUES ('e') RETURNING id`, '5'),
  },
];

const FOREIGN_KEYS: readonly Example[] = [
  {
    name: 'parents and children come back together',
    setup: FAMILY,
    statement: 'DELETE FROM t WHERE id < 3',
    outcome: { done: { t: [2, 0, 0, 0, 0], child: [2, 0, 0, 0, 0] } },
    end: 'start',
  },
  {
    name: 'a key that was carried on to children is carried back',
    setup: FAMILY,
    statement: 'UPDATE t SET id = id + 100',
    outcome: { done: { t: [5, 0, 5, 0, 0], child: [0, 5, 0, 0, 0] } },
    end: 'start',
  },
  {
    name: 'tables that refer to each other',
    setup: `CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE);
      INSERT INTO a VALUES (1, 1), (2, 2); INSERT INTO b VALUES (1, 1), (2, 1);
      ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b ON DELETE CASCADE`,
    statement: 'DELETE FROM a WHERE id = 1',
    outcome: { done: { a: [2, 0, 0, 0, 0], b: [2, 0, 0, 0, 0] } },
    end: 'start',
  },
  {
    name: 'a table that refers to itself',
    setup: `CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree ON DELETE SET NULL);
      INSERT INTO tree VALUES (1, 1), (2, 1), (3, 2)`,
    statement: 'DELETE FROM tree WHERE id < 3',
    outcome: { done: { tree: [2, 1, 0, 0, 0] } },
    end: 'start',
  },
  {
    name: 'a parent that has gone since',
    setup: FAMILY,
    statement: 'DELETE FROM child WHERE id = 1',
    since: 'DELETE FROM t WHERE id = 1',
    outcome: { failed: 'child_t_fkey' },
    end: 'untouched',
  },
  {
    name: 'a rule would do something else',
    setup: `${T}; CREATE RULE r AS ON INSERT TO t DO INSTEAD NOTHING`,
    statement: 'DELETE FROM t WHERE id < 3',
    outcome: { refused: 'a rule rewrites what is done to it' },
    end: 'untouched',
  },
  {
    name: 'a parent that has gone since, where triggers are skipped',
    setup: FAMILY,
    statement: 'DELETE FROM child WHERE id = 1',
    since: 'DELETE FROM t WHERE id = 1',
    options: { triggers: 'skip' },
    outcome: { refused: '1 rows would break the foreign key child_t_fkey' },
    end: 'untouched',
  },
  {
    name: 'a child that has come since is not taken along',
    setup: FAMILY,
    statement: 'UPDATE t SET id = 100 WHERE id = 1',
    since: 'INSERT INTO child VALUES (50, 100)',
    outcome: { refused: '1 more rows would change than the snapshot knows of' },
    end: 'untouched',
  },
  {
    name: 'a child that has come since is not left alone',
    setup: FAMILY,
    statement: 'UPDATE t SET id = 100 WHERE id = 1',
    since: 'INSERT INTO child VALUES (50, 100)',
    options: { triggers: 'skip' },
    outcome: { refused: '1 rows would break the foreign key child_t_fkey' },
    end: 'untouched',
  },
];

const UNIQUE_VALUES: readonly Example[] = [
  {
    name: 'values that wander from row to row',
    setup: UNIQUE,
    statement: 'UPDATE u SET mail = mail + 1',
    outcome: { done: { u: [0, 9, 0, 0, 0] } },
    end: 'start',
  },
  {
    name: 'room under an exclusion constraint that wanders from row to row',
    setup: ROOMS,
    statement: 'UPDATE r SET taken = int4range(lower(taken) + 10, upper(taken) + 10)',
    outcome: { done: { r: [0, 9, 0, 0, 0] } },
    end: 'start',
  },
  {
    name: 'room under an exclusion constraint that another row has taken since is a conflict',
    setup: ROOMS,
    statement: 'DELETE FROM r WHERE id < 3',
    since: `INSERT INTO r VALUES (70, '[15,16)')`,
    outcome: { conflicts: ['put back held'] },
    end: 'untouched',
  },
  {
    name: 'room that is left is filled where that is skipped',
    setup: ROOMS,
    statement: 'DELETE FROM r WHERE id < 3',
    since: `INSERT INTO r VALUES (70, '[15,16)')`,
    options: { onConflict: 'skip' },
    outcome: { done: { r: [1, 0, 0, 0, 1] } },
    end: rowsOf('SELECT id FROM r WHERE id < 4 OR id > 9 ORDER BY id', '2', '3', '70'),
  },
  {
    name: 'values that were swapped under a deferrable constraint',
    setup: `CREATE TABLE u (id int PRIMARY KEY, mail int UNIQUE DEFERRABLE); INSERT INTO u VALUES (1, 1), (2, 2)`,
    statement: 'UPDATE u SET mail = 3 - mail',
    outcome: { done: { u: [0, 2, 0, 0, 0] } },
    end: 'start',
  },
  {
    name: 'a value that another row has taken since is a conflict',
    setup: UNIQUE,
    statement: 'DELETE FROM u WHERE id < 3',
    since: 'INSERT INTO u VALUES (70, 1)',
    outcome: { conflicts: ['put back held'] },
    end: 'untouched',
  },
  {
    name: 'a row that has taken a value is not written over',
    setup: UNIQUE,
    statement: 'DELETE FROM u WHERE id < 3',
    since: 'INSERT INTO u VALUES (70, 1)',
    options: { onConflict: 'overwrite' },
    outcome: { conflicts: ['put back held'] },
    end: 'untouched',
  },
  {
    name: 'those that wait for a row that stays because of that stay as well',
    setup: UNIQUE,
    statement: 'UPDATE u SET mail = mail + 1 WHERE id > 4',
    since: 'INSERT INTO u VALUES (70, 5)',
    options: { onConflict: 'skip' },
    outcome: { done: { u: [0, 0, 0, 0, 5] } },
    end: 'untouched',
  },
  {
    name: 'nor is one behind more conflicts than are shown, nor in another table',
    setup: `CREATE TABLE a (id int PRIMARY KEY, n int); INSERT INTO a SELECT i, i FROM generate_series(1, 120) i;
      CREATE TABLE u (id int PRIMARY KEY REFERENCES a ON DELETE CASCADE, mail int UNIQUE);
      INSERT INTO u SELECT i, i FROM generate_series(1, 120) i`,
    statement: 'DELETE FROM a',
    since: `INSERT INTO a SELECT i, 0 FROM generate_series(1, 121) i; INSERT INTO u VALUES (121, 120)`,
    options: { onConflict: 'overwrite' },
    outcome: { conflicts: ['put back held'] },
    end: 'untouched',
  },
];

const SINCE = `UPDATE t SET name = 'edited' WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (5, 0, 'new')`;
const CONFLICTS: readonly Example[] = [
  {
    name: 'end the undo',
    setup: T,
    statement: `MERGE INTO t USING (VALUES (1), (2), (3), (5)) s(id) ON s.id = t.id WHEN MATCHED AND t.id = 5 THEN DELETE WHEN MATCHED THEN UPDATE SET n = 0`,
    since: SINCE,
    outcome: { conflicts: ['put back taken', 'set back changed', 'set back gone'] },
    end: 'untouched',
  },
  {
    name: 'are skipped',
    setup: T,
    statement: `MERGE INTO t USING (VALUES (1), (2), (3), (5)) s(id) ON s.id = t.id WHEN MATCHED AND t.id = 5 THEN DELETE WHEN MATCHED THEN UPDATE SET n = 0`,
    since: SINCE,
    options: { onConflict: 'skip' },
    outcome: { done: { t: [0, 1, 0, 0, 3] } },
    end: rowsOf('SELECT id, n, name FROM t ORDER BY id', '1|0|edited', '3|3|row 3', '4|4|row 4', '5|0|new'),
  },
  {
    name: 'are overwritten',
    setup: T,
    statement: `MERGE INTO t USING (VALUES (1), (2), (3), (5)) s(id) ON s.id = t.id WHEN MATCHED AND t.id = 5 THEN DELETE WHEN MATCHED THEN UPDATE SET n = 0`,
    since: SINCE,
    options: { onConflict: 'overwrite' },
    outcome: { done: { t: [1, 3, 0, 0, 3] } },
    end: 'start',
  },
  {
    name: 'of rows to remove',
    setup: T,
    statement: `INSERT INTO t VALUES (1, 1, 'x'), (9, 9, 'new') ON CONFLICT (id) DO UPDATE SET n = 0`,
    since: `UPDATE t SET name = 'edited' WHERE id = 9`,
    options: { onConflict: 'overwrite' },
    outcome: { done: { t: [0, 1, 1, 0, 1] } },
    end: 'start',
  },
  {
    name: 'in a table without a key cannot be skipped',
    setup: BARE,
    statement: 'UPDATE bare SET a = 5 WHERE a = 1',
    since: 'DELETE FROM bare WHERE ctid = (SELECT min(ctid) FROM bare WHERE a = 5)',
    options: { onConflict: 'skip' },
    outcome: { refused: 'it has no key' },
    end: 'untouched',
  },
  {
    name: 'are not what was done already',
    setup: T,
    statement: 'DELETE FROM t WHERE id < 3',
    since: `INSERT INTO t VALUES (1, 1, 'row 1')`,
    outcome: { done: { t: [1, 0, 0, 1, 0] } },
    end: 'start',
  },
  ...[
    ['got another key once more', 'UPDATE t SET id = id + 100 WHERE id > 12'],
    ['are gone', 'DELETE FROM t WHERE id > 12'],
  ].flatMap(([what, since]): Example[] => [
    {
      name: `are rows with another key that ${what} since`,
      setup: T,
      statement: 'UPDATE t SET id = id + 10',
      since: since!,
      outcome: {
        conflicts: ['put back gone', 'put back gone', 'put back gone', 'put back gone', 'put back gone'],
      },
      end: 'untouched',
    },
    {
      name: `cannot be skipped where rows with another key ${what} since`,
      setup: T,
      statement: 'UPDATE t SET id = id + 10',
      since: since!,
      options: { onConflict: 'skip' },
      outcome: { refused: 'it cannot be told which rows to leave out' },
      end: 'untouched',
    },
    {
      name: `are overwritten where rows with another key ${what} since`,
      setup: T,
      statement: 'UPDATE t SET id = id + 10',
      since: since!,
      options: { onConflict: 'overwrite' },
      outcome: { done: { t: [5, 0, 2, 3, 5] } },
      end: { sql: 'SELECT count(*) FROM t WHERE id < 10', rows: ['5'] },
    },
  ]),
  {
    name: 'cannot be skipped where a row with another key was changed since',
    setup: T,
    statement: 'UPDATE t SET id = id + 10',
    since: `UPDATE t SET name = 'edited' WHERE id = 15`,
    options: { onConflict: 'skip' },
    outcome: { refused: 'it cannot be told which rows to leave out' },
    end: 'untouched',
  },
  {
    name: 'are none where a row is back with its old key',
    setup: T,
    statement: 'UPDATE t SET id = id + 10',
    since: `UPDATE t SET id = 1 WHERE id = 11`,
    outcome: { done: { t: [4, 0, 4, 2, 0] } },
    end: 'start',
  },
  {
    name: 'in whitespace of JSON are seen',
    setup: `CREATE TABLE j (id int PRIMARY KEY, j json, n int); INSERT INTO j VALUES (1, '{"a":  1}', 1)`,
    statement: 'UPDATE j SET n = 2',
    since: `UPDATE j SET j = '{"a": 1}'`,
    outcome: { conflicts: ['set back changed'] },
    end: 'untouched',
  },
  {
    name: 'in values are seen whose type has a cast to text that makes them alike',
    setup: `CREATE TYPE loud AS (n int, x aclitem); CREATE FUNCTION hush(loud) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ''''::text';
      CREATE CAST (loud AS text) WITH FUNCTION hush(loud);
      CREATE TABLE c (id int PRIMARY KEY, v loud, n int); INSERT INTO c VALUES (1, '(1,)', 1)`,
    statement: 'UPDATE c SET n = 2',
    since: `UPDATE c SET v = '(2,)'`,
    outcome: { conflicts: ['set back changed'] },
    end: 'untouched',
  },
  {
    name: 'against what a preview had counted',
    setup: T,
    statement: 'DELETE FROM t WHERE id < 3',
    options: { expected: [{ table: 't', putBack: 3, setBack: 0, removed: 0, already: 0, conflicts: 0 }] },
    outcome: { refused: 'changed since the preview' },
    end: 'untouched',
  },
];

/** The total of an order is kept by a trigger of its lines. */
const TOTALS = `CREATE TABLE orders (id int PRIMARY KEY, total int NOT NULL, note text);
  CREATE TABLE lines (id int PRIMARY KEY, o int REFERENCES orders, price int);
  INSERT INTO orders SELECT i, 0, repeat('long ', 1000) FROM generate_series(1, 4) i;
  INSERT INTO lines SELECT i, 1 + i % 4, i FROM generate_series(1, 12) i;
  UPDATE orders SET total = (SELECT sum(price) FROM lines WHERE o = orders.id);
  CREATE FUNCTION add_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF tg_op <> 'INSERT' THEN UPDATE orders SET total = total - old.price WHERE id = old.o; END IF;
    IF tg_op <> 'DELETE' THEN UPDATE orders SET total = total + new.price WHERE id = new.o; END IF; RETURN NULL; END $$;
  CREATE TRIGGER add_up AFTER INSERT OR UPDATE OR DELETE ON lines FOR EACH ROW EXECUTE FUNCTION add_up()`;
/** It counts what was done, so that it counts the undo as well; and removes what has no lines. */
const COUNTED = `${TOTALS}; CREATE TABLE counted (what text PRIMARY KEY, n int); INSERT INTO counted VALUES ('DELETE', 7);
  CREATE FUNCTION count_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO counted VALUES (tg_op, 1) ON CONFLICT (what) DO UPDATE SET n = counted.n + 1;
    DELETE FROM orders WHERE NOT EXISTS (SELECT FROM lines WHERE o = orders.id); RETURN NULL; END $$;
  CREATE TRIGGER count_up AFTER UPDATE OR DELETE ON lines FOR EACH ROW EXECUTE FUNCTION count_up()`;
const HISTORY = `CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT i, i FROM generate_series(1, 5) i;
  CREATE TABLE history (serial serial PRIMARY KEY, id int, n int, ended boolean NOT NULL DEFAULT false);
  CREATE UNIQUE INDEX ON history (id) WHERE NOT ended; INSERT INTO history (id, n) SELECT id, n FROM t;
  CREATE FUNCTION go_on() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE history SET ended = true WHERE id = new.id AND NOT ended; INSERT INTO history (id, n) VALUES (new.id, new.n);
    RETURN NULL; END $$;
  CREATE TRIGGER go_on AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION go_on()`;

const TRIGGERS: readonly Example[] = [
  ...(['fire', 'skip'] as const).flatMap((triggers): Example[] => [
    {
      name: `that change other tables: both come back, and triggers ${triggers}`,
      setup: TOTALS,
      statement: 'DELETE FROM lines WHERE id < 6',
      options: { triggers },
      outcome: { done: { lines: [5, 0, 0, 0, 0], orders: [0, 4, 0, 0, 0] } },
      end: 'start',
    },
    {
      name: `that change other tables as rows are updated, and triggers ${triggers}`,
      setup: TOTALS,
      statement: 'UPDATE lines SET o = o % 4 + 1, price = price + 1 WHERE id < 4',
      options: { triggers },
      outcome: { done: { lines: [0, 3, 0, 0, 0], orders: [0, 2, 0, 2, 0] } },
      end: 'start',
    },
    {
      name: `that count and remove in other tables, and triggers ${triggers}`,
      setup: COUNTED,
      statement: 'DELETE FROM lines WHERE o = 2 OR id = 2',
      options: { triggers },
      outcome: { done: { lines: [4, 0, 0, 0, 0], orders: [1, 1, 0, 0, 0], counted: [0, 1, 0, 0, 0] } },
      end: 'start',
    },
  ]),
  {
    name: 'that have put a row into another table, which they have updated as well: it goes',
    setup: HISTORY,
    statement: 'UPDATE t SET n = 0 WHERE id < 3',
    options: { triggers: 'skip' },
    outcome: { done: { t: [0, 2, 0, 0, 0], history: [0, 2, 2, 0, 0] } },
    end: 'start',
  },
  {
    name: 'that go on to do so are in the way',
    setup: HISTORY.replace('CREATE UNIQUE INDEX ON history (id) WHERE NOT ended;', ''),
    statement: 'UPDATE t SET n = 0 WHERE id < 3',
    outcome: { refused: '2 other rows there were changed by a trigger' },
    end: 'untouched',
  },
  {
    name: 'that shed a row each time shed others as they fire again',
    setup: `CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2);
      CREATE TABLE shed (id int PRIMARY KEY, n int); INSERT INTO shed SELECT i, 0 FROM generate_series(1, 9) i;
      CREATE FUNCTION drop_one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        DELETE FROM shed WHERE id = (SELECT max(id) FROM shed WHERE id < CASE tg_op WHEN 'DELETE' THEN 99 ELSE 5 END);
        INSERT INTO shed VALUES (100, 1) ON CONFLICT DO NOTHING; RETURN NULL; END $$;
      CREATE TRIGGER drop_one AFTER INSERT OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION drop_one()`,
    statement: 'DELETE FROM t WHERE id = 1',
    outcome: { refused: '1 other rows there were removed by a trigger' },
    end: 'untouched',
  },
  {
    name: 'whose totals others have changed since are conflicts',
    setup: TOTALS,
    statement: 'DELETE FROM lines WHERE id < 3',
    since: 'UPDATE orders SET total = 1 WHERE id = 2',
    outcome: { conflicts: ['set back changed'] },
    end: 'untouched',
  },
  {
    name: 'that move rows between partitions of another table',
    setup: `CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2);
      CREATE TABLE state (id int, done boolean, n int, PRIMARY KEY (id, done)) PARTITION BY LIST (done);
      CREATE TABLE open PARTITION OF state FOR VALUES IN (false); CREATE TABLE closed PARTITION OF state FOR VALUES IN (true);
      INSERT INTO state VALUES (1, false, 5), (2, false, 6);
      CREATE FUNCTION move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        UPDATE state SET done = NOT done WHERE id = coalesce(old.id, new.id); RETURN NULL; END $$;
      CREATE TRIGGER move AFTER INSERT OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION move()`,
    statement: 'DELETE FROM t WHERE id = 1',
    outcome: { done: { t: [1, 0, 0, 0, 0], open: [1, 0, 0, 0, 0], closed: [0, 0, 1, 0, 0] } },
    end: 'start',
  },
  {
    name: 'that change other tables ahead of the row itself',
    setup: TOTALS.replace('AFTER', 'BEFORE').replace('RETURN NULL', 'RETURN coalesce(new, old)'),
    statement: 'DELETE FROM lines WHERE id < 6',
    outcome: { done: { lines: [5, 0, 0, 0, 0], orders: [0, 4, 0, 0, 0] } },
    end: 'start',
  },
  {
    name: 'whose totals others have put right since leave them so',
    setup: TOTALS,
    statement: 'DELETE FROM lines WHERE id < 3',
    since: 'UPDATE orders SET total = total + id - 1 WHERE id IN (2, 3)',
    outcome: { done: { lines: [2, 0, 0, 0, 0], orders: [0, 0, 0, 2, 0] } },
    end: 'start',
  },
  {
    name: 'whose totals others have changed since go on with these where they are skipped',
    setup: TOTALS,
    statement: 'DELETE FROM lines WHERE id < 3',
    since: 'DELETE FROM lines WHERE id > 8',
    options: { onConflict: 'skip' },
    outcome: { done: { lines: [2, 0, 0, 0, 0], orders: [0, 0, 0, 0, 2] } },
    end: rowsOf(
      'SELECT count(*) FROM orders WHERE total = (SELECT sum(price) FROM lines WHERE o = orders.id)',
      '4',
    ),
  },
  {
    name: 'that change what is put back are told',
    setup: NUDGED,
    statement: 'DELETE FROM t WHERE id = 1',
    outcome: { refused: '1 rows are not as they were, because a trigger changed them' },
    end: 'untouched',
  },
  {
    name: 'that change what is put back are skipped',
    setup: NUDGED,
    statement: 'UPDATE t SET name = NULL',
    options: { triggers: 'skip' },
    outcome: { done: { t: [0, 5, 0, 0, 0] } },
    end: 'start',
  },
  {
    name: 'fire',
    setup: NOTED,
    statement: 'DELETE FROM t WHERE id < 3',
    outcome: { done: { t: [2, 0, 0, 0, 0] } },
    end: rowsOf('SELECT what FROM notes', 'INSERT', 'INSERT'),
  },
  {
    name: 'do not fire where they are skipped',
    setup: NOTED,
    statement: 'DELETE FROM t WHERE id < 3',
    options: { triggers: 'skip' },
    outcome: { done: { t: [2, 0, 0, 0, 0] } },
    end: 'start',
  },
  {
    name: 'that keep rows away are told',
    setup: `${T}; CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
      CREATE TRIGGER keep BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION keep()`,
    statement: 'DELETE FROM t WHERE id < 3',
    outcome: { refused: 'a trigger kept rows from it' },
    end: 'untouched',
  },
];

const DRIFT: readonly Example[] = [
  {
    name: 'a new column keeps its value, or takes its default',
    setup: T,
    statement:
      'MERGE INTO t USING (VALUES (1), (2)) s(id) ON s.id = t.id WHEN MATCHED AND t.id = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET n = 0',
    since: `ALTER TABLE t ADD colour text DEFAULT 'red'; UPDATE t SET colour = 'blue'`,
    outcome: { done: { t: [1, 1, 0, 0, 0] } },
    end: rowsOf('SELECT id, n, colour FROM t ORDER BY id LIMIT 2', '1|1|red', '2|2|blue'),
  },
  {
    name: 'a new column that has to have a value',
    setup: T,
    statement: 'DELETE FROM t WHERE id = 1',
    since: `ALTER TABLE t ADD colour text; UPDATE t SET colour = 'blue'; ALTER TABLE t ALTER colour SET NOT NULL`,
    outcome: { refused: 'it has the column colour since, for which the rows to put back have no value' },
    end: 'untouched',
  },
  {
    name: 'renamed columns and tables',
    setup: T,
    statement: 'UPDATE t SET n = 0 WHERE id < 3',
    since:
      'ALTER TABLE t RENAME n TO "Number n"; ALTER TABLE t RENAME id TO key; ALTER TABLE t RENAME TO "T t"',
    outcome: { done: { 'T t': [0, 2, 0, 0, 0] } },
    end: rowsOf('SELECT key, "Number n" FROM "T t" WHERE key < 3 ORDER BY key', '1|1', '2|2'),
  },
  {
    name: 'a column that was dropped',
    setup: T,
    statement: 'DELETE FROM t WHERE id = 1',
    since: 'ALTER TABLE t DROP name',
    outcome: { refused: 'its column name was dropped since' },
    end: 'untouched',
  },
  {
    name: 'a column of another type',
    setup: T,
    statement: 'DELETE FROM t WHERE id = 1',
    since: 'ALTER TABLE t ALTER n TYPE bigint',
    outcome: { refused: 'its column n is of the type bigint by now, and was of int4' },
    end: 'untouched',
  },
  {
    name: 'a table that was dropped, though there is one of the name',
    setup: T,
    statement: 'DELETE FROM t WHERE id = 1',
    since: `DROP TABLE t; ${T}`,
    outcome: { refused: 'it was dropped since' },
    end: 'untouched',
  },
  {
    name: 'a key that is none any more: whole rows are counted',
    setup: T,
    statement: 'UPDATE t SET n = 0 WHERE id < 3',
    since: 'ALTER TABLE t DROP CONSTRAINT t_pkey',
    outcome: { done: { t: [2, 0, 2, 0, 0] } },
    end: 'start',
  },
];

const PARTITIONS: readonly Example[] = [
  {
    name: 'a row that went from one to another comes back',
    setup: PARTED,
    statement: 'UPDATE p SET id = id + 100 WHERE id IN (8, 9)',
    outcome: { done: { low: [2, 0, 0, 0, 0], high: [0, 0, 2, 0, 0] } },
    end: 'start',
  },
  {
    name: 'rows come back into the one that takes them by now',
    setup: PARTED,
    statement: 'DELETE FROM p WHERE id > 10',
    since: `ALTER TABLE p DETACH PARTITION high; CREATE TABLE top PARTITION OF p FOR VALUES FROM (12) TO (1000);
      ALTER TABLE p ATTACH PARTITION high DEFAULT`,
    outcome: { done: { high: [4, 0, 0, 0, 0] } },
    end: rowsOf(
      'SELECT tableoid::regclass, count(*) FROM p GROUP BY 1 ORDER BY 1',
      'low|5',
      'high|2',
      'top|3',
    ),
  },
  {
    name: 'a foreign key to the whole is watched over where triggers are skipped',
    setup: `${PARTED}; CREATE TABLE child (p int REFERENCES p ON UPDATE CASCADE)`,
    statement: 'UPDATE p SET id = 50 WHERE id = 14',
    since: 'INSERT INTO child VALUES (50)',
    options: { triggers: 'skip' },
    outcome: { refused: 'child_p_fkey' },
    end: 'untouched',
  },
];

export const EXAMPLES: Readonly<Record<string, readonly Example[]>> = {
  rows: WHAT_BECOMES_OF_ROWS,
  columns: COLUMNS,
  'foreign keys': FOREIGN_KEYS,
  'unique values': UNIQUE_VALUES,
  conflicts: CONFLICTS,
  triggers: TRIGGERS,
  drift: DRIFT,
  partitions: PARTITIONS,
};
