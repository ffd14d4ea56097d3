import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { fromManifest, type Manifest, readManifest } from '../../src/snapshot/manifest.ts';
import { readRows } from '../../src/snapshot/row-file-reader.ts';
import { allDays, listSnapshots, verifySnapshot } from '../../src/snapshot/snapshots.ts';
import * as fe from '../support/frontend-messages.ts';
import { startGateway } from '../support/gateway.ts';
import type { TestPostgres } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';
import { Random } from '../support/random.ts';
import { RawClient } from '../support/raw-client.ts';
import { auditFaults } from './audit-verified.ts';

/**
 * Kills the gateway with SIGKILL while sixteen clients destroy, and compares what is committed with what is
 * recorded: whatever was committed has one whole snapshot, and a snapshot without its statement is of a transaction
 * that the server says was aborted.
 */

const POLICY = `
mode: protect
without_plan: block
rules:
  - { name: what goes, match: { operation: [delete, update] }, action: snapshot }
  - { name: the rest, action: allow }
`;

const WRITERS = 16;
const ROWS_AT_ONCE = 3;
/** Before the kill at the earliest and the latest, counted from when the writers have begun. */
const KILL_AFTER_MS = [100, 1_000] as const;

export interface KillResult {
  /** What is wrong, in words. */
  readonly problems: string[];
  readonly statements: number;
  readonly committed: number;
  readonly snapshots: number;
  /** How far statements were that had no answer when the gateway was killed. */
  readonly cutOff: Record<'before the snapshot' | 'before the commit' | 'before the answer', number>;
}

/** A statement that was sent, about the rows from `first` on. */
interface Attempt {
  readonly first: number;
  /** The client read all answers, and what it was told was a commit, or a rollback. */
  told: 'committed' | 'rolled back' | null;
}

interface Way {
  readonly messages: (first: number, last: number) => Buffer[];
  readonly segments: number;
  readonly commits: boolean;
}

const DELETE = 'delete from precious where id between';
const UPDATE = `update precious set note = 'changed' where id between`;
const extended = (sql: string) => (first: number, last: number) => [
  fe.parse('', `${sql} $1 and $2`, [23, 0]),
  fe.bind({ parameterFormats: [1, 0], parameters: [fe.int32(first), String(last)] }),
  fe.execute(),
];
const query = (sql: string) => (first: number, last: number) => [fe.query(`${sql} ${first} and ${last}`)];
/** As it is run in the round trip in which its row is captured. */
const queryOfOne = (sql: string) => (first: number) => [fe.query(sql.replace(' between', ` = ${first}`))];
const extendedOfOne = (sql: string) => (first: number) => [
  fe.parse('', sql.replace(' between', ' = $1')),
  fe.bind({ parameters: [String(first)] }),
  fe.execute(),
];
const block =
  (inner: (first: number, last: number) => Buffer[], end: string) => (first: number, last: number) => [
    fe.query('begin'),
    ...inner(first, last),
    fe.query(end),
  ];
const synced = (inner: (first: number, last: number) => Buffer[]) => (first: number, last: number) => [
  ...inner(first, last),
  fe.sync(),
];

const WAYS: readonly Way[] = [DELETE, UPDATE].flatMap((sql) => [
  { messages: query(sql), segments: 1, commits: true },
  { messages: queryOfOne(sql), segments: 1, commits: true },
  { messages: queryOfOne(sql), segments: 1, commits: true },
  { messages: synced(extendedOfOne(sql)), segments: 1, commits: true },
  { messages: synced(extendedOfOne(sql)), segments: 1, commits: true },
  { messages: block(queryOfOne(sql), 'commit'), segments: 3, commits: true },
  { messages: block(synced(extendedOfOne(sql)), 'commit'), segments: 3, commits: true },
  { messages: block(synced(extendedOfOne(sql)), 'rollback'), segments: 3, commits: false },
  { messages: synced(extended(sql)), segments: 1, commits: true },
  { messages: block(query(sql), 'commit'), segments: 3, commits: true },
  { messages: block(synced(extended(sql)), 'commit'), segments: 3, commits: true },
  { messages: block(synced(extended(sql)), 'rollback'), segments: 3, commits: false },
]);

