import { fsyncSync } from 'node:fs';
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

/** Puts so many at once on a disk that is slow to sync, and tells how many syncs waited at the same time. */
async function put(count: number): Promise<{ now: number; aside: number; atOnce: number }> {
  const told = { now: 0, aside: 0, atOnce: 0 };
  let waiting = 0;
  const files = waitingFiles(() => count > 1, {
    now: (descriptor) => {
      told.now++;
      fsyncSync(descriptor);
    },
    aside: async (descriptor) => {
      told.aside++;
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
  expect(await put(1)).toMatchObject({ aside: 0, atOnce: 0 });
});

it('several puts wait for the disk side by side', async () => {
  const { now, atOnce } = await put(10);
  expect(now).toBe(0);
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
