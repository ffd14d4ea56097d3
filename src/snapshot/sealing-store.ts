import type { BlobStore, PutResult } from '../blobs/blob-store.ts';
import { ForwardingStore } from '../blobs/forwarding-store.ts';
import { isManifestKey } from './manifest.ts';
import { type ManifestSigner, sealManifest } from './manifest-seal.ts';

/** Signs each manifest that is put into a store, whoever does it. */
export class SealingStore extends ForwardingStore {
  readonly #signer: ManifestSigner;

  constructor(store: BlobStore, signer: ManifestSigner) {
    super(store);
    this.#signer = signer;
  }

  override async putIfAbsent(key: string, bytes: Uint8Array): Promise<PutResult> {
    const sealed = isManifestKey(key) ? sealManifest(key, bytes, this.#signer) : bytes;
    return await this.store.putIfAbsent(key, sealed);
  }
}
