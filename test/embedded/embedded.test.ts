import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Embedded, type EmbeddedOptions, startEmbedded } from '../../src/embedded/embedded.ts';
import { SAMPLE_HBA, SAMPLE_SCRIPTS } from '../../src/embedded/sample.ts';
import { isAlive } from '../../src/embedded/stale.ts';

// The folder is closed to other accounts, as /root is, so each test shows that root gets by with that too.
let folder: string;
let dataDir: string;
const running = new Set<Embedded>();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-embedded-'));
  dataDir = join(folder, 'postgres');
});

afterEach(async () => {
  for (const server of running) await server.stop();
  running.clear();
  rmSync(folder, { recursive: true, force: true });
});

async function start(options: Partial<EmbeddedOptions> = {}): Promise<Embedded> {
  const server = await startEmbedded({ dataDir, durable: false, ...options });
  running.add(server);
  return server;
}

async function query(server: Embedded, sql: string, as: pg.ClientConfig = {}): Promise<unknown[][]> {
  const client = new pg.Client({ host: server.host, port: server.port, user: 'postgres', ...as });
  await client.connect();
  try {
    return (await client.query({ text: sql, rowMode: 'array' })).rows;
  } finally {
    await client.end();
  }
}

describe.each([15, 18] as const)('PostgreSQL %i', (version) => {
  test('starts, takes settings, keeps its data over a restart and leaves no process', async () => {
    const first = await start({ version, settings: { work_mem: '5MB' } });
    expect(first).toMatchObject({ created: true, host: '127.0.0.1' });
    expect(first.version).toMatch(new RegExp(`^${version}\\.\\d+$`));
    expect(await query(first, 'show work_mem')).toEqual([['5MB']]);
    await query(first, 'create table kept as select 7 as n');
    await first.stop();
    await first.exited;
    expect(isAlive(first.pid)).toBe(false);

    const second = await start({ version });
    expect(second.created).toBe(false);
    expect(await query(second, 'select n from kept')).toEqual([[7]]);
  });

  test('holds to the lines of pg_hba.conf given', async () => {
    const server = await start({
      version,
      hba: ['host all ann 127.0.0.1/32 scram-sha-256', 'host all all 127.0.0.1/32 trust'],
      scripts: [{ database: 'postgres', sql: "create role ann login password 'secret';" }],
    });
    const asAnn = { user: 'ann', database: 'postgres' };
    expect(await query(server, 'select current_user', { ...asAnn, password: 'secret' })).toEqual([['ann']]);
    await expect(query(server, 'select 1', { ...asAnn, password: 'wrong' })).rejects.toThrow(/password/);
  });
});

describe('the sample', () => {
  test('lets the demo role in and nobody else', async () => {
    const server = await start({ hba: SAMPLE_HBA, scripts: SAMPLE_SCRIPTS });
    const demo = { user: 'demo', password: 'demo', database: 'shop' };
    const counts = `select (select count(*) from customers)::int, (select count(*) from products)::int,
      (select count(*) from orders)::int, (select count(*) from order_lines)::int`;
    expect(await query(server, counts, demo)).toEqual([[500, 120, 2000, 5000]]);
    await expect(query(server, 'select 1')).rejects.toThrow(/no pg_hba.conf entry/);
  });

  test('keeps the totals of orders, and cascades', async () => {
    const server = await start({ hba: SAMPLE_HBA, scripts: SAMPLE_SCRIPTS });
    const demo = { user: 'demo', password: 'demo', database: 'shop' };
    const wrong = `select count(*)::int from orders as o where total is distinct from
      (select coalesce(sum(quantity * price), 0) from order_lines where order_id = o.id)`;
    expect(await query(server, wrong, demo)).toEqual([[0]]);
    await query(server, 'update order_lines set quantity = quantity + 1 where order_id < 50', demo);
    await query(server, 'delete from order_lines where order_id between 60 and 70', demo);
    expect(await query(server, wrong, demo)).toEqual([[0]]);
    await query(server, 'delete from customers where id <= 10', demo);
    const left =
      'select count(*)::int from order_lines join orders on orders.id = order_id where customer_id <= 10';
    expect(await query(server, left, demo)).toEqual([[0]]);
  });
});

