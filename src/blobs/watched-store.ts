import type {
  BlobEntry,
  BlobStat,
  BlobStore,
  BlobSummary,
  BlobWriter,
  PutResult,
  ReadOptions,
} from './blob-store.ts';
import type { PackedWriter } from './packed-writer.ts';
import type { StorageWatch } from './storage-watch.ts';

/** Tells a watch what becomes of each write. What is only read, or taken away, is nothing that a commit waits for. */
export class WatchedStore implements BlobStore {
  readonly #store: BlobStore;
  readonly #watch: StorageWatch;
  #closed = false;
  readonly #isClosed = () => this.#closed;
  readonly pack?: (key: string) => Promise<PackedWriter>;

  constructor(store: BlobStore, watch: StorageWatch) {
    this.#store = store;
    this.#watch = watch;
    const { pack } = store;
    if (pack !== undefined) this.pack = async (key) => this.#packed(await this.#opened(() => pack(key)));
  }

  async create(key: string): Promise<BlobWriter> {
    return this.#written(await this.#opened(() => this.#store.create(key)));
  }

  putIfAbsent(key: string, bytes: Uint8Array): Promise<PutResult> {
    return this.#watch.write(
      () => bytes.length,
      () => this.#store.putIfAbsent(key, bytes),
      this.#isClosed,
    );
  }

  read(key: string, options?: ReadOptions): AsyncIterable<Uint8Array> {
    return options === undefined ? this.#store.read(key) : this.#store.read(key, options);
  }

  stat(key: string): Promise<BlobStat | null> {
    return this.#store.stat(key);
  }

  list(prefix: string): AsyncIterable<BlobEntry> {
    return this.#store.list(prefix);
  }

  remove(key: string): Promise<void> {
    return this.#store.remove(key);
  }

  sweepOrphans(olderThanMs: number): Promise<number> {
    return this.#store.sweepOrphans(olderThanMs);
  }

  probe(): Promise<void> {
    return this.#store.probe();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#store.close();
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
