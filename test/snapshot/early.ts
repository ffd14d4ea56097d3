import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { type Manifest, readManifest } from '../../src/snapshot/manifest.ts';
import { listSnapshots, verifySnapshot } from '../../src/snapshot/snapshots.ts';
import type { PgSession } from '../../src/undo/pg-session.ts';
import { undo } from '../../src/undo/undo.ts';
import * as fe from '../support/frontend-messages.ts';
import { Listener } from '../support/listener.ts';
import { type BackendMessage, describeMessage, fieldsOf, RawClient } from '../support/raw-client.ts';
import { contents, ownSnapshot } from '../undo/put-back.ts';
import type { EarlyScript, EarlyStep } from './early-script.ts';
import { UNPROVABLE } from './exactness.ts';

/**
 * Runs sessions that change one row after another directly and through a gateway, on equal databases, and compares what
 * their clients read and what is there then; and undoes each change, and that again, and compares every byte.
 */

export interface EarlySetting {
  readonly direct: Side;
  readonly through: Side;
  readonly watch: EarlyWatch;
  readonly store: BlobStore;
  readonly undoing: PgSession;
}

export interface Side {
  readonly port: number;
  readonly database: string;
  readonly control: RawClient;
  readonly other: RawClient;
}

export class EarlyTally {
  sessions = 0;
  steps = 0;
  early = 0;
  takenBack = 0;
  changed = 0;
  changedByQuery = 0;
  undone = 0;
  refused = 0;
  without = 0;
  later = 0;
}

/** Stands between gateway and server, and tells what was run in the round trip of its capture. */
export class EarlyWatch {
  readonly port: number;
  tried = 0;
  kept = 0;
  private readonly listener: Listener;

  private constructor(listener: Listener, to: number) {
    this.listener = listener;
    this.port = listener.port;
    listener.onSocket((client) => {
      const server = listener.connect(to);
      let isUnderWay = false;
      client.on('data', (chunk: Buffer) => {
        if (isUnderWay && chunk.includes('\0COMMIT\0')) this.kept++;
        isUnderWay = asksWhetherStillSo(chunk);
        if (isUnderWay) this.tried++;
        server.write(chunk);
      });
      server.on('data', (chunk: Buffer) => client.write(chunk));
      client.on('close', () => server.destroy());
      server.on('close', () => client.destroy());
    });
  }

  static async start(to: number): Promise<EarlyWatch> {
    return new EarlyWatch(await Listener.start(), to);
  }

  async stop(): Promise<void> {
    await this.listener.stop();
  }
}

/** The question that is asked in front of it; see catalog/brief-query.ts. */
const STILL_SO = '1 OPERATOR(pg_catalog./) CASE';
/** A Bind of ours of the unnamed statement, as which the question is kept. */
const RUNS_KEPT = /B[\s\S]{4}__holdfast_[0-9a-f]+_\d+\0\0/;

/** Whether it is asked ahead of a capture if its plan is still true. */
export function asksWhetherStillSo(chunk: Buffer): boolean {
  return chunk.includes(STILL_SO) || RUNS_KEPT.test(chunk.toString('latin1'));
}

const DEADLINE_MS = 10_000;

export async function runEarly(
  setting: EarlySetting,
  script: EarlyScript,
  tally: EarlyTally,
): Promise<string | null> {
  const { direct, through, watch, store } = setting;
  for await (const { key } of store.list('snapshots/')) await store.remove(key);
  const clients: RawClient[] = [];
  try {
    for (const side of [direct, through]) {
      await side.control.rows(RESET);
      for (const sql of script.setup) await side.control.rows(sql);
      clients.push(await opened(side, script));
    }
    for (const [i, step] of script.steps.entries()) {
      tally.steps++;
      const told = await runStep(direct, clients[0]!, step);
      const known = await manifestsOf(store);
      const { tried, kept } = watch;
      const toldThrough = await runStep(through, clients[1]!, step);
      // Only of these it can be seen from outside.
      const isQuery = step.sent === 'query';
      const isTaken = isQuery && watch.kept > kept;
      const isTakenBack = watch.tried > tried && !isTaken;
      if (isTaken) tally.early++;
      if (isQuery && isTakenBack) tally.takenBack++;
      if (toldThrough.messages.some((message) => isUnprovable(message, step))) {
        tally.without++;
        return null;
      }
      const where = `step ${i}, ${step.sql}`;
      const [wanted, given] = [told, toldThrough].map(({ messages }) => shown(step, messages).join('\n    '));
      // Its capture waits for others first, so that it does what it would do behind them: run once more, or with no constraint
      // that has failed before it waits.
      const differs = wanted !== given || differenceOf(told.after, toldThrough.after) !== null;
      const isLater = differs && step.meanwhile?.end === 'commit';
      if (wanted !== given && !isLater) return `${where}\n  direct:\n    ${wanted}\n  through:\n    ${given}`;
      const taken = (await manifestsOf(store)).filter(({ id }) => !known.some((each) => each.id === id));
      const found = await compare(setting, isLater ? toldThrough : told, toldThrough, taken, tally);
      if (found === STAYS_UNDONE) break;
      if (found !== null) return `${where}: ${found}`;
      if (isQuery && taken.length > 0) tally.changedByQuery++;
      if (isLater) {
        tally.later++;
        break;
      }
      if (!isTakenBack) continue;
      // The next ones of that session would not be run so.
      for (const client of clients.splice(0)) client.destroy();
      for (const side of [direct, through]) clients.push(await opened(side, script));
    }
    tally.sessions++;
    return null;
  } finally {
    for (const client of clients) client.destroy();
  }
}

