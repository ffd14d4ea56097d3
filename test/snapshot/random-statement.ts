import type { Random } from '../support/random.ts';
import { quoted, type TestColumn, type TestSchema, type TestTable, VALUES, viewOf } from './random-schema.ts';

/** Random statements that destroy, with literals or with parameters in text or in binary. */

export interface TestParameter {
  readonly type: number;
  readonly format: 0 | 1;
  readonly value: Buffer | null;
}

export interface TestStatement {
  readonly sql: string;
  readonly parameters: readonly TestParameter[];
  /** What has to be run before it in its transaction: a cursor that stands somewhere. */
  readonly before?: string;
}

const INT4_OID = 23;

class Writer {
  readonly random: Random;
  readonly schema: TestSchema;
  readonly parameters: TestParameter[] = [];
  /** Without parameters, as a simple Query has to be. */
  readonly literal: boolean;

  constructor(random: Random, schema: TestSchema, literal: boolean) {
    this.random = random;
    this.schema = schema;
    this.literal = literal;
  }

  /** A whole number, as a literal or as a parameter. */
  number(value: number): string {
    if (this.random.chance(0.6) || this.literal) return String(value);
    const format = this.random.pick([0, 1] as const);
    const binary = Buffer.alloc(4);
    binary.writeInt32BE(value);
    this.parameters.push({
      type: INT4_OID,
      format,
      value: format === 1 ? binary : Buffer.from(String(value)),
    });
    return `$${this.parameters.length}`;
  }

  /** A table's name, at times with its schema. */
  name(table: TestTable): string {
    return this.random.chance(0.3)
      ? `${quoted(this.schema.schema)}.${quoted(table.name)}`
      : quoted(table.name);
  }

  condition(alias: string, table: TestTable): string {
    const { random } = this;
    const n = `${alias}.n`;
    const key = table.key[0] === undefined ? n : `${alias}.${quoted(table.key[0])}`;
    const other = random.pick(this.schema.tables);
    return random.weighted([
      [2, `${n} = ${this.number(random.between(0, 5))}`],
      [2, `${key} = ${this.number(random.between(1, 10))}`],
      [1, `${key} BETWEEN ${this.number(2)} AND ${this.number(5)}`],
      [1, `${n} IN (SELECT x.n FROM ${this.name(other)} x WHERE x.n > ${this.number(2)})`],
      [1, `EXISTS (SELECT FROM ${this.name(other)} x WHERE x.n = ${n})`],
      [1, `${n} = (SELECT max(n) FROM ${this.name(other)})`],
      [1, `${n} % 2 = ${this.number(0)} OR ${n} IS NULL`],
      [1, `CASE WHEN ${n} > 3 THEN ${key} < ${this.number(6)} ELSE ${n} = 1 END`],
      [
        1,
        `${key} IN (SELECT ${key.replace(`${alias}.`, 'y.')} FROM ${this.name(table)} y ORDER BY 1 LIMIT 2)`,
      ],
    ]);
  }
}

export function randomStatement(random: Random, schema: TestSchema, literal = false): TestStatement {
  const writer = new Writer(random, schema, literal);
  const table = random.pick(schema.tables);
  if (random.chance(0.08)) return byCursor(writer, table);
  const make = random.weighted([
    [6, deleteRows],
    [7, updateRows],
    [2, merge],
    [2, upsert],
    [1, truncate],
  ]);
  const sql = make(writer, table);
  const stands = make !== merge && make !== truncate && !sql.includes('RETURNING') && random.chance(0.15);
  return { sql: stands ? inQuery(writer, sql) : sql, parameters: writer.parameters };
}

/** In the WITH of a query, which may read what it changes. */
function inQuery(writer: Writer, sql: string): string {
  const { random } = writer;
  const other = writer.name(random.pick(writer.schema.tables));
  const reads = random.chance(0.4) ? `r AS (SELECT n FROM ${other} WHERE n > ${writer.number(1)}), ` : '';
  const counts = random.pick(['FROM w', `FROM w, ${other} AS o`, `FROM ${other}`]);
  return `WITH ${reads}w AS (${sql} RETURNING 1 AS one) SELECT count(*) ${counts}`;
}

function deleteRows(writer: Writer, table: TestTable): string {
  const { random } = writer;
  const only = random.chance(0.1) ? 'ONLY ' : '';
  const alias = random.pick(['x', 'x', '"Ä ""b"']);
  const target = `${only}${writer.name(partOf(random, table))} AS ${alias}`;
  if (random.chance(0.25)) {
    const other = writer.name(random.pick(writer.schema.tables));
    return `DELETE FROM ${target} USING ${other} AS u, (VALUES (1), (2)) v(i) WHERE ${alias}.n = u.n AND u.n >= v.i`;
  }
  if (random.chance(0.15)) {
    const other = writer.name(random.pick(writer.schema.tables));
    return `WITH w AS (SELECT n FROM ${other} WHERE n < ${writer.number(4)}) DELETE FROM ${target} WHERE ${alias}.n IN (SELECT n FROM w)`;
  }
  if (random.chance(0.15)) return `DELETE FROM ${target} RETURNING *`;
  return `DELETE FROM ${target} WHERE ${writer.condition(alias, table)}`;
}

