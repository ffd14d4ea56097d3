/**
 * `npm run bench:capture-cpu -- [--statements 3000] [--warm 3000] [--clients 1] [--prepared] [--beside FOLDER]`: the CPU
 * that one captured UPDATE of one row takes, of each thread of the gateway and of the server's process, as the kernel
 * counts it. Threads that have nothing to do cost nothing, so that it can be told on a machine that others use, where
 * times say little. FOLDER is another checkout, whose gateway is measured in turn with this one's.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import * as fe from '../support/frontend-messages.ts';
import { DEFAULT_POLICY, SNAPSHOTS, startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import { errorsOf, RawClient } from '../support/raw-client.ts';
import { median } from './measure.ts';
import { parsed } from './options.ts';

const { values: options } = parsed(import.meta.url, {
  options: {
    statements: { type: 'string', default: '3000' },
    warm: { type: 'string', default: '3000' },
    clients: { type: 'string', default: '1' },
    prepared: { type: 'boolean', default: false },
    beside: { type: 'string' },
  },
});
const CLIENTS = Number(options.clients);
const TURN = 500;
const ROWS = 100_000;
/** For what is written behind a turn, such as the audit's last events. */
const REST_MS = 150;

interface Side {
  readonly name: string;
  readonly gateway: TestGateway;
  readonly clients: readonly RawClient[];
  readonly microseconds: Map<string, number>;
  readonly milliseconds: number[];
}

const postgres = await startPostgres({ settings: { fsync: 'on', shared_buffers: '256MB' } });
await postgres.sql('create table small (id int primary key, customer int, note text) with (fillfactor = 50)');
await postgres.sql(`insert into small select i, 0, md5(i::text) from generate_series(1, ${ROWS}) i`);

/** The gateway of a checkout, by that checkout's own support. */
async function open(folder: string | null): Promise<Side> {
  const path = `${folder}/test/support/gateway.ts`;
  const start = folder === null ? startGateway : ((await import(path)).startGateway as typeof startGateway);
  const policy = DEFAULT_POLICY;
  const gateway = await start({ upstreamPort: postgres.port, policy, environment: SNAPSHOTS });
  const clients: RawClient[] = [];
  for (let i = 0; i < CLIENTS; i++) clients.push(await RawClient.open(gateway.port));
  for (const client of clients) {
    client.write(fe.parse('one', 'update small set customer = $1 where id = $2'), fe.sync());
    await client.untilReady();
  }
  return { name: folder ?? 'this checkout', gateway, clients, microseconds: new Map(), milliseconds: [] };
}

async function update(client: RawClient, id: number): Promise<void> {
  if (options.prepared) {
    const parameters = [String(id % 1000), String(id)];
    const bound = [fe.bind({ statement: 'one', parameters }), fe.describe('P'), fe.execute(), fe.sync()];
    client.write(Buffer.concat(bound));
  } else client.write(fe.query(`update small set customer = customer + 1 where id = ${id}`));
  const [error] = errorsOf(await client.untilReady());
  if (error !== undefined) throw new Error(JSON.stringify(error));
}

/** Each client has rows of its own, so that none waits for another. */
async function run({ clients }: Side, from: number): Promise<void> {
  const share = ROWS / CLIENTS;
  const each = async (client: RawClient, which: number) => {
    for (let i = 0; i < TURN / CLIENTS; i++)
      await update(client, Math.floor(which * share + ((from + i * 7) % share)) + 1);
  };
  await Promise.all(clients.map(each));
}

function threads({ gateway, clients }: Side): Map<string, number> {
  const out = new Map<string, number>();
  const count = (name: string, pid: number, thread: string) => {
    const [ran] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ');
    out.set(name, (out.get(name) ?? 0) + Number(ran) / 1000);
  };
  for (const thread of readdirSync(`/proc/${gateway.pid}/task`))
    count(readFileSync(`/proc/${gateway.pid}/task/${thread}/comm`, 'utf8').trim(), gateway.pid, thread);
  for (const { processId } of clients) count("the server's process", processId, String(processId));
  return out;
}

async function turn(side: Side, from: number): Promise<void> {
  const before = threads(side);
  const began = performance.now();
  await run(side, from);
  side.milliseconds.push(((performance.now() - began) * CLIENTS) / TURN);
  await pause(REST_MS);
  for (const [name, after] of threads(side))
    side.microseconds.set(name, (side.microseconds.get(name) ?? 0) + after - (before.get(name) ?? 0));
}

const sides = [await open(null), ...(options.beside === undefined ? [] : [await open(options.beside)])];
try {
  for (let at = 0; at < Number(options.warm); at += TURN) for (const side of sides) await run(side, at);
  let turns = 0;
  for (; turns * TURN < Number(options.statements); turns++)
    for (const side of turns % 2 === 0 ? sides : sides.toReversed()) await turn(side, turns * TURN);
  for (const { name, microseconds, milliseconds } of sides) {
    console.log(
      `${name}, µs of CPU for each UPDATE (${median(milliseconds).toFixed(2)} ms as the client waits)`,
    );
    const sorted = [...microseconds].map(([thread, sum]) => [thread, sum / turns / TURN] as const);
    for (const [thread, each] of sorted.sort((a, b) => b[1] - a[1]))
      if (each >= 1) console.log(`  ${thread.padEnd(24)} ${each.toFixed(0).padStart(6)}`);
  }
} finally {
  for (const { clients, gateway } of sides) {
    for (const client of clients) await client.terminate();
    await gateway.stop();
  }
  await postgres.stop();
}
