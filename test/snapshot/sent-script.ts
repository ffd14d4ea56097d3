import * as fe from '../support/frontend-messages.ts';
import { Random } from '../support/random.ts';
import { quoted, randomSchema, type TestSchema, type TestTable } from './random-schema.ts';
import { randomStatement, type TestParameter, type TestStatement } from './random-statement.ts';
import { nameOf, randomChange, randomSetting } from './sent-changes.ts';

/** Random sessions of one client that destroys, in every form in which statements are sent, while others alter the tables. */

export type Step =
  | {
      readonly kind: 'send';
      readonly what: string;
      readonly bytes: readonly Buffer[];
      readonly ready: number;
    }
  /** What is owed up to here is waited for, without a ReadyForQuery. */
  | { readonly kind: 'pause' }
  /** Done by another session, while the client has no transaction open. */
  | { readonly kind: 'elsewhere'; readonly sql: string };

/** Steps that begin and end outside of a transaction. */
export interface Group {
  readonly steps: readonly Step[];
  /** The client itself changes what the tables are, so that rows before and behind it cannot be compared. */
  readonly alters: boolean;
}

export type Packets = 'together' | 'by message' | 'odd';

export interface SentScript {
  readonly seed: number;
  readonly schema: TestSchema;
  /** A schema with tables of the same names. */
  readonly twin: string;
  readonly twinSql: readonly string[];
  readonly packets: Packets;
  readonly groups: readonly Group[];
}

export function sentScript(seed: number): SentScript {
  const random = new Random(seed);
  const schema = randomSchema(random, seed);
  const twin = `twin of ${schema.schema}`;
  const twinSql = [
    `DROP SCHEMA IF EXISTS ${quoted(twin)} CASCADE; CREATE SCHEMA ${quoted(twin)}`,
    ...schema.tables.flatMap(({ name }) => [
      `CREATE TABLE ${quoted(twin)}.${quoted(name)} (LIKE ${quoted(schema.schema)}.${quoted(name)} INCLUDING ALL)`,
      `INSERT INTO ${quoted(twin)}.${quoted(name)} SELECT * FROM ${quoted(schema.schema)}.${quoted(name)} LIMIT 4`,
    ]),
  ];
  const maker = new SessionMaker(random, schema, twin);
  const count = random.between(3, 8);
  const groups = Array.from({ length: count }, () => maker.group());
  const packets = random.pick(['together', 'together', 'by message', 'odd'] as const);
  return { seed, schema, twin, twinSql, packets, groups };
}

interface PreparedText {
  readonly name: string;
  readonly statement: TestStatement;
}

class SessionMaker {
  readonly #random: Random;
  readonly #schema: TestSchema;
  readonly #twin: string;
  #prepared: PreparedText[] = [];
  #serial = 0;
  #steps: Step[] = [];
  #alters = false;

  constructor(random: Random, schema: TestSchema, twin: string) {
    this.#random = random;
    this.#schema = schema;
    this.#twin = twin;
  }

  group(): Group {
    const random = this.#random;
    this.#steps = [];
    this.#alters = false;
    if (random.chance(0.35)) this.#elsewhere();
    if (random.chance(0.12)) this.#query(randomSetting(this.#random, this.#schema.schema, this.#twin));
    const inBlock = random.chance(0.4);
    if (inBlock) this.#begin();
    for (let i = random.between(1, inBlock ? 5 : 3); i > 0; i--) {
      if (inBlock && random.chance(0.2)) this.#query(this.#savepoint());
      else this.#some(inBlock);
    }
    if (inBlock) this.#end();
    return { steps: this.#steps, alters: this.#alters };
  }

  #some(inBlock: boolean): void {
    const make = this.#random.weighted<() => void>([
      [8, () => this.#query(this.#literal(inBlock))],
      [2, () => this.#query(this.#several())],
      [24, () => this.#segments()],
      [2, () => this.#sqlPrepared()],
      [1, () => this.#ownChange()],
    ]);
    make();
  }

  #send(what: string, bytes: readonly Buffer[], ready: number): void {
    this.#steps.push({ kind: 'send', what, bytes, ready });
  }

  #query(sql: string): void {
    this.#send(`Query ${sql}`, [fe.query(sql)], 1);
  }

  #begin(): void {
    const random = this.#random;
    const sql = random.pick([
      'begin',
      'begin',
      'begin isolation level repeatable read',
      'begin isolation level serializable',
      'begin read only',
    ]);
    if (random.chance(0.5)) return this.#query(sql);
    this.#segment([...one(sql), ...(random.chance(0.3) ? this.#statement() : [])]);
  }

  #end(): void {
    const sql = this.#random.pick(['commit', 'commit', 'commit', 'rollback', 'commit and chain']);
    if (this.#random.chance(0.6)) this.#query(sql);
    else this.#segment(one(sql));
  }

