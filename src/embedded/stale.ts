import { spawnSync } from 'node:child_process';
import { readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';

/** In the data directory: the process id of the gateway that started the server. */
export const OWNER_FILE = 'holdfast.owner';

/**
 * Ends the server that a killed gateway left running on this data directory. One whose gateway still lives is
 * in use, and is left alone.
 */
export async function reapStale(dataDir: string): Promise<void> {
  const pid = readPid(join(dataDir, 'postmaster.pid'));
  if (pid === null || !isServerOf(pid, dataDir)) return;
  const owner = readPid(join(dataDir, OWNER_FILE));
  if (owner !== null && parentOf(pid) === owner) {
    throw new HoldfastError('EMBEDDED_FAILED', `${dataDir} is in use by process ${owner}`, {
      hint: 'Stop the other gateway first, or start this one in another directory.',
    });
  }
  await endProcess(pid, () => !isServerOf(pid, dataDir));
}

/** The port of a server that runs on this data directory, or null. */
export function runningPort(dataDir: string): number | null {
  const file = join(dataDir, 'postmaster.pid');
  const pid = readPid(file);
  if (pid === null || !isServerOf(pid, dataDir)) return null;
  const port = Number(readFileSync(file, 'utf8').split('\n')[3]);
  return Number.isInteger(port) && port > 0 ? port : null;
}

/** Fast shutdown, then immediate, then by force; each is given its time. */
export async function endProcess(pid: number, hasEnded: () => boolean): Promise<void> {
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    if (hasEnded()) return;
    try {
      process.kill(pid, signal);
    } catch {
      // It has just ended.
    }
    const deadline = performance.now() + LIMITS.embeddedStopTimeoutMs;
    while (!hasEnded() && performance.now() < deadline) await sleep(20);
  }
  if (!hasEnded()) throw new HoldfastError('EMBEDDED_FAILED', `process ${pid} does not end`);
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** A process id alone proves nothing: it may belong to another program by now. */
function isServerOf(pid: number, dataDir: string): boolean {
  if (!isAlive(pid)) return false;
  if (process.platform !== 'linux') return processLine(pid)?.includes(`-D ${dataDir}`) ?? false;
  try {
    const program = basename(readlinkSync(`/proc/${pid}/exe`)).replace(/ \(deleted\)$/, '');
    return program === 'postgres' && readlinkSync(`/proc/${pid}/cwd`) === realpathSync(dataDir);
  } catch {
    return false;
  }
}

function parentOf(pid: number): number | null {
  if (process.platform !== 'linux') return Number.parseInt(processLine(pid) ?? '', 10) || null;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in parentheses, which may hold anything.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return null;
  }
}

function processLine(pid: number): string | null {
  const run = spawnSync('ps', ['-ww', '-o', 'ppid=,command=', '-p', String(pid)], { encoding: 'utf8' });
  return run.status === 0 ? run.stdout.trim() : null;
}

function readPid(path: string): number | null {
  try {
    const pid = Number.parseInt(readFileSync(path, 'utf8'), 10);
    return pid > 0 ? pid : null;
  } catch {
    return null;
  }
}
