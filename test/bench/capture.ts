/**
 * `npm run bench:capture -- [--rows 1000000] [--rounds 200] [--bulk 1] [--version 18]`: what a snapshot costs. The same
 * statements directly and through a gateway that snapshots them, on a server and a storage of the same disk: one row
 * updated (as a text, and prepared), a thousand deleted, all of a table deleted, a table dropped. Beside them stands what they cannot be
 * cheaper than: a round trip, a file made durable, and COPY BINARY of the same rows to a file.
 */
import { createWriteStream } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { openBlobStore } from '../../src/blobs/open.ts';
import { readManifest } from '../../src/snapshot/manifest.ts';
import { listSnapshots } from '../../src/snapshot/snapshots.ts';
import * as fe from '../support/frontend-messages.ts';
import { startGateway } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import { peakResidentBytes, residentBytes } from '../support/process-facts.ts';
import { RawClient } from '../support/raw-client.ts';
import { median } from './measure.ts';
import { parsed } from './options.ts';

const { values: options } = parsed(import.meta.url, {
  options: {
    rows: { type: 'string', default: '1000000' },
    rounds: { type: 'string', default: '200' },
    bulk: { type: 'string', default: '1' },
    version: { type: 'string', default: '18' },
  },
});
const ROWS = Number(options.rows);
const ROUNDS = Number(options.rounds);
const BULK_ROUNDS = Number(options.bulk);
const STATEMENT_MS = 600_000;
const POLICY = `
mode: protect
rules:
  - { name: what is lost, match: { operation: [update, delete, drop table] }, action: snapshot }
  - { name: the rest, action: allow }
`;

const postgres = await startPostgres({
  version: options.version === '15' ? 15 : 18,
  settings: { fsync: 'on', shared_buffers: '512MB', max_wal_size: '8GB' },
});
const gateway = await startGateway({
  upstreamPort: postgres.port,
  policy: POLICY,
  environment: { HOLDFAST_SNAPSHOTS_TAKEN: 'on' },
});
const direct = await RawClient.open(postgres.port);
const through = await RawClient.open(gateway.port);
const store = openBlobStore({ kind: 'file', directory: join(gateway.directory, 'snapshots') });

async function timeMs(client: RawClient, sql: string): Promise<number> {
  const began = performance.now();
  await client.rows(sql, STATEMENT_MS);
  return performance.now() - began;
}

async function medianMs(rounds: number, client: RawClient, sql: (round: number) => string): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) times.push(await timeMs(client, sql(round)));
  return median(times);
}

/** Of what has been prepared, whole as drivers send it; both in turn, so that both meet the same load. */
async function preparedMs(rounds: number, from: number): Promise<[direct: number, through: number]> {
  const clients = [direct, through];
  const times: [number[], number[]] = [[], []];
  const parse = fe.parse('one', 'update small set customer = $1 where id = $2');
  for (const client of clients) {
    client.write(parse, fe.sync());
    await client.untilReady();
  }
  for (let round = 0; round < rounds; round++) {
    for (const [i, client] of clients.entries()) {
      const parameters = [String(round), String(from + round * 2 + i)];
      const bytes = [fe.bind({ statement: 'one', parameters }), fe.describe('P'), fe.execute(), fe.sync()];
      const began = performance.now();
      client.write(Buffer.concat(bytes));
      await client.untilReady();
      times[i]!.push(performance.now() - began);
    }
  }
  for (const client of clients) await client.rows('deallocate one');
  return [median(times[0]), median(times[1])];
}

/** The least that a storage costs: a small file, it and its folder made durable. */
async function durableFileMs(): Promise<number> {
  const folder = join(gateway.directory, 'files');
  await mkdir(folder);
  const times: number[] = [];
  for (let round = 0; round < 50; round++) {
    const began = performance.now();
    for (const path of [join(folder, `${round}`), folder]) {
      const file = await open(path, path === folder ? 'r' : 'w');
      if (path !== folder) await file.write('x'.repeat(1000));
      await file.sync();
      await file.close();
    }
    times.push(performance.now() - began);
  }
  return median(times);
}

async function fill(table: string, rows: number): Promise<void> {
  const columns = 'id bigint primary key, customer int, note text, at timestamptz default now()';
  await direct.rows(`drop table if exists ${table}; create table ${table} (${columns})`);
  await direct.rows(
    `insert into ${table} select i, i % 1000, 'row ' || md5(i::text) || md5((-i)::text) from generate_series(1, ${rows}) i`,
    STATEMENT_MS,
  );
  await direct.rows(`vacuum analyze ${table}`, STATEMENT_MS);
  await direct.rows('checkpoint', STATEMENT_MS);
}

async function copyMs(table: string): Promise<number> {
  const client = new pg.Client(postgres.url());
  await client.connect();
  const began = performance.now();
  const path = join(gateway.directory, 'copied');
  await pipeline(client.query(copyTo(`copy ${table} to stdout binary`)), createWriteStream(path));
  const file = await open(path);
  await file.sync();
  await file.close();
  const ms = performance.now() - began;
  await client.end();
  return ms;
}

