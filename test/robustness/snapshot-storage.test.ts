import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifyAudit } from '../../src/audit/verify.ts';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { openSqliteAuditSource } from '../../src/store/sqlite-audit-source.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';
import * as fe from '../support/frontend-messages.ts';
import { DEFAULT_POLICY, SNAPSHOTS, startGateway, type TestGateway } from '../support/gateway.ts';
import { freePort } from '../support/ports.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';
import { errorsOf, RawClient } from '../support/raw-client.ts';
import { SmallDisk } from '../support/small-disk.ts';

const STALL_DISK = new URL('stall-disk.ts', import.meta.url).href;
const TEST_MS = 240_000;
const ALL_BEST_EFFORT = 'rules: [{ name: all, action: snapshot, snapshot: best_effort }]\n';

let postgres: TestPostgres;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
const gateways: TestGateway[] = [];
let lastStart: Promise<unknown> = Promise.resolve();
const disks: SmallDisk[] = [];

beforeAll(async () => {
  folder = await temporaryFolder();
  postgres = await startPostgres();
});
afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.stop()));
  await postgres?.stop();
  for (const disk of disks) disk.unmount();
  await folder?.remove();
});

/** A gateway with its snapshots there, and a client with a table of its own of 100 rows that do not compress. */
async function gatewayWith(name: string, snapshots: string, policy = DEFAULT_POLICY, environment = {}) {
  // One after the other, since all of them at once would keep each from being ready in time.
  const starting = lastStart.then(() =>
    startGateway({
      upstreamPort: postgres.port,
      policy,
      environment: { ...SNAPSHOTS, HOLDFAST_SNAPSHOTS: snapshots, ...environment },
    }),
  );
  lastStart = starting.catch(() => {});
  const gateway = await starting;
  gateways.push(gateway);
  await postgres.sql(`create table ${name} as
    select i as id, (select string_agg(md5(n || '-' || i), '') from generate_series(1, 1000) n) as note
    from generate_series(1, 100) i; alter table ${name} add primary key (id)`);
  const client = await RawClient.open(gateway.port);
  const codes = async (sql: string) => errorsOf(await client.query(sql)).map(({ C }) => C);
  const ready = async (question = '') => await gateway.http(`/readyz${question}`, { token: null });
  const readyIs = async (status: number) =>
    await eventually(
      `/readyz says ${status}`,
      async () => {
        const { status: now, text } = await ready();
        return now === status ? null : text;
      },
      25_000,
    );
  return { gateway, client, codes, ready, readyIs, table: name };
}
type Watched = Awaited<ReturnType<typeof gatewayWith>>;

function mounted(name: string): SmallDisk | null {
  const disk = SmallDisk.mount(join(folder.path, name), 2);
  if (disk !== null) disks.push(disk);
  return disk;
}

const update = (table: string, rows: number) => `update ${table} set note = 'x' where id <= ${rows}`;

