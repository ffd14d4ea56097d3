import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
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
  const folder = join(place, `${PREFIX}${process.pid}`);
  for (const path of [folder, join(folder, 'templates')]) {
    mkdirSync(path);
    // PostgreSQL runs as another account where root runs the tests.
    chmodSync(path, 0o1777);
  }
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

/** Of runs that were killed. */
function removeLeftovers(place: string): void {
  for (const name of readdirSync(place)) {
    const pid = Number(name.startsWith(PREFIX) ? name.slice(PREFIX.length) : Number.NaN);
    if (Number.isInteger(pid) && !isRunning(pid)) rmSync(join(place, name), { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
