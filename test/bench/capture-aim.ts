/**
 * `npm run bench:capture-aim -- [--rounds 300] [--delays 0,0.25,1] [--beside FOLDER]`: whether a captured UPDATE of one
 * row takes no longer than the same directly, 2.5 round trips and the storage. All of them are measured in turn, so that
 * all meet the same load: the statement directly and through a gateway, a round trip, and a small file made durable. The
 * delay is that of each direction between gateway and server, in milliseconds, by a relay of its own (delay.ts), and the
 * direct client is as far from the server. FOLDER is another checkout, whose gateway is measured in turn with this one's.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import * as fe from '../support/frontend-messages.ts';
import {
  DEFAULT_POLICY,
  type Middle,
  SNAPSHOTS,
  startGateway,
  startMiddleProcess,
} from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import { errorsOf, RawClient } from '../support/raw-client.ts';
import { median } from './measure.ts';
import { parsed } from './options.ts';

const { values: options } = parsed(import.meta.url, {
  options: {
    rounds: { type: 'string', default: '300' },
    warm: { type: 'string', default: '1000' },
    delays: { type: 'string', default: '0,0.25,1' },
    beside: { type: 'string' },
  },
});
const ROUNDS = Number(options.rounds);
const ROWS = 100_000;
const ROUND_TRIPS = 2.5;

const WAYS = ['as a text', 'prepared', 'in a transaction, as a text', 'in a transaction, prepared'] as const;
type Way = (typeof WAYS)[number];
const isPrepared = (way: Way) => way.endsWith('prepared');
const inTransaction = (way: Way) => way.startsWith('in a transaction');

const postgres = await startPostgres({ settings: { fsync: 'on', shared_buffers: '256MB' } });
await postgres.sql('create table small (id int primary key, customer int, note text) with (fillfactor = 50)');
await postgres.sql(`insert into small select i, 0, md5(i::text) from generate_series(1, ${ROWS}) i`);
const folder = mkdtempSync(join(process.cwd(), 'data-aim-'));

let nextRow = 0;
let nextFile = 0;

async function done(client: RawClient, ...messages: Buffer[]): Promise<void> {
  client.write(Buffer.concat(messages));
  const [error] = errorsOf(await client.untilReady());
  if (error !== undefined) throw new Error(JSON.stringify(error));
}

async function update(client: RawClient, way: Way): Promise<void> {
  const id = String((nextRow++ % ROWS) + 1);
  if (!isPrepared(way))
    return await done(client, fe.query(`update small set customer = customer + 1 where id = ${id}`));
  const bound = fe.bind({ statement: 'one', parameters: [id, id] });
  await done(client, bound, fe.describe('P'), fe.execute(), fe.sync());
}

async function durableFile(): Promise<void> {
  for (const path of [join(folder, `${nextFile++}`), folder]) {
    const file = await open(path, path === folder ? 'r' : 'w');
    if (path !== folder) await file.write('x'.repeat(1000));
    await file.sync();
    await file.close();
  }
}

async function opened(port: number): Promise<RawClient> {
  const client = await RawClient.open(port);
  await done(client, fe.parse('one', 'update small set customer = $1 where id = $2'), fe.sync());
  return client;
}

/** What is measured in each round, and how long it took in each. */
type Measured = Map<string, { readonly run: () => Promise<void>; readonly times: number[] }>;

async function measure(way: Way, direct: RawClient, gateways: readonly RawClient[]): Promise<Measured> {
  const [own] = gateways;
  const measured: Measured = new Map();
  const add = (name: string, run: () => Promise<void>) => measured.set(name, { run, times: [] });
  add('direct', () => update(direct, way));
  add('round trip', () => done(own!, fe.query('select 1')));
  add('file', durableFile);
  for (const [i, client] of gateways.entries())
    add(i === 0 ? 'snapshot' : 'beside', () => update(client, way));
  const clients = [direct, ...gateways];
  if (inTransaction(way)) for (const client of clients) await done(client, fe.query('begin'));
  for (let round = 0; round < ROUNDS; round++) {
    const all = [...measured.values()];
    for (const { run, times } of round % 2 === 0 ? all : all.toReversed()) {
      const began = performance.now();
      await run();
      times.push(performance.now() - began);
    }
  }
  if (inTransaction(way)) for (const client of clients) await done(client, fe.query('rollback'));
  return measured;
}

function line(name: string, times: readonly string[]): void {
  console.log(name.padEnd(30) + times.map((each) => each.padStart(11)).join(''));
}

async function under(delay: string): Promise<void> {
  const stops: { stop(): Promise<void> }[] = [];
  const clients: RawClient[] = [];
  try {
    let port = postgres.port;
    if (Number(delay) > 0) {
      const to = ['--to', String(postgres.port), '--ms', delay];
      const wire: Middle = await startMiddleProcess('test/bench/delay.ts', to);
      stops.push(wire);
      port = wire.port;
    }
    const starts = [startGateway];
    if (options.beside !== undefined) {
      const path = `${options.beside}/test/support/gateway.ts`;
      starts.push((await import(path)).startGateway as typeof startGateway);
    }
    clients.push(await opened(port));
    for (const start of starts) {
      const gateway = await start({ upstreamPort: port, policy: DEFAULT_POLICY, environment: SNAPSHOTS });
      stops.push(gateway);
      clients.push(await opened(gateway.port));
    }
    const [direct, ...gateways] = clients;
    // V8 compiles what runs often enough.
    for (let i = 0; i < Number(options.warm); i++)
      for (const client of gateways) await update(client, WAYS[i % 2]!);
    console.log(`\nmilliseconds, with ${delay} ms of delay in each direction to the server`);
    line('UPDATE of one row', ['direct', 'round trip', 'file', 'aim', 'snapshot', 'of the aim', 'beside']);
    for (const way of WAYS) {
      const measured = await measure(way, direct!, gateways);
      const ms = (name: string) => median(measured.get(name)?.times ?? []);
      const aim = ms('direct') + ROUND_TRIPS * ms('round trip') + ms('file');
      const times = [ms('direct'), ms('round trip'), ms('file'), aim, ms('snapshot')];
      const ratio = (ms('snapshot') / aim).toFixed(2);
      const other = measured.has('beside') ? ms('beside').toFixed(2) : '';
      line(way, [...times.map((each) => each.toFixed(2)), ratio, other]);
    }
  } finally {
    for (const client of clients) await client.terminate();
    for (const each of stops.toReversed()) await each.stop();
  }
}

try {
  for (const delay of options.delays.split(',')) await under(delay);
} finally {
  rmSync(folder, { recursive: true, force: true });
  await postgres.stop();
}
