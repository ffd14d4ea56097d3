import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import type { BlobStore, BlobWriter } from '../../src/blobs/blob-store.ts';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { FILE_HEADER, FILE_TRAILER, type RowFile } from '../../src/snapshot/row-file.ts';
import { readRows } from '../../src/snapshot/row-file-reader.ts';
import { RowFileWriter } from '../../src/snapshot/row-file-writer.ts';
import { ownStore } from '../blobs/own-store.ts';
import { Random, seedOfRun } from '../support/random.ts';

const KEY = 'snapshots/2026/11/21/s1/0.before.pgcopy.zst';
let store: BlobStore;
let directory: string;
ownStore((own, path) => {
  store = own;
  directory = path;
});

/** The body of a DataRow; null is a field that is NULL. */
function rowOf(...fields: readonly (Buffer | null)[]): Buffer {
  const parts: Buffer[] = [Buffer.from([fields.length >> 8, fields.length & 0xff])];
  for (const field of fields) {
    const length = Buffer.alloc(4);
    length.writeInt32BE(field?.length ?? -1);
    parts.push(length, field ?? Buffer.alloc(0));
  }
  return Buffer.concat(parts);
}

async function write(rows: Iterable<Buffer>): Promise<RowFile> {
  const writer = await RowFileWriter.create(store, KEY);
  for (const row of rows) await writer.write(row);
  return await writer.finish();
}

async function read(file: RowFile): Promise<Buffer[]> {
  const rows: Buffer[] = [];
  for await (const row of readRows(store, file)) rows.push(Buffer.from(row));
  return rows;
}

describe.each(['pool', 'thread'] as const)("a row file, compressed from Node's %s", (from) => {
  beforeEach(() => {
    store = new DirectoryBlobStore(directory, undefined, from);
  });

  it('is a binary COPY under zstd', async () => {
    const rows = [rowOf(Buffer.from('a'), null), rowOf(), rowOf(Buffer.alloc(0))];
    const file = await write(rows);
    const raw = zstdDecompressSync(await readFile(join(directory, KEY)));
    expect(raw).toEqual(Buffer.concat([FILE_HEADER, ...rows, FILE_TRAILER]));
    expect(file).toMatchObject({ blob: KEY, rows: 3, rawBytes: raw.length });
  });

  it('gives back no rows where none were written', async () => {
    expect(await read(await write([]))).toEqual([]);
  });

  it('gives back rows of all sizes, however they lie across blocks and chunks', async () => {
    const random = new Random(seedOfRun(31));
    const sizes = [0, 1, 100, LIMITS.snapshotBlockBytes - 20, LIMITS.snapshotBlockBytes, 3_000_000];
    const rows = Array.from({ length: 400 }, () => {
      const fields = Array.from({ length: random.between(0, 4) }, () => {
        const size = random.chance(0.05) ? random.pick(sizes) : random.between(0, 300);
        return random.chance(0.15) ? null : Buffer.alloc(size, random.between(0, 255));
      });
      return rowOf(...fields);
    });
    const back = await read(await write(rows));
    expect(back).toHaveLength(rows.length);
    for (const [i, row] of rows.entries()) expect(back[i]!.equals(row), `row ${i}`).toBe(true);
  });

  it('reads a very large row in time that grows with its length only', async () => {
    const row = rowOf(Buffer.alloc(128 * 1024 * 1024, 7));
    const file = await write([row]);
    const began = performance.now();
    expect((await read(file))[0]!.equals(row)).toBe(true);
    // Joined anew with every chunk it would be 32 GiB that are copied.
    expect(performance.now() - began).toBeLessThan(5_000);
  });

  it('does not keep hold of the row that it was given', async () => {
    const writer = await RowFileWriter.create(store, KEY);
    const row = rowOf(Buffer.from('first'));
    await writer.write(row);
    row.fill(0);
    expect(await read(await writer.finish())).toEqual([rowOf(Buffer.from('first'))]);
  });

  it('refuses a row that comes while the one before still waits for room', async () => {
    const writer = await RowFileWriter.create(store, KEY);
    const waiting = writer.write(
      rowOf(Buffer.alloc(2 * LIMITS.snapshotBlocksAhead * LIMITS.snapshotBlockBytes)),
    );
    expect(waiting).toBeInstanceOf(Promise);
    expect(() => writer.write(rowOf(Buffer.from('a')))).toThrow('nothing is written while');
    await waiting;
    await writer.abort();
  });

  it('is not there before it is finished, nor after it was given up', async () => {
    const writer = await RowFileWriter.create(store, KEY);
    await writer.write(rowOf(Buffer.alloc(1_000_000)));
    expect(await store.stat(KEY)).toBeNull();
    await writer.abort();
    expect(await store.stat(KEY)).toBeNull();
    expect(() => writer.write(rowOf())).toThrow('given up');
  });
});

