import { Catalog } from '../../src/catalog/catalog.ts';
import { type Capture, captureBefore, type SnapshotSinks } from '../../src/snapshot/capture.ts';
import { HiddenQueryError } from '../../src/snapshot/connection.ts';
import { type Sizes, widened } from '../../src/snapshot/elsewhere.ts';
import { Places } from '../../src/snapshot/places.ts';
import {
  type CapturePlan,
  type PlannedTable,
  planCapture,
  type StatementParameters,
} from '../../src/snapshot/plan.ts';
import { captureAfter, type Proof } from '../../src/snapshot/prove.ts';
import { openElsewhere } from '../../src/snapshot/prove-elsewhere.ts';
import type { Parser } from '../../src/sql/parsing/parser.ts';
import type { WriteSlice } from '../../src/sql/slices/slice.ts';
import { sliceWrite } from '../../src/sql/slices/write-slice.ts';
import * as fe from '../support/frontend-messages.ts';
import { HiddenClient } from '../support/hidden-client.ts';
import { Random } from '../support/random.ts';
import { fieldsOf, type RawClient } from '../support/raw-client.ts';
import { randomSchema } from './random-schema.ts';
import { randomStatement, type TestStatement } from './random-statement.ts';

/**
 * Captures random statements in random schemas, and compares the files with what COPY says of every table before
 * and after, which shares nothing with the capture.
 */

export type Verdict =
  | { readonly kind: 'exact'; readonly rows: number }
  /** There was no plan, which was said before anything ran. */
  | { readonly kind: 'none'; readonly reason: string }
  /** The statement itself fails, also without a capture. */
  | { readonly kind: 'failed'; readonly sqlstate: string }
  | { readonly kind: 'drift'; readonly reason: string }
  | { readonly kind: 'wrong'; readonly what: string };

export interface Case {
  readonly seed: number;
  readonly statement: TestStatement;
  readonly verdict: Verdict;
}

/** Table and place of each row, with the row's bytes. */
type Image = ReadonlyMap<string, string>;

export async function runSchema(
  client: RawClient,
  parser: Parser,
  seed: number,
  statements: number,
): Promise<Case[]> {
  const random = new Random(seed);
  const schema = randomSchema(random, seed);
  await client.rows(schema.sql, 60_000);
  const cases: Case[] = [];
  for (let i = 0; i < statements; i++) {
    const statement = randomStatement(random, schema);
    await client.rows(
      `BEGIN ISOLATION LEVEL ${random.pick(['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'])}`,
    );
    if (random.chance(0.15)) {
      const warmUp = randomStatement(random, schema);
      if (!(await run(client, warmUp)).ok) await client.rows('ROLLBACK; BEGIN');
    }
    if (random.chance(0.15)) await client.rows('SAVEPOINT s');
    if (statement.before !== undefined) await client.rows(statement.before);
    const connection = new HiddenClient(client, random.chance(0.5));
    const verdict = await judge(client, parser, statement, {
      connection,
      places: new Places(random.chance(0.1) ? 2 : 1000),
      sizes: sizesOf(seed),
    }).catch((error: unknown): Verdict => ({ kind: 'wrong', what: described(error) }));
    cases.push({ seed, statement, verdict: orUnprovable(verdict) });
    await client.query('ROLLBACK');
  }
  await client.rows(`DROP SCHEMA "${schema.schema.replaceAll('"', '""')}" CASCADE`);
  return cases;
}

