import { openBlobStore } from '../../src/blobs/open.ts';
import { fromManifest, type Manifest } from '../../src/snapshot/manifest.ts';
import { readRows } from '../../src/snapshot/row-file-reader.ts';
import { copied } from '../snapshot/exactness.ts';
import { NOTED, quoted, randomSchema, type TestSchema } from '../snapshot/random-schema.ts';
import { randomStatement } from '../snapshot/random-statement.ts';
import { Random } from '../support/random.ts';
import {
  type BackendMessage,
  describeMessage,
  errorsOf,
  fieldsOf,
  RawClient,
  statusOf,
} from '../support/raw-client.ts';
import type { SnapshotsTaken } from './snapshots-taken.ts';

/**
 * Random texts of several statements, run through a gateway that takes snapshots and directly in another database of the
 * same contents: both have to answer alike and to leave the same rows, and the snapshots, put back in memory from the last
 * to the first, have to give the rows that there were before.
 */

export type TextVerdict =
  | { readonly kind: 'alike'; readonly snapshots: number; readonly failed: boolean }
  /** It was refused for want of a plan or of a proof, which ends the comparison of the two databases. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** What fails depends on the order in which rows stand, which is no business of the gateway's. */
  | { readonly kind: 'unequal order' }
  | { readonly kind: 'wrong'; readonly what: string };

export interface TextCase {
  readonly seed: number;
  readonly sql: string;
  readonly verdict: TextVerdict;
}

export interface TwoDatabases {
  readonly taken: SnapshotsTaken;
  /** Past the gateway, to what is behind it. */
  readonly control: RawClient;
}

const DIRECT = 'direct';

export async function openTwo(taken: SnapshotsTaken): Promise<TwoDatabases> {
  const { postgres } = taken.fixture;
  const known = await postgres.sql(`select from pg_database where datname = '${DIRECT}'`);
  if (known.length === 0) await postgres.sql(`create database ${DIRECT}`);
  return { taken, control: await RawClient.open(postgres.port) };
}

export async function runTexts(two: TwoDatabases, seed: number, texts: number): Promise<TextCase[]> {
  const { taken, control } = two;
  const random = new Random(seed);
  const schema = randomSchema(random, seed);
  const through = await taken.fixture.client();
  const direct = await RawClient.open(taken.fixture.postgres.port, { database: DIRECT });
  const cases: TextCase[] = [];
  try {
    for (const client of [control, direct]) await client.rows(schema.sql, 60_000);
    await through.rows(`set search_path = ${quoted(schema.schema)}`);
    for (let i = 0; i < texts; i++) {
      const text = randomText(random, schema);
      const verdict = await compare(two, through, direct, schema, text).catch(
        (error: unknown): TextVerdict => ({ kind: 'wrong', what: String((error as Error).stack ?? error) }),
      );
      cases.push({ seed, sql: `${text.before}${text.sql}${text.after}`, verdict });
      if (verdict.kind !== 'alike') break;
    }
    for (const client of [through, direct]) await client.query('rollback');
    for (const client of [control, direct]) await client.rows(`drop schema ${quoted(schema.schema)} cascade`);
  } finally {
    through.destroy();
    direct.destroy();
  }
  return cases;
}

interface Text {
  /** Sent ahead, and behind, as Queries of their own. */
  readonly before: string;
  readonly sql: string;
  readonly after: string;
}

function randomText(random: Random, schema: TestSchema): Text {
  const pieces: string[] = [];
  for (let i = random.between(2, 4); i > 0; i--) pieces.push(randomPiece(random, schema));
  const gap = () => random.pick(['; ', ';', ' ;;\n', '; /* a; b */ ', ' ; -- c;\n']);
  const sql = pieces.reduce((text, piece) => `${text}${gap()}${piece}`) + random.pick(['', ';', '; ']);
  return random.weighted([
    [5, { before: '', sql, after: '' }],
    [1, { before: '', sql: `begin; ${sql};commit`, after: '' }],
    [1, { before: '', sql: `begin; ${sql}; rollback`, after: '' }],
    [2, { before: 'begin', sql, after: random.pick(['commit', 'rollback']) }],
    [1, { before: 'begin; savepoint s', sql, after: 'rollback to s; commit' }],
  ]);
}

