/**
 * PostgreSQL's own regression tests, run directly and then through the gateway in monitor mode: what passes
 * directly has to pass through it. `scripts/ci-debian.sh` installs what this needs.
 *
 *   node scripts/pg-regress.ts [--isolation] [--through gateway|pipe|nothing]
 */
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { type Middle, startGateway, startPipe } from '../test/support/gateway.ts';
import { serverOwner, startPostgres } from '../test/support/postgres.ts';

const PROGRAMS = '/usr/lib/postgresql/15';
const SOURCE = join(process.env['CI_CACHE'] ?? '/var/cache/holdfast', 'postgresql-source/current');
const REPORTS = 'data/pg-regress';
const DIFFS_SHOWN_LINES = 200;

type Through = 'gateway' | 'pipe' | 'nothing';
type Verdicts = ReadonlyMap<string, 'ok' | 'failed'>;

interface Suite {
  readonly name: string;
  readonly program: string;
  readonly folder: string;
  readonly args: readonly string[];
}

const REGRESSION: Suite = {
  name: 'regression',
  program: join(PROGRAMS, 'lib/pgxs/src/test/regress/pg_regress'),
  folder: 'src/test/regress',
  args: ['--schedule=./parallel_schedule', '--max-concurrent-tests=20'],
};
const ISOLATION: Suite = {
  name: 'isolation',
  program: join(PROGRAMS, 'lib/pgxs/src/test/isolation/pg_isolation_regress'),
  folder: 'src/test/isolation',
  args: ['--schedule=./isolation_schedule'],
};

const { values } = parseArgs({
  options: {
    isolation: { type: 'boolean', default: false },
    through: { type: 'string', default: 'gateway' },
  },
});

await main(values.isolation ? ISOLATION : REGRESSION, asThrough(values.through));

async function main(suite: Suite, through: Through): Promise<void> {
  if (!existsSync(join(SOURCE, 'done'))) throw new Error(`no source in ${SOURCE}: run scripts/ci-debian.sh`);
  const modules = buildModules();
  const direct = await runSuite(suite, modules, 'nothing');
  if (through === 'nothing') return finish(suite, direct, direct);
  finish(suite, direct, await runSuite(suite, modules, through));
}

function asThrough(value: string): Through {
  if (value === 'gateway' || value === 'pipe' || value === 'nothing') return value;
  throw new Error(`--through takes gateway, pipe or nothing, not ${value}`);
}

/** The C functions that the tests load into the server; Debian does not package them. */
function buildModules(): string {
  const built = join(realpathSync(SOURCE), 'modules');
  mkdirSync(built, { recursive: true });
  for (const source of ['src/test/regress/regress.c', 'contrib/spi/autoinc.c', 'contrib/spi/refint.c']) {
    const module = join(built, source.replace(/^.*\/(\w+)\.c$/, '$1.so'));
    if (existsSync(module)) continue;
    const include = ['-I/usr/include/postgresql/15/server', '-I/usr/include/postgresql/internal'];
    const flags = ['-shared', '-fPIC', '-O1', '-w', '-D_GNU_SOURCE', '-DREFINT_VERBOSE', ...include];
    const made = spawnSync('gcc', [...flags, '-o', module, join(SOURCE, 'tree', source)], {
      encoding: 'utf8',
    });
    if (made.status !== 0) throw new Error(`gcc ${source}: ${made.stderr}`);
  }
  return built;
}