export function described(error: unknown): string {
  if (error instanceof HiddenQueryError)
    return `${error.sqlstate} ${error.message} ${JSON.stringify(error.fields)}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

export function sliceOf(parser: Parser, sql: string): WriteSlice {
  const parse = (text: string) => {
    const outcome = parser.parse(Buffer.from(text));
    return outcome.kind === 'tree' ? outcome.tree : null;
  };
  return sliceWrite(Buffer.from(sql), parse(sql)!.stmts![0]!, parse);
}

/** What happens between the steps of a capture, for what others do at the same time. */
export interface Meanwhile {
  readonly beforePlan?: () => Promise<void>;
  readonly afterPlan?: () => Promise<void>;
  readonly afterCapture?: () => Promise<void>;
  readonly places?: Places;
  readonly catalog?: Catalog;
  readonly connection?: HiddenClient;
  /** What code of the user's changes besides is not looked at a second time. */
  readonly once?: true;
  /** How large tables may be that such code changes. */
  readonly sizes?: Sizes | undefined;
}

/** The rows are found by keys, or not at all. */
export const BY_KEYS_ALONE: Sizes = { byKeysMin: 0, quickMax: -1, searchedMax: -1 };
/** They are searched for where keys do not find all. */
export const BY_KEYS_FIRST: Sizes = { byKeysMin: 0, quickMax: 1e9, searchedMax: 1e9 };

/** Of one schema in four all tables are too large to be searched, of two they are looked at by keys first. */
export const sizesOf = (seed: number): Sizes | undefined =>
  [BY_KEYS_ALONE, BY_KEYS_FIRST, BY_KEYS_FIRST][seed % 4];

/** Captures one statement in the transaction that is open, and compares. */
export async function judge(
  client: RawClient,
  parser: Parser,
  statement: TestStatement,
  meanwhile: Meanwhile = {},
): Promise<Verdict> {
  const connection = meanwhile.connection ?? new HiddenClient(client);
  await meanwhile.beforePlan?.();
  // What was done before decides where a cursor stands, so that it is not to be rolled back.
  if (statement.before !== undefined) await client.rows('SAVEPOINT judged');
  const slice = sliceOf(parser, statement.sql);
  const parameters: StatementParameters = {
    types: statement.parameters.map(({ type }) => type),
    formats: statement.parameters.map(({ format }) => format),
    values: statement.parameters.map(({ value }) => value),
  };
  const outcome = await planCapture(connection, meanwhile.catalog ?? new Catalog(), {
    scope: 'test',
    slice,
    parameters,
  }).catch((error: unknown) => (error instanceof HiddenQueryError ? error : Promise.reject(error)));
  if (outcome instanceof HiddenQueryError) return await failsAlone(client, statement, outcome);
  if (outcome.kind === 'needless') return { kind: 'none', reason: outcome.reason };
  if (outcome.kind === 'none') return outcome;
  return await judgePlanned(client, statement, meanwhile, connection, outcome.plan);
}

/** As the gateway does it: what code of the user's changes besides is looked at the second time. */
async function judgePlanned(
  client: RawClient,
  statement: TestStatement,
  meanwhile: Meanwhile,
  connection: HiddenClient,
  plan: CapturePlan,
): Promise<Verdict> {
  await meanwhile.afterPlan?.();
  const looked = [...plan.tables, ...(plan.elsewhere?.tables ?? []).map(({ table }) => table)];
  const start = await imageOf(client, looked);
  if (plan.elsewhere === undefined && meanwhile.once !== true) await client.rows('SAVEPOINT judging');
  const files = new MemoryFiles();
  let capture: Capture;
  try {
    capture = await captureBefore(connection, plan, files, meanwhile.places);
    capture = await openElsewhere(connection, plan, capture);
  } catch (error) {
    if (!(error instanceof HiddenQueryError)) throw error;
    return await failsAlone(client, statement, error);
  }
  await meanwhile.afterCapture?.();
  const done = await run(client, statement);
  if (!done.ok) return { kind: 'failed', sqlstate: done.sqlstate };
  const proof = await captureAfter(connection, plan, capture, done.tag, files);
  if (proof.kind === 'drift') {
    if (proof.unlooked === undefined || meanwhile.once === true) return proof;
    await client.rows('ROLLBACK TO judging');
    const catalog = meanwhile.catalog ?? new Catalog();
    const { elsewhere: _, ...narrow } = plan;
    const known = plan.elsewhere?.tables.map(({ table }) => table) ?? [];
    const wide = await widened(
      connection,
      catalog,
      { scope: 'test' },
      narrow,
      [...known, ...proof.unlooked],
      meanwhile.sizes,
    );
    return await judgePlanned(client, statement, { ...meanwhile, places: new Places() }, connection, wide);
  }
  return compare(start, await imageOf(client, looked), files, proof, plan);
}

/** A query of ours may fail where the statement would: then nothing is lost. */
async function failsAlone(
  client: RawClient,
  statement: TestStatement,
  error: HiddenQueryError,
): Promise<Verdict> {
  await client.query(statement.before === undefined ? 'ROLLBACK' : 'ROLLBACK TO judged');
  const alone = await run(client, statement);
  if (alone.ok) return { kind: 'wrong', what: `the capture failed: ${described(error)}` };
  return { kind: 'failed', sqlstate: alone.sqlstate };
}

/** Why a capture may end without a proof although nobody else was there. */
export const UNPROVABLE = [
  'too large to be searched',
  'which are not searched',
  'too many rows to prove',
  'what this transaction made before',
  'and triggers ran',
];

function orUnprovable(verdict: Verdict): Verdict {
  if (verdict.kind !== 'drift') return verdict;
  const known = UNPROVABLE.find((reason) => verdict.reason.includes(reason));
  return known === undefined ? verdict : { kind: 'none', reason: known };
}

export async function run(
  client: RawClient,
  { sql, parameters }: TestStatement,
): Promise<{ ok: true; tag: string } | { ok: false; sqlstate: string }> {
  client.write(
    fe.parse(
      '',
      sql,
      parameters.map(({ type }) => type),
    ),
    fe.bind({
      parameters: parameters.map(({ value }) => value),
      parameterFormats: parameters.map(({ format }) => format),
    }),
    fe.execute(),
    fe.sync(),
  );
  const messages = await client.untilReady(60_000);
  const error = messages.find(({ type }) => type === 'E');
  if (error !== undefined) return { ok: false, sqlstate: fieldsOf(error)['C'] ?? '' };
  const tag = messages.find(({ type }) => type === 'C')!.body;
  return { ok: true, tag: tag.toString('utf8', 0, tag.length - 1) };
}

/** Every row of every table of the schema; columns as the plan has them, so that bytes can be compared. */
async function imageOf(client: RawClient, planned: readonly PlannedTable[]): Promise<Image> {
  const image = new Map<string, string>();
  const role = (await client.rows('SELECT quote_ident(current_user)'))[0]![0];
  // The comparison reads tables that the statement's role may not.
  await client.rows('SET LOCAL ROLE postgres');
  const tables = await client.rows(
    `SELECT c.oid, c.oid::regclass FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = quote_ident(current_schema())::regnamespace`,
  );
  for (const [oid, name] of tables) {
    const table = planned.find((each) => String(each.oid) === oid);
    const columns = table?.columns.map(
      ({ name, binary }) => `"${name.replaceAll('"', '""')}"${binary ? '' : '::text'}`,
    ) ?? ['x'];
    const select = `SELECT ${['tableoid', 'ctid', ...columns].join(', ')} FROM ONLY ${name} x`;
    for (const tuple of await copied(
      client,
      table === undefined ? `SELECT tableoid, ctid, x::text FROM ONLY ${name} x` : select,
    )) {
      image.set(tuple.subarray(2, 20).toString('hex'), tuple.subarray(20).toString('hex'));
    }
  }
  await client.rows(`SET LOCAL ROLE ${role}`);
  return image;
}

