import { afterAll, beforeAll, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';
import { RawClient } from '../support/raw-client.ts';
import { memoryHeld, withMemoryProbe } from './memory-held.ts';

const KIB = 1024;
const HELD = 64;
/** It takes about 10; a buffer of Node's pool that is kept would take up to 64 more. */
const KIB_EACH_MAX = 24;

let postgres: TestPostgres;
let gateway: TestGateway;
const clients: RawClient[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
  await postgres.sql('create table precious (id int primary key, note text)');
  const policy =
    'rules:\n  - name: waits\n    match: { operation: [delete] }\n    action: hold\n    hold: { mode: live }\n';
  gateway = await startGateway({ upstreamPort: postgres.port, policy, environment: withMemoryProbe() });
  for (let n = 0; n < HELD; n++) clients.push(await RawClient.open(gateway.port));
});
afterAll(async () => {
  for (const client of clients) client.destroy();
  await gateway?.stop();
  await postgres?.stop();
});

/** One of the simple protocol, the next of the extended one, and so on. */
function send(client: RawClient, n: number): void {
  if (n % 2 === 0) return client.write(fe.query(`delete from precious where id = ${n}`));
  client.write(fe.parse('', 'delete from precious where id = $1'));
  client.write(fe.bind({ parameters: [String(n)] }), fe.execute(), fe.sync());
}

async function holdAll(): Promise<readonly string[]> {
  for (const [n, client] of clients.entries()) send(client, n);
  for (const client of clients) await client.untilCountWithType('N', 1, 20_000);
  const { body } = await gateway.http('/v1/approvals?state=pending&limit=100');
  const ids = (body as { items: { id: string }[] }).items.map(({ id }) => id);
  expect(ids).toHaveLength(HELD);
  for (const id of ids)
    await eventually(`the preview of ${id}`, async () => {
      const { body } = await gateway.http(`/v1/approvals/${id}/preview`);
      return (body as { state: string }).state === 'ready' ? null : 'being made';
    });
  return ids;
}

it(`keeps less than ${KIB_EACH_MAX} KiB for a statement that is held`, async () => {
  // Once before, so that the code for it is there.
  for (const id of await holdAll())
    await gateway.http(`/v1/approvals/${id}/deny`, { method: 'POST', body: {} });
  for (const client of clients) await client.untilReady();
  const idle = await memoryHeld(gateway);
  await holdAll();
  const held = await memoryHeld(gateway);
  const bytes = held.heapUsed + held.arrayBuffers - idle.heapUsed - idle.arrayBuffers;
  expect(bytes / HELD / KIB).toBeLessThan(KIB_EACH_MAX);
}, 60_000);
