/**
 * `npm run bench -- [--seconds 3] [--rounds 3] [--scale 10] [--clients 1,16,64] [--only select/prepared/16]
 * [--targets direct,pipe,gateway,pgbouncer] [--source debian|embedded] [--json]`: pgbench against PostgreSQL
 * directly, the bare pipe, the gateway with its default policy and audit, and PgBouncer where it is installed.
 * Every round runs every target at every point, in an order of chance, side by side in time; ratios are taken
 * within rounds. HOLDFAST_SEED repeats an order.
 */
import { existsSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { DEFAULT_POLICY, type Middle, startGateway, startPipe } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import { Random, seedOfRun } from '../support/random.ts';
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
import { parsed } from './options.ts';
import { PGBOUNCER, startPgbouncer } from './pgbouncer.ts';
import { summarise, table, verdicts } from './report.ts';

const { values: options } = parsed(import.meta.url, {
  options: {
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '3' },
    scale: { type: 'string', default: '10' },
    clients: { type: 'string', default: '1,16,64' },
    only: { type: 'string', multiple: true, default: [] },
    targets: { type: 'string', default: 'direct,pipe,gateway,pgbouncer' },
    source: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

const DEBIAN_15 = '/usr/lib/postgresql/15/bin/postgres';

const points: Point[] = WORKLOADS.flatMap((workload) =>
  PROTOCOLS.flatMap((protocol) =>
    options.clients.split(',').map((clients) => ({ workload, protocol, clients: Number(clients) })),
  ),
).filter((point) => options.only.length === 0 || options.only.some((filter) => isWithin(point, filter)));
if (points.length === 0) throw new Error(`nothing to measure: no point is within ${options.only.join(', ')}`);

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
let stopping: Promise<void> | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    await stopAll();
    process.exit(1);
  });
}
try {
  const targets = await startTargets(options.targets.split(','));
  await pgbench(tmpdir(), [
    ...['-h', '127.0.0.1', '-p', String(postgres.port), '-U', 'postgres'],
    ...['-i', '-q', '-s', options.scale, 'postgres'],
  ]);
  const seed = seedOfRun(Date.now() % 1_000_000);
  const random = new Random(seed);
  const loadBefore = loadavg()[0]!;
  const samples = new Map(points.map((point) => [point, {} as Record<string, Sample[]>]));
  // The first seconds of a process are its compiler's, and those of each kind of statement.
  for (const workload of new Set(points.map((point) => point.workload))) {
    for (const protocol of PROTOCOLS) {
      for (const target of targets) await measure(target, { workload, protocol, clients: 8 }, 2, seed);
    }
  }
  for (let round = 1; round <= Number(options.rounds); round++) {
    for (const point of random.shuffled(points)) {
      for (const target of random.shuffled(targets)) {
        const sample = await measure(target, point, Number(options.seconds), seed + round);
        const own = samples.get(point)!;
        own[target.name] ??= [];
        own[target.name]!.push(sample);
        const { tps, p99Us, cpuUs } = sample;
        const cpu = cpuUs === null ? '' : `, ${cpuUs.toFixed(1)} µs CPU`;
        say(
          `round ${round} ${pointName(point)} ${target.name}: ${tps.toFixed(0)} tps, p99 ${p99Us} µs${cpu}`,
        );
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
    loadBefore,
  };
  if (options.json) console.log(JSON.stringify({ about, summaries, results }, null, 2));
  else console.log(`\n${JSON.stringify(about)}\n\n${table(summaries)}\n\n${verdicts(summaries)}`);
} finally {
  await stopAll();
}

/** Stops everything once, however often it is asked; all who ask wait for the same end. */
async function stopAll(): Promise<void> {
  stopping ??= (async () => {
    for (const stop of stops.reverse()) await stop();
  })();
  await stopping;
}

/** A filter names parts of a point, in order, as `select/prepared/16`, `tpcb` or `prepared/16` do. */
function isWithin(point: Point, filter: string): boolean {
  return `/${pointName(point)}/`.includes(`/${filter}/`);
}

async function startTargets(wanted: readonly string[]): Promise<Target[]> {
  const targets: Target[] = [];
  const add = (name: string, middle: Middle): void => {
    stops.push(() => middle.stop());
    targets.push({ name, port: middle.port, pid: middle.pid, log: () => middle.log() });
  };
  if (wanted.includes('direct'))
    targets.push({ name: 'direct', port: postgres.port, pid: null, log: () => postgres.log() });
  if (wanted.includes('pipe')) add('pipe', await startPipe(postgres.port));
  if (wanted.includes('gateway')) {
    // What a capture costs is measured by bench:capture, and would drown everything else in TPC-B.
    const environment = { HOLDFAST_LOG_LEVEL: 'warn', HOLDFAST_SNAPSHOTS_TAKEN: 'off' };
    add('gateway', await startGateway({ upstreamPort: postgres.port, policy: DEFAULT_POLICY, environment }));
  }
  if (wanted.includes('pgbouncer')) {
    if (existsSync(PGBOUNCER)) add('pgbouncer', await startPgbouncer(postgres.port));
    else say('PgBouncer is not installed, and left out');
  }
  return targets;
}