describe.concurrent('/readyz and the storage of the snapshots', () => {
  it(
    'tells of a disk that is full, and of the end of that while nothing is captured',
    async (context) => {
      const disk = mounted('full');
      if (disk === null) return context.skip('only root can mount a small disk');
      const place = join(disk.path, 'snapshots');
      const { gateway, codes, ready, readyIs, table } = await gatewayWith('filled', `file:${place}`);
      expect(await codes(update(table, 1))).toEqual([]);
      expect((await ready()).body).toMatchObject({
        checks: [{}, {}, { name: 'snapshots', status: 'ok' }, {}],
      });
      const beganMs = Date.now();
      disk.fill();
      expect(await codes(update(table, 100))).toEqual(['HF002']);
      await readyIs(503);
      const { body } = await ready();
      expect(body).toMatchObject({
        status: 'not_ready',
        problems: [
          `no snapshot can be stored in ${place}: there is no space left for the snapshots in ${place}`,
        ],
      });
      const check = (body as { checks: { name: string; since: string }[] }).checks.find(
        (each) => each.name === 'snapshots',
      )!;
      expect(check).toMatchObject({
        ...{ status: 'failing', where: place, refuses: true },
        hint: 'Make room, or name another place in "snapshots".',
      });
      expect(Date.parse(check.since)).toBeGreaterThan(beganMs - 1_000);
      expect((await ready('?exclude=snapshots')).status).toBe(200);
      expect((await gateway.http('/v1/status')).body).toMatchObject({ ready: false });
      expect(await gateway.metric('holdfast_snapshot_storage_failing')).toBe(1);
      expect(await gateway.metric('holdfast_snapshot_storage_failures_total')).toBeGreaterThan(0);
      expect(gateway.log()).toContain('snapshots cannot be stored');
      // Reads, and what needs no snapshot, go on.
      expect(await codes(`select count(*) from ${table}; insert into ${table} values (101, '')`)).toEqual([]);
      disk.empty();
      await readyIs(200);
      expect(await gateway.metric('holdfast_snapshot_storage_failing')).toBe(0);
      expect(await codes(update(table, 100))).toEqual([]);
    },
    TEST_MS,
  );

  it(
    'tells of a disk that is read-only, and then not there',
    async (context) => {
      const disk = mounted('gone');
      if (disk === null) return context.skip('only root can mount a small disk');
      const { codes, readyIs, table } = await gatewayWith('gone', `file:${disk.path}/snapshots`);
      expect(await codes(update(table, 1))).toEqual([]);
      disk.writable(false);
      expect(await codes(update(table, 1))).toEqual(['HF002']);
      await readyIs(503);
      disk.writable(true);
      await readyIs(200);
      disk.unmount();
      expect(await codes(update(table, 1))).toEqual(['HF002']);
      await readyIs(503);
      execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', disk.path]);
      mkdirSync(join(disk.path, 'snapshots/.unfinished'), { recursive: true });
      await readyIs(200);
      expect(await codes(update(table, 1))).toEqual([]);
    },
    TEST_MS,
  );

  it(
    'stays at 200 where every rule can do without a snapshot, and names it',
    async (context) => {
      const disk = mounted('effort');
      if (disk === null) return context.skip('only root can mount a small disk');
      const watched = await gatewayWith('effort', `file:${disk.path}/snapshots`, ALL_BEST_EFFORT);
      const { gateway, codes, ready, table } = watched;
      disk.writable(false);
      expect(await codes(update(table, 100))).toEqual([]);
      await eventually('it is known', async () =>
        (await gateway.metric('holdfast_snapshot_storage_failing')) === 1 ? null : 'it is not',
      );
      const { status, body } = await ready();
      expect(status).toBe(200);
      expect(body).toMatchObject({ status: 'ready', problems: [] });
      expect((body as { checks: unknown[] }).checks[2]).toMatchObject({ status: 'failing', refuses: false });
      const { body: told } = await gateway.http('/v1/status');
      expect(told).toMatchObject({ ready: true, snapshots_problem: expect.stringContaining('read-only') });
      disk.writable(true);
    },
    TEST_MS,
  );

  it(
    'keeps nobody waiting behind one that stalls where a rule can do without a snapshot, once that is known',
    async () => {
      const disk = join(folder.path, 'stalled_effort');
      mkdirSync(disk);
      execFileSync('mkfifo', [join(disk, 'pipe')]);
      const watched = await gatewayWith('stalled_effort', `file:${disk}/snapshots`, ALL_BEST_EFFORT, {
        ...{ STALLED_DISK: disk, NODE_OPTIONS: `--import=${STALL_DISK}` },
        HOLDFAST_LIMITS_DRAIN_TIMEOUT: '500ms',
      });
      const { gateway, codes, table } = watched;
      const other = await RawClient.open(gateway.port);
      await postgres.sql('create table also_stalled (id int)');
      expect(await codes(update(table, 1))).toEqual([]);
      writeFileSync(join(disk, 'stalled'), 'snapshots');
      other.write(fe.query(`delete from ${table} where id = 100`));
      await eventually('it is known', async () =>
        (await gateway.metric('holdfast_snapshot_storage_failing')) === 1 ? null : 'it is not',
      );
      const beganMs = performance.now();
      for (const sql of [update(table, 2), 'truncate also_stalled', 'drop table also_stalled'])
        expect(await codes(sql)).toEqual([]);
      expect(performance.now() - beganMs).toBeLessThan(5_000);
      const { body } = await gateway.http('/v1/audit?limit=10');
      const { items } = body as { items: { sql: string; snapshot: string }[] };
      expect(items.find(({ sql }) => sql === update(table, 2))).toMatchObject({
        ...{ end: 'completed', snapshot: 'none: the storage of the snapshots does not answer' },
      });
      answers(disk);
      expect(errorsOf(await other.untilReady(60_000))).toEqual([]);
      await eventually('it works', async () =>
        (await gateway.metric('holdfast_snapshot_storage_failing')) === 0 ? null : 'it does not',
      );
      expect(await codes(update(table, 3))).toEqual([]);
      other.destroy();
    },
    TEST_MS,
  );

  it(
    'tells of a bucket that is gone, which it seldom asks for, and that is there again',
    async () => {
      const port = await freePort();
      const bucket = new Bucket(port);
      await bucket.open();
      const { codes, readyIs, table } = await gatewayWith(
        'bucket',
        `s3://before@http://127.0.0.1:${port}`,
        undefined,
        {
          ...{ AWS_ACCESS_KEY_ID: 'any', AWS_SECRET_ACCESS_KEY: 'any' },
        },
      );
      expect(await codes(update(table, 1))).toEqual([]);
      bucket.refuses = true;
      expect(await codes(update(table, 1))).toEqual(['HF002']);
      await readyIs(503);
      bucket.probes = 0;
      await new Promise((resolve) => setTimeout(resolve, 9_000));
      expect(bucket.probes).toBeLessThan(3);
      bucket.refuses = false;
      await readyIs(200);
      const { probes } = bucket;
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      expect(bucket.probes).toBe(probes);
      await bucket.close();
    },
    TEST_MS,
  );

  it.each(['snapshots', 'snapshots store'])(
    'tells of %s that stall, behind which a stop ends all the same',
    async (stalled) => {
      const name = stalled.replace(' ', '_');
      const disk = join(folder.path, name);
      mkdirSync(disk);
      execFileSync('mkfifo', [join(disk, 'pipe')]);
      const watched = await gatewayWith(name, `file:${disk}/snapshots`, DEFAULT_POLICY, {
        ...{ STALLED_DISK: disk, NODE_OPTIONS: `--import=${STALL_DISK}` },
        HOLDFAST_LIMITS_DRAIN_TIMEOUT: '500ms',
      });
      const { gateway, client, codes, readyIs, table } = watched;
      expect(await codes(update(table, 1))).toEqual([]);
      writeFileSync(join(disk, 'stalled'), stalled);
      client.write(fe.query(update(table, 2)));
      await readyIs(503);
      if (stalled === 'snapshots') await goesOn(watched, disk);
      const beganMs = performance.now();
      expect(await gateway.terminate()).toBe('SIGTERM');
      expect(performance.now() - beganMs).toBeLessThan(30_000);
      expect(gateway.log()).toContain('the process ends without them');
      const source = openSqliteAuditSource(join(gateway.directory, 'h.db'));
      const { faults, records, signedTo } = await verifyAudit(
        source,
        new DirectoryBlobStore(join(disk, 'snapshots')),
        null,
      );
      source.close();
      expect(faults).toEqual([]);
      if (stalled === 'snapshots') expect(signedTo).toBe(records);
    },
    TEST_MS,
  );
});

