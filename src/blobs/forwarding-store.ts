import type { BlobEntry, BlobStat, BlobStore, BlobWriter, PutResult, ReadOptions } from './blob-store.ts';
import type { PackedWriter } from './packed-writer.ts';

/** Passes everything on to another store, for those that do one thing differently. */
export abstract class ForwardingStore implements BlobStore {
  protected readonly store: BlobStore;
  readonly pack?: (key: string) => Promise<PackedWriter>;
  readonly expect?: (key: string) => void;
  readonly removed?: (prefix: string) => AsyncIterable<string>;

  constructor(store: BlobStore, pack: BlobStore['pack'] = store.pack) {
    this.store = store;
    if (pack !== undefined) this.pack = pack;
    if (store.expect !== undefined) this.expect = (key) => store.expect!(key);
    if (store.removed !== undefined) this.removed = (prefix) => store.removed!(prefix);
  }

  create(key: string): Promise<BlobWriter> {
    return this.store.create(key);
  }

  putIfAbsent(key: string, bytes: Uint8Array): Promise<PutResult> {
    return this.store.putIfAbsent(key, bytes);
  }

  read(key: string, options?: ReadOptions): AsyncIterable<Uint8Array> {
    return options === undefined ? this.store.read(key) : this.store.read(key, options);
  }

  stat(key: string): Promise<BlobStat | null> {
    return this.store.stat(key);
  }

  list(prefix: string): AsyncIterable<BlobEntry> {
    return this.store.list(prefix);
  }

  remove(key: string): Promise<void> {
    return this.store.remove(key);
  }

  sweepOrphans(olderThanMs: number): Promise<number> {
    return this.store.sweepOrphans(olderThanMs);
  }

  probe(): Promise<void> {
    return this.store.probe();
  }

  close(): Promise<void> {
    return this.store.close();
  }
}