/** The tuples of COPY's binary format. */
export async function copied(client: RawClient, select: string): Promise<Buffer[]> {
  const messages = await client.query(`COPY (${select}) TO STDOUT (FORMAT binary)`, 60_000);
  const error = messages.find(({ type }) => type === 'E');
  if (error !== undefined) throw new Error(`COPY failed: ${JSON.stringify(fieldsOf(error))}`);
  const data = Buffer.concat(messages.filter(({ type }) => type === 'd').map(({ body }) => body));
  const tuples: Buffer[] = [];
  for (let at = 19; data.readInt16BE(at) !== -1; ) {
    const start = at;
    const fields = data.readInt16BE(at);
    at += 2;
    for (let i = 0; i < fields; i++) at += 4 + Math.max(0, data.readInt32BE(at));
    tuples.push(data.subarray(start, at));
  }
  return tuples;
}

class MemoryFiles implements SnapshotSinks {
  readonly rows = { before: new Map<number, string[]>(), after: new Map<number, string[]>() };

  open(table: PlannedTable, image: 'before' | 'after') {
    const rows: string[] = [];
    if (this.rows[image].has(table.oid)) throw new Error(`${table.name} was opened twice`);
    this.rows[image].set(table.oid, rows);
    const count = table.columns.length;
    const keep = (row: Buffer): void => {
      if (row.readInt16BE(0) !== count)
        throw new Error('a tuple has another count of columns than its table');
      rows.push(row.subarray(2).toString('hex'));
    };
    return {
      // Now and then there is no room.
      fits: () => rows.length % 5 !== 0,
      take: (bytes: Buffer, from: number, to: number) => keep(bytes.subarray(from, to)),
      write(row: Buffer) {
        keep(row);
        // Now and then the writer is slow.
        return rows.length % 7 === 0 ? new Promise<void>((resolve) => setImmediate(resolve)) : undefined;
      },
    };
  }
}

