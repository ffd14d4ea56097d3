/**
 * `npm run bench -- [--seconds 5] [--rounds 3] [--only select/prepared/16] [--targets direct,pipe,gateway]
 * [--source debian|embedded] [--json]`: pgbench against PostgreSQL directly, the bare pipe, the gateway with its
 * default policy and audit, and PgBouncer where it is installed. Every round runs every target at every point,
 * in an order of chance, side by side in time; ratios are taken within rounds.
 */
import { execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { DEFAULT_POLICY, type Middle, startGateway, startPipe } from '../support/gateway.ts';
import { freePort } from '../support/ports.ts';
import { scratchFolder, serverOwner, startPostgres } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';
import { Random, seedOfRun } from '../support/random.ts';
import { RawClient } from '../support/raw-client.ts';
import { reapAtExit } from '../support/reap.ts';
import {
  measure,
  type Point,
  PROTOCOLS,
  pgbench,
  pointName,
  type Sample,
  type Target,
  WORKLOADS,
} from './measure.ts';
import { summarise, table } from './report.ts';

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    scale: { type: 'string', default: '20' },
    clients: { type: 'string', default: '1,16,64' },
    only: { type: 'string', multiple: true, default: [] },
    targets: { type: 'string', default: 'direct,pipe,gateway,pgbouncer' },
    source: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

const PGBOUNCER = '/usr/sbin/pgbouncer';
const DEBIAN_15 = '/usr/lib/postgresql/15/bin/postgres';

const points: Point[] = WORKLOADS.flatMap((workload) =>
  PROTOCOLS.flatMap((protocol) =>
    options.clients.split(',').map((clients) => ({ workload, protocol, clients: Number(clients) })),
  ),
).filter(
  (point) => options.only.length === 0 || options.only.some((part) => pointName(point).includes(part)),
);

const say = (text: string): void => {
  if (!options.json) console.log(text);
};

const source = options.source ?? (existsSync(DEBIAN_15) ? 'debian' : 'embedded');
const postgres = await startPostgres({
  version: source === 'debian' ? 15 : 18,
  source: source === 'debian' ? 'debian' : 'embedded',
  settings: { shared_buffers: '512MB', autovacuum: 'on', max_wal_size: '4GB' },
});
const stops: (() => Promise<void>)[] = [() => postgres.stop()];
try {
  const targets = await startTargets(options.targets.split(','));
  await pgbench(tmpdir(), [
    ...['-h', '127.0.0.1', '-p', String(postgres.port), '-U', 'postgres'],
    ...['-i', '-q', '-s', options.scale, 'postgres'],
  ]);
  const seed = seedOfRun(Date.now() % 1_000_000);
  const random = new Random(seed);
  const samples = new Map(points.map((point) => [point, {} as Record<string, Sample[]>]));
  // The first seconds of a process are its compiler's.
  for (const protocol of PROTOCOLS) {
    for (const target of targets) await measure(target, { workload: 'select', protocol, clients: 8 }, 2, seed);
  }
  for (let round = 1; round <= Number(options.rounds); round++) {
    for (const point of random.shuffled(points)) {
      for (const target of random.shuffled(targets)) {
        const sample = await measure(target, point, Number(options.seconds), seed + round);
        const own = samples.get(point)!;
        own[target.name] ??= [];
        own[target.name]!.push(sample);
        say(`round ${round} ${pointName(point)} ${target.name}: ${sample.tps.toFixed(0)} tps`);
      }
    }
  }
  const results = points.map((point) => {
    const own = samples.get(point)!;
    return { point, samples: Object.fromEntries(targets.map(({ name }) => [name, own[name] ?? []])) };
  });
  const summaries = summarise(results);
  const about = {
    node: process.version,
    cpu: `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}`,
    postgres: (await postgres.sql('show server_version'))[0]![0],
    seconds: Number(options.seconds),
    rounds: Number(options.rounds),
    scale: Number(options.scale),
    seed,
  };
  if (options.json) console.log(JSON.stringify({ about, summaries, results }, null, 2));
  else console.log(`\n${JSON.stringify(about)}\n\n${table(summaries)}`);
} finally {
  for (const stop of stops.reverse()) await stop();
}

async function startTargets(wanted: readonly string[]): Promise<Target[]> {
  const targets: Target[] = [];
  const add = (name: string, middle: Middle): void => {
    stops.push(() => middle.stop());
    targets.push({ name, port: middle.port, pid: middle.pid });
  };
  if (wanted.includes('direct')) targets.push({ name: 'direct', port: postgres.port, pid: null });
  if (wanted.includes('pipe')) add('pipe', await startPipe(postgres.port));
  if (wanted.includes('gateway')) {
    const environment = { HOLDFAST_LOG_LEVEL: 'warn' };
    add('gateway', await startGateway({ upstreamPort: postgres.port, policy: DEFAULT_POLICY, environment }));
  }
  if (wanted.includes('pgbouncer')) {
    if (existsSync(PGBOUNCER)) add('pgbouncer', await startPgbouncer(postgres.port));
    else say('PgBouncer is not installed, and left out');
  }
  return targets;
}

async function startPgbouncer(upstreamPort: number): Promise<Middle> {
  const port = await freePort();
  const folder = await scratchFolder('pgbouncer');
  const owner = serverOwner();
  const configuration = join(folder, 'pgbouncer.ini');
  writeFileSync(
    configuration,
    `[databases]
* = host=127.0.0.1 port=${upstreamPort} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = session
max_client_conn = 300
default_pool_size = 120
log_connections = 0
log_disconnections = 0
`,
  );
  if (owner !== null) chownSync(folder, owner.uid, owner.gid);
  const child = spawn(PGBOUNCER, ['-q', configuration], { ...(owner ?? {}), cwd: folder, stdio: 'ignore' });
  reapAtExit(child, 'SIGKILL');
  await eventually('PgBouncer', async () => {
    const client = await RawClient.open(port).catch(() => null);
    if (client === null) return 'not listening';
    await client.terminate();
    return null;
  });
  return {
    port,
    pid: child.pid!,
    log: () => '',
    assertAlive() {},
    async stop() {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
      execFileSync('rm', ['-rf', folder]);
    },
  };
}
