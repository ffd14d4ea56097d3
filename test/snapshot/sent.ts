import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { Catalog } from '../../src/catalog/catalog.ts';
import { fromManifest, type Manifest, readManifest } from '../../src/snapshot/manifest.ts';
import { readRows } from '../../src/snapshot/row-file-reader.ts';
import { listSnapshots } from '../../src/snapshot/snapshots.ts';
import { HiddenClient } from '../support/hidden-client.ts';
import { type BackendMessage, describeMessage, fieldsOf, type RawClient } from '../support/raw-client.ts';
import { copied, UNPROVABLE } from './exactness.ts';
import { NOTED, quoted } from './random-schema.ts';
import { type Group, type SentScript, shownScript } from './sent-script.ts';
import { ENDING, SentSession } from './sent-session.ts';

/**
 * Runs sessions that destroy directly and through a gateway, on equal databases, and compares what their clients read;
 * and what the gateway's snapshots say of each transaction with what COPY says of the tables before and behind it.
 */

export interface SentSetting {
  readonly direct: { readonly port: number; readonly control: RawClient };
  readonly through: { readonly port: number; readonly control: RawClient };
  readonly databases: readonly [direct: string, through: string];
  readonly store: BlobStore;
  /** Whether a statement of this application has run without a snapshot since then. */
  readonly ranWithout: (application: string, sinceMs: number) => Promise<boolean>;
}

export interface SentFinding {
  readonly script: SentScript;
  readonly what: string;
}

/** Of each table the rows, with how often each is there. */
type Image = ReadonlyMap<number, ReadonlyMap<string, number>>;

export class SentTally {
  sessions = 0;
  messages = 0;
  groups = 0;
  snapshots = 0;
  proved = 0;
  without = 0;
}

export async function runSent(
  setting: SentSetting,
  script: SentScript,
  tally: SentTally,
): Promise<string | null> {
  for (const { control } of [setting.direct, setting.through]) {
    await control.rows('reset all; set client_min_messages = error');
    await control.rows(script.schema.sql, 60_000);
    for (const sql of script.twinSql) await control.query(sql);
    await control.rows(`set search_path = ${quoted(script.schema.schema)}`);
  }
  const application = `sent ${script.seed} ${++serial}`;
  const [a, b] = [
    await SentSession.open(setting.direct, setting.databases[0], application, script),
    await SentSession.open(setting.through, setting.databases[1], application, script),
  ];
  try {
    for (const [i, group] of script.groups.entries()) {
      const found = await runGroup(setting, script, group, [a, b], application, tally);
      // From here on the databases differ.
      if (found === 'unprovable') break;
      if (found !== null) return `group ${i}: ${found}`;
    }
    tally.sessions++;
    return null;
  } finally {
    a.client.destroy();
    b.client.destroy();
    await cleanUp(setting, script);
  }
}

let serial = 0;

async function cleanUp({ direct, through, store }: SentSetting, script: SentScript): Promise<void> {
  for (const { control } of [direct, through]) {
    await control.query(`select pg_terminate_backend(pid, 5000) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`);
    await control.query(`drop schema ${quoted(script.schema.schema)} cascade`, 60_000);
    await control.query(`drop schema ${quoted(script.twin)} cascade`, 60_000);
  }
  for await (const { key } of store.list('snapshots/')) await store.remove(key);
}