function randomPiece(random: Random, schema: TestSchema): string {
  const table = random.pick(schema.tables);
  return random.weighted([
    [30, () => writes(random, schema)],
    [4, () => `select n, 'ä' as "ö" from ${quoted(table.name)}`],
    [1, () => `select 'ß☃', 1 / (select count(*) from ${quoted(table.name)} where n > 100)`],
    [1, () => `select nowhere from ${quoted(table.name)}`],
    [1, () => `copy (select n from ${quoted(table.name)} order by 1) to stdout`],
    [1, () => `do $$ begin raise notice 'a;b'; end $$`],
  ])();
}

let cursors = 0;

function writes(random: Random, schema: TestSchema): string {
  const { sql, before } = randomStatement(random, schema, true);
  if (before === undefined) return sql;
  // Two cursors of one name would be an error, which there are enough of.
  const name = `"cursor ${++cursors}"`;
  return `${before}; ${sql}`.replaceAll(/"C ""c"|\bc\b/g, (found, at: number, whole: string) =>
    /(?:CURSOR|FROM|OF|DECLARE) $/.test(whole.slice(Math.max(0, at - 8), at)) ? name : found,
  );
}

/** Tables by their OIDs, with how often each row is in them. */
type Image = Map<string, Map<string, number>>;

async function compare(
  { taken, control }: TwoDatabases,
  through: RawClient,
  direct: RawClient,
  { schema }: TestSchema,
  { before, sql, after }: Text,
): Promise<TextVerdict> {
  taken.clear();
  const start = await imageOf(control, schema);
  if (before !== '') for (const client of [through, direct]) await client.rows(before);
  const [told, expected] = [await through.query(sql, 60_000), await direct.query(sql, 60_000)];
  const refused = errorsOf(told).find(({ C }) => C === 'HF002' || C === '40001');
  if (refused !== undefined) {
    await through.query('rollback');
    const same = sameImage(start, await imageOf(control, schema));
    if (!same) return { kind: 'wrong', what: `refused, and yet changed: ${JSON.stringify(refused)}` };
    return { kind: 'refused', reason: refused['D'] ?? '' };
  }
  if (shown(told) !== shown(expected)) {
    if ([...errorsOf(told), ...errorsOf(expected)].some(({ C }) => C?.startsWith('23')))
      return { kind: 'unequal order' };
    return { kind: 'wrong', what: `it was answered\n${shown(told)}\n and not\n${shown(expected)}` };
  }
  if (after !== '') for (const client of [through, direct]) await client.query(after);
  // An error in a block of the text's own leaves it open.
  else if (statusOf(expected) === 'E') for (const client of [through, direct]) await client.query('rollback');
  const end = await imageOf(control, schema);
  if (!sameRows(await textsOf(control, schema), await textsOf(direct, schema)))
    return { kind: 'wrong', what: 'the databases have other rows' };
  const status = statusOf(await through.query('select 1'));
  if (status !== 'I') return { kind: 'wrong', what: `it is left in the status ${status}` };
  const manifests = await taken.all();
  const lasts = !sameImage(start, end);
  if (!lasts) return { kind: 'alike', snapshots: 0, failed: errorsOf(told).length > 0 };
  for (const manifest of manifests.toReversed()) await putBack(taken, manifest, end);
  if (!sameImage(start, end)) return { kind: 'wrong', what: 'its snapshots do not give what was there' };
  return { kind: 'alike', snapshots: manifests.length, failed: false };
}