describe('trouble', () => {
  test('a creation that fails leaves nothing behind', async () => {
    const scripts = [{ database: 'postgres', sql: 'select 1/0;' }];
    await expect(start({ scripts })).rejects.toThrow(/no database could be created.*division by zero/);
    expect(readdirSync(folder)).toEqual([]);
  });

  test('what a killed creation left is removed', async () => {
    const child = spawn(process.execPath, ['-e', '']);
    await once(child, 'exit');
    writeFileSync(join(folder, `postgres.new.${child.pid}`), '');
    await start();
    expect(readdirSync(folder)).toEqual(['postgres']);
  });

  test('Ctrl-C while a cluster is made ends it quietly, and nothing is left', async () => {
    const main = new URL('../../src/cli/main.ts', import.meta.url).pathname;
    // As a terminal does, the signal goes to all programs of the group.
    const child = spawn(process.execPath, [main, 'serve'], { cwd: folder, detached: true });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk));
    const exited = once(child, 'exit');
    const data = join(folder, 'data');
    await expect
      .poll(() => existsSync(data) && readdirSync(data), { interval: 5, timeout: 10_000 })
      .toEqual([expect.stringMatching(/^postgres\.new\./)]);
    process.kill(-child.pid!, 'SIGINT');
    expect(await exited).toEqual([0, null]);
    expect(said).toBe('');
    expect(readdirSync(data)).toEqual([]);
  });

  test.skipIf(process.getuid?.() === 0)('a folder of somebody else is one clear error', async () => {
    chmodSync(folder, 0o000);
    const failure = start().finally(() => chmodSync(folder, 0o700));
    await expect(failure).rejects.toThrow(/cannot be used: EACCES/);
  });

  test('a port that is taken is one clear error', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    await expect(start({ port })).rejects.toThrow(`port ${port} is taken`);
    other.close();
  });

  test('a setting that is wrong is told in the words of PostgreSQL', async () => {
    await expect(start({ settings: { work_mem: 'much' } })).rejects.toThrow(/work_mem/);
  });

  test('a cluster of another version is refused', async () => {
    await (await start({ version: 15 })).stop();
    await expect(start({ version: 18 })).rejects.toThrow(/was made by PostgreSQL 15/);
  });

  test('two gateways do not share a cluster', async () => {
    const first = await start();
    await expect(start()).rejects.toThrow(`is in use by process ${process.pid}`);
    expect(isAlive(first.pid)).toBe(true);
  });

  test('the server of a killed gateway is ended, and its data used again', async () => {
    const script = new URL('./fixture-gateway.ts', import.meta.url).pathname;
    const gateway = spawn(process.execPath, [script, dataDir], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(gateway.stdout!, 'data')) as [Buffer];
    const left = JSON.parse(line.toString()) as Embedded;
    gateway.kill('SIGKILL');
    await once(gateway, 'exit');
    const orphan = { ...left, host: '127.0.0.1' };
    expect(await query(orphan, 'select 1')).toEqual([[1]]);

    const next = await start();
    expect(next.created).toBe(false);
    await expect(query(orphan, 'select 1')).rejects.toThrow(/ECONNREFUSED/);
  });

  test('a process that has come to the number of a dead server is left alone', async () => {
    await (await start()).stop();
    const innocent = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    writeFileSync(join(dataDir, 'postmaster.pid'), `${innocent.pid}\n${dataDir}\n`);
    await start();
    expect(isAlive(innocent.pid!)).toBe(true);
    innocent.kill();
    expect(existsSync(dataDir)).toBe(true);
  });
});
