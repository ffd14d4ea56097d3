import { Random } from '../support/random.ts';

/** Random schemas with rows in them: keys of many kinds, foreign keys in every direction, partitions, odd names. */

export interface TestColumn {
  readonly name: string;
  readonly type: string;
  readonly key: boolean;
}

export interface TestTable {
  readonly name: string;
  readonly columns: readonly TestColumn[];
  /** Names of the primary key's columns, or none. */
  readonly key: readonly string[];
  readonly partitioned: boolean;
  readonly rows: number;
  /** Values of the key that are there, as literals, a list for each row. */
  readonly keys: readonly (readonly string[])[];
}

export interface TestSchema {
  readonly schema: string;
  readonly sql: string;
  readonly tables: readonly TestTable[];
}

export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

const ODD_NAMES = [
  't',
  'Order',
  'naïve "x"',
  'select',
  'ünï çödé',
  'a b',
  "it's",
  'WHERE',
  'x.y',
  '表',
  't$1',
  'back\\slash',
];

/** Literals of every built-in type that a table may have a column of. */
export const VALUES: Readonly<Record<string, readonly string[]>> = {
  bool: ['true', 'false'],
  int2: ['0', '-32768', '7'],
  int4: ['0', '1', '2', '3', '-2147483648'],
  int8: ['5', '9223372036854775807'],
  float4: ["'NaN'", '1.5', "'-Infinity'"],
  float8: ['0.1', "'-0'", '1e300'],
  numeric: ['1.00', "'NaN'", '12345678901234567890.000001'],
  'numeric(8,2)': ['1', '3.14'],
  money: ["'12.34'"],
  text: ["''", "'a'", "'naïve ''x'' 表'", "repeat('long ', 3000)"],
  'varchar(20)': ["'x'", "'trailing  '"],
  'char(5)': ["'ab'", "''"],
  '"char"': ["'q'"],
  name: ["'n'"],
  bytea: ["'\\x00ff'", "''", "decode(repeat('ab', 5000), 'hex')"],
  date: ["'2024-02-29'", "'infinity'", "'4714-11-24 BC'"],
  time: ["'23:59:59.999999'"],
  timetz: ["'10:00+02'"],
  timestamp: ["'2024-01-01 00:00:00.000001'", "'-infinity'"],
  timestamptz: ["'2024-01-01 00:00:00+05'"],
  interval: ["'1 year -2 days 03:00'"],
  uuid: ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"],
  json: [`'{"b": 1, "a":  [null]}'`],
  jsonb: [`'{"b": 1, "a": [null]}'`],
  jsonpath: ["'$.a[*] ? (@ > 1)'"],
  inet: ["'10.0.0.1/8'", "'::1'"],
  cidr: ["'10.0.0.0/8'"],
  macaddr: ["'08:00:2b:01:02:03'"],
  macaddr8: ["'08:00:2b:01:02:03:04:05'"],
  'bit(5)': ["B'10101'"],
  varbit: ["B'101'", "B''"],
  point: ["'(1,2)'"],
  line: ["'{1,2,3}'"],
  lseg: ["'[(1,2),(3,4)]'"],
  box: ["'(3,4),(1,2)'"],
  path: ["'[(1,2),(3,4)]'"],
  polygon: ["'((1,2),(3,4),(5,6))'"],
  circle: ["'<(1,2),3>'"],
  tsvector: ["'a:1A b'"],
  tsquery: ["'a & !b'"],
  int4range: ["'[1,5)'", "'empty'"],
  numrange: ["'(,1.50]'"],
  tstzrange: ["'[2024-01-01,)'"],
  int4multirange: ["'{[1,2),[5,9)}'"],
  oid: ['1'],
  xid: ["'7'"],
  xid8: ["'7'"],
  cid: ["'7'"],
  tid: ["'(1,2)'"],
  pg_lsn: ["'0/16B3748'"],
  pg_snapshot: ["'1:2:'"],
  aclitem: ["'postgres=r/postgres'"],
  regclass: ["'pg_class'"],
  regtype: ["'int4'"],
  'int4[]': ["'{1,NULL,3}'", "'{}'", "'[2:3]={1,2}'"],
  'text[]': [`'{"a,b",NULL,"\\"q\\""}'`],
  'int4[][]': ["'{{1,2},{3,4}}'"],
  'numrange[]': [`'{"[1,2)"}'`],
  refcursor: ["'c'"],
  pg_node_tree: ['NULL'],
};

