import type { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { Catalog } from '../../src/catalog/catalog.ts';
import { captureBefore } from '../../src/snapshot/capture.ts';
import { HiddenQueryError } from '../../src/snapshot/connection.ts';
import { type Sizes, type TableName, widened } from '../../src/snapshot/elsewhere.ts';
import { type Manifest, readManifest, snapshotFolder } from '../../src/snapshot/manifest.ts';
import { type CapturePlan, planCapture } from '../../src/snapshot/plan.ts';
import { captureAfter } from '../../src/snapshot/prove.ts';
import { openElsewhere } from '../../src/snapshot/prove-elsewhere.ts';
import { SnapshotWriter } from '../../src/snapshot/snapshot-writer.ts';
import type { Parser } from '../../src/sql/parsing/parser.ts';
import { sliceWrite } from '../../src/sql/slices/write-slice.ts';
import type { PgSession } from '../../src/undo/pg-session.ts';
import { undo } from '../../src/undo/undo.ts';
import { copied, described, run, sizesOf } from '../snapshot/exactness.ts';
import { NOTED, quoted, randomSchema, type TestSchema } from '../snapshot/random-schema.ts';
import { randomStatement, type TestStatement } from '../snapshot/random-statement.ts';
import { HiddenClient } from '../support/hidden-client.ts';
import { Random } from '../support/random.ts';
import type { RawClient } from '../support/raw-client.ts';
import { widen } from './widened.ts';

/**
 * Takes snapshots of random statements in random schemas, commits, undoes, and compares every table byte for byte
 * with how it was, by COPY, which shares nothing with either.
 */

export interface Setting {
  readonly client: RawClient;
  readonly session: PgSession;
  readonly store: DirectoryBlobStore;
  readonly parser: Parser;
  /** How large tables may be that code of the user's changes. */
  readonly sizes?: Sizes | undefined;
}

export type Snapped =
  | { readonly kind: 'snapshot'; readonly manifest: Manifest }
  | { readonly kind: 'without'; readonly reason: string };

let serial = 0;

/** What the session will do: capture, run, prove, store, commit. */
export async function snap(
  setting: Omit<Setting, 'session'>,
  statement: TestStatement,
  looks: readonly TableName[] = [],
  sizes?: Sizes,
): Promise<Snapped> {
  const { client, store, parser } = setting;
  const parse = (sql: string) => {
    const outcome = parser.parse(Buffer.from(sql));
    return outcome.kind === 'tree' ? outcome.tree : null;
  };
  const slice = sliceWrite(Buffer.from(statement.sql), parse(statement.sql)!.stmts![0]!, parse);
  const parameters = {
    types: statement.parameters.map(({ type }) => type),
    formats: statement.parameters.map(({ format }) => format),
    values: statement.parameters.map(({ value }) => value),
  };
  const connection = new HiddenClient(client);
  const id = `snap_${++serial}`;
  const createdAt = Date.UTC(2026, 10, 21);
  const writer = new SnapshotWriter(store, snapshotFolder(id, createdAt));
  await client.rows(statement.before === undefined ? 'BEGIN' : `BEGIN; ${statement.before}`);
  const without = async (reason: string): Promise<Snapped> => {
    await client.query('ROLLBACK');
    await writer.abort();
    return { kind: 'without', reason };
  };
  try {
    const outcome = await planCapture(connection, new Catalog(), { scope: 'test', slice, parameters });
    if (outcome.kind !== 'exact') return await without(`no plan: ${outcome.reason}`);
    const plan = await lookingFor(connection, outcome.plan, looks, sizes);
    const capture = await openElsewhere(connection, plan, await captureBefore(connection, plan, writer));
    const done = await run(client, statement);
    if (!done.ok) return await without(`failed: ${done.sqlstate}`);
    const proof = await captureAfter(connection, plan, capture, done.tag, writer);
    if (proof.kind === 'drift') {
      const stopped = await without(`drift: ${proof.reason}`);
      if (proof.unlooked === undefined || looks.length > 8) return stopped;
      return await snap(setting, statement, [...looks, ...proof.unlooked], sizes);
    }
    const [facts] = await client.rows(
      `SELECT current_database(), current_user, current_setting('server_version_num'), pg_current_xact_id(),
              current_setting('client_encoding')`,
    );
    const [database, role, version, xid, encoding] = facts!.map(String);
    const manifest = await writer.finish(plan, proof, {
      id,
      created_at: new Date(createdAt).toISOString(),
      gateway: '0.1.0',
      session: { id: 's1', role: role!, database: database!, application: '', client: '' },
      server: { version_num: Number(version), encoding: encoding! },
      xid: xid!,
      statement: { text: statement.sql, sha256: '', operation: plan.operation, parameters: 0 },
      decision: { rule: 'test', risk: 'high' },
      approval_id: null,
    });
    const committed = await client.query('COMMIT');
    if (committed.some(({ type }) => type === 'E')) return await without('failed at COMMIT');
    return { kind: 'snapshot', manifest };
  } catch (error) {
    if (error instanceof HiddenQueryError) return await without(`query: ${described(error)}`);
    await client.query('ROLLBACK');
    throw error;
  }
}

const lookingFor = async (
  connection: HiddenClient,
  plan: CapturePlan,
  looks: readonly TableName[],
  sizes: Sizes | undefined,
) =>
  looks.length === 0 ? plan : await widened(connection, new Catalog(), { scope: 'test' }, plan, looks, sizes);

export function ownSnapshot() {
  const id = `undo_${++serial}`;
  return {
    folder: snapshotFolder(id, Date.UTC(2026, 10, 21)),
    facts: {
      id,
      created_at: '2026-11-21T00:00:00.000Z',
      gateway: '0.1.0',
      session: { id: '', role: 'postgres', database: 'postgres', application: 'holdfast undo', client: '' },
      statement: { text: 'undo', sha256: '', operation: 'undo', parameters: 0 },
      decision: { rule: '', risk: '' },
      approval_id: null,
    },
  };
}

/**
 * Every row of every table of a schema, with the table that stores it: computed columns too, places not, nor columns
 * whose names begin with `but`. What triggers note elsewhere stays at an undo.
 */
export async function contents(client: RawClient, schema: string, but = '\u{10ffff}'): Promise<string[]> {
  const tables = await client.rows(`SELECT c.oid::regclass, (SELECT string_agg(format(CASE WHEN t.typsend = 0
        THEN '%I::text' ELSE '%I' END, a.attname), ', ' ORDER BY a.attnum)
      FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND NOT starts_with(a.attname, '${but}'))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind = 'r' AND n.nspname = '${schema.replaceAll("'", "''")}' AND c.relname <> '${NOTED}' ORDER BY c.oid`);
  const rows: string[] = [];
  for (const [name, columns] of tables) {
    const select = `SELECT ${columns ?? ''} FROM ONLY ${name}`;
    for (const tuple of await copied(client, select)) rows.push(`${name} ${tuple.toString('hex')}`);
  }
  return rows.sort();
}

export type Verdict =
  | {
      readonly kind: 'exact';
      readonly rows: number;
      readonly triggers: string;
      readonly elsewhere: boolean;
      readonly widened: boolean;
    }
  | { readonly kind: 'without'; readonly reason: string }
  | { readonly kind: 'wrong'; readonly what: string };

export interface Case {
  readonly seed: number;
  readonly statement: TestStatement;
  readonly verdict: Verdict;
}

export async function runSchema(setting: Setting, seed: number, statements: number): Promise<Case[]> {
  const { client } = setting;
  const random = new Random(seed);
  const schema = randomSchema(random, seed);
  await client.rows(schema.sql, 60_000);
  const cases: Case[] = [];
  for (let i = 0; i < statements; i++) {
    const statement = randomStatement(random, schema);
    const others = new Random(seed * 31 + i);
    const verdict = await judge(
      { ...setting, sizes: sizesOf(seed) },
      schema,
      statement,
      random,
      others,
    ).catch((error: unknown): Verdict => ({ kind: 'wrong', what: described(error) }));
    cases.push({ seed, statement, verdict });
    if (verdict.kind === 'wrong') break;
  }
  await client.rows(`ROLLBACK; DROP SCHEMA ${quoted(schema.schema)} CASCADE`);
  return cases;
}

async function judge(
  setting: Setting,
  schema: TestSchema,
  statement: TestStatement,
  random: Random,
  others: Random,
): Promise<Verdict> {
  const { client, session, store } = setting;
  const prefix = `since ${++serial} `;
  const picked = random.pick(['fire', 'skip'] as const);
  const elsewhere = random.chance(0.4);
  const start = await contents(client, schema.schema);
  const snapped = await snap(setting, statement, [], setting.sizes);
  if (snapped.kind === 'without') return snapped;
  const { manifest } = snapped;
  // A TRUNCATE fires no triggers for rows, which put back fire them, and what these change is in no snapshot.
  const triggers = manifest.statement.operation === 'truncate' ? 'skip' : picked;
  const widened = others.chance(0.4) ? widen(others, schema, prefix) : '';
  if (widened !== '') await client.rows(quietly(widened));
  const afterwards = await contents(client, schema.schema);
  const takeBack = elsewhere ? await changeElsewhere(client, schema.schema, start) : null;
  const request = { store, manifest, session };
  const again = !elsewhere && (random.chance(0.3) || widened !== '');
  const own = again ? ownSnapshot() : null;
  const options = own === null ? {} : { snapshot: own };
  let outcome = await undo(request, { triggers, ...options });
  // A trigger that changes what is put back is told, and nothing is done.
  const meddled =
    outcome.kind === 'refused' && outcome.problems.some(({ reason }) => reason.includes('trigger'));
  if (meddled && schema.sql.includes('CREATE TRIGGER'))
    outcome = await undo(request, { triggers: 'skip', ...options });
  if (takeBack !== null) await client.rows(quietly(takeBack));
  if (outcome.kind !== 'done') return { kind: 'wrong', what: `${triggers}: ${JSON.stringify(outcome)}` };
  const end = await contents(client, schema.schema, prefix);
  if (JSON.stringify(end) !== JSON.stringify(start)) {
    const missing = start.filter((row) => !end.includes(row)).map((row) => row.slice(0, 200));
    const extra = end.filter((row) => !start.includes(row)).map((row) => row.slice(0, 200));
    return { kind: 'wrong', what: `${triggers}: ${JSON.stringify({ missing, extra, outcome })}` };
  }
  const rows = outcome.tables.reduce((sum, each) => sum + each.putBack + each.setBack + each.removed, 0);
  // An undo that finds nothing to do leaves no snapshot.
  if (own !== null && rows > 0) {
    const states = [afterwards, await contents(client, schema.schema)];
    let manifest = await readManifest(store, own.folder);
    for (const time of [0, 1, 2]) {
      const next = ownSnapshot();
      const redo = await undo({ store, session, manifest }, { triggers: 'skip', snapshot: next });
      if (JSON.stringify(await contents(client, schema.schema)) !== JSON.stringify(states[time % 2])) {
        return { kind: 'wrong', what: `undoing the undo, ${time}: ${widened} ${JSON.stringify(redo)}` };
      }
      manifest = await readManifest(store, next.folder);
    }
    const last = await undo(request, { triggers: 'skip' });
    if (JSON.stringify(await contents(client, schema.schema, prefix)) !== JSON.stringify(start)) {
      return { kind: 'wrong', what: `undoing again: ${widened} ${JSON.stringify(last)}` };
    }
  }
  return {
    kind: 'exact',
    rows,
    triggers: meddled ? 'meddled' : triggers,
    elsewhere,
    widened: widened !== '',
  };
}

/** Changes one row that the statement has left alone; gives the statement that takes it back. */
async function changeElsewhere(
  client: RawClient,
  schema: string,
  start: readonly string[],
): Promise<string | null> {
  const end = await contents(client, schema);
  const names = [...new Set(end.map((row) => row.slice(0, row.lastIndexOf(' '))))];
  for (const name of names) {
    const alike = (rows: readonly string[]) =>
      JSON.stringify(rows.filter((row) => row.startsWith(`${name} `)));
    if (alike(start) !== alike(end)) continue;
    const [row] = await client.rows(`SELECT n FROM ONLY ${name} ORDER BY ctid LIMIT 1`);
    const first = `(SELECT ctid FROM ONLY ${name} ORDER BY ctid LIMIT 1)`;
    await client.rows(quietly(`UPDATE ONLY ${name} SET n = 777 WHERE ctid = ${first}`));
    return `UPDATE ONLY ${name} SET n = ${row![0] ?? 'NULL'} WHERE n = 777`;
  }
  await client.rows(
    'CREATE TABLE IF NOT EXISTS public.elsewhere (a int); INSERT INTO public.elsewhere VALUES (1)',
  );
  return 'DELETE FROM public.elsewhere';
}

/** Without triggers. */
function quietly(sql: string): string {
  return `SET session_replication_role = replica; ${sql}; RESET session_replication_role`;
}

export function tally(cases: readonly Case[]) {
  const count = (items: readonly string[]) =>
    Object.fromEntries([...Map.groupBy(items, (item) => item)].map(([key, all]) => [key, all.length]));
  const exact = cases.flatMap(({ verdict }) => (verdict.kind === 'exact' ? [verdict] : []));
  return {
    cases: cases.length,
    kinds: count(cases.map(({ verdict }) => verdict.kind)),
    widened: exact.filter(({ widened, rows }) => widened && rows > 0).length,
    changing: exact.filter(({ rows }) => rows > 0).length,
    triggers: count(exact.map(({ triggers }) => triggers)),
    rows: exact.reduce((sum, { rows }) => sum + rows, 0),
    wrong: cases.filter(({ verdict }) => verdict.kind === 'wrong'),
  };
}

export function shownCase({ seed, statement, verdict }: Case): string {
  const parameters = statement.parameters.map(({ format, value }) => `${format}:${value?.toString('hex')}`);
  return `seed ${seed}: ${statement.sql} [${parameters.join(' ')}]\n   ${JSON.stringify(verdict)}`;
}