/** Of the rows as they were, in what COPY BINARY has them, of the newest snapshot. */
async function capturedBytes(): Promise<number> {
  for await (const { folder } of listSnapshots(store, { from: '2026-01-01', to: '2030-12-31' })) {
    const { tables } = await readManifest(store, folder);
    return tables.reduce((sum, { before }) => sum + (before?.raw_bytes ?? 0), 0);
  }
  return 0;
}

const line = (name: string, directMs: number, gatewayMs: number, note = ''): void =>
  console.log(
    `${name.padEnd(34)} ${directMs.toFixed(2).padStart(11)} ${gatewayMs.toFixed(2).padStart(11)}  ${note}`,
  );

interface Bulk {
  readonly copiedMs: number;
  readonly directMs: number;
  readonly gatewayMs: number;
  readonly mb: number;
  readonly grownMb: number;
}

/** All rows copied and deleted directly, and deleted through the gateway, each committed and right after the other. */
async function deleteAll(): Promise<Bulk> {
  await fill('large', ROWS);
  const copiedMs = await copyMs('large');
  const directMs = await timeMs(direct, 'delete from large where id > 0');
  await fill('large', ROWS);
  const before = residentBytes(gateway.pid);
  const gatewayMs = await timeMs(through, 'delete from large where id > 0');
  const grownMb = (peakResidentBytes(gateway.pid) - before) / 1e6;
  return { copiedMs, directMs, gatewayMs, mb: (await capturedBytes()) / 1e6, grownMb };
}

function tellBulk(rounds: readonly Bulk[]): void {
  const of = (value: (round: Bulk) => number) => median(rounds.map(value));
  const mb = of((round) => round.mb);
  const directMs = of((round) => round.directMs);
  const gatewayMs = of((round) => round.gatewayMs);
  line(`delete of ${ROWS.toLocaleString('en')} rows`, directMs, gatewayMs, `${mb.toFixed(0)} MB kept`);
  const rate = (ms: number) => `${((mb / ms) * 1000).toFixed(0)} MB/s`;
  const addedMs = (round: Bulk) => round.gatewayMs - round.directMs;
  const ratio = (round: Bulk) => round.copiedMs / addedMs(round);
  console.log(
    `COPY BINARY of them to a file: ${of(({ copiedMs }) => copiedMs).toFixed(0)} ms, ` +
      `${rate(of(({ copiedMs }) => copiedMs))}; what the snapshot adds: ${rate(of(addedMs))}, ` +
      `${of(ratio).toFixed(2)} of COPY's speed (${rounds.map((round) => ratio(round).toFixed(2)).join(', ')}); ` +
      `memory grew by ${rounds.map(({ grownMb }) => grownMb.toFixed(0)).join(', ')} MB at most`,
  );
}

try {
  await fill('small', 100_000);
  console.log(`${'milliseconds'.padEnd(34)} ${'direct'.padStart(11)} ${'snapshot'.padStart(11)}`);
  const roundTripMs = await medianMs(ROUNDS, through, () => 'select 1');
  line(
    'select 1',
    await medianMs(ROUNDS, direct, () => 'select 1'),
    roundTripMs,
    'not snapshotted: a round trip',
  );
  const fileMs = await durableFileMs();
  line('a small file and its folder, synced', fileMs, fileMs);
  const update = (round: number) => `update small set customer = customer + 1 where id = ${round * 7 + 1}`;
  line('update of one row', await medianMs(ROUNDS, direct, update), await medianMs(ROUNDS, through, update));
  line('update of one row, prepared', ...(await preparedMs(ROUNDS, 20_000)));
  for (const client of [direct, through]) await client.rows('begin');
  line('the same in a transaction', ...(await preparedMs(ROUNDS, 40_000)));
  for (const client of [direct, through]) await client.rows('rollback');
  const some = (from: number) => (round: number) =>
    `delete from small where id > ${from + round * 1000} and id <= ${from + (round + 1) * 1000}`;
  line(
    'delete of 1,000 rows',
    await medianMs(20, direct, some(20_000)),
    await medianMs(20, through, some(50_000)),
  );

  const bulk: Bulk[] = [];
  for (let round = 0; round < BULK_ROUNDS; round++) bulk.push(await deleteAll());
  tellBulk(bulk);

  await fill('large', ROWS);
  const dropMs = await timeMs(direct, 'drop table large');
  await fill('large', ROWS);
  line(
    `drop of a table of ${ROWS.toLocaleString('en')} rows`,
    dropMs,
    await timeMs(through, 'drop table large'),
  );
} finally {
  await store.close();
  await direct.terminate();
  await through.terminate();
  await gateway.stop();
  await postgres.stop();
}