describe('a row file that cannot be stored', () => {
  it.each([0, 1, 3])('says so after %i chunks, in place of waiting for ever', async (good) => {
    const inner = store;
    let left = good;
    const failing = {
      create: async (key: string): Promise<BlobWriter> => {
        const blob = await inner.create(key);
        return {
          write: async (chunk) => {
            if (left-- <= 0) throw new Error('no space');
            await blob.write(chunk);
          },
          finish: () => blob.finish(),
          abort: () => blob.abort(),
        };
      },
    } as BlobStore;
    const writer = await RowFileWriter.create(failing, KEY);
    const noise = rowOf(Buffer.from(Array.from({ length: 700_000 }, (_, i) => (i * 7919 * i) >> 7)));
    const writing = (async () => {
      for (let i = 0; i < 20; i++) await writer.write(noise);
      await writer.finish();
    })();
    await expect(writing).rejects.toThrow('no space');
    await writer.abort();
    expect(await inner.stat(KEY)).toBeNull();
  });
});

describe('a row file that is gathered at first', () => {
  it('tells at every further call that its blob could not be opened', async () => {
    const broken = Object.create(store, {
      create: { value: () => Promise.reject(new Error('no space')) },
    }) as BlobStore;
    const writer = RowFileWriter.gather(broken, KEY);
    await expect(async () => {
      for (;;) await writer.write(rowOf(Buffer.alloc(1_000)));
    }).rejects.toThrow('no space');
    expect(() => writer.write(rowOf())).toThrow('no space');
    await expect(writer.finish()).rejects.toThrow('no space');
    await writer.abort();
  });
});

describe('a damaged row file', () => {
  const raw = (...parts: readonly Uint8Array[]) => Buffer.concat([FILE_HEADER, ...parts]);
  const row = rowOf(Buffer.from('x'));

  it('is told by its hash', async () => {
    const file = await write([row]);
    const path = join(directory, KEY);
    const bytes = await readFile(path);
    bytes[bytes.length - 9]! ^= 1;
    await writeFile(path, bytes);
    await expect(read(file)).rejects.toMatchObject({ code: 'BLOB_DAMAGED' });
  });

  it('is read as gzip where an earlier version has written it', async () => {
    const key = KEY.replace(/zst$/, 'gz');
    const content = raw(row, FILE_TRAILER);
    const result = await store.putIfAbsent(key, gzipSync(content));
    if (result.kind !== 'created') throw new Error('the key is taken');
    expect(await read({ blob: key, rows: 1, ...result.summary, rawBytes: content.length })).toEqual([row]);
  });

  it.each<[string, Buffer]>([
    ['without a header', Buffer.concat([row, FILE_TRAILER])],
    ['without an end', raw(row)],
    ['cut within a row', raw(row.subarray(0, 5))],
    ['with something behind the end', raw(row, FILE_TRAILER, Buffer.from([0]))],
    ['with a row too many', raw(row, row, FILE_TRAILER)],
    ['with a row too few', raw(FILE_TRAILER)],
    ['with a count that cannot be', raw(Buffer.from([0xff, 0xfe]), FILE_TRAILER)],
    ['with a length that cannot be', raw(Buffer.from([0, 1, 0xff, 0xff, 0xff, 0xfe]), FILE_TRAILER)],
    ['empty', Buffer.alloc(0)],
  ])('is told by what is in it: %s', async (_, content) => {
    const stored = zstdCompressSync(content);
    const result = await store.putIfAbsent(KEY, stored);
    if (result.kind !== 'created') throw new Error('the key is taken');
    const file = { blob: KEY, rows: 1, ...result.summary, rawBytes: content.length };
    await expect(read(file)).rejects.toMatchObject({ code: 'BLOB_DAMAGED' });
  });

  it('is told where it is no zstd', async () => {
    const result = await store.putIfAbsent(KEY, Buffer.from('plain'));
    if (result.kind !== 'created') throw new Error('the key is taken');
    const file = { blob: KEY, rows: 1, ...result.summary, rawBytes: 5 };
    await expect(read(file)).rejects.toMatchObject({ code: 'BLOB_DAMAGED' });
  });

  it('is told where it holds more than was written, before all of it is decompressed', async () => {
    const result = await store.putIfAbsent(
      KEY,
      zstdCompressSync(raw(Buffer.alloc(50_000_000), FILE_TRAILER)),
    );
    if (result.kind !== 'created') throw new Error('the key is taken');
    const file = { blob: KEY, rows: 1, ...result.summary, rawBytes: 1000 };
    await expect(read(file)).rejects.toMatchObject({ code: 'BLOB_DAMAGED' });
  });
});
