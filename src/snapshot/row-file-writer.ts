import { hash } from 'node:crypto';
import { type ZstdOptions, zstdCompressSync } from 'node:zlib';
import { assert } from '../base/assert.ts';
import { LIMITS } from '../base/limits.ts';
import { ownCopy } from '../base/own-copy.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { type PackedWriter, ZSTD, ZstdWriter } from '../blobs/packed-writer.ts';
import { FILE_HEADER, FILE_TRAILER, type RowFile } from './row-file.ts';
import { storedFrame } from './zstd-frame.ts';

/** Of what is gathered. */
const FIRST_BLOCK_BYTES = 1024;

/**
 * Rows that are inline and take no more are not compressed: a compressor for a row or two costs more than all else that
 * is done with them. Its memory outside of the heap makes V8 collect the whole heap after every hundred of them.
 */
const STORED_BYTES_MAX = 4096;

/** What takes more is not kept inline. */
const AT_ONCE: ZstdOptions = { chunkSize: LIMITS.snapshotInlineBytes, params: ZSTD };

const NO_BLOCK = Buffer.alloc(0);

/**
 * Writes the rows of one table to a blob as they come. Rows are gathered in a block, since compressing each by
 * itself would cost more than the rest; some blocks may be compressed while others are filled, and then whoever has more waits.
 *
 * States: gathering, as long as the rows may turn out to be few enough to be kept without a blob; open, until `finish`
 * or `abort`; failed, once the blob could not be written, when every further call rejects with what went wrong. A blob
 * is only there after `finish` has resolved.
 */
export class RowFileWriter {
  readonly #store: BlobStore;
  readonly #key: string;
  #opening: Promise<PackedWriter> | null = null;
  #packed: PackedWriter | null = null;
  #block: Buffer<ArrayBuffer>;
  #filled = 0;
  #rows = 0;
  #rawBytes = 0;
  #failure: unknown = null;
  /** Blocks that have been compressed, to be filled again. */
  readonly #spare: Buffer<ArrayBuffer>[] = [];
  #underWay = 0;
  /** Ends the wait of whoever needs a block. */
  #wake: () => void = () => {};

  private constructor(store: BlobStore, key: string, block: Buffer<ArrayBuffer>) {
    this.#store = store;
    this.#key = key;
    this.#block = block;
    this.#append(FILE_HEADER);
  }

  static async create(store: BlobStore, key: string): Promise<RowFileWriter> {
    const writer = new RowFileWriter(store, key, newBlock());
    await writer.#open();
    return writer;
  }

  /** Makes a blob only when there are more rows than a manifest may hold; until then they are inline. */
  static gather(store: BlobStore, key: string): RowFileWriter {
    return new RowFileWriter(store, key, Buffer.allocUnsafe(FIRST_BLOCK_BYTES));
  }

  get rows(): number {
    return this.#rows;
  }

  /** Takes a row. Where a promise is returned, the row has to stay as it is, and the next one to wait, until then. */
  write(row: Uint8Array): void | Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    this.#rows++;
    if (row.length > this.#block.length - this.#filled) this.#grow(row.length);
    if (row.length <= this.#block.length - this.#filled) {
      this.#append(row);
      return;
    }
    return this.#writeLarge(row, 0);
  }

  /** Whether a row of so many bytes can be taken at once. */
  fits(bytes: number): boolean {
    return this.#failure === null && bytes <= this.#block.length - this.#filled;
  }

  /** Takes a row that fits, from where it stands in others. */
  take(bytes: Buffer, start: number, end: number): void {
    this.#rows++;
    this.#rawBytes += end - start;
    this.#filled += bytes.copy(this.#block, this.#filled, start, end);
  }

  /** How many bytes of rows can be taken at once, over two blocks where there is a second. */
  room(): number {
    if (this.#failure !== null) return 0;
    const hasNext = this.#packed !== null && this.#underWay + 1 < LIMITS.snapshotBlocksAhead;
    return this.#block.length - this.#filled + (hasNext ? LIMITS.snapshotBlockBytes : 0);
  }

  /** Takes rows for which there is room, one after another. */
  takeTuples(tuples: Buffer, rows: number): void {
    this.#rows += rows;
    const waiting = this.#writeLarge(tuples, 0);
    assert(waiting === undefined, 'there is room for what is taken at once');
  }

  /** Resolves when the blob is durable, or at once with what is inline. */
  async finish(): Promise<RowFile> {
    this.#grow(FILE_TRAILER.length);
    await this.#writeLarge(FILE_TRAILER, 0);
    const inline = this.#opening === null ? this.#inline() : null;
    if (inline !== null) return inline;
    await this.#flush();
    const { bytes, sha256 } = await (await this.#open()).finish();
    return { blob: this.#key, rows: this.#rows, bytes, sha256, rawBytes: this.#rawBytes };
  }

  /** Leaves nothing; never rejects. */
  async abort(): Promise<void> {
    this.#failure ??= new Error('the rows were given up');
    this.#wake();
    const packed = await this.#opening?.catch(() => null);
    await packed?.abort();
  }

  #open(): Promise<PackedWriter> {
    this.#opening ??= this.#start().catch((error: unknown) => {
      this.#failure ??= error;
      throw error;
    });
    return this.#opening;
  }