  #savepoint(): string {
    return this.#random.pick([
      'savepoint s',
      'savepoint s',
      'rollback to s',
      'release s',
      'savepoint u; rollback to u',
    ]);
  }

  /** With its values in it where it is literal, and without a cursor. */
  #write(literal: boolean): TestStatement {
    for (;;) {
      const found = randomStatement(this.#random, this.#schema, literal);
      // A MERGE that surely does nothing may run where nothing may be changed.
      const isIdle = found.sql.startsWith('MERGE') && !/THEN (UPDATE|DELETE|INSERT)/.test(found.sql);
      if (found.before === undefined && !isIdle) return found;
    }
  }

  #literal(inBlock: boolean): string {
    const random = this.#random;
    if (inBlock && random.chance(0.1)) {
      const { sql, before } = randomStatement(random, this.#schema, true);
      if (before !== undefined) {
        this.#query(before);
        return sql;
      }
    }
    const { sql } = this.#write(true);
    return random.weighted([
      [12, sql],
      [1, `${EXPLAIN} ${sql}`],
      [1, `copy (${returning(sql)}) to stdout`],
      [1, `  -- a comment\n${sql} ;`],
      [1, `${sql} returning`],
    ]);
  }

  #several(): string {
    const random = this.#random;
    const literals = Array.from({ length: random.between(2, 3) }, () => this.#write(true).sql);
    return random.pick([
      literals.join('; '),
      `select 1; ${literals.join('; select 2; ')}`,
      `begin; ${literals.join('; ')}; commit`,
      `${literals.join('; ')}; select 1/0`,
    ]);
  }

  #sqlPrepared(): void {
    const name = `q${++this.#serial}`;
    const { sql, parameters } = this.#write(false);
    const values = parameters.map(({ value, format }) =>
      value === null ? 'null' : format === 1 ? String(value.readInt32BE(0)) : value.toString(),
    );
    const types = parameters.length === 0 ? '' : `(${parameters.map(() => 'int').join(', ')})`;
    this.#query(`prepare ${name}${types} as ${sql}`);
    for (let i = this.#random.between(1, 2); i > 0; i--)
      this.#query(`execute ${name}${values.length === 0 ? '' : `(${values.join(', ')})`}`);
  }

  #segments(): void {
    for (
      let i = this.#random.weighted([
        [6, 1],
        [2, 2],
        [1, 4],
      ] as const);
      i > 0;
      i--
    ) {
      const parts: Part[] = [];
      for (
        let n = this.#random.weighted([
          [6, 1],
          [2, 2],
          [1, 3],
        ] as const);
        n > 0;
        n--
      ) {
        if (this.#random.chance(0.06)) parts.push(...this.#random.pick(ODD_PARTS));
        else if (this.#random.chance(0.05))
          parts.push(...one(this.#random.pick(['begin', 'commit', 'savepoint s', 'select 1'])));
        else parts.push(...this.#statement());
      }
      this.#segment(parts);
    }
  }

  #segment(parts: readonly Part[]): void {
    const random = this.#random;
    let waiting: Part[] = [];
    const flush = (ready: number) => {
      if (waiting.length > 0)
        this.#send(
          waiting.map(({ what }) => what).join(', '),
          waiting.map(({ bytes }) => bytes),
          ready,
        );
      waiting = [];
    };
    for (const part of parts) {
      waiting.push(part);
      if (!random.chance(0.05)) continue;
      waiting.push({ what: 'Flush', bytes: fe.flush() });
      if (random.chance(0.5)) continue;
      flush(0);
      this.#steps.push({ kind: 'pause' });
    }
    waiting.push({ what: 'Sync', bytes: fe.sync() });
    flush(1);
  }

  /** One statement of the extended protocol, new or prepared before. */
  #statement(): Part[] {
    const random = this.#random;
    const again = this.#prepared.length > 0 && random.chance(0.6) ? random.pick(this.#prepared) : null;
    const parts: Part[] = [];
    let name = again?.name ?? '';
    let statement = again?.statement ?? null;
    if (statement === null) {
      statement = random.weighted<() => TestStatement>([
        [18, () => this.#write(false)],
        [4, () => returned(this.#write(false))],
        [1, () => ({ sql: `copy (${returning(this.#write(true).sql)}) to stdout`, parameters: [] })],
        [1, () => ({ sql: `${EXPLAIN} ${this.#write(true).sql}`, parameters: [] })],
      ])();
      if (random.chance(0.7)) {
        name = `p${++this.#serial}`;
        this.#prepared.push({ name, statement });
      }
      // There may be more values than the text names.
      const types = statement.parameters.map(({ type }) => type);
      parts.push({
        what: `Parse ${name} ${statement.sql} [${types}]`,
        bytes: fe.parse(name, statement.sql, types),
      });
      if (random.chance(0.15)) parts.push({ what: `Describe S ${name}`, bytes: fe.describe('S', name) });
    }
    const portal = random.pick(['', '', '', 'a', 'b']);
    for (let i = random.chance(0.1) ? 2 : 1; i > 0; i--)
      parts.push(...this.#bound(portal, name, statement.parameters));
    return parts;
  }

  #bound(portal: string, name: string, parameters: readonly TestParameter[]): Part[] {
    const random = this.#random;
    const given = parameters.map((each) => this.#varied(each));
    const values = given.map(({ value }) => value);
    const formats = given.map(({ format }) => format);
    const shown = given.map(({ format, value }) =>
      value === null ? 'NULL' : `${format}:${value.toString('hex')}`,
    );
    // In binary, composites have the OIDs of their types.
    const isAlike = !/pair|mood/.test(this.#schema.sql.replace(/CREATE TYPE.*/g, ''));
    const resultFormats = isAlike && random.chance(0.3) ? [1] : [];
    const parts: Part[] = [
      {
        what: `Bind ${portal || '""'} of ${name || '""'} (${shown})`,
        bytes: fe.bind({
          portal,
          statement: name,
          parameters: values,
          parameterFormats: formats,
          resultFormats,
        }),
      },
    ];
    if (random.chance(0.5)) parts.push({ what: 'Describe P', bytes: fe.describe('P', portal) });
    const rowsMax = random.weighted([
      [8, 0],
      [1, 1],
      [1, 3],
    ]);
    parts.push({ what: `Execute ${rowsMax}`, bytes: fe.execute(portal, rowsMax) });
    // Behind a portal that is suspended the server does not count on, so that what comes next does not see what it did.
    if (rowsMax > 0) parts.push({ what: 'Execute 0', bytes: fe.execute(portal, 0) });
    if (portal !== '' && random.chance(0.7))
      parts.push({ what: `Close P ${portal}`, bytes: fe.close('P', portal) });
    return parts;
  }

  #varied(parameter: TestParameter): TestParameter {
    const random = this.#random;
    if (random.chance(0.4)) return parameter;
    if (random.chance(0.1)) return { ...parameter, value: null };
    if (random.chance(0.03)) return { ...parameter, format: 0, value: Buffer.from('no number') };
    const value = random.between(0, 12);
    if (random.chance(0.5)) return { ...parameter, format: 0, value: Buffer.from(String(value)) };
    const binary = Buffer.alloc(4);
    binary.writeInt32BE(value);
    return { ...parameter, format: 1, value: binary };
  }

  #table(): TestTable {
    return this.#random.pick(this.#schema.tables);
  }

  #changed(table: TestTable): string {
    return randomChange(this.#random, this.#schema, table, this.#table(), ++this.#serial);
  }

  /** What the client itself does to the tables. */
  #ownChange(): void {
    this.#alters = true;
    const table = this.#table();
    this.#query(
      this.#random.pick([
        `create temp table ${quoted(table.name)} (like ${nameOf(this.#schema, table)})`,
        `drop table if exists pg_temp.${quoted(table.name)}`,
        this.#changed(table),
      ]),
    );
  }

  #elsewhere(): void {
    for (let i = this.#random.between(1, 2); i > 0; i--)
      this.#steps.push({ kind: 'elsewhere', sql: this.#changed(this.#table()) });
  }
}

