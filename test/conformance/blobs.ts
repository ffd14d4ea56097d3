import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import type { BlobStore, BlobSummary, ReadOptions } from '../../src/blobs/blob-store.ts';
import { Random } from '../support/random.ts';

/** What an adapter's test gives: a place of its own that is empty, for as many stores as are opened on it. */
export interface BlobsUnderTest {
  open(): BlobStore;
  /** How much is there that is under no key, by other means than the store's own. */
  unfinished(): Promise<number>;
  remove(): Promise<void>;
}

export interface BlobsTestSizes {
  /** Longer than any buffer; a store that holds it in memory is found out. */
  readonly largeBytes: number;
  /** What may be in memory while it is written or read, beside what the process has anyway. */
  readonly memoryBytes: number;
  /** More than one page of a list. */
  readonly entries: number;
}

/** What every adapter of BlobStore is held to. */
export function blobStoreConformance(
  name: string,
  create: () => Promise<BlobsUnderTest>,
  sizes: BlobsTestSizes,
): void {
  describe(`blob store: ${name}`, () => {
    let under: BlobsUnderTest;
    let store: BlobStore;

    beforeEach(async () => {
      under = await create();
      store = under.open();
    });
    afterEach(async () => {
      await store.close();
      await under.remove();
    });

    writing(() => ({ store, under }));
    reading(() => store);
    manifests(() => ({ store, under }));
    keeping(() => ({ store, under }), sizes);
    large(() => ({ store, under }), sizes);
  });
}

type Place = () => { store: BlobStore; under: BlobsUnderTest };

function writing(place: Place): void {
  describe('writing', () => {
    const sizes = {
      'no byte': 0,
      'one byte': 1,
      'a chunk': LIMITS.blobChunkBytes,
      'a chunk and a byte': LIMITS.blobChunkBytes + 1,
      'an S3 part': LIMITS.s3PartBytes,
      'an S3 part and a byte': LIMITS.s3PartBytes + 1,
      'several S3 parts': 2 * LIMITS.s3PartBytes + 12_345,
    };
    for (const [name, size] of Object.entries(sizes)) {
      it(`gives back ${name}`, async () => {
        const { store } = place();
        const bytes = new Random(size + 1).bytes(size);
        const writer = await store.create('snap_1/rows');
        for (const piece of cut(bytes, 100_003)) await writer.write(piece);
        const summary = await writer.finish();
        expect(summary).toEqual(summaryOf(bytes));
        expect((await store.stat('snap_1/rows'))?.bytes).toBe(size);
        expect(summaryOf(await bytesOf(store, 'snap_1/rows', { expected: summary }))).toEqual(summary);
      });
    }

    it('shows nothing of a blob before it is finished', async () => {
      const { store, under } = place();
      const writer = await store.create('a/b');
      await writer.write(new Random(1).bytes(LIMITS.s3PartBytes * 2));
      const other = under.open();
      expect(await other.stat('a/b')).toBeNull();
      expect(await keysOf(other, '')).toEqual([]);
      await expect(bytesOf(other, 'a/b')).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
      await writer.finish();
      expect(await keysOf(other, '')).toEqual(['a/b']);
      await other.close();
    });

    it('leaves nothing of a blob that is given up, at whatever time', async () => {
      const { store, under } = place();
      for (const size of [0, 10, LIMITS.s3PartBytes * 2]) {
        const writer = await store.create('a/b');
        await writer.write(Buffer.alloc(size));
        await writer.abort();
        await writer.abort();
        await expect(writer.write(Buffer.alloc(1))).rejects.toMatchObject({ code: 'BLOBS_FAILED' });
        await expect(writer.finish()).rejects.toMatchObject({ code: 'BLOBS_FAILED' });
      }
      expect(await under.unfinished()).toBe(0);
      expect(await keysOf(store, '')).toEqual([]);
    });

    it('gives up in the middle of a write', async () => {
      const { store, under } = place();
      const writer = await store.create('a/b');
      const writing = writer.write(Buffer.alloc(LIMITS.s3PartBytes * 10)).catch((error: unknown) => error);
      await new Promise((resolve) => setTimeout(resolve, 20));
      await writer.abort();
      expect(await writing).toMatchObject({ code: 'BLOBS_FAILED' });
      expect(await under.unfinished()).toBe(0);
      expect(await store.stat('a/b')).toBeNull();
    });

    it('keeps what is finished when it is given up afterwards', async () => {
      const { store } = place();
      const writer = await store.create('a');
      await writer.write(Buffer.from('kept'));
      await writer.finish();
      await writer.abort();
      expect(String(await bytesOf(store, 'a'))).toBe('kept');
    });

    it('replaces what was there, at once', async () => {
      const { store } = place();
      await write(store, 'a', Buffer.from('the old one'));
      const writer = await store.create('a');
      await writer.write(Buffer.from('new'));
      expect(String(await bytesOf(store, 'a'))).toBe('the old one');
      await writer.finish();
      expect(String(await bytesOf(store, 'a'))).toBe('new');
    });

    it('takes a chunk before it resolves, so that the caller may use its memory again', async () => {
      const { store } = place();
      const chunk = Buffer.alloc(1000);
      const writer = await store.create('a');
      for (let i = 0; i < 1000; i++) await writer.write(chunk.fill(i % 251));
      const summary = await writer.finish();
      const expected = Buffer.concat(Array.from({ length: 1000 }, (_, i) => Buffer.alloc(1000, i % 251)));
      expect(summary).toEqual(summaryOf(expected));
      expect((await bytesOf(store, 'a')).equals(expected)).toBe(true);
    });

    it('keeps writers of different keys apart', async () => {
      const { store } = place();
      const random = new Random(7);
      const blobs = Array.from({ length: 12 }, (_, i) => ({
        key: `many/${i % 3}/${i}`,
        bytes: random.bytes(200_000 + i * 77_777),
      }));
      await Promise.all(
        blobs.map(async ({ key, bytes }) => {
          const writer = await store.create(key);
          for (const piece of cut(bytes, 30_000)) await writer.write(piece);
          await writer.finish();
        }),
      );
      for (const { key, bytes } of blobs) expect((await bytesOf(store, key)).equals(bytes)).toBe(true);
    });

    it('refuses keys that could lead elsewhere', async () => {
      const { store } = place();
      const wrong = [
        '',
        '/a',
        'a/',
        'a//b',
        '..',
        'a/../b',
        '.a',
        'A',
        'a b',
        'a\\b',
        'ä',
        'a\0',
        'x'.repeat(600),
      ];
      for (const key of wrong) {
        await expect(store.create(key), key).rejects.toThrow(/assertion failed/);
        await expect(store.stat(key), key).rejects.toThrow(/assertion failed/);
        await expect(store.putIfAbsent(key, Buffer.of(1)), key).rejects.toThrow(/assertion failed/);
        await expect(store.remove(key), key).rejects.toThrow(/assertion failed/);
        expect(() => store.read(key), key).toThrow(/assertion failed/);
      }
    });
  });
}