/** Types that the schema itself makes. */
const OWN_TYPES: readonly (readonly [type: string, values: readonly string[]])[] = [
  ['mood', ["'sad'", "'ha ppy'"]],
  ['short', ["'abc'"]],
  ['pair', [`'(1,"x y")'`, "'(,)'"]],
  ['spans', ["'[1,2]'"]],
  ['mood[]', [`'{sad,"ha ppy"}'`]],
  ['pair[]', [`'{"(1,a)",NULL}'`]],
];

const DEFINITIONS = `CREATE TYPE mood AS ENUM ('sad', 'ha ppy'); CREATE DOMAIN short AS varchar(5) CHECK (value <> 'no');
CREATE TYPE pair AS (x int, "y y" text); CREATE TYPE spans AS RANGE (subtype = float8);`;

interface Draft {
  readonly name: string;
  readonly columns: TestColumn[];
  readonly definitions: string[];
  readonly key: readonly TestColumn[];
  readonly partitioned: boolean;
  /** Whether another table inherits from it, with a column of its own. */
  readonly heir: boolean;
  readonly foreignKeys: string[];
  readonly rows: number;
  readonly keys: string[][];
  readonly values: string[][];
}

export function randomSchema(random: Random, serial: number): TestSchema {
  const schema = `s${serial} ${random.pick(['', '"', 'é'])}`;
  const names = random.shuffled(ODD_NAMES);
  const drafts = Array.from({ length: random.between(1, 4) }, (_, i) => draftTable(random, `${names[i]}`));
  for (const draft of drafts) addForeignKeys(random, draft, drafts);
  for (const draft of drafts) shareKey(random, draft, drafts);
  const parts = [
    `DROP SCHEMA IF EXISTS ${quoted(schema)} CASCADE; CREATE SCHEMA ${quoted(schema)}; SET search_path = ${quoted(schema)};`,
    DEFINITIONS,
    ...drafts.map((draft) => createTable(random, draft)),
    ...drafts.map(createView),
    ...drafts.map((draft) => fill(draft)),
    ...drafts.flatMap((draft) => draft.foreignKeys),
    TRIGGERS,
    ...drafts.map((draft) => addTriggers(random, draft)),
    // A run of numbers of its own leaves what a seed has made before as it was.
    ...drafts.map((draft) => addTallies(new Random(serial * 13 + 5), draft)),
  ];
  return { schema, sql: parts.join('\n'), tables: drafts.map(finished) };
}

export const viewOf = (table: string): string => `view of ${table}`;

/** Through which rows can be written. */
function createView({ name }: Draft): string {
  return `CREATE VIEW ${quoted(viewOf(name))} AS SELECT * FROM ${quoted(name)} AS "r o w" WHERE n IS DISTINCT FROM 3;`;
}

function finished({ name, columns, key, partitioned, rows, keys }: Draft): TestTable {
  return { name, columns, key: key.map((column) => column.name), partitioned, rows, keys };
}

function draftTable(random: Random, name: string): Draft {
  const keyKind = random.weighted([
    [4, 'one'],
    [4, 'two'],
    [2, 'none'],
  ] as const);
  const first: TestColumn = {
    name: random.pick(['id', 'Id', 'k"1']),
    type: random.pick(['int4', 'int4', 'int8', 'numeric']),
    key: true,
  };
  const second: TestColumn = {
    name: 'k2',
    type: random.pick(['text', 'varchar(20)', 'date', 'int4']),
    key: true,
  };
  const key = keyKind === 'one' ? [first] : keyKind === 'two' ? [first, second] : [];
  const partitioned = key.length > 0 && random.chance(0.25);
  const rows = random.weighted([
    [1, 0],
    [8, random.between(1, 12)],
    [1, 60],
  ]);
  const keys = Array.from({ length: rows }, (_, i) =>
    key.map((column, at) => keyValue(column, at === 0 ? i + 1 : i % 3)),
  );
  return {
    name,
    columns: [...key],
    definitions: key.map((column) => `${quoted(column.name)} ${column.type} NOT NULL`),
    key,
    partitioned,
    heir: !partitioned && random.chance(0.12),
    foreignKeys: [],
    rows,
    keys,
    values: keys.map((values) => [...values]),
  };
}