function byCursor(writer: Writer, table: TestTable): TestStatement {
  const { random } = writer;
  const name = writer.name(table);
  const cursor = random.pick(['c', '"C ""c"']);
  const only = random.chance(0.2) ? 'ONLY ' : '';
  const rows = random.pick(['', ' ORDER BY x.n', ' WHERE x.n > 1']);
  const locked = random.chance(0.5) || rows.includes('ORDER');
  const declare = `DECLARE ${cursor} CURSOR FOR SELECT * FROM ${only}${name} AS x${rows}${locked ? ' FOR UPDATE' : ''}`;
  const before = `${declare}; MOVE ${random.between(0, 3)} FROM ${cursor}; FETCH 1 FROM ${cursor}`;
  const target = `${random.chance(0.2) ? 'ONLY ' : ''}${name} AS x`;
  const sql = random.chance(0.5)
    ? `DELETE FROM ${target} WHERE CURRENT OF ${cursor}`
    : `UPDATE ${target} SET ${assignments(writer, table, 'x')} WHERE CURRENT OF ${cursor} RETURNING 1`;
  return { sql, parameters: writer.parameters, before };
}

/** At times a partition by its own name, or a view of the table. */
function partOf(random: Random, table: TestTable): TestTable {
  if (random.chance(0.12)) return { ...table, name: viewOf(table.name) };
  return table.partitioned && random.chance(0.3) ? { ...table, name: `${table.name} low` } : table;
}

function updateRows(writer: Writer, table: TestTable): string {
  const { random } = writer;
  const target = `UPDATE ${writer.name(partOf(random, table))} AS x SET ${assignments(writer, table, 'x')}`;
  if (random.chance(0.2)) {
    const other = writer.name(random.pick(writer.schema.tables));
    return `${target} FROM ${other} AS u WHERE x.n = u.n`;
  }
  return random.chance(0.15) ? target : `${target} WHERE ${writer.condition('x', table)}`;
}

function assignments(writer: Writer, table: TestTable, alias: string): string {
  const { random } = writer;
  const picked = random.shuffled(table.columns).slice(0, random.between(1, 2));
  return picked.map((column) => `${quoted(column.name)} = ${newValue(writer, column, alias)}`).join(', ');
}

function newValue(writer: Writer, column: TestColumn, alias: string): string {
  const { random } = writer;
  const own = `${alias}.${quoted(column.name)}`;
  if (column.key) {
    if (['int4', 'int8', 'numeric'].includes(column.type)) {
      return random.pick([
        `${own} + ${writer.number(100)}`,
        `${own} + 1`,
        own,
        `-${own}`,
        `${writer.number(50)}`,
      ]);
    }
    return column.type === 'date' ? `${own} + 40` : `${own} || 'x'`;
  }
  if (column.name.startsWith('f')) return random.pick(['NULL', 'DEFAULT', own]);
  if (column.name === 'n') return random.pick([writer.number(9), `${own} + 1`, 'NULL', own]);
  return random.pick(VALUES[column.type] ?? ['NULL']);
}

function merge(writer: Writer, table: TestTable): string {
  const { random } = writer;
  const source = random.pick([
    `(VALUES (${writer.number(1)}), (2), (3)) AS s(n)`,
    `(SELECT DISTINCT n FROM ${writer.name(random.pick(writer.schema.tables))}) AS s`,
  ]);
  const clauses = random
    .shuffled([
      `WHEN MATCHED AND x.n > ${writer.number(1)} THEN UPDATE SET n = s.n + 1`,
      'WHEN MATCHED AND s.n = 2 THEN DO NOTHING',
      'WHEN MATCHED THEN DELETE',
      ...(table.key.length === 0 ? ['WHEN NOT MATCHED THEN INSERT (n) VALUES (s.n)'] : []),
    ])
    .slice(0, random.between(1, 3));
  return `MERGE INTO ${writer.name(table)} AS x USING ${source} ON x.n = s.n ${clauses.join(' ')}`;
}

function upsert(writer: Writer, table: TestTable): string {
  const { random } = writer;
  if (table.key.length === 0 || table.keys.length === 0) return deleteRows(writer, table);
  const picked = random.shuffled(table.keys).slice(0, random.between(1, 3));
  const rows = picked.map((key, i) => {
    const fresh = random.chance(0.3) ? key.map((value, at) => (at === 0 ? `${1000 + i}` : value)) : key;
    return `(${[...fresh, writer.number(random.between(0, 9))].join(', ')})`;
  });
  const names = [...table.key, 'n'].map(quoted).join(', ');
  const where = random.chance(0.4) ? ` WHERE x.n < excluded.n OR x.n = ${writer.number(1)}` : '';
  return `INSERT INTO ${writer.name(table)} AS x (${names}) VALUES ${rows.join(', ')}
    ON CONFLICT (${table.key.map(quoted).join(', ')}) DO UPDATE SET n = excluded.n + coalesce(x.n, 0)${where}`;
}

function truncate(writer: Writer, table: TestTable): string {
  const { random } = writer;
  const restart = random.chance(0.3) ? ' RESTART IDENTITY' : '';
  return `TRUNCATE ${writer.name(table)}${restart}${random.chance(0.6) ? ' CASCADE' : ''}`;
}
