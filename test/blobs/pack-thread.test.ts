import { createHash } from 'node:crypto';
import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { packThread } from '../../src/blobs/pack-thread.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';

const KEY = 'snapshots/rows.zst';
let folder: { readonly path: string; remove(): Promise<void> };
let store: DirectoryBlobStore;
beforeEach(async () => {
  folder = await temporaryFolder();
  store = new DirectoryBlobStore(folder.path, undefined, 'thread');
});
afterEach(async () => {
  await store.close();
  await folder.remove();
});

/** Bytes that do not compress, in memory of their own. */
function noise(length: number, seed: number): Buffer<ArrayBuffer> {
  const block = Buffer.allocUnsafeSlow(length);
  for (let i = 0, x = seed; i < length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    block[i] = x >> 24;
  }
  return block;
}
const unfinished = () => readdir(join(folder.path, '.unfinished'));

describe('a blob that a thread compresses', () => {
  it('holds its blocks in their order, and gives back their memory', async () => {
    const blocks = Array.from({ length: 40 }, (_, i) => noise(100_000, i + 1));
    const content = Buffer.concat(blocks);
    const writer = await store.pack!(KEY);
    const memory = await Promise.all(blocks.map((block) => writer.put(block)));
    expect(memory.map(({ byteLength }) => byteLength)).toEqual(blocks.map(() => 100_000));
    expect(await store.stat(KEY)).toBeNull();
    const summary = await writer.finish();
    const stored = await readFile(join(folder.path, KEY));
    expect(zstdDecompressSync(stored).equals(content)).toBe(true);
    expect(summary).toEqual({
      bytes: stored.length,
      sha256: createHash('sha256').update(stored).digest('hex'),
    });
    expect(await unfinished()).toEqual([]);
    await writer.abort();
    expect(await store.stat(KEY)).not.toBeNull();
  });

  it('is one of several at a time, each by itself', async () => {
    const contents = Array.from({ length: 5 }, (_, i) => noise(400_000, i + 7));
    const write = async (content: Buffer<ArrayBuffer>, i: number) => {
      const writer = await store.pack!(`${KEY}-${i}`);
      for (let at = 0; at < content.length; at += 100_000) {
        const block = Buffer.allocUnsafeSlow(100_000);
        content.copy(block, 0, at);
        await writer.put(block);
      }
      await writer.finish();
    };
    await Promise.all(contents.map(write));
    for (const [i, content] of contents.entries()) {
      const stored = await readFile(join(folder.path, `${KEY}-${i}`));
      expect(zstdDecompressSync(stored).equals(content)).toBe(true);
    }
  });

  it('leaves nothing where it is given up, at whatever it is', async () => {
    const idle = await store.pack!(KEY);
    await idle.abort();
    const busy = await store.pack!(KEY);
    const put = busy.put(noise(1_000_000, 3));
    const aborted = busy.abort();
    await expect(put).rejects.toThrow('given up');
    await aborted;
    await expect(busy.put(noise(10, 4))).rejects.toThrow('given up');
    await expect(busy.finish()).rejects.toMatchObject({ code: 'BLOBS_FAILED' });
    expect(await store.stat(KEY)).toBeNull();
    const closed = await store.pack!(KEY);
    await store.close();
    await expect(closed.finish()).rejects.toMatchObject({ code: 'BLOBS_FAILED' });
    expect(await unfinished()).toEqual([]);
  });

  it('is left alone by a sweep while it is written', async () => {
    const writer = await store.pack!(KEY);
    await writer.put(noise(500_000, 5));
    expect(await store.sweepOrphans(-60_000)).toBe(0);
    await writer.finish();
    expect(await store.stat(KEY)).not.toBeNull();
  });
});

describe('a disk that is full', () => {
  it('is told to whoever waits for a block or the end, and to all that come after', async () => {
    const full = await open('/dev/full', 'w');
    const stream = packThread.open(full.fd);
    const puts = Array.from({ length: 8 }, (_, i) => stream.put(noise(1_000_000, i + 1)));
    const results = await Promise.allSettled([...puts, stream.end()]);
    expect(results.at(-1)).toMatchObject({ status: 'rejected', reason: { code: 'ENOSPC' } });
    await expect(stream.put(noise(10, 1))).rejects.toMatchObject({ code: 'ENOSPC' });
    await stream.abort();
    await full.close();
  });
});
