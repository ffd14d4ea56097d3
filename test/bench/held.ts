/**
 * `npm run bench:held -- [--sessions 500]`: what so many statements that are held cost the gateway in memory, and another
 * session in time. Held beside idle: what is alive after a collection (heap and buffers), and the resident size, which
 * also shows the room that V8 takes for what it has not collected. The sessions have run statements before, so that
 * both looks are at a gateway that has worked.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type MemoryHeld, memoryHeld, withMemoryProbe } from '../robustness/memory-held.ts';
import * as fe from '../support/frontend-messages.ts';
import { startGateway } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import { residentBytes } from '../support/process-facts.ts';
import { RawClient } from '../support/raw-client.ts';
import { parsed } from './options.ts';

const { values } = parsed(import.meta.url, {
  options: { sessions: { type: 'string', default: '500' }, rounds: { type: 'string', default: '300' } },
});
const SESSIONS = Number(values.sessions);
const ROUNDS = Number(values.rounds);
const PROBES = 500;
/** So many are held and denied before, so that the code for it is there. */
const WARM_UP = 30;

const POLICY = `mode: protect
rules:
  - name: deletes wait
    match: { operation: [delete] }
    action: hold
    hold: { mode: live }
`;

const SCHEMA = `
  create table orders (id int primary key, note text);
  insert into orders select n, repeat(md5(n::text), 4) from generate_series(1, 20000) n;
  create table lines (id int primary key, order_id int references orders on delete cascade);
  insert into lines select n, 1 + n % 20000 from generate_series(1, 40000) n;
  create index on lines (order_id);
  analyze`;

interface Look {
  readonly held: MemoryHeld;
  readonly resident: number;
}

const postgres = await startPostgres({ settings: { max_connections: String(SESSIONS + 50) } });
await postgres.sql(SCHEMA);
const environment = { ...withMemoryProbe(), HOLDFAST_SNAPSHOTS_TAKEN: 'off' };
const gateway = await startGateway({ upstreamPort: postgres.port, policy: POLICY, environment });
try {
  const sessions: RawClient[] = [];
  for (let n = 0; n < SESSIONS; n++) sessions.push(await RawClient.open(gateway.port));
  const other = await RawClient.open(gateway.port);
  for (let round = 0; round < ROUNDS; round++) {
    const id = round * 10;
    await Promise.all(
      sessions.map((client, n) => client.rows(`select note from orders where id = ${id + n}`, 60_000)),
    );
  }
  await warmUp(sessions.slice(0, WARM_UP));
  const idle = await look();
  const idleMs = await latencies(other);
  const began = performance.now();
  for (const [n, client] of sessions.entries())
    client.write(fe.query(`delete from orders where id between ${n} and ${n + 10} and note like '%${n}%'`));
  for (const client of sessions) await client.untilCountWithType('N', 1, 120_000);
  const toldMs = performance.now() - began;
  const heldMs = await latencies(other);
  const pending = (await untilPreviewed()).length;
  if (pending !== SESSIONS) throw new Error(`${pending} are pending, not ${SESSIONS}`);
  const previewedMs = performance.now() - began;
  const held = await look();
  const quietMs = await latencies(other);
  tell(`${SESSIONS} sessions idle`, idle);
  tell(`${SESSIONS} statements held`, held);
  const bytes = alive(held) - alive(idle);
  console.log(`alive for each that is held: ${(bytes / SESSIONS / 1024).toFixed(1)} KiB`);
  console.log(
    `all told that they are held in ${seconds(toldMs)}, all previews there in ${seconds(previewedMs)}`,
  );
  console.log(`another session: ${idleMs} when idle, ${heldMs} with previews being made, ${quietMs} after`);
  for (const client of [...sessions, other]) client.destroy();
} finally {
  await gateway.stop();
  await postgres.stop();
}

async function warmUp(clients: readonly RawClient[]): Promise<void> {
  for (const client of clients) client.write(fe.query('delete from orders where id < 0'));
  for (const client of clients) await client.untilCountWithType('N', 1, 60_000);
  for (const id of await untilPreviewed())
    await gateway.http(`/v1/approvals/${id}/deny`, { method: 'POST', body: {} });
  for (const client of clients) await client.untilReady();
}

async function look(): Promise<Look> {
  await sleep(2_000);
  const resident = residentBytes(gateway.pid);
  return { resident, held: await memoryHeld(gateway) };
}

function alive({ held: { heapUsed, arrayBuffers } }: Look): number {
  return heapUsed + arrayBuffers;
}

function tell(when: string, { held, resident }: Look): void {
  const mib = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
  console.log(
    `${when}: heap ${mib(held.heapUsed)}, buffers ${mib(held.arrayBuffers)}, resident ${mib(resident)}`,
  );
}

async function latencies(client: RawClient): Promise<string> {
  const took: number[] = [];
  for (let n = 0; n < PROBES; n++) {
    const began = performance.now();
    await client.rows('select 1');
    took.push(performance.now() - began);
  }
  took.sort((a, b) => a - b);
  return `p50 ${took[PROBES / 2]!.toFixed(2)} ms, p99 ${took[Math.floor(PROBES * 0.99)]!.toFixed(2)} ms`;
}

/** Of all that wait. */
async function untilPreviewed(): Promise<readonly string[]> {
  let before = '';
  const waiting = new Set<string>();
  do {
    const { body } = await gateway.http(`/v1/approvals?state=pending&limit=100${before}`);
    const { items, next } = body as { items: { id: string }[]; next: string | null };
    for (const { id } of items) waiting.add(id);
    before = next === null ? '' : `&cursor=${encodeURIComponent(next)}`;
  } while (before !== '');
  for (const id of waiting) {
    while (
      ((await gateway.http(`/v1/approvals/${id}/preview`)).body as { state: string }).state === 'pending'
    )
      await sleep(200);
  }
  return [...waiting];
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
