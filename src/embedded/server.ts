import type { ChildProcess } from 'node:child_process';
import { closeSync, constants, fchownSync, openSync, readFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Account } from './account.ts';
import type { Binaries } from './binaries.ts';
import { lastComplaint } from './cluster.ts';
import { spawnProgram } from './spawn.ts';
import { endProcess, OWNER_FILE } from './stale.ts';

export const LOOPBACK = '127.0.0.1';
const LOG_FILE = 'server.log';
const PORT_ATTEMPTS_MAX = 5;

export type Settings = Readonly<Record<string, string | number | boolean>>;

/** One running server. */
export interface Server {
  readonly pid: number;
  readonly port: number;
  /** Settles when the server has ended, wanted or not, and never rejects. */
  readonly exited: Promise<void>;
  stop(): Promise<void>;
}

export interface ServerPlan {
  readonly dataDir: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly settings: Settings;
}

/** Starts the server on the port asked for; a free one may be taken by somebody else before the server has it. */
export async function startServer(plan: ServerPlan, binaries: Binaries, account: Account): Promise<Server> {
  for (let attempt = 1; ; attempt++) {
    const port = plan.port === 0 ? await freePort() : plan.port;
    const started = await tryStart({ ...plan, port }, binaries, account);
    if (typeof started !== 'string') return started;
    const taken = started.includes('could not create any TCP/IP sockets');
    if (taken && plan.port === 0 && attempt < PORT_ATTEMPTS_MAX) continue;
    const why = taken ? `port ${port} is taken` : started;
    throw new HoldfastError('EMBEDDED_FAILED', `the embedded PostgreSQL did not start: ${why}`, {
      detail: `Its log is ${join(plan.dataDir, LOG_FILE)}.`,
    });
  }
}

/** The server, ready, or why there is none. */
async function tryStart(plan: ServerPlan, binaries: Binaries, account: Account): Promise<Server | string> {
  const log = openOwned(plan.dataDir, LOG_FILE, account);
  writeOwner(plan.dataDir, account);
  const child = spawnProgram({
    program: binaries.postgres,
    dataDir: plan.dataDir,
    account,
    args: (data) => ['-D', data, ...settingArguments(plan)],
    streams: ['ignore', log, log],
    // In a group of its own, for a Ctrl-C is the gateway's to answer: it drains before the server stops.
    detached: true,
  });
  closeSync(log);
  let failure: string | null = null;
  const exited = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      failure = error.message;
      resolve();
    });
    child.once('exit', () => resolve());
  });
  const stopWithProcess = () => child.kill('SIGINT');
  process.once('exit', stopWithProcess);
  void exited.then(() => process.removeListener('exit', stopWithProcess));

  const deadline = performance.now() + LIMITS.embeddedStartTimeoutMs;
  while (!isReady(plan.dataDir, child.pid)) {
    if (failure !== null) return failure;
    if (hasEnded(child)) return lastComplaint(readLog(plan.dataDir)) ?? 'it ended at once';
    if (performance.now() > deadline) {
      await stopServer(child);
      return `it was not ready after ${LIMITS.embeddedStartTimeoutMs} ms`;
    }
    await sleep(15);
  }
  let stopping: Promise<void> | null = null;
  return {
    pid: child.pid!,
    port: plan.port,
    exited,
    stop() {
      stopping ??= stopServer(child);
      return stopping;
    },
  };
}

async function stopServer(child: ChildProcess): Promise<void> {
  if (child.pid !== undefined) await endProcess(child.pid, () => hasEnded(child));
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function settingArguments(plan: ServerPlan): string[] {
  const settings: Settings = {
    listen_addresses: LOOPBACK,
    port: plan.port,
    unix_socket_directories: '',
    timezone: 'UTC',
    log_timezone: 'UTC',
    ...plan.settings,
  };
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** PostgreSQL writes its state into the eighth line of its lock file; pg_ctl waits for the same. */
function isReady(dataDir: string, pid: number | undefined): boolean {
  try {
    const lines = readFileSync(join(dataDir, 'postmaster.pid'), 'utf8').split('\n');
    return lines[0] === String(pid) && lines[7]?.trim() === 'ready';
  } catch {
    return false;
  }
}

function readLog(dataDir: string): string {
  return readFileSync(join(dataDir, LOG_FILE), 'utf8');
}

function writeOwner(dataDir: string, account: Account): void {
  const file = openOwned(dataDir, OWNER_FILE, account);
  writeSync(file, `${process.pid}\n`);
  closeSync(file);
}

/** Emptied first. The directory is another account's, so a link that it may have put there is not followed. */
function openOwned(dataDir: string, name: string, account: Account): number {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
  const file = openSync(join(dataDir, name), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
  if (account.kind === 'lent') fchownSync(file, account.uid, account.gid);
  return file;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, LOOPBACK, () => {
      const address = probe.address();
      probe.close(() => (typeof address === 'object' && address ? resolve(address.port) : reject(address)));
    });
  });
}