/** A fresh server for each run, so that neither sees what the other left. */
async function runSuite(suite: Suite, modules: string, through: Through): Promise<Verdicts> {
  const name = through === 'nothing' ? 'direct' : through;
  const startedAt = performance.now();
  console.log(`--- ${suite.name}, ${name}`);
  const postgres = await startPostgres({
    version: 15,
    source: 'debian',
    settings: { autovacuum: 'on', max_prepared_transactions: '0', max_connections: '100' },
  });
  const folder = scratch();
  let middle: Middle | null = null;
  try {
    middle = await startMiddle(through, postgres.port);
    cpSync(join(SOURCE, 'tree', suite.folder), folder, { recursive: true });
    own(folder);
    const output = await runProgram(suite, folder, modules, middle?.port ?? postgres.port);
    middle?.assertAlive();
    keepReports(suite, name, folder, output);
    const verdicts = readVerdicts(output);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    const failed = [...verdicts.values()].filter((verdict) => verdict === 'failed').length;
    console.log(`${suite.name}, ${name}: ${verdicts.size - failed} of ${verdicts.size} in ${seconds} s`);
    if (verdicts.size === 0) throw new Error(`${suite.program} ran no test:\n${output}`);
    return verdicts;
  } finally {
    if (middle !== null) writeFileSync(join(REPORTS, `${suite.name}.${name}.log`), middle.log());
    await middle?.stop();
    await postgres.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function startMiddle(through: Through, upstreamPort: number): Promise<Middle | null> {
  switch (through) {
    case 'nothing':
      return null;
    case 'pipe':
      return await startPipe(upstreamPort);
    case 'gateway':
      // In monitor mode none would be taken, but every commit would wait for its record.
      return await startGateway({ upstreamPort, environment: { HOLDFAST_SNAPSHOTS_TAKEN: 'off' } });
  }
}

function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-regress-'));
  chmodSync(folder, 0o755);
  mkdirSync(REPORTS, { recursive: true });
  return folder;
}

/** Both the tests and the server write into the folder, and the server is not root. */
function own(folder: string): void {
  const owner = serverOwner();
  if (owner === null) return;
  const changed = spawnSync('chown', ['-R', `${owner.uid}:${owner.gid}`, folder]);
  if (changed.status !== 0) throw new Error(`chown ${folder}: ${changed.stderr}`);
}

/** What the program printed; it removes its own copy when all is well. */
async function runProgram(suite: Suite, folder: string, modules: string, port: number): Promise<string> {
  const place = ['--inputdir=.', '--outputdir=.', `--dlpath=${modules}`, `--bindir=${PROGRAMS}/bin`];
  const server = ['--host=127.0.0.1', `--port=${port}`, '--user=postgres'];
  const child = spawn(suite.program, [...place, ...server, ...suite.args], {
    ...(serverOwner() ?? {}),
    cwd: folder,
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const failed = new Promise<never>((_, reject) => child.once('error', reject));
  return await Promise.race([text(child.stdout!), failed]);
}

/** What is kept of a run, for whoever looks into a failure. */
function keepReports(suite: Suite, name: string, folder: string, output: string): void {
  const kept = join(REPORTS, `${suite.name}.${name}`);
  writeFileSync(`${kept}.out`, output);
  rmSync(`${kept}.diffs`, { force: true });
  const diffs = join(folder, 'regression.diffs');
  if (existsSync(diffs)) cpSync(diffs, `${kept}.diffs`);
}

function readVerdicts(output: string): Verdicts {
  const verdicts = new Map<string, 'ok' | 'failed'>();
  for (const line of output.split('\n')) {
    const found = /^(?:test| +)\s*(\S+)\s+\.\.\. (ok|FAILED|failed)/.exec(line);
    if (found) verdicts.set(found[1]!, found[2] === 'ok' ? 'ok' : 'failed');
  }
  return verdicts;
}

/** Names every test whose verdict differs; passing exactly as directly is what is asked. */
function finish(suite: Suite, direct: Verdicts, through: Verdicts): void {
  const names = new Set([...direct.keys(), ...through.keys()]);
  const different = [...names].filter((name) => direct.get(name) !== through.get(name));
  const failedDirectly = [...direct].filter(([, verdict]) => verdict === 'failed').map(([name]) => name);
  for (const name of different) {
    console.log(
      `${name}: directly ${direct.get(name) ?? 'not run'}, through ${through.get(name) ?? 'not run'}`,
    );
  }
  if (failedDirectly.length > 0) console.log(`failed directly already: ${failedDirectly.join(', ')}`);
  if (different.length > 0 || failedDirectly.length > 0) showDiffs(suite);
  console.log(`${names.size - different.length} passed, ${different.length} failed`);
  process.exitCode = different.length > 0 || failedDirectly.length > 0 ? 1 : 0;
}

function showDiffs(suite: Suite): void {
  for (const name of ['direct', 'gateway', 'pipe']) {
    const path = join(REPORTS, `${suite.name}.${name}.diffs`);
    if (!existsSync(path)) continue;
    const lines = readFileSync(path, 'utf8').split('\n');
    console.log(`--- ${path}, ${lines.length} lines`);
    console.log(lines.slice(0, DIFFS_SHOWN_LINES).join('\n'));
  }
}
