import { hash } from 'node:crypto';
import { once } from 'node:events';
import type { TransformOptions } from 'node:stream';
import {
  createZstdCompress,
  type ZstdCompress,
  type ZstdOptions,
  constants as zlib,
  zstdCompressSync,
} from 'node:zlib';
import { LIMITS } from '../base/limits.ts';
import type { BlobStore, BlobWriter } from '../blobs/blob-store.ts';
import { FILE_HEADER, FILE_TRAILER, type RowFile } from './row-file.ts';
import { storedFrame } from './zstd-frame.ts';

/** Of what is gathered. */
const FIRST_BLOCK_BYTES = 1024;

/**
 * Rows that are inline and take no more are not compressed: a compressor for a row or two costs more than all else that
 * is done with them. Its memory outside of the heap makes V8 collect the whole heap after every hundred of them.
 */
const STORED_BYTES_MAX = 4096;

/** A fast level: the rows wait for it, and the next ones cost several times as much for a tenth of the space. */
const ZSTD = { [zlib.ZSTD_c_compressionLevel]: 1 };

/** What takes more is not kept inline. */
const AT_ONCE: ZstdOptions = { chunkSize: LIMITS.snapshotInlineBytes, params: ZSTD };

/** Some blocks may wait, so that rows are read while others are compressed. */
const STREAM: ZstdOptions & TransformOptions = {
  chunkSize: LIMITS.snapshotBlockBytes,
  writableHighWaterMark: LIMITS.snapshotBlocksAhead * LIMITS.snapshotBlockBytes,
  params: ZSTD,
};

/**
 * Writes the rows of one table to a blob as they come. Rows are gathered in a block, since compressing each by
 * itself would cost more than the rest; blocks go through zstd to the blob, which holds back whoever is ahead.
 *
 * States: gathering, as long as the rows may turn out to be few enough to be kept without a blob; open, until `finish`
 * or `abort`; failed, once the blob could not be written, when every further call rejects with what went wrong. A blob
 * is only there after `finish` has resolved.
 */
export class RowFileWriter {
  readonly #store: BlobStore;
  readonly #key: string;
  #opening: Promise<RowStream> | null = null;
  #block: Buffer;
  #filled = 0;
  #rows = 0;
  #rawBytes = 0;
  #failure: unknown = null;
  /** Blocks that have been compressed, to be filled again. */
  readonly #spare: Buffer[] = [];

  private constructor(store: BlobStore, key: string, block: Buffer) {
    this.#store = store;
    this.#key = key;
    this.#block = block;
    this.#append(FILE_HEADER);
  }

  static async create(store: BlobStore, key: string): Promise<RowFileWriter> {
    const writer = new RowFileWriter(store, key, Buffer.allocUnsafeSlow(LIMITS.snapshotBlockBytes));
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
    return this.#writeLarge(row);
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

  /** Resolves when the blob is durable, or at once with what is inline. */
  async finish(): Promise<RowFile> {
    this.#grow(FILE_TRAILER.length);
    await this.#writeLarge(FILE_TRAILER);
    const inline = this.#opening === null ? this.#inline() : null;
    if (inline !== null) return inline;
    await this.#flush();
    const { blob, zstd, stored } = await this.#open();
    zstd.end();
    await stored;
    const { bytes, sha256 } = await blob.finish();
    return { blob: this.#key, rows: this.#rows, bytes, sha256, rawBytes: this.#rawBytes };
  }

  /** Leaves nothing; never rejects. */
  async abort(): Promise<void> {
    this.#failure ??= new Error('the rows were given up');
    const stream = await this.#opening?.catch(() => null);
    if (stream === undefined || stream === null) return;
    stream.zstd.destroy();
    await stream.stored.catch(() => {});
    await stream.blob.abort();
  }

  #open(): Promise<RowStream> {
    this.#opening ??= this.#start();
    return this.#opening;
  }

  async #start(): Promise<RowStream> {
    const blob = await this.#store.create(this.#key).catch((error: unknown) => {
      this.#failure ??= error;
      throw error;
    });
    const zstd = createZstdCompress(STREAM);
    const stored = this.#stream(blob, zstd);
    // The failure is kept, and told by the next call.
    stored.catch(() => {});
    return { blob, zstd, stored };
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
  async #writeLarge(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      if (this.#filled === this.#block.length) await this.#flush();
      const part = bytes.subarray(at, at + this.#block.length - this.#filled);
      this.#append(part);
      at += part.length;
    }
    if (this.#failure !== null) throw this.#failure;
  }

  async #flush(): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    if (this.#filled === 0) return;
    const { zstd, stored } = await this.#open();
    // It may have been given up meanwhile.
    if (this.#failure !== null) throw this.#failure;
    const block = this.#block.subarray(0, this.#filled);
    // The compressor works on the block in another thread, so that the next rows need one of their own.
    this.#block = this.#spare.pop() ?? Buffer.allocUnsafeSlow(LIMITS.snapshotBlockBytes);
    this.#filled = 0;
    const taken = () => {
      if (block.buffer.byteLength === LIMITS.snapshotBlockBytes) this.#spare.push(Buffer.from(block.buffer));
    };
    if (!zstd.write(block, taken)) await Promise.race([once(zstd, 'drain'), stored]);
    if (this.#failure !== null) throw this.#failure;
  }

  async #stream(blob: BlobWriter, zstd: ZstdCompress): Promise<void> {
    try {
      for await (const chunk of zstd) await blob.write(chunk as Buffer);
    } catch (error) {
      this.#failure ??= error;
      throw this.#failure;
    }
  }
}

/** A blob, what its rows go through, and the end of that. */
interface RowStream {
  readonly blob: BlobWriter;
  readonly zstd: ZstdCompress;
  readonly stored: Promise<void>;
}