/** One line a message; rows in any order, and of errors what does not depend on it. */
function shown(messages: readonly BackendMessage[]): string {
  const lines: string[] = [];
  let rows: string[] = [];
  for (const message of messages) {
    if (message.type === 'D') {
      rows.push(describeMessage(message));
      continue;
    }
    lines.push(...rows.sort());
    rows = [];
    if (message.type === 'T') lines.push(`T ${message.body.readUInt16BE(0)}`);
    else if (message.type === 'E') {
      const { C, P } = fieldsOf(message);
      lines.push(`E ${C} ${P}`);
    } else lines.push(describeMessage(message));
  }
  return lines.join('\n');
}

async function imageOf(control: RawClient, schema: string): Promise<Image> {
  const image: Image = new Map();
  const tables = await control.rows(
    `select c.oid, c.oid::regclass, (select string_agg(quote_ident(a.attname) ||
        case when t.typsend = 0 then '::text' else '' end, ', ' order by a.attnum)
      from pg_attribute a join pg_type t on t.oid = a.atttypid
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '')
     from pg_class c where c.relkind = 'r' and c.relname <> '${NOTED}'
      and c.relnamespace = '${quoted(schema).replaceAll("'", "''")}'::regnamespace`,
  );
  for (const [oid, name, columns] of tables) {
    const rows = new Map<string, number>();
    for (const tuple of await copied(control, `select ${columns} from only ${name}`)) {
      const key = tuple.toString('hex');
      rows.set(key, (rows.get(key) ?? 0) + 1);
    }
    image.set(oid!, rows);
  }
  return image;
}

/** The rows of all tables as text, which is the same in both databases. */
async function textsOf(client: RawClient, schema: string): Promise<string[]> {
  const tables = await client.rows(
    `select c.relname, c.oid::regclass from pg_class c where c.relkind = 'r' and c.relnamespace = '${quoted(schema).replaceAll("'", "''")}'::regnamespace`,
  );
  const all: string[] = [];
  for (const [name, place] of tables) {
    const messages = await client.query(`copy (select * from only ${place}) to stdout`);
    all.push(
      ...messages.filter(({ type }) => type === 'd').map(({ body }) => `${name}: ${body.toString('hex')}`),
    );
  }
  return all.sort();
}

const sameRows = (a: readonly string[], b: readonly string[]) => JSON.stringify(a) === JSON.stringify(b);

function sameImage(a: Image, b: Image): boolean {
  const flat = (image: Image) =>
    [...image].flatMap(([oid, rows]) =>
      [...rows].filter(([, count]) => count !== 0).map(([row, count]) => `${oid} ${row} ${count}`),
    );
  return sameRows(flat(a).sort(), flat(b).sort());
}

async function putBack(taken: SnapshotsTaken, manifest: Manifest, image: Image): Promise<void> {
  const store = openBlobStore({ kind: 'file', directory: taken.folder });
  for (const table of manifest.tables) {
    const rows = image.get(String(table.oid))!;
    for (const [file, sign] of [
      [table.after, -1],
      [table.before, 1],
    ] as const) {
      if (file === null) continue;
      for await (const row of readRows(store, fromManifest(file))) {
        const key = row.toString('hex');
        rows.set(key, (rows.get(key) ?? 0) + sign);
      }
    }
  }
  await store.close();
}

export function tallyTexts(cases: readonly TextCase[]) {
  const kinds: Record<string, number> = {};
  const reasons: Record<string, number> = {};
  let snapshots = 0;
  for (const { verdict } of cases) {
    const kind = verdict.kind === 'alike' && verdict.failed ? 'alike, failed' : verdict.kind;
    kinds[kind] = (kinds[kind] ?? 0) + 1;
    if (verdict.kind === 'alike') snapshots += verdict.snapshots;
    if (verdict.kind !== 'refused') continue;
    const reason = verdict.reason.replaceAll(/Rule.*/g, '').slice(0, 90);
    reasons[reason] = (reasons[reason] ?? 0) + 1;
  }
  return { texts: cases.length, snapshots, kinds, reasons };
}