function reading(storeOf: () => BlobStore): void {
  describe('reading', () => {
    const length = LIMITS.s3ReadBytes * 2 + 1000;
    const bytes = new Random(3).bytes(length);

    it('gives any part', async () => {
      const store = storeOf();
      await write(store, 'a', bytes);
      const middle = LIMITS.s3ReadBytes;
      const parts: [start: number | undefined, end: number | undefined][] = [
        [0, 1],
        [5, 5],
        [middle - 1, middle + 1],
        [middle, middle * 2],
        [length - 1, undefined],
        [undefined, 10],
        [100, length + 100],
        [length, length + 1],
        [length + 5, undefined],
      ];
      for (const [start, end] of parts) {
        const options = { ...(start === undefined ? {} : { start }), ...(end === undefined ? {} : { end }) };
        expect(
          (await bytesOf(store, 'a', options)).equals(bytes.subarray(start, end)),
          `${start}-${end}`,
        ).toBe(true);
      }
    });

    it('says when there is no such blob', async () => {
      const store = storeOf();
      await expect(bytesOf(store, 'a/b')).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
      await expect(bytesOf(store, 'a', { start: 3 })).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
      expect(await store.stat('a')).toBeNull();
    });

    it('tells when it is not what was written', async () => {
      const store = storeOf();
      const summary = await write(store, 'a', bytes);
      const changed = Buffer.from(bytes);
      changed[12_345]! ^= 1;
      for (const other of [changed, bytes.subarray(1), Buffer.concat([bytes, Buffer.of(0)])]) {
        await write(store, 'a', other);
        await expect(bytesOf(store, 'a', { expected: summary })).rejects.toMatchObject({
          code: 'BLOB_DAMAGED',
        });
      }
    });

    it('goes at the pace of its reader, and in chunks that are short', async () => {
      const store = storeOf();
      const summary = await write(store, 'a', bytes);
      const pieces: Uint8Array[] = [];
      for await (const chunk of store.read('a', { expected: summary })) {
        expect(chunk.length).toBeLessThanOrEqual(LIMITS.blobChunkBytes);
        pieces.push(chunk);
        if (pieces.length % 16 === 0) await new Promise((resolve) => setTimeout(resolve, 100));
      }
      expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
    });

    it('sees one version, also where another takes its place, or says so', async () => {
      const store = storeOf();
      await write(store, 'a', bytes);
      const pieces: Uint8Array[] = [];
      const reading = (async () => {
        for await (const chunk of store.read('a')) {
          if (pieces.push(chunk) === 1) await write(store, 'a', Buffer.alloc(length, 7));
        }
      })();
      const failure = await reading.catch((error: unknown) => error);
      if (failure === undefined) expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
      else expect(failure).toMatchObject({ code: 'BLOBS_FAILED' });
    });

    it('may be left early', async () => {
      const store = storeOf();
      await write(store, 'a', bytes);
      for (let i = 0; i < 50; i++) {
        for await (const chunk of store.read('a')) {
          expect(chunk.length).toBeGreaterThan(0);
          break;
        }
      }
    });
  });
}