function keyValue(column: TestColumn, at: number): string {
  if (column.type === 'numeric') return `${at}.0`;
  if (column.type === 'date') return `'2024-01-0${at + 1}'`;
  return column.type === 'text' || column.type.startsWith('varchar') ? `'k${at}'` : String(at);
}

/** A key that is that of another table as well, so that a changed key goes on over several levels. */
function shareKey(random: Random, draft: Draft, all: readonly Draft[]): void {
  const names = (key: readonly TestColumn[]) => key.map(({ name }) => quoted(name)).join(', ');
  const types = (key: readonly TestColumn[]) => key.map(({ type }) => type).join();
  const others = all.filter(
    (to) =>
      to !== draft && types(to.key) === types(draft.key) && to.rows >= draft.rows && draft.key.length > 0,
  );
  if (others.length === 0 || random.chance(0.3)) return;
  const to = random.pick(others);
  draft.foreignKeys.push(
    `ALTER TABLE ${quoted(draft.name)} ADD FOREIGN KEY (${names(draft.key)}) REFERENCES ${quoted(to.name)} (${names(to.key)})
     ON DELETE ${random.pick(['CASCADE', 'NO ACTION'])} ON UPDATE ${random.pick(['CASCADE', 'CASCADE', 'NO ACTION'])};`,
  );
}

/** Into which some triggers put rows, as those of audits and outboxes do. */
export const NOTED = 'noted';

/** In which some triggers update and delete rows, and put others. */
const COUNTED = 'counted';

/** In which some triggers change rows that values of their own rows tell. */
const TALLIED = 'tallied';

const TRIGGERS = `CREATE TABLE ${NOTED} (what text);
CREATE TABLE ${COUNTED} (what text PRIMARY KEY, n int, note text);
INSERT INTO ${COUNTED} SELECT 'y' || i, i, repeat('y', 5000 * i) FROM generate_series(1, 5) i; INSERT INTO ${COUNTED} VALUES ('all', 0);
CREATE FUNCTION reckon() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$ BEGIN
  UPDATE ${COUNTED} SET n = n + 1 WHERE what = 'all';
  BEGIN INSERT INTO ${COUNTED} VALUES ('all', 0); EXCEPTION WHEN unique_violation THEN
    UPDATE ${COUNTED} SET note = coalesce(note, '') || 'x' WHERE what = 'all'; END;
  RETURN NULL; END $$;
CREATE FUNCTION shed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$ BEGIN
  DELETE FROM ${COUNTED} WHERE what = (SELECT max(what) FROM ${COUNTED} WHERE what LIKE 'y%');
  INSERT INTO ${COUNTED} SELECT 'z' || count(*), 0 FROM ${COUNTED} ON CONFLICT DO NOTHING; RETURN NULL; END $$;
CREATE TABLE ${TALLIED} (k int8 PRIMARY KEY, word text UNIQUE, n int, note text, small int2, UNIQUE (small, k));
INSERT INTO ${TALLIED} SELECT i, 'k' || i, i % 3, repeat('z', 100 * i), i % 5 FROM generate_series(-1, 20) i;
CREATE FUNCTION tally() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$ BEGIN
  IF tg_op <> 'INSERT' THEN UPDATE ${TALLIED} SET n = n - 1 WHERE k = old.n; END IF;
  IF tg_op <> 'DELETE' THEN UPDATE ${TALLIED} SET n = n + 1 WHERE k = new.n; END IF; RETURN NULL; END $$;
CREATE FUNCTION supplant() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$ BEGIN
  IF tg_op = 'INSERT' THEN INSERT INTO ${TALLIED} VALUES (coalesce(new.n, 98)) ON CONFLICT (k) DO UPDATE SET n = 5; RETURN NULL; END IF;
  DELETE FROM ${TALLIED} WHERE k = old.n; INSERT INTO ${TALLIED} VALUES (coalesce(old.n, 99), 'new') ON CONFLICT DO NOTHING; RETURN NULL; END $$;
CREATE FUNCTION rekey() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$ BEGIN
  UPDATE ${TALLIED} SET word = word || '+', n = CASE WHEN old.n = 2 THEN 0 ELSE n END WHERE k = CASE WHEN old.n = 4 THEN 20 ELSE old.n END;
  RETURN NULL; END $$;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$ BEGIN
  INSERT INTO ${NOTED} VALUES (tg_op); IF tg_op = 'DELETE' THEN RETURN old; END IF; RETURN new; END $$;
CREATE FUNCTION nudge() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.n := coalesce(new.n, 0) + 10; RETURN new; END';
CREATE FUNCTION idle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';`;