interface Part {
  readonly what: string;
  readonly bytes: Buffer;
}

function one(sql: string): Part[] {
  return [
    { what: `Parse "" ${sql}`, bytes: fe.parse('', sql) },
    { what: 'Bind', bytes: fe.bind() },
    { what: 'Execute', bytes: fe.execute() },
  ];
}

const EXPLAIN = 'explain (analyze, costs off, timing off, summary off, buffers off)';

const returning = (sql: string): string => (/returning|truncate/i.test(sql) ? sql : `${sql} RETURNING *`);

const returned = (statement: TestStatement): TestStatement => ({
  ...statement,
  sql: returning(statement.sql),
});

/** What fails, and what has the server discard the rest. */
const ODD_PARTS: readonly (readonly Part[])[] = [
  one('select 1/0'),
  [{ what: 'Parse "" selec', bytes: fe.parse('', 'selec') }],
  [{ what: 'Bind of missing', bytes: fe.bind({ statement: 'missing' }) }],
  [{ what: 'Execute missing', bytes: fe.execute('missing') }],
  [{ what: 'Close S p1', bytes: fe.close('S', 'p1') }],
];

export function shownScript({ seed, packets, groups }: SentScript): string {
  const lines = groups.flatMap(({ steps }, i) =>
    steps.map((step) => {
      switch (step.kind) {
        case 'send':
          return `  ${i}  ${step.what}`;
        case 'pause':
          return `  ${i}  (pause)`;
        case 'elsewhere':
          return `  ${i}  elsewhere: ${step.sql}`;
        default:
          return step satisfies never;
      }
    }),
  );
  return [`seed ${seed}, ${packets}`, ...lines].join('\n');
}