function manifests(place: Place): void {
  describe('putIfAbsent', () => {
    it('creates, and does not replace', async () => {
      const { store } = place();
      const bytes = Buffer.from('{"first":true}');
      expect(await store.putIfAbsent('m/1', bytes)).toEqual({ kind: 'created', summary: summaryOf(bytes) });
      expect(await store.putIfAbsent('m/1', Buffer.from('second'))).toEqual({ kind: 'exists' });
      expect(String(await bytesOf(store, 'm/1', { expected: summaryOf(bytes) }))).toBe('{"first":true}');
    });

    it('has one winner among many at a time', async () => {
      const { store, under } = place();
      const others = [store, under.open(), under.open()];
      for (let round = 0; round < 5; round++) {
        const key = `m/${round}`;
        const results = await Promise.all(
          Array.from({ length: 10 }, (_, i) =>
            others[i % 3]!.putIfAbsent(key, Buffer.from(`writer ${i} ${'x'.repeat(i * 5000)}`)),
          ),
        );
        const winners = results.flatMap((result, i) => (result.kind === 'created' ? [{ i, result }] : []));
        expect(winners).toHaveLength(1);
        const [{ i, result }] = winners as [(typeof winners)[0]];
        const content = await bytesOf(store, key, { expected: result.summary });
        expect(String(content.subarray(0, 10)).trim().startsWith(`writer ${i}`)).toBe(true);
      }
      expect(await under.unfinished()).toBe(0);
      await Promise.all(others.slice(1).map((other) => other.close()));
    });

    it('may be used again after the blob was removed', async () => {
      const { store } = place();
      for (const text of ['one', 'two']) {
        expect(await store.putIfAbsent('m/1', Buffer.from(text))).toMatchObject({ kind: 'created' });
        expect(String(await bytesOf(store, 'm/1'))).toBe(text);
        await store.remove('m/1');
      }
    });
  });
}