function addTriggers(random: Random, { name }: Draft): string {
  return random.weighted([
    [20, ''],
    [
      1,
      `CREATE TRIGGER note BEFORE UPDATE OR DELETE ON ${quoted(name)} FOR EACH ROW EXECUTE FUNCTION note();`,
    ],
    [1, `CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON ${quoted(name)} EXECUTE FUNCTION note();`],
    [
      2,
      `CREATE TRIGGER reckon AFTER INSERT OR UPDATE OR DELETE ON ${quoted(name)} FOR EACH ${random.pick(['ROW', 'ROW', 'STATEMENT'])} EXECUTE FUNCTION reckon();`,
    ],
    [
      1,
      `CREATE TRIGGER shed AFTER INSERT OR UPDATE OR DELETE ON ${quoted(name)} FOR EACH ${random.pick(['ROW', 'STATEMENT'])} EXECUTE FUNCTION shed();`,
    ],
    [1, `CREATE TRIGGER nudge BEFORE UPDATE ON ${quoted(name)} FOR EACH ROW EXECUTE FUNCTION nudge();`],
    [1, `CREATE TRIGGER idle AFTER DELETE OR UPDATE ON ${quoted(name)} EXECUTE FUNCTION idle();`],
  ]);
}

function addTallies(random: Random, { name }: Draft): string {
  return random.weighted([
    [34, ''],
    [3, rowTrigger('tally', 'INSERT OR UPDATE OR DELETE', name)],
    [2, rowTrigger('supplant', 'INSERT OR UPDATE OR DELETE', name)],
    [1, rowTrigger('rekey', 'UPDATE OR DELETE', name)],
  ]);
}

const rowTrigger = (does: string, by: string, table: string): string =>
  `CREATE TRIGGER ${does} AFTER ${by} ON ${quoted(table)} FOR EACH ROW EXECUTE FUNCTION ${does}();`;

const ACTIONS = ['CASCADE', 'SET NULL', 'SET DEFAULT', 'NO ACTION'];

/** References to any table, itself and later ones included, which makes cycles. */
function addForeignKeys(random: Random, draft: Draft, all: readonly Draft[]): void {
  const count = random.weighted([
    [3, 0],
    [5, 1],
    [2, 2],
  ] as const);
  for (let i = 0; i < count; i++) {
    const to = random.pick(all);
    if (to.key.length === 0) continue;
    const columns = to.key.map((column, at): TestColumn => {
      const type = column.type === 'int4' && random.chance(0.2) ? 'int8' : column.type;
      return { name: `f${i} ${at}`, type, key: false };
    });
    const byDefault = to.keys.length > 0 && random.chance(0.5) ? random.pick(to.keys) : null;
    columns.forEach((column, at) => {
      draft.columns.push(column);
      draft.definitions.push(
        `${quoted(column.name)} ${column.type}${byDefault === null ? '' : ` DEFAULT ${byDefault[at]}`}`,
      );
    });
    for (const row of draft.values) {
      const target = to.keys.length > 0 && random.chance(0.8) ? random.pick(to.keys) : null;
      columns.forEach((_, at) => void row.push(target?.[at] ?? 'NULL'));
    }
    const names = columns.map(({ name }) => quoted(name)).join(', ');
    const some = columns.length > 1 && random.chance(0.3) ? ` (${quoted(columns[0]!.name)})` : '';
    const onDelete = random.pick(ACTIONS);
    draft.foreignKeys.push(
      `ALTER TABLE ${quoted(draft.name)} ADD FOREIGN KEY (${names}) REFERENCES ${quoted(to.name)} (${to.key.map(({ name }) => quoted(name)).join(', ')})
       ON DELETE ${onDelete}${onDelete.startsWith('SET') ? some : ''} ON UPDATE ${random.pick(ACTIONS)}${random.chance(0.2) ? ' DEFERRABLE INITIALLY DEFERRED' : ''};`,
    );
    if (random.chance(0.5)) draft.foreignKeys.push(`CREATE INDEX ON ${quoted(draft.name)} (${names});`);
  }
}