async function opened({ port, database }: Side, script: EarlyScript): Promise<RawClient> {
  const client = await RawClient.open(port, {
    database,
    user: script.role,
    application_name: script.application,
  });
  for (const sql of script.settings) await client.query(sql);
  // So that there is a plan; one is known again by a shorter question once it has been made twice.
  for (let i = 0; i < 2; i++) await client.query('update kept set note = note where id = 30');
  return client;
}

const RESET = `reset all; set client_min_messages = error; set lock_timeout = '8s';
  select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database()
    and application_name in ('counted', 'kept') and pid <> pg_backend_pid() and backend_type = 'client backend';
  drop schema public cascade; drop schema if exists nowhere cascade; create schema public;
  grant usage on schema public to public`;

interface Told {
  readonly messages: readonly BackendMessage[];
  /** As it was when the statement came to it, and behind it. */
  readonly before: readonly string[];
  readonly after: readonly string[];
}

async function runStep({ control, other }: Side, client: RawClient, step: EarlyStep): Promise<Told> {
  for (const sql of step.elsewhere) await control.query(sql, DEADLINE_MS);
  const { meanwhile } = step;
  const start = await contents(control, 'public');
  let before = start;
  if (meanwhile !== null) {
    await other.rows('begin');
    const said = await other.query(meanwhile.sql);
    const hasRun = said.every(({ type }) => type !== 'E');
    if (hasRun && meanwhile.end === 'commit') before = await contents(other, 'public');
  }
  const answer = answerTo(client, step);
  if (meanwhile !== null) {
    let isAnswered = false;
    const answered = () => {
      isAnswered = true;
    };
    answer.then(answered, answered);
    await untilWaiting(control, () => isAnswered);
    const ended = await other.query(meanwhile.end);
    if (ended.some(({ type }) => type === 'E')) before = start;
  }
  const messages = await answer;
  return { messages, before, after: await contents(control, 'public') };
}

async function answerTo(client: RawClient, { sql, sent }: EarlyStep): Promise<BackendMessage[]> {
  const statement = sent === 'named' ? 'named' : '';
  const out: BackendMessage[] = [];
  switch (sent) {
    case 'query':
      return await client.query(sql, DEADLINE_MS);
    case 'block':
      for (const each of ['begin', sql, 'commit']) out.push(...(await client.query(each, DEADLINE_MS)));
      return out;
    case 'named':
      client.write(fe.close('S', statement), fe.parse(statement, sql), fe.sync());
      out.push(...(await client.untilReady(DEADLINE_MS)));
      break;
    case 'unnamed':
      client.write(fe.parse(statement, sql));
      break;
    default:
      sent satisfies never;
  }
  client.write(fe.bind({ statement }), fe.describe('P'), fe.execute(), fe.sync());
  return [...out, ...(await client.untilReady(DEADLINE_MS))];
}