export async function killOnce(postgres: TestPostgres, seed: number): Promise<KillResult> {
  const random = new Random(seed);
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-kill-'));
  await postgres.sql(`drop table if exists precious; create table precious (id int primary key, note text);
    insert into precious select i, 'row ' || i from generate_series(1, 30000) i`);
  const gateway = await startGateway({
    upstreamPort: postgres.port,
    policy: POLICY,
    environment: { HOLDFAST_SNAPSHOTS_TAKEN: 'on', HOLDFAST_SNAPSHOTS: `file:${directory}` },
  });
  try {
    const attempts: Attempt[] = [];
    const clients = await Promise.all(Array.from({ length: WRITERS }, () => RawClient.open(gateway.port)));
    const writers = clients.map((client, i) => write(client, new Random(seed * 100 + i), attempts));
    await eventually(
      'the first answers',
      () => (attempts.length > WRITERS ? null : 'nobody has one'),
      20_000,
    );
    await new Promise((resolve) => setTimeout(resolve, random.between(...KILL_AFTER_MS)));
    await gateway.killHard();
    await Promise.all(writers);
    for (const client of clients) client.destroy();
    await eventually('the ends of all sessions', async () => {
      const open = await postgres.clientSessions();
      return open === 0 ? null : `${open} are open`;
    });
    const store = new DirectoryBlobStore(directory);
    const path = join(gateway.directory, 'h.db');
    const faults = await auditFaults(path, store);
    faults.push(...(await goesOn(postgres, path, directory)), ...(await auditFaults(path, store)));
    const compared = await compare(postgres, store, attempts);
    return { ...compared, problems: [...faults, ...compared.problems] };
  } finally {
    await gateway.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Another gateway starts where that one was killed, which records what was under way as lost, and stops. */
async function goesOn(postgres: TestPostgres, path: string, directory: string): Promise<string[]> {
  const next = await startGateway({
    upstreamPort: postgres.port,
    policy: POLICY,
    environment: { HOLDFAST_STORE: `sqlite:${path}`, HOLDFAST_SNAPSHOTS: `file:${directory}` },
  });
  const exit = await next.terminate();
  await next.stop();
  return exit === 0 ? [] : [`the gateway behind the killed one ended with ${exit}: ${next.log()}`];
}

let nextRow = 0;

/** Destroys row after row, each in some way, until the connection is gone. */
async function write(client: RawClient, random: Random, attempts: Attempt[]): Promise<void> {
  while (true) {
    const way = random.pick(WAYS);
    nextRow = (nextRow + ROWS_AT_ONCE) % 29_000;
    const attempt: Attempt = { first: nextRow + 1, told: null };
    attempts.push(attempt);
    client.write(...way.messages(attempt.first, nextRow + random.between(1, ROWS_AT_ONCE)));
    for (let ready = 0; ready < way.segments; ) {
      const message = await client.next(20_000);
      if (message === null) return;
      if (message.type === 'E') throw new Error(message.body.toString());
      if (message.type === 'Z') ready++;
    }
    attempt.told = way.commits ? 'committed' : 'rolled back';
  }
}

async function compare(
  postgres: TestPostgres,
  store: BlobStore,
  attempts: readonly Attempt[],
): Promise<KillResult> {
  const problems: string[] = [];
  const untouched = new Set(
    (await postgres.sql(`select id from precious where note like 'row %'`)).map(([id]) => Number(id)),
  );
  const snapshots = new Map<number, Manifest>();
  for await (const { folder, id } of listSnapshots(store, allDays(Date.now()))) {
    const manifest = await readManifest(store, folder);
    const { faults } = await verifySnapshot(store, manifest);
    if (faults.length > 0) problems.push(`${id} is damaged: ${JSON.stringify(faults)}`);
    else snapshots.set(await firstRow(store, manifest), manifest);
  }
  const cutOff = { 'before the snapshot': 0, 'before the commit': 0, 'before the answer': 0 };
  let committed = 0;
  for (const { first, told } of attempts) {
    const isCommitted = !untouched.has(first);
    const manifest = snapshots.get(first);
    if (isCommitted) committed++;
    if (told !== null && (told === 'committed') !== isCommitted) {
      problems.push(`row ${first} was told to be ${told}, and is not`);
    }
    if (told === null) {
      const where = isCommitted ? 'answer' : manifest === undefined ? 'snapshot' : 'commit';
      cutOff[`before the ${where}`]++;
    }
    if (manifest === undefined) {
      if (isCommitted) problems.push(`row ${first} is gone without a snapshot`);
      continue;
    }
    const [row] = await postgres.sql(`select pg_xact_status('${manifest.xid}'::xid8)`);
    const wanted = isCommitted ? 'committed' : 'aborted';
    if (row![0] !== wanted) problems.push(`${manifest.id} of row ${first} is ${row![0]}, and not ${wanted}`);
  }
  await store.close();
  return { problems, statements: attempts.length, committed, snapshots: snapshots.size, cutOff };
}

async function firstRow(store: BlobStore, manifest: Manifest): Promise<number> {
  const ids: number[] = [];
  // Two bytes count the fields, and four tell how long the first is.
  for await (const row of readRows(store, fromManifest(manifest.tables[0]!.before!)))
    ids.push(row.readInt32BE(6));
  return Math.min(...ids);
}
