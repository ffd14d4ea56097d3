import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { type Manifest, readManifest } from '../../src/snapshot/manifest.ts';
import { listSnapshots, verifySnapshot } from '../../src/snapshot/snapshots.ts';
import { undo } from '../../src/undo/undo.ts';
import { Listener } from '../support/listener.ts';
import { type BackendMessage, cancel, describeMessage, fieldsOf, RawClient } from '../support/raw-client.ts';
import { contents } from '../undo/put-back.ts';
import type { AheadScript, AheadStep } from './ahead-script.ts';
import { asksWhetherStillSo, type EarlySetting, type Side } from './early.ts';
import { UNPROVABLE } from './exactness.ts';

export class AheadTally {
  sessions = 0;
  steps = 0;
  snapshots = 0;
  rolledBack = 0;
  undone = 0;
  without = 0;
  later = 0;
  counted = 0;
}

const TAG = /(?:UPDATE|DELETE) \d+\0/;
const LOCKS_ROWS = /FOR (?:NO KEY )?UPDATE/;

/** Stands between gateway and server, and tells what was captured ahead. */
export class AheadWatch {
  readonly port: number;
  inBlock = 0;
  boundInBlock = 0;
  inBlockBack = 0;
  bound = 0;
  boundKept = 0;
  private readonly listener: Listener;

  private constructor(listener: Listener, to: number) {
    this.listener = listener;
    this.port = listener.port;
    listener.onSocket((client) => {
      const server = listener.connect(to);
      let isBound = false;
      let hasRun = false;
      client.on('data', (chunk: Buffer) => {
        const isAsked = asksWhetherStillSo(chunk);
        const isBlock = chunk.includes('\0SAVEPOINT holdfast_own\0');
        // What is bound ends with a Flush of ours.
        if (isAsked && isBlock) {
          if (chunk.at(-5) === 0x48) this.boundInBlock++;
          else this.inBlock++;
        }
        if (chunk.includes('ROLLBACK TO SAVEPOINT holdfast_own')) this.inBlockBack++;
        if (isBound && hasRun && chunk[0] === 0x53) this.boundKept++;
        hasRun = false;
        isBound =
          isAsked && !isBlock && !chunk.includes('\0BEGIN\0') && LOCKS_ROWS.test(chunk.toString('latin1'));
        if (isBound) this.bound++;
        server.write(chunk);
      });
      server.on('data', (chunk: Buffer) => {
        hasRun ||= TAG.test(chunk.toString('latin1'));
        client.write(chunk);
      });
      client.on('close', () => server.destroy());
      server.on('close', () => client.destroy());
    });
  }

  static async start(to: number): Promise<AheadWatch> {
    return new AheadWatch(await Listener.start(), to);
  }

  async stop(): Promise<void> {
    await this.listener.stop();
  }
}

export type AheadSetting = Omit<EarlySetting, 'watch'>;

const DEADLINE_MS = 10_000;

