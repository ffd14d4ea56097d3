import type {
  BlobEntry,
  BlobStat,
  BlobStore,
  BlobWriter,
  PutResult,
  ReadOptions,
} from '../blobs/blob-store.ts';
import type { PackedWriter } from '../blobs/packed-writer.ts';
import { isManifestKey } from './manifest.ts';
import { type ManifestSigner, sealManifest } from './manifest-seal.ts';

/** Signs each manifest that is put into a store, whoever does it. */
export class SealingStore implements BlobStore {
  readonly #store: BlobStore;
  readonly #signer: ManifestSigner;
  readonly pack?: (key: string) => Promise<PackedWriter>;

  constructor(store: BlobStore, signer: ManifestSigner) {
    this.#store = store;
    this.#signer = signer;
    if (store.pack !== undefined) this.pack = store.pack;
  }

  async putIfAbsent(key: string, bytes: Uint8Array): Promise<PutResult> {
    const sealed = isManifestKey(key) ? sealManifest(key, bytes, this.#signer) : bytes;
    return await this.#store.putIfAbsent(key, sealed);
  }

  create(key: string): Promise<BlobWriter> {
    return this.#store.create(key);
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

  close(): Promise<void> {
    return this.#store.close();
  }
}
