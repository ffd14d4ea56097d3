import { chownSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { HoldfastError } from '../base/errors.ts';
import { makeFolder } from '../base/made-folder.ts';
import type { Account } from './account.ts';
import type { Binaries, MajorVersion } from './binaries.ts';
import { type ProgramPlan, spawnProgram } from './spawn.ts';
import { isAlive } from './stale.ts';

export interface ClusterScript {
  readonly database: string;
  /** A statement ends with a semicolon and an empty line, as PostgreSQL's single-user mode reads them. */
  readonly sql: string;
}

/** PEM texts. */
export interface ClusterTls {
  readonly cert: string;
  readonly key: string;
  readonly ca?: string;
}

/** What a cluster is made of when it is created; it is not changed afterwards. */
export interface ClusterPlan {
  readonly major: MajorVersion;
  /** Lines of pg_hba.conf. */
  readonly hba: readonly string[];
  readonly tls: ClusterTls | null;
  /** Run by the superuser without a server, so that nobody needs its password, and it has none. */
  readonly scripts: readonly ClusterScript[];
  readonly durable: boolean;
  /** Aborted when nobody wants it any more. */
  readonly stop: AbortSignal | null;
}

const INITDB_ARGUMENTS = [
  '--username=postgres',
  '--auth=reject',
  '--encoding=UTF8',
  '--no-sync',
  '--no-instructions',
] as const;
const SINGLE_ARGUMENTS = ['-F', '-j', '-c', 'exit_on_error=true', '-c', 'log_checkpoints=off'] as const;
const LOCALE: Readonly<Record<MajorVersion, readonly string[]>> = {
  15: ['--no-locale'],
  18: ['--no-locale', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'],
};

/** Whether a cluster was created: it appears at its place complete, or not at all. */
export async function ensureCluster(
  dataDir: string,
  plan: ClusterPlan,
  binaries: Binaries,
  account: Account,
): Promise<boolean> {
  removeHalfMade(dataDir);
  if (existsSync(join(dataDir, 'PG_VERSION'))) {
    checkVersion(dataDir, plan.major);
    return false;
  }
  const half = `${dataDir}.new.${process.pid}`;
  try {
    await createCluster(half, plan, binaries, account);
    renameSync(half, dataDir);
  } catch (cause) {
    rmSync(half, { recursive: true, force: true });
    if (cause instanceof HoldfastError) throw cause;
    throw new HoldfastError(
      'EMBEDDED_FAILED',
      `no database could be created in ${dataDir}: ${(cause as Error).message}`,
      { cause },
    );
  }
  return true;
}

async function createCluster(
  dir: string,
  plan: ClusterPlan,
  binaries: Binaries,
  account: Account,
): Promise<void> {
  makeFolder(dir, 0o700);
  if (account.kind === 'lent') chownSync(dir, account.uid, account.gid);
  const run = async (program: string, args: ProgramPlan['args'], input = '') => {
    // A Ctrl-C between two programs ends neither.
    plan.stop?.throwIfAborted();
    await runToEnd(
      { program, args, dataDir: dir, account, streams: ['pipe', 'pipe', 'pipe'], detached: false },
      input,
    );
    plan.stop?.throwIfAborted();
  };

  await run(binaries.initdb, (data) => ['-D', data, ...INITDB_ARGUMENTS, ...LOCALE[plan.major]]);
  writeOwned(join(dir, 'pg_hba.conf'), `${plan.hba.join('\n')}\n`, account);
  writeTls(dir, plan.tls, account);
  for (const { database, sql } of plan.scripts) {
    const args = (data: string) => ['--single', '-D', data, ...SINGLE_ARGUMENTS, database];
    await run(binaries.postgres, args, `${sql.trimEnd()}\n\n`);
  }
  if (plan.durable) await run(binaries.initdb, (data) => ['-D', data, '--sync-only']);
}

async function runToEnd(plan: ProgramPlan, input: string): Promise<void> {
  const child = spawnProgram(plan);
  const ended = new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code === 0 ? '' : `exit ${code ?? signal}`));
  });
  child.stdin!.on('error', () => {}); // It may end before it has read everything; how it ended says why.
  child.stdin!.end(input);
  const [failure, , stderr] = await Promise.all([ended, text(child.stdout!), text(child.stderr!)]);
  if (failure !== '') throw new Error(`${basename(plan.program)}: ${lastComplaint(stderr) ?? failure}`);
}

/** The line that says why, among what PostgreSQL's programs write. */
export function lastComplaint(output: string): string | null {
  const lines = output.split('\n').map((line) => line.trim());
  const complaint = lines.findLast((line) => /\b(FATAL|PANIC|ERROR|error|fatal):/.test(line));
  return complaint?.replace(/^.*?\b(?:FATAL|PANIC|ERROR|error|fatal):\s*/, '') ?? null;
}

function writeTls(dir: string, tls: ClusterTls | null, account: Account): void {
  if (tls === null) return;
  writeOwned(join(dir, 'server.crt'), tls.cert, account);
  writeOwned(join(dir, 'server.key'), tls.key, account);
  if (tls.ca !== undefined) writeOwned(join(dir, 'root.crt'), tls.ca, account);
}

function writeOwned(path: string, content: string, account: Account): void {
  writeFileSync(path, content, { mode: 0o600 });
  if (account.kind === 'lent') chownSync(path, account.uid, account.gid);
}

function checkVersion(dataDir: string, major: MajorVersion): void {
  const found = readFileSync(join(dataDir, 'PG_VERSION'), 'utf8').trim();
  if (found === String(major)) return;
  throw new HoldfastError(
    'EMBEDDED_FAILED',
    `${dataDir} was made by PostgreSQL ${found}, and this is PostgreSQL ${major}`,
    { hint: 'Move the directory away; a new one is made at the next start.' },
  );
}

/** What a killed process left; one that is still at work keeps its own. */
function removeHalfMade(dataDir: string): void {
  const parent = dirname(dataDir);
  const prefix = `${basename(dataDir)}.new.`;
  if (!existsSync(parent)) return;
  for (const name of readdirSync(parent)) {
    const pid = Number(name.slice(prefix.length));
    if (name.startsWith(prefix) && Number.isInteger(pid) && (pid === process.pid || !isAlive(pid))) {
      rmSync(join(parent, name), { recursive: true, force: true });
    }
  }
}
