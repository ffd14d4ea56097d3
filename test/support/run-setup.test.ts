import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { removeLeftovers } from './run-setup.ts';

let place: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'holdfast-leftovers-'));
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

/** The number of a process that is no more. */
const endedPid = () => spawnSync(process.execPath, ['--version']).pid;

function folderOf(pid: number): string {
  const folder = join(place, `holdfast-tests-${pid}-a1B2c3`);
  mkdirSync(join(folder, 'disk'), { recursive: true });
  writeFileSync(join(folder, 'file'), '');
  return folder;
}

describe('what runs of the tests have left', () => {
  it('is removed where the run is no more, and stays where it is under way', () => {
    const [left, own] = [folderOf(endedPid()), folderOf(process.pid)];
    removeLeftovers(place);
    expect([existsSync(left), existsSync(own)]).toEqual([false, true]);
  });

  it('is removed with the disk that a killed test has mounted in it', ({ skip }) => {
    const left = folderOf(endedPid());
    const disk = join(left, 'disk');
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk], { stdio: 'ignore' });
    if (mounted.status !== 0) skip('only root mounts a disk');
    writeFileSync(join(disk, 'file'), '');
    removeLeftovers(place);
    expect(existsSync(left)).toBe(false);
  });

  it('does not keep a run from its start where it cannot be removed', async ({ skip }) => {
    const left = folderOf(endedPid());
    const disk = join(left, 'disk');
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk], { stdio: 'ignore' });
    if (mounted.status !== 0) skip('only root mounts a disk');
    const user = spawn('sleep', ['60'], { cwd: disk });
    const warned = vi.spyOn(console, 'warn').mockImplementation(() => {});
    try {
      removeLeftovers(place);
      expect(existsSync(disk)).toBe(true);
      expect(warned.mock.calls.join()).toContain(`cannot be removed: ${left}`);
    } finally {
      warned.mockRestore();
      user.kill('SIGKILL');
      await once(user, 'exit');
      execFileSync('umount', [disk]);
    }
  });
});
