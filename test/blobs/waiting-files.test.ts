import { fstatSync, fsyncSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { DurableFolder } from '../../src/blobs/durable-folder.ts';
import { putThread } from '../../src/blobs/put-thread.ts';
import { waitingFiles } from '../../src/blobs/waiting-files.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
beforeEach(async () => {
  folder = await temporaryFolder();
});
afterEach(() => folder.remove());

/**
 * Puts so many at once on a disk that is slow to sync, and tells how many syncs waited at the same time, and how many
 * were of a file with its bytes; the others are of folders.
 */
async function put(count: number): Promise<{ now: number; aside: number; atOnce: number; whole: number }> {
  const told = { now: 0, aside: 0, atOnce: 0, whole: 0 };
  let waiting = 0;
  const note = (descriptor: number) => {
    const facts = fstatSync(descriptor);
    if (facts.isFile() && facts.size > 0) told.whole++;
  };
  const files = waitingFiles(() => count > 1, {
    now: (descriptor) => {
      told.now++;
      note(descriptor);
      fsyncSync(descriptor);
    },
    aside: async (descriptor) => {
      told.aside++;
      note(descriptor);
      told.atOnce = Math.max(told.atOnce, ++waiting);
      await sleep(2);
      fsyncSync(descriptor);
      waiting--;
    },
  });
  const root = new DurableFolder(folder.path, files);
  const keys = Array.from({ length: count }, (_, i) => `2026/${i}`);
  const created = await Promise.all(keys.map((key) => root.putIfAbsent(key, Buffer.from(key))));
  expect(created.every(Boolean)).toBe(true);
  return told;
}

it('one put waits where it is', async () => {
  const { now, aside, whole } = await put(1);
  expect(aside).toBe(0);
  expect(whole).toBe(1);
  // Its name is in a folder, which is synced as well.
  expect(now).toBeGreaterThan(1);
});

it('several puts wait for the disk side by side', async () => {
  const { now, aside, atOnce, whole } = await put(10);
  expect(now).toBe(0);
  expect(whole).toBe(10);
  expect(aside).toBeGreaterThan(10);
  expect(atOnce).toBeGreaterThanOrEqual(10);
});

it('many puts of the thread are all there, once', async () => {
  const keys = Array.from({ length: 200 }, (_, i) => `2026/${i % 150}`);
  const created = await Promise.all(
    keys.map((key) => putThread.putIfAbsent(folder.path, key, Buffer.from(key))),
  );
  expect(created.filter(Boolean)).toHaveLength(150);
  expect(await readdir(join(folder.path, '2026'))).toHaveLength(150);
  expect(await readdir(join(folder.path, '.unfinished'))).toEqual([]);
});