function createTable(random: Random, draft: Draft): string {
  const { columns, definitions, key } = draft;
  const number: TestColumn = { name: 'n', type: 'int4', key: false };
  columns.push(number);
  definitions.push('n int4');
  for (const row of draft.values) row.push(String(random.between(0, 5)));
  const all = [...Object.entries(VALUES), ...OWN_TYPES];
  for (let i = random.between(0, 4); i > 0; i--) {
    const [type, values] = random.pick(all);
    const column: TestColumn = { name: `${type} ${i}`, type, key: false };
    columns.push(column);
    definitions.push(`${quoted(column.name)} ${type}`);
    for (const row of draft.values) row.push(random.chance(0.2) ? 'NULL' : random.pick(values));
  }
  if (random.chance(0.3))
    definitions.splice(
      random.between(0, definitions.length),
      0,
      'gen int8 GENERATED ALWAYS AS (n * 2) STORED',
    );
  if (random.chance(0.3))
    definitions.push(`own int GENERATED ${random.pick(['ALWAYS', 'BY DEFAULT'])} AS IDENTITY`);
  if (random.chance(0.3)) definitions.splice(random.between(0, definitions.length), 0, 'gone text');
  const inside = key.length === 0 ? '' : `, PRIMARY KEY (${key.map(({ name }) => quoted(name)).join(', ')})`;
  const name = quoted(draft.name);
  const drop = definitions.includes('gone text') ? `ALTER TABLE ${name} DROP COLUMN gone;` : '';
  if (!draft.partitioned) {
    const heir = draft.heir
      ? `CREATE TABLE ${quoted(`${draft.name} heir`)} (more text) INHERITS (${name});`
      : '';
    return `CREATE TABLE ${name} (${definitions.join(', ')}${inside}); ${drop} ${heir}`;
  }
  const by = quoted(key[0]!.name);
  return `CREATE TABLE ${name} (${definitions.join(', ')}${inside}) PARTITION BY RANGE (${by}); ${drop}
CREATE TABLE ${quoted(`${draft.name} low`)} PARTITION OF ${name} FOR VALUES FROM (minvalue) TO (4);
CREATE TABLE ${quoted(`${draft.name} rest`)} PARTITION OF ${name} DEFAULT;`;
}

function fill({ name, columns, values, definitions, heir }: Draft): string {
  if (values.length === 0) return '';
  const names = columns.map((column) => quoted(column.name)).join(', ');
  const own = definitions.some((each) => each.startsWith('own ')) ? ['own'] : [];
  const inherited = heir
    ? values
        .slice(0, 3)
        .map(
          (row, i) =>
            `INSERT INTO ${quoted(`${name} heir`)} (${[names, ...own, 'more'].join(', ')}) VALUES (${[...row, ...own.map(() => i), "'heir'"].join(', ')});`,
        )
    : [];
  // Each value is cast by its column, which VALUES of several rows would not do for mixed literals.
  return [
    ...values.map((row) => `INSERT INTO ${quoted(name)} (${names}) VALUES (${row.join(', ')});`),
    ...inherited,
  ].join('\n');
}