/** What is stalled is answered, and nothing stalls any more. */
function answers(disk: string): void {
  rmSync(join(disk, 'stalled'));
  execFileSync('sh', [
    '-c',
    'for i in 1 2 3 4 5 6 7 8 9; do timeout 1 sh -c ": > $0" || exit 0; done',
    join(disk, 'pipe'),
  ]);
}

/** It works again, and stalls once more. */
async function goesOn({ client, readyIs, table }: Watched, disk: string): Promise<void> {
  answers(disk);
  expect(errorsOf(await client.untilReady())).toEqual([]);
  await readyIs(200);
  writeFileSync(join(disk, 'stalled'), 'snapshots');
  client.write(fe.query(update(table, 3)));
  await new Promise((resolve) => setTimeout(resolve, 500));
}

/** As much of S3 as takes what is put, and counts probes. */
class Bucket {
  refuses = false;
  probes = 0;
  readonly #port: number;
  readonly #server: Server;
  readonly #objects = new Map<string, { readonly body: Buffer; readonly sha256: string }>();

  constructor(port: number) {
    this.#port = port;
    this.#server = createServer(async (request, response) => {
      const { method, url = '', headers } = request;
      const [name] = url.split('?') as [string];
      if (method === 'PUT' && name.includes('/probe/')) this.probes++;
      const body = await buffer(request);
      const kept = this.#objects.get(name);
      if (this.refuses) return answer(response, 403, '<Error><Code>AccessDenied</Code></Error>');
      if (method === 'PUT') {
        if (headers['if-none-match'] === '*' && kept !== undefined)
          return answer(response, 412, '<Error><Code>PreconditionFailed</Code></Error>');
        this.#objects.set(name, { body, sha256: String(headers[SHA256]) });
      } else if (method === 'DELETE') this.#objects.delete(name);
      else if (kept !== undefined) {
        const { length } = kept.body;
        const range = { 'content-range': `bytes 0-${length - 1}/${length}`, [SHA256]: kept.sha256 };
        return answer(response, 206, kept.body, range);
      }
      answer(response, 200, LISTED);
    });
  }

  async open(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, '127.0.0.1', resolve));
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const SHA256 = 'x-amz-meta-sha256';

function answer(response: ServerResponse, status: number, body: string | Buffer, headers = {}): void {
  const length = { 'content-length': Buffer.byteLength(body) };
  response.writeHead(status, { etag: '"x"', ...length, ...headers }).end(body);
}

const LISTED = '<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>';
