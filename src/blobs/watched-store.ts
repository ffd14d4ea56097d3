import type { BlobStore, BlobSummary, BlobWriter, PutResult } from './blob-store.ts';
import { ForwardingStore } from './forwarding-store.ts';
import type { PackedWriter } from './packed-writer.ts';
import type { StorageWatch } from './storage-watch.ts';

/** Tells a watch what becomes of each write. What is only read, or taken away, is nothing that a commit waits for. */
export class WatchedStore extends ForwardingStore {
  readonly #watch: StorageWatch;
  #closed = false;
  readonly #isClosed = () => this.#closed;

  constructor(store: BlobStore, watch: StorageWatch) {
    const { pack } = store;
    super(store, pack && (async (key) => this.#packed(await this.#opened(() => pack(key)))));
    this.#watch = watch;
  }

  override async create(key: string): Promise<BlobWriter> {
    return this.#written(await this.#opened(() => this.store.create(key)));
  }

  override putIfAbsent(key: string, bytes: Uint8Array): Promise<PutResult> {
    return this.#watch.write(
      () => bytes.length,
      () => this.store.putIfAbsent(key, bytes),
      this.#isClosed,
    );
  }

  override async close(): Promise<void> {
    this.#closed = true;
    await this.store.close();
  }

  #opened<T>(open: () => Promise<T>): Promise<T> {
    return this.#watch.write(() => 0, open, this.#isClosed);
  }

  #written(writer: BlobWriter): BlobWriter {
    const file = this.#file(writer);
    return {
      write: (chunk) => file.call(chunk.length, () => writer.write(chunk)),
      finish: () => file.call(0, () => writer.finish()),
      abort: file.abort,
    };
  }

  #packed(writer: PackedWriter): PackedWriter {
    const file = this.#file(writer);
    return {
      put: (block) => file.call(block.length, () => writer.put(block)),
      finish: () => file.call(0, () => writer.finish()),
      abort: file.abort,
    };
  }

  /** One blob on its way: how long it is by now, and whether it was given up. */
  #file(writer: { abort(): Promise<void>; finish(): Promise<BlobSummary> }) {
    let bytes = 0;
    let isGivenUp = false;
    const total = () => bytes;
    const givenUp = () => isGivenUp || this.#closed;
    return {
      call: <T>(more: number, write: () => Promise<T>): Promise<T> => {
        bytes += more;
        return this.#watch.write(total, write, givenUp);
      },
      abort: async (): Promise<void> => {
        isGivenUp = true;
        await writer.abort();
      },
    };
  }
}