async function untilWaiting(control: RawClient, isAnswered: () => boolean): Promise<void> {
  while (!isAnswered()) {
    const [row] = await control.rows(`select count(*) from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`);
    if (row![0] !== '0') return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function manifestsOf(store: BlobStore): Promise<Manifest[]> {
  const day = (ms: number) => new Date(ms).toISOString().slice(0, 10);
  const range = { from: day(Date.now() - 86_400_000), to: day(Date.now()) };
  const out: Manifest[] = [];
  for await (const { folder, rolledBack } of listSnapshots(store, range))
    if (!rolledBack) out.push(await readManifest(store, folder));
  return out;
}

async function compare(
  setting: EarlySetting,
  direct: Told,
  told: Told,
  taken: readonly Manifest[],
  tally: EarlyTally,
): Promise<string | null> {
  const { through, store, undoing } = setting;
  const difference = differenceOf(direct.after, told.after);
  if (difference !== null) return `the databases differ: ${difference}`;
  const hasChanged = differenceOf(told.before, told.after) !== null;
  if (taken.length > 1) return `${taken.length} snapshots were taken`;
  const [manifest] = hasChanged ? taken : await committedOf(setting, taken);
  if (manifest === undefined) {
    if (!hasChanged || told.messages.some(({ type }) => type === 'E')) return null;
    return `no snapshot of ${differenceOf(told.before, told.after)}`;
  }
  tally.changed++;
  const { faults } = await verifySnapshot(store, manifest);
  if (faults.length > 0) return JSON.stringify(faults);
  if ((await committedOf(setting, taken)).length === 0) return `${manifest.id} was not committed`;
  const { folder, facts } = ownSnapshot();
  const own = { folder, facts: { ...facts, session: { ...facts.session, database: through.database } } };
  const request = { store, manifest, session: undoing };
  let undone = await undo(request, { snapshot: own });
  if (undone.kind === 'refused') undone = await undo(request, { snapshot: own, triggers: 'skip' });
  if (undone.kind !== 'done') {
    // Such as by a rule that the table has got.
    tally.refused++;
    return null;
  }
  const back = differenceOf(told.before, await contents(through.control, 'public'));
  if (back !== null) return `undone it is not what it was: ${back}`;
  tally.undone++;
  if (!hasChanged) return null;
  const again = { store, session: undoing, manifest: await readManifest(store, folder) };
  const redone = await undo(again, { triggers: 'skip' });
  if (redone.kind !== 'done') {
    // What a replica has written breaks its foreign keys.
    tally.refused++;
    return STAYS_UNDONE;
  }
  const forth = differenceOf(told.after, await contents(through.control, 'public'));
  return forth === null ? null : `undone twice: ${forth}`;
}

/** From here on the databases differ. */
const STAYS_UNDONE = 'it stays undone';

async function committedOf({ through }: EarlySetting, manifests: readonly Manifest[]): Promise<Manifest[]> {
  const out: Manifest[] = [];
  for (const manifest of manifests) {
    const [row] = await through.control.rows(`select pg_xact_status('${manifest.xid}'::xid8)`);
    if (row![0] === 'committed') out.push(manifest);
  }
  return out;
}

function differenceOf(a: readonly string[], b: readonly string[]): string | null {
  const lacks = a.filter((row) => !b.includes(row));
  const has = b.filter((row) => !a.includes(row));
  if (lacks.length + has.length === 0 && a.length === b.length) return null;
  return JSON.stringify({ lacks: lacks.map(cut), has: has.map(cut), rows: [a.length, b.length] });
}

const cut = (row: string): string => row.slice(0, 300);

/** Where the client has been told of rows it is not run once more. */
function isUnprovable(message: BackendMessage, { sql, meanwhile }: EarlyStep): boolean {
  if (message.type !== 'E') return false;
  const { C, D, M } = fieldsOf(message);
  // Of what cannot be counted there may be more rows.
  if (M?.startsWith('statement blocked by policy') === true) return true;
  if (C === '40001' && meanwhile !== null && sql.includes('returning')) return true;
  return C === 'HF002' || UNPROVABLE.some((reason) => `${M} ${D}`.includes(reason));
}

/** What a client goes by; what EXPLAIN says of buffers hangs on what was read before. */
function shown({ sql }: EarlyStep, messages: readonly BackendMessage[]): string[] {
  const isPlan = sql.startsWith('explain');
  return messages
    .filter(({ type }) => type !== 'D' || !isPlan)
    .map((message) => {
      const { type } = message;
      // The OIDs of the tables differ.
      if (type === 'T') return `T ${message.body.readUInt16BE(0)}`;
      if (type !== 'E' && type !== 'N') return describeMessage(message);
      const { S, C, M, D, H, P } = fieldsOf(message);
      return `${type} ${JSON.stringify({ S, C, M, D, H, P })}`;
    });
}
