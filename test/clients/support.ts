import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { type Middle, MONITOR_POLICY, startMiddle } from '../support/gateway.ts';
import { type PostgresSource, programsOf, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { reapAtExit } from '../support/reap.ts';

export interface ServerUnderTest {
  readonly name: string;
  readonly version: 15 | 18;
  readonly source: PostgresSource;
}

export const SERVERS: readonly ServerUnderTest[] = [
  { name: 'PostgreSQL 15 of Debian', version: 15, source: 'debian' },
  { name: 'PostgreSQL 18', version: 18, source: 'embedded' },
];

/** The database that each run of a client finds empty, under the same name every time. */
export const DATABASE = 'clients';

/** A server with the gateway in front of it. */
export class Pair {
  readonly postgres: TestPostgres;
  readonly gateway: Middle;

  constructor(postgres: TestPostgres, gateway: Middle) {
    this.postgres = postgres;
    this.gateway = gateway;
  }

  static async start(
    server: ServerUnderTest,
    policy: string = MONITOR_POLICY,
    environment: Record<string, string> = {},
    settings: Record<string, string> = {},
  ): Promise<Pair> {
    const postgres = await startPostgres({ version: server.version, source: server.source, settings });
    const gateway = await startMiddle({ upstreamPort: postgres.port, policy, environment });
    return new Pair(postgres, gateway);
  }

  async freshDatabase(): Promise<void> {
    await this.postgres.sql(`drop database if exists ${DATABASE} with (force)`);
    await this.postgres.sql(`create database ${DATABASE}`);
  }

  /** Runs a client directly and through the gateway, which must make no difference, and gives what it said. */
  async same<T>(client: (port: number) => Promise<T>): Promise<T> {
    await this.freshDatabase();
    const direct = await client(this.postgres.port);
    await this.freshDatabase();
    const through = await client(this.gateway.port);
    this.gateway.assertAlive();
    expect(through).toEqual(direct);
    return through;
  }

  async stop(): Promise<void> {
    await this.gateway.stop();
    await this.postgres.stop();
  }
}

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly environment?: Record<string, string>;
  readonly input?: string;
  readonly deadlineMs?: number;
  /** Sees the running process, to send it signals. */
  readonly started?: (pid: number) => void;
}

/** Runs a program to its end, with nothing of this process's own PostgreSQL settings around it. */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  const deadlineMs = options.deadlineMs ?? 60_000;
  const child = spawn(program, args, {
    stdio: 'pipe',
    env: {
      PATH: process.env['PATH'],
      LC_ALL: 'C.UTF-8',
      TZ: 'UTC',
      PGPASSFILE: '/nonexistent',
      PYTHONDONTWRITEBYTECODE: '1',
      ...options.environment,
    },
  });
  reapAtExit(child, 'SIGKILL');
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, deadlineMs);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
    child.once('spawn', () => options.started?.(child.pid!));
  }).finally(() => clearTimeout(timer));
  const finished = {
    code,
    stdout: Buffer.concat(stdout).toString('utf8'),
    stderr: Buffer.concat(stderr).toString('utf8'),
  };
  if (late) {
    const said = `${finished.stdout.slice(-2000)}\n${finished.stderr.slice(-2000)}`;
    throw new Error(`${program} ${args.join(' ')} did not end within ${deadlineMs} ms:\n${said}`);
  }
  return finished;
}

/** Runs a program that must succeed, and gives what it printed. */
export async function output(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await run(program, args, options);
  if (code !== 0) {
    throw new Error(`${program} ${args.join(' ')} ended with ${code}:\n${stdout.slice(-4000)}\n${stderr}`);
  }
  return stdout;
}

type ClientProgram =
  | ('psql' | 'pgbench' | 'pg_dump')
  | ('pg_receivewal' | 'pg_recvlogical' | 'pg_basebackup' | 'pg_verifybackup');

/** One of Debian's client programs of version 15. */
export function clientProgram(name: ClientProgram): string {
  return join(programsOf(15, 'debian'), name);
}

export const connectionArguments = (port: number): string[] => [
  '--host=127.0.0.1',
  `--port=${port}`,
  '--username=postgres',
];

export async function psql(
  port: number,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  return await run(
    clientProgram('psql'),
    ['-X', ...connectionArguments(port), `--dbname=${DATABASE}`, ...args],
    options,
  );
}

/** A program of the virtual environment that scripts/ci-debian.sh makes. */
export function pythonProgram(name: 'python' | 'alembic'): string {
  const path = cached(`python/bin/${name}`);
  if (!existsSync(path)) throw new Error(`${path} is not there: run scripts/ci-debian.sh`);
  return path;
}

export const pythonFile = (name: string): string => beside(`python/${name}`);

function cached(path: string): string {
  return join(process.env['CI_CACHE'] ?? '/var/cache/holdfast', path);
}

function beside(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

/** The programs in Go, Rust and Java, as scripts/build-drivers.sh builds them, and those in Perl and Ruby. */
export const DRIVERS: Readonly<Record<string, readonly string[]>> = {
  'pgx and lib/pq of Go': [cached('drivers/go-session')],
  "Java's JDBC driver": [
    ...['java', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC'],
    ...['-cp', `/usr/share/java/postgresql.jar:${cached('drivers/java')}`, 'Session'],
  ],
  "Rust's tokio-postgres": [cached('drivers/rust/target/debug/session')],
  "Perl's DBD::Pg": ['/usr/bin/perl', beside('perl/session.pl')],
  "Ruby's pg": ['/usr/bin/ruby', beside('ruby/session.rb')],
};

/** Brings what is compiled up to date: a second where nothing has changed since scripts/ci-debian.sh. */
export async function buildDrivers(): Promise<void> {
  const script = fileURLToPath(new URL('../../scripts/build-drivers.sh', import.meta.url));
  const environment = Object.fromEntries(
    Object.entries(process.env).filter(([name, value]) => value !== undefined && !name.startsWith('PG')),
  ) as Record<string, string>;
  await output('bash', [script], { environment, deadlineMs: 240_000 });
}

export const digest = (text: string): string => createHash('sha256').update(text).digest('hex');