async function runGroup(
  setting: SentSetting,
  script: SentScript,
  { steps, alters }: Group,
  sessions: readonly [SentSession, SentSession],
  application: string,
  tally: SentTally,
): Promise<string | null> {
  const { direct, through } = setting;
  for (const step of steps) {
    if (step.kind !== 'elsewhere') continue;
    for (const { control } of [direct, through]) await control.query(step.sql, 60_000);
  }
  const schemas = [script.schema.schema, script.twin];
  const before = await imageOf(through.control, schemas);
  const began = Date.now();
  const known = await committed(setting);
  tally.groups++;
  for (const session of sessions) {
    for (const step of [...steps, ...ENDING]) await session.run(step, sessions[0].pauses);
    session.pauses = session === sessions[0] ? session.pauses : [];
  }
  sessions[0].pauses = [];
  tally.messages += sessions[0].client.inbox.length;
  if (sessions[1].client.inbox.some(isUnprovable)) return 'unprovable';
  const difference = differenceOf(sessions[0], sessions[1]);
  if (difference !== null) return difference;
  const texts = await Promise.all([direct, through].map(({ control }) => textOf(control, schemas)));
  if (texts[0] !== texts[1]) return `the databases differ\n  direct:  ${texts[0]}\n  through: ${texts[1]}`;
  if (alters) return null;
  const after = await imageOf(through.control, schemas);
  // What was rolled back is marked in the background.
  let problem: string | null = null;
  for (let tries = 0; tries < 4; tries++) {
    const taken = (await committed(setting)).filter(({ id }) => !known.some((each) => each.id === id));
    problem = await compareImages(setting.store, before, after, taken);
    if (problem === null) {
      tally.snapshots += taken.length;
      tally.proved++;
      return null;
    }
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
  if (!(await setting.ranWithout(application, began))) return problem;
  tally.without++;
  return null;
}

function differenceOf(direct: SentSession, through: SentSession): string | null {
  const [a, b] = [shownAll(direct.client.inbox.splice(0)), shownAll(through.client.inbox.splice(0))];
  const at = a.findIndex((each, i) => each !== b[i]);
  if (at < 0 && a.length === b.length && through.stuck === null) return null;
  if (direct.stuck !== null && through.stuck !== null) return null;
  const where = at < 0 ? a.length : at;
  const around = (all: readonly string[]) => all.slice(Math.max(0, where - 3), where + 4).join('\n    ');
  return `message ${where} differs (${through.stuck ?? 'not stuck'})\n  direct:\n    ${around(a)}\n  through:\n    ${around(b)}`;
}

/** Lines of EXPLAIN that depend on where rows happen to stand. */
const EXPLAINED = /rows=|Blocks: |Fetches: |Memory: /;

/** What is refused although nobody else was there. */
function isUnprovable(message: BackendMessage): boolean {
  if (message.type !== 'E') return false;
  const detail = fieldsOf(message)['D'] ?? '';
  // By an old snapshot a name that is no more is not told from one that never was.
  return [...UNPROVABLE, 'a table was altered.'].some((reason) => detail.includes(reason));
}

/** As both sides must have it: without OIDs, places in texts, and lines of the server's source; rows in any order. */
function shownAll(messages: readonly BackendMessage[]): string[] {
  const shown = messages.map((message) => {
    switch (message.type) {
      case 'E':
      case 'N': {
        const { S, C } = fieldsOf(message);
        return `${message.type} ${S} ${C}`;
      }
      case 'T':
      case 't':
        return `${message.type} ${message.body.readUInt16BE(0)}`;
      case 'D':
        return EXPLAINED.test(message.body.latin1Slice()) ? 'D' : describeMessage(message);
      default:
        return describeMessage(message);
    }
  });
  for (let at = 0; at < shown.length; at++) {
    let end = at;
    while (messages[end]?.type === messages[at]!.type && 'Dd'.includes(messages[at]!.type)) end++;
    if (end - at > 1) shown.splice(at, end - at, ...shown.slice(at, end).sort());
    at = Math.max(at, end - 1);
  }
  return shown;
}

/** Snapshots of what was committed. */
async function committed({ store, through }: SentSetting): Promise<Manifest[]> {
  const out: Manifest[] = [];
  const day = (ms: number) => new Date(ms).toISOString().slice(0, 10);
  const range = { from: day(Date.now() - 86_400_000), to: day(Date.now()) };
  for await (const { folder, rolledBack } of listSnapshots(store, range)) {
    if (rolledBack) continue;
    const manifest = await readManifest(store, folder).catch(() => null);
    if (manifest !== null) out.push(manifest);
  }
  const xids = out.map(({ xid }) => `'${xid}'`);
  if (xids.length === 0) return [];
  const rows = await through.control.rows(
    `select x, pg_xact_status(x::xid8) from unnest(array[${xids.join(',')}]) x`,
  );
  const status = new Map(rows.map(([xid, what]) => [xid, what]));
  return out.filter(({ xid }) => status.get(xid) === 'committed');
}

async function tablesOf(client: RawClient, schemas: readonly string[]) {
  return await client.rows(`select c.oid, n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and n.nspname in (${schemas.map((each) => `'${each.replaceAll("'", "''")}'`).join(', ')}) order by 2, 3`);
}

/** Every row of every table, as a snapshot has it: in binary where that can be, and without computed columns. */
async function imageOf(client: RawClient, schemas: readonly string[]): Promise<Image> {
  const tables = (await tablesOf(client, schemas)).filter(([, , name]) => name !== NOTED);
  await client.rows('begin');
  const image = new Map<number, Map<string, number>>();
  const { relations } = await new Catalog().ask(new HiddenClient(client), {
    scope: '',
    relations: tables.map(([, schema, name]) => ({ schema: schema!, name: name! })),
    allReferrers: false,
    functions: [],
  });
  for (const [oid, schema, name] of tables) {
    const columns = relations.get(Number(oid))!.columns.filter(({ generated }) => generated === '');
    const list = columns.map((each) => `${quoted(each.name)}${each.binary ? '' : '::text'}`);
    const rows = new Map<string, number>();
    const from = `${quoted(schema!)}.${quoted(name!)}`;
    for (const tuple of await copied(client, `select ${list.join(', ')} from only ${from}`)) {
      const row = tuple.toString('hex', 2);
      rows.set(row, (rows.get(row) ?? 0) + 1);
    }
    image.set(Number(oid), rows);
  }
  await client.rows('commit');
  return image;
}

/** As text, since OIDs of types are others in another database. */
async function textOf(client: RawClient, schemas: readonly string[]): Promise<string> {
  const all: string[] = [];
  for (const [, schema, name] of await tablesOf(client, schemas)) {
    const rows = await client.rows(`select x::text from only ${quoted(schema!)}.${quoted(name!)} x`);
    all.push(
      `${schema}.${name}: ${rows
        .map(([row]) => row)
        .sort()
        .join(' ')}`,
    );
  }
  return all.join('\n');
}

/** Before, without what was captured before the statements, and with what was captured behind them, has to be after. */
async function compareImages(
  store: BlobStore,
  before: Image,
  after: Image,
  taken: readonly Manifest[],
): Promise<string | null> {
  const expected = new Map([...before].map(([oid, rows]) => [oid, new Map(rows)]));
  for (const { tables } of taken) {
    for (const { oid, name, before: was, after: is } of tables) {
      const rows = expected.get(oid);
      if (rows === undefined) return `a snapshot has rows of ${name}, which is not among the tables`;
      for (const [file, sign] of [
        [was, -1],
        [is, 1],
      ] as const) {
        if (file === null) continue;
        for await (const row of readRows(store, fromManifest(file))) {
          const key = row.toString('hex', 2);
          rows.set(key, (rows.get(key) ?? 0) + sign);
        }
      }
    }
  }
  for (const [oid, rows] of expected) {
    const end = after.get(oid) ?? new Map<string, number>();
    for (const key of new Set([...rows.keys(), ...end.keys()])) {
      const [a, b] = [rows.get(key) ?? 0, end.get(key) ?? 0];
      if (a !== b)
        return `table ${oid}: a row is there ${b} times, by the snapshots ${a}: ${key.slice(0, 200)} (${taken.length} snapshots)`;
    }
  }
  return null;
}

const TRIALS_MAX = 120;

/** Leaves out steps as long as something is found. */
export async function shrunk(
  run: (script: SentScript) => Promise<string | null>,
  script: SentScript,
  first: string,
): Promise<SentFinding> {
  let best = script;
  let what = first;
  let trials = 0;
  const again = await run(best);
  if (again === null) return { script, what: `found once and not again: ${first}` };
  const tryOut = async (groups: readonly Group[]): Promise<boolean> => {
    if (++trials > TRIALS_MAX) return false;
    const found = await run({ ...best, groups });
    if (found === null) return false;
    best = { ...best, groups };
    what = found;
    return true;
  };
  for (let i = best.groups.length - 1; i >= 0; i--) await tryOut(best.groups.toSpliced(i, 1));
  for (let i = best.groups.length - 1; i >= 0; i--) {
    for (let at = best.groups[i]!.steps.length - 1; at >= 0; at--) {
      const group = best.groups[i]!;
      await tryOut(best.groups.with(i, { ...group, steps: group.steps.toSpliced(at, 1) }));
    }
  }
  return { script: best, what };
}

export function shownFinding({ script, what }: SentFinding): string {
  return `${what}\n${shownScript(script)}\n`;
}
