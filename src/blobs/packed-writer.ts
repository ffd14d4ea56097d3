import type { TransformOptions } from 'node:stream';
import { createZstdCompress, type ZstdCompress, type ZstdOptions, constants as zlib } from 'node:zlib';
import { LIMITS } from '../base/limits.ts';
import type { BlobSummary, BlobWriter } from './blob-store.ts';

/** A fast level: the rows wait for it, and the next ones cost several times as much for a tenth of the space. */
export const ZSTD = { [zlib.ZSTD_c_compressionLevel]: 1 };

/** Half of the window that the level has: what comes in blocks is compressed by a tenth faster, to the same size. */
const WINDOW = { [zlib.ZSTD_c_windowLog]: 18 };

const STREAM: ZstdOptions & TransformOptions = {
  chunkSize: LIMITS.snapshotBlockBytes,
  params: { ...ZSTD, ...WINDOW },
};

/** A blob that is compressed on its way. After any rejection it is gone, as after `abort`. */
export interface PackedWriter {
  /**
   * Takes the block and all the memory that it lies in, and resolves to that when it may be used again. Several may be under
   * way, and are stored in the order of the calls.
   */
  put(block: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer>;
  /** Called when nothing more comes; resolves when the blob is durable, to what is stored. */
  finish(): Promise<BlobSummary>;
  /** As that of a blob. */
  abort(): Promise<void>;
}

/** Compresses with the threads that Node has for that, and writes from where it is called. */
export class ZstdWriter implements PackedWriter {
  readonly #blob: BlobWriter;
  readonly #zstd: ZstdCompress = createZstdCompress(STREAM);
  readonly #stored: Promise<void>;
  /** Those who wait for a block to be taken. */
  readonly #waiting = new Set<(error: unknown) => void>();
  #failure: unknown = null;

  constructor(blob: BlobWriter) {
    this.#blob = blob;
    this.#stored = this.#store();
    // The failure is kept, and told by the next call.
    this.#stored.catch(() => {});
  }

  async put(block: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> {
    if (this.#failure !== null) throw this.#failure;
    return await new Promise((resolve, reject) => {
      this.#waiting.add(reject);
      this.#zstd.write(block, (error) => {
        // One that is destroyed does not know why; whoever has done it tells those who wait.
        if (error) return;
        this.#waiting.delete(reject);
        resolve(block.buffer);
      });
    });
  }

  async finish(): Promise<BlobSummary> {
    if (this.#failure !== null) throw this.#failure;
    this.#zstd.end();
    await this.#stored;
    return await this.#blob.finish();
  }

  async abort(): Promise<void> {
    this.#zstd.destroy();
    await this.#stored.catch(() => {});
    await this.#blob.abort();
  }

  async #store(): Promise<void> {
    try {
      for await (const chunk of this.#zstd) await this.#blob.write(chunk as Buffer);
    } catch (error) {
      this.#failure = error;
      for (const reject of this.#waiting) reject(error);
      this.#waiting.clear();
      throw error;
    }
  }
}
