import type { PackedWriter } from './packed-writer.ts';

/**
 * The port to where before-images are kept: bytes under keys, written once and read whole or in part.
 *
 * Bytes are stored as they are given, so that an operator's own tools can read them. Whoever writes a blob gets its
 * length and SHA-256 and has to keep them, as a manifest does: a reader that gives them back is told if a single
 * byte is another.
 *
 * Keys are segments of `a-z 0-9 _ . -` with `/` between, see blob-key.ts. A key is never the folder of another.
 *
 * What fails rejects with a HoldfastError: BLOB_NOT_FOUND, BLOB_DAMAGED (what was read is not what was written),
 * BLOBS_FULL (no space left), BLOBS_REFUSED (credentials, permissions, a bucket that is not there: trying again
 * does not help), BLOBS_FAILED (anything else: trying again may help).
 */
export interface BlobStore {
  /** Starts a blob of unknown length. What is under the key already stays until `finish` replaces it. */
  create(key: string): Promise<BlobWriter>;
  /** As `create`, of what is to be stored under zstd; only where the store has a better place to compress than its caller. */
  readonly pack?: (key: string) => Promise<PackedWriter>;
  /**
   * Writes all at once, unless the key is taken: of several at the same time one is told `created`. Durable when it
   * resolves, whichever it says. Where it rejects, the blob may be there all the same, whole.
   */
  putIfAbsent(key: string, bytes: Uint8Array): Promise<PutResult>;
  /**
   * Says that `putIfAbsent` is going to be called for that key, so that what can be done ahead of it is done in the
   * background. Nothing hangs on it.
   */
  readonly expect?: (key: string) => void;
  /**
   * The bytes in chunks of at most LIMITS.blobChunkBytes. Faults come out of the iteration; one that is left early
   * lets go of everything. Where another blob takes this one's place meanwhile, it goes on with the one that it has
   * begun or rejects.
   */
  read(key: string, options?: ReadOptions): AsyncIterable<Uint8Array>;
  /** Null where there is none. */
  stat(key: string): Promise<BlobStat | null>;
  /** Blobs whose keys start with the prefix, in the order of their keys' bytes. What is no blob is left out. */
  list(prefix: string): AsyncIterable<BlobEntry>;
  /** Resolves also where there is none. */
  remove(key: string): Promise<void>;
  /** Keys of what was removed, where a lock keeps it all the same; only a store with a lock can tell. */
  removed?(prefix: string): AsyncIterable<string>;
  /**
   * Takes away what writers of dead processes have left and nobody sees: what has not changed (S3: has been begun)
   * for so long. Give it longer than any blob takes. Writers of this store object are left alone. Resolves to how
   * much there was.
   */
  sweepOrphans(olderThanMs: number): Promise<number>;
  /** Writes, reads and removes a tiny blob, so that what does not work is known before it is needed. */
  probe(): Promise<void>;
  /** Ends what is under way, which rejects. */
  close(): Promise<void>;
}

/** One blob on its way. After any rejection it is gone, as after `abort`. */
export interface BlobWriter {
  /** Resolves when more may be written; the chunk may be used again then. One call at a time. */
  write(chunk: Uint8Array): Promise<void>;
  /**
   * Resolves when the blob is durable; only then is it under its key. Where it rejects because an answer was lost,
   * the blob may be there all the same, whole.
   */
  finish(): Promise<BlobSummary>;
  /**
   * Leaves nothing. In the middle of another call it lets that reject, or `finish` resolve if it was faster. It never
   * rejects itself: what cannot be taken away now is seen by nobody and left to `sweepOrphans`. After `finish` it
   * does nothing.
   */
  abort(): Promise<void>;
}

export interface BlobSummary {
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

export type PutResult =
  | { readonly kind: 'created'; readonly summary: BlobSummary }
  | { readonly kind: 'exists' };

export interface ReadOptions {
  /** From this byte, the first being 0. */
  readonly start?: number;
  /** Up to and without this byte; past the end is as the end. */
  readonly end?: number;
  /** What the whole blob has to be; only without `start` and `end`. Told by BLOB_DAMAGED at the end. */
  readonly expected?: BlobSummary;
}

export interface BlobStat {
  readonly bytes: number;
  readonly modifiedAtMs: number;
}

export interface BlobEntry extends BlobStat {
  readonly key: string;
}