function compare(start: Image, end: Image, files: MemoryFiles, proof: Proof, plan: CapturePlan): Verdict {
  const gone = byTable(start, end);
  const fresh = byTable(end, start);
  const problems: string[] = [];
  const looked = plan.elsewhere?.tables.map(({ table }) => table.oid) ?? [];
  const oids = new Set([...gone.keys(), ...fresh.keys(), ...plan.tables.map(({ oid }) => oid), ...looked]);
  let rows = 0;
  for (const { oid, rows: added } of proof.kind === 'proved' ? proof.added : []) {
    oids.delete(oid);
    const [were, are] = [gone.get(oid) ?? [], fresh.get(oid) ?? []];
    if (were.length > 0 || are.length !== added)
      problems.push(`table ${oid}: ${added} added, but ${were.length} are gone and ${are.length} are new`);
  }
  for (const oid of oids) {
    const proved = proof.kind === 'proved' ? proof.tables.find(({ table }) => table.oid === oid) : undefined;
    const expected = { before: gone.get(oid) ?? [], after: fresh.get(oid) ?? [] };
    for (const image of ['before', 'after'] as const) {
      const captured = [...(files.rows[image].get(oid) ?? [])].sort();
      rows += captured.length;
      if (JSON.stringify(captured) !== JSON.stringify([...expected[image]].sort())) {
        problems.push(
          `table ${oid} ${image}: ${captured.length} captured, ${expected[image].length} changed`,
        );
      }
      if ((proved?.[image] ?? 0) !== expected[image].length)
        problems.push(`table ${oid} ${image}: proved ${proved?.[image]}`);
    }
  }
  return problems.length === 0 ? { kind: 'exact', rows } : { kind: 'wrong', what: problems.join('; ') };
}

/** Rows that one image has and the other has not, at the same place. */
function byTable(image: Image, other: Image): Map<number, string[]> {
  const out = new Map<number, string[]>();
  for (const [place, row] of image) {
    if (other.has(place)) {
      if (other.get(place) !== row) throw new Error('a row changed where it stood');
      continue;
    }
    const oid = Number.parseInt(place.slice(8, 16), 16);
    out.set(oid, [...(out.get(oid) ?? []), row]);
  }
  return out;
}

export interface Tally {
  readonly cases: number;
  readonly kinds: Readonly<Record<string, number>>;
  readonly reasons: Readonly<Record<string, number>>;
  readonly rows: number;
  readonly wrong: readonly Case[];
  readonly drifted: readonly Case[];
}

export function tally(cases: readonly Case[]): Tally {
  const count = (items: readonly string[]) =>
    Object.fromEntries([...Map.groupBy(items, (item) => item)].map(([key, all]) => [key, all.length]));
  return {
    cases: cases.length,
    kinds: count(cases.map(({ verdict }) => verdict.kind)),
    reasons: count(
      cases.flatMap(({ verdict }) =>
        verdict.kind === 'none' ? [verdict.reason.replaceAll(/ f\S+_fkey\S*| \S+_fkey\d*/g, ' …')] : [],
      ),
    ),
    rows: cases.reduce((sum, { verdict }) => sum + (verdict.kind === 'exact' ? verdict.rows : 0), 0),
    wrong: cases.filter(({ verdict }) => verdict.kind === 'wrong'),
    drifted: cases.filter(({ verdict }) => verdict.kind === 'drift'),
  };
}

export function shownCase({ seed, statement, verdict }: Case): string {
  const parameters = statement.parameters.map(({ format, value }) => `${format}:${value?.toString('hex')}`);
  return `seed ${seed}: ${statement.before ?? ''} ${statement.sql} [${parameters.join(' ')}]\n   ${JSON.stringify(verdict)}`;
}
