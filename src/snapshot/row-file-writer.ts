import { once } from 'node:events';
import { createZstdCompress, type ZstdCompress, constants as zlib } from 'node:zlib';
import { LIMITS } from '../base/limits.ts';
import type { BlobStore, BlobWriter } from '../blobs/blob-store.ts';
import { FILE_HEADER, FILE_TRAILER, type RowFile } from './row-file.ts';

/**
 * Writes the rows of one table to a blob as they come. Rows are gathered in a block, since compressing each by
 * itself would cost more than the rest; blocks go through zstd to the blob, which holds back whoever is ahead.
 *
 * States: open, until `finish` or `abort`; failed, once the blob could not be written, when every further call
 * rejects with what went wrong. A blob is only there after `finish` has resolved.
 */
export class RowFileWriter {
  readonly #key: string;
  readonly #blob: BlobWriter;
  readonly #zstd: ZstdCompress;
  readonly #stored: Promise<void>;
  #block = Buffer.allocUnsafeSlow(LIMITS.snapshotBlockBytes);
  #filled = 0;
  #rows = 0;
  #rawBytes = 0;
  #failure: unknown = null;

  private constructor(key: string, blob: BlobWriter) {
    this.#key = key;
    this.#blob = blob;
    // A fast level: the rows wait for it, and the next ones cost several times as much for a tenth of the space.
    this.#zstd = createZstdCompress({
      chunkSize: LIMITS.snapshotBlockBytes,
      params: { [zlib.ZSTD_c_compressionLevel]: 1 },
    });
    this.#stored = this.#store();
    // The failure is kept, and told by the next call.
    this.#stored.catch(() => {});
  }

  static async create(store: BlobStore, key: string): Promise<RowFileWriter> {
    const writer = new RowFileWriter(key, await store.create(key));
    writer.#append(FILE_HEADER);
    return writer;
  }

  get rows(): number {
    return this.#rows;
  }

  /** Takes a row. Where a promise is returned, the row has to stay as it is, and the next one to wait, until then. */
  write(row: Uint8Array): void | Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    this.#rows++;
    if (row.length <= this.#block.length - this.#filled) {
      this.#append(row);
      return;
    }
    return this.#writeLarge(row);
  }

  /** Resolves when the blob is durable. */
  async finish(): Promise<RowFile> {
    await this.#writeLarge(FILE_TRAILER);
    await this.#flush();
    this.#zstd.end();
    await this.#stored;
    const { bytes, sha256 } = await this.#blob.finish();
    return { blob: this.#key, rows: this.#rows, bytes, sha256, rawBytes: this.#rawBytes };
  }

  /** Leaves nothing; never rejects. */
  async abort(): Promise<void> {
    this.#failure ??= new Error('the rows were given up');
    this.#zstd.destroy();
    await this.#stored.catch(() => {});
    await this.#blob.abort();
  }

  #append(bytes: Uint8Array): void {
    this.#block.set(bytes, this.#filled);
    this.#filled += bytes.length;
    this.#rawBytes += bytes.length;
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
    const block = this.#block.subarray(0, this.#filled);
    // The compressor works on the block in another thread, so that the next rows need one of their own.
    this.#block = Buffer.allocUnsafeSlow(LIMITS.snapshotBlockBytes);
    this.#filled = 0;
    if (!this.#zstd.write(block)) await Promise.race([once(this.#zstd, 'drain'), this.#stored]);
    if (this.#failure !== null) throw this.#failure;
  }

  async #store(): Promise<void> {
    try {
      for await (const chunk of this.#zstd) await this.#blob.write(chunk as Buffer);
    } catch (error) {
      this.#failure ??= error;
      throw this.#failure;
    }
  }
}