export async function runAhead(
  setting: AheadSetting,
  script: AheadScript,
  tally: AheadTally,
): Promise<string | null> {
  const { direct, through, store } = setting;
  for await (const { key } of store.list('snapshots/')) await store.remove(key);
  const clients: RawClient[] = [];
  const model = new Model();
  try {
    for (const side of [direct, through]) {
      await side.control.rows(RESET);
      const prepared = await side.control.rows(
        'select gid from pg_prepared_xacts where database = current_database()',
      );
      for (const [gid] of prepared) await side.control.rows(`rollback prepared '${gid}'`);
      for (const sql of script.setup) await side.control.rows(sql);
      const { client, isUnprovable } = await opened(side, script);
      clients.push(client);
      if (!isUnprovable) continue;
      tally.without++;
      return null;
    }
    const isKnown = new Set((await snapshotsOf(store)).map(({ manifest }) => manifest.id));
    const start = await contents(through.control, 'public');
    let isPure = script.steps.every(
      ({ aside, elsewhere, meanwhile }) => !aside && elsewhere.length === 0 && meanwhile === null,
    );
    let isCounted = script.steps.every(({ aside }) => !aside);
    for (const [i, step] of script.steps.entries()) {
      tally.steps++;
      const told = await runStep(direct, direct.port, clients[0]!, step);
      const toldThrough = await runStep(through, through.port, clients[1]!, step);
      const where = `step ${i}, ${step.what}`;
      if (step.meanwhile?.end === 'terminate' || step.meanwhile?.end === 'vanish') {
        model.gone();
        // It may have been done before.
        isCounted = false;
        isPure = false;
        break;
      }
      if (toldThrough.messages.some((message) => isUnprovable(message))) {
        tally.without++;
        isCounted = false;
        isPure = false;
        break;
      }
      const [wanted, given] = [told, toldThrough].map((each) => shown(each.messages).join('\n    '));
      const [e1, e2] = [told, toldThrough].map((each) => each.elsewhere.join('\n'));
      if (e1 !== e2) return `${where}\n elsewhere differs: ${e1}\n through: ${e2}`;
      model.read(step, toldThrough.messages);
      if (wanted !== given) {
        // Of two faults another may be told: what is asked ahead of a Bind does not read its values.
        if (wanted!.includes('E {') && given!.includes('cached plan must not change result type')) {
          tally.later++;
          break;
        }
        if (
          step.meanwhile !== null &&
          (step.meanwhile.end === 'commit' || (step.meanwhile.end === 'cancel' && !wanted!.includes('57014')))
        ) {
          tally.later++;
          break;
        }
        return `${where}\n  direct:\n    ${wanted}\n  through:\n    ${given}`;
      }
      if (step.what.startsWith('prepare transaction') && wanted!.includes('PREPARE T')) {
        for (const side of [direct, through]) await side.control.rows(`commit prepared 'ahead'`);
        isCounted = false;
        isPure = false;
      }
    }
    for (const client of clients) client.destroy();
    model.gone();
    await untilGone(direct);
    await untilGone(through);
    const left = await leftBehind(store, isKnown, isCounted ? model.committed : null);
    if ('fault' in left) return left.fault;
    tally.snapshots += left.live.length;
    tally.rolledBack += left.rolledBack;
    if (isCounted) tally.counted++;
    const found = isPure ? await undoAll(setting, left.live, start) : null;
    if (found !== null) return found;
    if (isPure) tally.undone += left.live.length;
    tally.sessions++;
    return null;
  } finally {
    for (const client of clients) client.destroy();
  }
}

type Left = { readonly fault: string } | { readonly live: readonly Manifest[]; readonly rolledBack: number };

