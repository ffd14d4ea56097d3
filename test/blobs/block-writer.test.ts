import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { parseBlobTarget, type S3Target } from '../../src/blobs/blob-target.ts';
import { type BlockSink, BlockWriter } from '../../src/blobs/block-writer.ts';
import { S3Connection } from '../../src/blobs/s3-connection.ts';
import { S3Upload } from '../../src/blobs/s3-upload.ts';

/** Blocks of 10 bytes, of which two may be under way; each put settles when the test says so. */
class SlowSink implements BlockSink {
  readonly putsMax = 2;
  readonly calls: string[] = [];
  readonly buffers = new Set<Uint8Array>();
  readonly pending: { resolve(): void; reject(error: unknown): void }[] = [];

  blockBytes(): number {
    return 10;
  }

  put(block: Uint8Array, index: number): Promise<void> {
    this.calls.push(`put ${index} ${Buffer.from(block)}`);
    this.buffers.add(block);
    return new Promise((resolve, reject) => this.pending.push({ resolve, reject }));
  }

  async finish(last: Uint8Array, index: number, { bytes }: { bytes: number }): Promise<void> {
    this.calls.push(`finish ${index} ${Buffer.from(last)} of ${bytes}`);
  }

  cancel(): void {
    this.calls.push('cancel');
    for (const { reject } of this.pending.splice(0)) reject(new HoldfastError('BLOBS_FAILED', 'canceled'));
  }

  async discard(): Promise<void> {
    this.calls.push('discard');
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a writer of blocks', () => {
  it('reads its source no further while the sink is behind, and takes no more memory', async () => {
    const sink = new SlowSink();
    const writer = new BlockWriter(sink, () => {});
    await writer.write(Buffer.from('0123456789'.repeat(2)));
    let written = false;
    const writing = writer.write(Buffer.from('x'.repeat(20))).then(() => {
      written = true;
    });
    await turn();
    expect([written, sink.calls.length]).toEqual([false, 2]);
    sink.pending.shift()!.resolve();
    await turn();
    expect([written, sink.calls.length]).toEqual([false, 3]);
    sink.pending.shift()!.resolve();
    await writing;
    const finishing = writer.finish();
    await turn();
    for (const { resolve } of sink.pending.splice(0)) resolve();
    expect(await finishing).toMatchObject({ bytes: 40 });
    expect(sink.calls).toEqual([
      'put 0 0123456789',
      'put 1 0123456789',
      'put 2 xxxxxxxxxx',
      'finish 3 xxxxxxxxxx of 40',
    ]);
    expect(sink.buffers.size).toBeLessThanOrEqual(3);
  });

  it('gives what fits one block to the end alone', async () => {
    for (const text of ['', 'x', '0123456789']) {
      const sink = new SlowSink();
      const writer = new BlockWriter(sink, () => {});
      await writer.write(Buffer.from(text));
      await writer.finish();
      expect(sink.calls).toEqual([`finish 0 ${text} of ${text.length}`]);
    }
  });

  it('fails every later call by what a block failed by, cleans up once, and says that it has ended', async () => {
    const sink = new SlowSink();
    let ended = 0;
    const writer = new BlockWriter(sink, () => void ended++);
    await writer.write(Buffer.alloc(15));
    sink.pending[0]!.reject(new HoldfastError('BLOBS_FULL', 'no space'));
    await turn();
    await expect(writer.write(Buffer.alloc(1))).rejects.toMatchObject({ code: 'BLOBS_FULL' });
    await expect(writer.finish()).rejects.toMatchObject({ code: 'BLOBS_FULL' });
    await writer.abort();
    expect(sink.calls.slice(1)).toEqual(['cancel', 'discard']);
    expect(ended).toBe(1);
  });

  it('ends a call under way when it is given up', async () => {
    const sink = new SlowSink();
    const writer = new BlockWriter(sink, () => {});
    const writing = writer.write(Buffer.alloc(100)).catch((error: unknown) => error);
    await turn();
    await Promise.all([writer.abort(), writer.abort()]);
    expect(await writing).toMatchObject({ code: 'BLOBS_FAILED', message: 'writing the blob was given up' });
    expect(sink.calls.filter((call) => call === 'discard')).toHaveLength(1);
  });

  it('takes one call at a time', async () => {
    const writer = new BlockWriter(new SlowSink(), () => {});
    const first = writer.write(Buffer.alloc(100)).catch(() => {});
    await expect(writer.write(Buffer.alloc(1))).rejects.toThrow(/one call of a blob writer at a time/);
    await writer.abort();
    await first;
  });
});

describe('the parts of an upload to S3', () => {
  it('suffice for the largest blob, and stay small for those that are not large', () => {
    const parsed = parseBlobTarget('s3://rows');
    const upload = new S3Upload(new S3Connection((parsed as { value: S3Target }).value), 'a', new Set());
    let total = 0;
    let parts = 0;
    for (; total < LIMITS.blobBytes; parts++) {
      total += upload.blockBytes(parts);
      if (total <= 10 * 1024 ** 3) expect(upload.blockBytes(parts)).toBeLessThanOrEqual(24 * 1024 ** 2);
    }
    expect(parts).toBeLessThanOrEqual(LIMITS.s3PartsMax);
    expect(upload.blockBytes(parts - 1)).toBe(208 * 1024 ** 2);
  });
});
