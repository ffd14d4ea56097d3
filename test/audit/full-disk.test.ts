import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { temporaryFolder } from '../store/temporary-folder.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { SmallDisk } from '../support/small-disk.ts';
import { ChainedStore } from './chained-store.ts';

const DISK_MIB = 6;

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let disk: SmallDisk | null = null;
let postgres: TestPostgres;
let gateway: TestGateway;

beforeAll(async () => {
  folder = await temporaryFolder();
  disk = SmallDisk.mount(join(folder.path, 'disk'), DISK_MIB);
  if (disk === null) return;
  postgres = await startPostgres();
  gateway = await startGateway({
    upstreamPort: postgres.port,
    environment: {
      HOLDFAST_STORE: `sqlite:${join(disk.path, 'holdfast.db')}`,
      HOLDFAST_SNAPSHOTS: `file:${join(disk.path, 'snapshots')}`,
    },
  });
});
afterAll(async () => {
  await gateway?.stop();
  await postgres?.stop();
  disk?.unmount();
  await folder.remove();
});

it('a full disk lets nothing be changed, is told by /readyz, keeps no reader waiting, and loses nothing', async (context) => {
  if (disk === null) return context.skip('only root can mount a small disk');
  const [client, reader] = [await connected(), await connected()];
  await client.query('create table counted (n int)');
  disk.fill();
  const done = await insertUntilItIsRefused(client);
  const { rows: read } = await client.query('select count(*)::int as n from counted');
  expect(read).toEqual([{ n: done }]);
  for (const sql of ['begin', 'select n from counted limit 1', 'commit']) await reader.query(sql);
  await expect(client.query('delete from counted where n = 0')).rejects.toMatchObject({ code: '58030' });
  expect(await gateway.http('/readyz', { token: null })).toMatchObject({
    status: 503,
    body: { status: 'not_ready', problems: ['the audit cannot be stored'] },
  });
  expect((await gateway.http('/v1/status')).body).toMatchObject({ ready: false });
  expect(await gateway.metric('holdfast_audit_failures_total')).toBeGreaterThan(0);
  expect(gateway.log()).toMatch(/the disk of the store .* is full/);
  gateway.assertAlive();

  disk.empty();
  await until(async () => (await gateway.http('/readyz', { token: null })).status === 200);
  const { rows } = await client.query('select count(*)::int as n from counted');
  expect(rows).toEqual([{ n: done }]);
  await client.query('insert into counted values (0)');
  await Promise.all([client.end(), reader.end()]);
  expect(await gateway.terminate()).toBe(0);
  const audit = ChainedStore.at(disk.path);
  const verdict = await audit.verify();
  // CREATE, the two counts, the one that was refused first, the reads, the DELETE, and the last INSERT.
  expect(verdict).toMatchObject({ faults: [], records: done + 9, signedTo: done + 9 });
}, 120_000);

async function connected(): Promise<pg.Client> {
  const client = new pg.Client({
    port: gateway.port,
    host: '127.0.0.1',
    user: 'postgres',
    database: 'postgres',
  });
  await client.connect();
  return client;
}

/** Each statement is another text, so that the audit grows. Gives how many were done. */
async function insertUntilItIsRefused(client: pg.Client): Promise<number> {
  for (let done = 0; ; done++) {
    const padding = Array.from({ length: 100 }, () => Math.random()).join();
    try {
      await client.query(`insert into counted values (${done}) /* ${padding} */`);
    } catch (error) {
      expect(error).toMatchObject({ code: '58030' });
      return done;
    }
  }
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let look = 0; look < 200; look++) {
    if (await condition()) return;
    await sleep(100);
  }
  throw new Error('it did not happen in time');
}