/** The snapshots, once they are as many as there should be; those of what was rolled back are marked in the background. */
async function leftBehind(
  store: BlobStore,
  isKnown: ReadonlySet<string>,
  wanted: number | null,
): Promise<Left> {
  const deadline = performance.now() + 4000;
  for (;;) {
    const all = (await snapshotsOf(store)).filter(({ manifest }) => !isKnown.has(manifest.id));
    for (const { manifest } of all) {
      const { faults } = await verifySnapshot(store, manifest);
      if (faults.length > 0) return { fault: JSON.stringify(faults) };
    }
    const live = all.filter(({ rolledBack }) => !rolledBack).map(({ manifest }) => manifest);
    if (wanted === null || live.length === wanted) return { live, rolledBack: all.length - live.length };
    if (performance.now() > deadline)
      return { fault: `${live.length} live snapshots of ${all.length}, ${wanted} changes` };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function undoAll(
  { through, store, undoing }: AheadSetting,
  live: readonly Manifest[],
  start: readonly string[],
): Promise<string | null> {
  for (const manifest of live.toReversed()) {
    const outcome = await undo({ store, manifest, session: undoing }, { triggers: 'skip' });
    if (outcome.kind !== 'done') return `undo of ${manifest.id}: ${JSON.stringify(outcome).slice(0, 800)}`;
  }
  const back = differenceOf(start, await contents(through.control, 'public'));
  return back === null ? null : `undone it is not what it was: ${back}`;
}

/** What is to be kept by what the client has been told. */
class Model {
  committed = 0;
  #stack: { name: string; changes: number }[] = [];

  read({ what }: AheadStep, messages: readonly BackendMessage[]): void {
    let inSegment = 0;
    let failed = false;
    for (const message of messages) {
      if (message.type === 'E') {
        failed = true;
        inSegment = 0;
      }
      if (message.type === 's') inSegment++;
      if (message.type === 'C') {
        const tag = message.body.toString('latin1').replace('\0', '');
        const changed = /^(?:UPDATE|DELETE) ([1-9]\d*)$/.exec(tag);
        if (tag === 'BEGIN' || tag === 'START TRANSACTION') {
          if (this.#stack.length === 0) this.#stack = [{ name: '', changes: 0 }];
        } else if (tag === 'COMMIT' || (tag === 'ROLLBACK' && !what.startsWith('rollback to'))) {
          if (tag === 'COMMIT') this.committed += this.#sum();
          this.#stack = what.includes('chain') && this.#stack.length > 0 ? [{ name: '', changes: 0 }] : [];
        } else if (tag === 'SAVEPOINT') this.#stack.push({ name: what.split(' ')[1]!, changes: 0 });
        else if (tag === 'ROLLBACK') {
          const name = what.split(' ')[2]!;
          while (this.#stack.at(-1)!.name !== name) this.#stack.pop();
          this.#stack.at(-1)!.changes = 0;
        } else if (tag === 'RELEASE') {
          const name = what.split(' ')[1]!;
          let sum = 0;
          while (this.#stack.at(-1)!.name !== name) sum += this.#stack.pop()!.changes;
          sum += this.#stack.pop()!.changes;
          this.#stack.at(-1)!.changes += sum;
        } else if (changed !== null) inSegment++;
      }
      if (message.type === 'Z') {
        const status = String.fromCharCode(message.body[0]!);
        if (status === 'I') this.committed += this.#stack.length === 0 && !failed ? inSegment : 0;
        else if (status === 'T' && this.#stack.length > 0) this.#stack.at(-1)!.changes += inSegment;
        if (status === 'I') this.#stack = [];
        inSegment = 0;
        failed = false;
      }
    }
  }

  gone(): void {
    this.#stack = [];
  }

  #sum(): number {
    return this.#stack.reduce((sum, { changes }) => sum + changes, 0);
  }
}

async function opened(
  { port, database }: Side,
  script: AheadScript,
): Promise<{ readonly client: RawClient; readonly isUnprovable: boolean }> {
  const client = await RawClient.open(port, { database, user: script.role });
  for (const sql of script.settings) await client.query(sql);
  // So that there is a plan; one is known again by a shorter question once it has been made twice.
  for (let i = 0; i < 2; i++) await client.query('update kept set note = note where id = 30');
  const told: BackendMessage[] = [];
  for (const bytes of script.warm) {
    client.write(bytes);
    told.push(...(await client.untilReady()));
  }
  return { client, isUnprovable: told.some((message) => isUnprovable(message)) };
}

const RESET = `reset all; set client_min_messages = error; set lock_timeout = '8s';
  select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database()
    and application_name = '' and pid <> pg_backend_pid() and backend_type = 'client backend';
  drop schema public cascade; drop schema if exists nowhere cascade; create schema public;
  grant usage on schema public to public`;

interface Told {
  readonly messages: readonly BackendMessage[];
  readonly elsewhere: readonly string[];
}

async function runStep(
  { control, other }: Side,
  port: number,
  client: RawClient,
  step: AheadStep,
): Promise<Told> {
  const elsewhere: string[] = [];
  if (step.elsewhere.length > 0) {
    await control.rows(`set lock_timeout = '150ms'`);
    for (const sql of step.elsewhere)
      elsewhere.push(
        ...shown(await control.query(sql, DEADLINE_MS))
          .filter((line) => line.startsWith('E'))
          .map((line) => line.slice(0, 40)),
      );
    await control.rows(`set lock_timeout = '8s'`);
  }
  const { meanwhile } = step;
  if (meanwhile !== null) {
    await other.rows(`begin; set local lock_timeout = '150ms'`);
    await other.query(meanwhile.sql);
  }
  client.write(step.bytes);
  const messages: BackendMessage[] = [];
  let isAnswered = false;
  const answer = (async () => {
    for (let i = 0; i < step.ready; i++) messages.push(...(await client.untilReady(DEADLINE_MS)));
    isAnswered = true;
  })();
  answer.catch(() => {
    isAnswered = true;
  });
  if (meanwhile !== null) {
    await untilWaiting(control, () => isAnswered);
    if (meanwhile.end === 'cancel') {
      await cancel(port, client.processId, client.secretKey);
      await answer.catch(() => {});
    }
    if (meanwhile.end === 'terminate') {
      await control.query(`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()
        and application_name = '' and pid <> pg_backend_pid() and backend_type = 'client backend'`);
      await client.untilClosed();
      await answer.catch(() => {});
    }
    if (meanwhile.end === 'vanish') {
      client.reset();
      await answer.catch(() => {});
    }
    await other.query(meanwhile.end === 'commit' ? 'commit' : 'rollback');
  }
  await answer;
  return { messages, elsewhere };
}

async function untilGone({ control }: Side): Promise<void> {
  for (let i = 0; i < 200; i++) {
    const [row] = await control.rows(`select count(*) from pg_stat_activity where datname = current_database()
      and application_name = '' and pid <> pg_backend_pid() and backend_type = 'client backend'`);
    if (row![0] === '0') return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('a session is still there');
}

async function untilWaiting(control: RawClient, isAnswered: () => boolean): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!isAnswered() && performance.now() < deadline) {
    const [row] = await control.rows(`select count(*) from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`);
    if (row![0] !== '0') return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function snapshotsOf(store: BlobStore): Promise<{ manifest: Manifest; rolledBack: boolean }[]> {
  const day = (ms: number) => new Date(ms).toISOString().slice(0, 10);
  const range = { from: day(Date.now() - 86_400_000), to: day(Date.now()) };
  const out: { manifest: Manifest; rolledBack: boolean }[] = [];
  for await (const { folder, rolledBack } of listSnapshots(store, range)) {
    const manifest = await readManifest(store, folder).catch(() => null);
    if (manifest !== null) out.push({ manifest, rolledBack });
  }
  return out.toSorted((a, b) => (a.manifest.id < b.manifest.id ? -1 : 1));
}

function differenceOf(a: readonly string[], b: readonly string[]): string | null {
  const lacks = a.filter((row) => !b.includes(row));
  const has = b.filter((row) => !a.includes(row));
  if (lacks.length + has.length === 0 && a.length === b.length) return null;
  return JSON.stringify({ lacks: lacks.map(cut), has: has.map(cut), rows: [a.length, b.length] });
}

const cut = (row: string): string => row.slice(0, 300);

function isUnprovable(message: BackendMessage): boolean {
  if (message.type !== 'E') return false;
  const { C, D, M } = fieldsOf(message);
  if (C === '40001' && M!.startsWith('could not prove')) return true;
  return C === 'HF002' || UNPROVABLE.some((reason) => `${M} ${D}`.includes(reason));
}

function shown(all: readonly BackendMessage[]): string[] {
  // What a setting has become is told with whatever ends next.
  const messages = [...all.filter(({ type }) => type !== 'S'), ...all.filter(({ type }) => type === 'S')];
  return messages.map((message) => {
    const { type } = message;
    // The OIDs of the tables differ, and so do the numbers of processes.
    if (type === 'T') return `T ${message.body.readUInt16BE(0)}`;
    if (type === 'A') return `A ${message.body.subarray(4).toString('latin1')}`;
    if (type !== 'E' && type !== 'N') return describeMessage(message);
    const { S, C, M, D, H, P, W } = fieldsOf(message);
    return `${type} ${JSON.stringify({ S, C, M: M?.replace(/relation \d+ of database \d+/, ''), D: C === '40P01' ? '' : D, H, P, W: M?.includes('lock') || C === '57014' || C === '55P03' ? '' : W?.replace(/\(\d+,\d+\)/, '') })}`;
  });
}

export const shownAhead = (script: AheadScript): string =>
  JSON.stringify(
    { ...script, warm: undefined, steps: script.steps.map((step) => ({ ...step, bytes: undefined })) },
    null,
    1,
  );