function keeping(place: Place, sizes: BlobsTestSizes): void {
  describe('keeping', () => {
    it('removes a blob, and resolves where there is none', async () => {
      const { store } = place();
      await write(store, 'a/b/c', Buffer.from('x'));
      await store.remove('a/b/c');
      await store.remove('a/b/c');
      await store.remove('never/there');
      expect(await store.stat('a/b/c')).toBeNull();
      await write(store, 'a/b/c', Buffer.from('again'));
      expect(await keysOf(store, '')).toEqual(['a/b/c']);
    });

    it('lists in the order of keys, by any prefix, what other stores wrote too', async () => {
      const { store, under } = place();
      const keys = ['a-b', 'a.c', 'a/b', 'a/b-c/d', 'a/b.c', 'a0', 'a_', 'b/1', 'b/10', 'b/2', 'c'];
      const other = under.open();
      for (const key of new Random(5).shuffled(keys)) await write(other, key, Buffer.from(key));
      await other.close();
      const sorted = keys.toSorted((one, two) => Buffer.compare(Buffer.from(one), Buffer.from(two)));
      expect(await keysOf(store, '')).toEqual(sorted);
      for (const prefix of ['a', 'a/', 'a/b', 'a/b-', 'b/1', 'c', 'd', 'a/b-c/d', 'a/b-c/d/e']) {
        expect(await keysOf(store, prefix), prefix).toEqual(sorted.filter((key) => key.startsWith(prefix)));
      }
      for await (const entry of store.list('b/')) {
        expect(entry.bytes).toBe(entry.key.length);
        expect(Math.abs(entry.modifiedAtMs - Date.now())).toBeLessThan(60_000);
        expect((await store.stat(entry.key))?.bytes).toBe(entry.bytes);
      }
    });

    it('lists more than one page, and may be left early', async () => {
      const { store } = place();
      const keys = Array.from(
        { length: sizes.entries },
        (_, i) => `p/${i % 7}/${String(i).padStart(5, '0')}`,
      );
      const queue = [...keys];
      const worker = async (): Promise<void> => {
        for (let key = queue.pop(); key !== undefined; key = queue.pop()) {
          await store.putIfAbsent(key, Buffer.from('x'));
        }
      };
      await Promise.all(Array.from({ length: 16 }, worker));
      expect(await keysOf(store, 'p/')).toEqual(keys.toSorted());
      for await (const { key } of store.list('p/')) {
        expect(key).toBe(keys.toSorted()[0]);
        break;
      }
    });

    it('sweeps what the dead have left, and nothing of the living', async () => {
      const { store, under } = place();
      await write(store, 'kept', Buffer.from('kept'));
      const living = await store.create('living');
      await living.write(Buffer.alloc(LIMITS.s3PartBytes + 1, 1));
      // Another store is as good as another process, which does not clean up what it did not close.
      const dead = under.open();
      const lost = await dead.create('lost');
      await lost.write(Buffer.alloc(LIMITS.s3PartBytes + LIMITS.blobChunkBytes * 2, 2));
      await new Promise((resolve) => setTimeout(resolve, 1_100));
      expect(await store.sweepOrphans(60 * 60_000)).toBe(0);
      expect(await store.sweepOrphans(0)).toBe(1);
      await expect(lost.finish()).rejects.toMatchObject({ name: 'HoldfastError' });
      await living.finish();
      expect(await keysOf(store, '')).toEqual(['kept', 'living']);
      expect(await under.unfinished()).toBe(0);
      await dead.close();
    });

    it('probes, and leaves nothing', async () => {
      const { store, under } = place();
      await store.probe();
      expect(await keysOf(store, '')).toEqual([]);
      expect(await under.unfinished()).toBe(0);
    });

    it('ends what is under way when it is closed', async () => {
      const { store, under } = place();
      const other = under.open();
      await write(other, 'there', Buffer.alloc(LIMITS.s3ReadBytes * 3));
      const writer = await other.create('a');
      await writer.write(Buffer.alloc(LIMITS.s3PartBytes + 1));
      const iterator = other.read('there')[Symbol.asyncIterator]();
      await iterator.next();
      await other.close();
      await expect(writer.write(Buffer.alloc(1))).rejects.toMatchObject({ code: 'BLOBS_FAILED' });
      await expect(other.stat('a')).rejects.toMatchObject({ code: 'BLOBS_FAILED' });
      const rest = (async () => {
        while (!(await iterator.next()).done);
      })();
      await expect(rest).rejects.toMatchObject({ code: 'BLOBS_FAILED' });
      expect(await store.stat('a')).toBeNull();
    });
  });
}

function large(place: Place, { largeBytes, memoryBytes }: BlobsTestSizes): void {
  it(`streams ${Math.round(largeBytes / 1e6)} MB through bounded memory, there and back`, async () => {
    const { store } = place();
    const chunk = new Random(11).bytes(64 * 1024);
    const writer = await store.create('large');
    const before = process.memoryUsage.rss();
    let most = 0;
    const look = setInterval(() => {
      most = Math.max(most, process.memoryUsage.rss() - before);
    }, 20);
    try {
      for (let at = 0; at < largeBytes; at += chunk.length) {
        chunk.writeUInt32LE(at / chunk.length);
        await writer.write(chunk);
      }
      const summary = await writer.finish();
      expect(summary.bytes).toBe(largeBytes);
      for await (const _ of store.read('large', { expected: summary }));
    } finally {
      clearInterval(look);
    }
    expect(most).toBeLessThan(memoryBytes);
  }, 300_000);
}

async function write(store: BlobStore, key: string, bytes: Uint8Array): Promise<BlobSummary> {
  const writer = await store.create(key);
  await writer.write(bytes);
  return await writer.finish();
}

async function bytesOf(store: BlobStore, key: string, options: ReadOptions = {}): Promise<Buffer> {
  return Buffer.concat(await all(store.read(key, options)));
}

async function keysOf(store: BlobStore, prefix: string): Promise<string[]> {
  return (await all(store.list(prefix))).map(({ key }) => key);
}

/** All that there is to come. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

function summaryOf(bytes: Uint8Array): BlobSummary {
  return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

function* cut(bytes: Uint8Array, length: number): Iterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}