  async #start(): Promise<PackedWriter> {
    const store = this.#store;
    this.#packed = store.pack ? await store.pack(this.#key) : new ZstdWriter(await store.create(this.#key));
    return this.#packed;
  }

  /** Null where the rows take more than a manifest is to hold. */
  #inline(): RowFile | null {
    const raw = this.#block.subarray(0, this.#filled);
    const inline = raw.length <= STORED_BYTES_MAX ? storedFrame(raw) : zstdCompressSync(raw, AT_ONCE);
    if (inline.length > LIMITS.snapshotInlineBytes) return null;
    const sha256 = hash('sha256', inline);
    return {
      blob: this.#key,
      inline,
      rows: this.#rows,
      bytes: inline.length,
      sha256,
      rawBytes: this.#rawBytes,
    };
  }

  #append(bytes: Uint8Array): void {
    this.#block.set(bytes, this.#filled);
    this.#filled += bytes.length;
    this.#rawBytes += bytes.length;
  }

  /** Takes more memory for what may yet be inline; most snapshots are of few and short rows. */
  #grow(bytes: number): void {
    const wanted = this.#filled + bytes;
    if (this.#opening !== null || wanted > LIMITS.snapshotInlineRawBytes) return;
    const doubled = Math.max(wanted, 2 * this.#block.length);
    const larger = Buffer.allocUnsafeSlow(Math.min(doubled, LIMITS.snapshotInlineRawBytes));
    larger.set(this.#block.subarray(0, this.#filled));
    this.#block = larger;
  }

  /** Cuts what does not fit what is left of the block over as many blocks as it takes. */
  #writeLarge(bytes: Uint8Array, from: number): void | Promise<void> {
    for (let at = from; at < bytes.length; ) {
      if (this.#filled === this.#block.length) {
        const flushed = this.#flush();
        if (flushed !== undefined) return this.#writeBehind(flushed, bytes, at);
      }
      const part = bytes.subarray(at, at + this.#block.length - this.#filled);
      this.#append(part);
      at += part.length;
    }
    if (this.#failure !== null) throw this.#failure;
  }

  async #writeBehind(flushed: Promise<void>, bytes: Uint8Array, from: number): Promise<void> {
    await flushed;
    await this.#writeLarge(bytes, from);
  }

  /** Gives the block to be compressed and takes another, at once where there is one: whoever waits keeps what has come. */
  #flush(): void | Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    // There would be no end of looking for room in it.
    assert(this.#block !== NO_BLOCK, 'nothing is written while what was written before waits');
    if (this.#filled === 0) return;
    if (this.#packed === null) return this.#flushOpened();
    this.#give(this.#packed);
    if (this.#underWay >= LIMITS.snapshotBlocksAhead) return this.#untilSpare();
    this.#block = this.#spare.pop() ?? newBlock();
  }

  async #flushOpened(): Promise<void> {
    await this.#open();
    await this.#flush();
  }

  #give(packed: PackedWriter): void {
    const block = this.#block.subarray(0, this.#filled);
    // The first rows may lie in memory that they share with others.
    const put = packed.put(this.#block.length < block.buffer.byteLength ? ownCopy(block) : block);
    this.#block = NO_BLOCK;
    this.#filled = 0;
    this.#underWay++;
    put
      .then((memory) => {
        if (memory.byteLength === LIMITS.snapshotBlockBytes) this.#spare.push(Buffer.from(memory));
      })
      .catch((error: unknown) => {
        this.#failure ??= error;
      })
      .finally(() => {
        this.#underWay--;
        this.#wake();
      });
  }

  async #untilSpare(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    if (this.#failure !== null) throw this.#failure;
    this.#block = this.#spare.pop() ?? newBlock();
  }
}

/** In memory of its own, which goes to the thread that compresses it, and comes back. Shared memory is slow to write to. */
function newBlock(): Buffer<ArrayBuffer> {
  return Buffer.allocUnsafeSlow(LIMITS.snapshotBlockBytes);
}
