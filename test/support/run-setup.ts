import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A file system in memory, where creating the thousand files of a database costs a tenth of what it does on a disk. */
const IN_MEMORY = '/dev/shm';
const IN_MEMORY_MIN_BYTES = 4 * 1024 ** 3;
const PREFIX = 'holdfast-tests-';

/** Where PostgreSQL's data directories are kept that the servers of tests are copies of; no setting of Holdfast's. */
export const TEMPLATES_VARIABLE = 'TEST_POSTGRES_TEMPLATES';

/**
 * One folder for all files of a run, which goes with it. Tests make their own below it, because it is the TMPDIR; and
 * Node keeps there what it has compiled, since gateways are started by the hundred.
 */
export default function setUp(): () => void {
  const place = placeOfFolders();
  // A process of this number may have left a folder that could not be removed.
  const folder = mkdtempSync(join(place, `${PREFIX}${process.pid}-`));
  mkdirSync(join(folder, 'templates'));
  // PostgreSQL runs as another account where root runs the tests.
  for (const path of [folder, join(folder, 'templates')]) chmodSync(path, 0o1777);
  process.env['TMPDIR'] = folder;
  process.env['NODE_COMPILE_CACHE'] = join(folder, 'compiled');
  process.env[TEMPLATES_VARIABLE] = join(folder, 'templates');
  return () => rmSync(folder, { recursive: true, force: true });
}

function placeOfFolders(): string {
  const place = inMemoryIsUsable() ? IN_MEMORY : tmpdir();
  removeLeftovers(place);
  return place;
}

function inMemoryIsUsable(): boolean {
  const probe = join(IN_MEMORY, `${PREFIX}probe-${process.pid}`);
  try {
    const { bavail, bsize } = statfsSync(IN_MEMORY);
    if (bavail * bsize < IN_MEMORY_MIN_BYTES) return false;
    // It may be mounted so that no program runs from there.
    writeFileSync(probe, '#!/bin/sh\n', { mode: 0o755 });
    execFileSync(probe);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(probe, { force: true });
  }
}

/**
 * Removes from `place` the folders of runs that were killed. A disk that a test has mounted there is unmounted first;
 * what still cannot be removed is told and left, because it must not keep this run from its start.
 */
export function removeLeftovers(place: string): void {
  for (const name of readdirSync(place)) {
    const pid = name.startsWith(PREFIX) ? Number(name.slice(PREFIX.length).split('-')[0]) : Number.NaN;
    if (!Number.isInteger(pid) || isRunning(pid)) continue;
    const folder = join(place, name);
    try {
      for (const disk of mountedBelow(folder)) execFileSync('umount', [disk], { stdio: 'ignore' });
      rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      console.warn(
        `What a killed run of the tests left cannot be removed: ${folder}: ${(error as Error).message}`,
      );
    }
  }
}

function mountedBelow(folder: string): string[] {
  if (process.platform !== 'linux') return [];
  const points = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '');
  return points.filter((point) => point.startsWith(`${folder}/`)).reverse();
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
