import { createHash } from 'node:crypto';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { BlobSummary } from './blob-store.ts';

/** Passes all chunks of a blob on, and ends with BLOB_DAMAGED if they are not what was written. */
export async function* verified(
  key: string,
  chunks: AsyncIterable<Uint8Array>,
  expected: BlobSummary,
): AsyncIterable<Uint8Array> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    hash.update(chunk);
    yield chunk;
  }
  if (bytes !== expected.bytes) {
    throw damaged(key, `${expected.bytes} bytes were written and ${bytes} read`);
  }
  const sha256 = hash.digest('hex');
  if (sha256 !== expected.sha256) {
    throw damaged(key, `the SHA-256 of what was written is ${expected.sha256}, of what was read ${sha256}`);
  }
}

export function damaged(key: string, detail: string): HoldfastError {
  return new HoldfastError('BLOB_DAMAGED', `the blob ${key} is not as it was written`, { detail });
}

export function notFound(key: string): HoldfastError {
  return new HoldfastError('BLOB_NOT_FOUND', `there is no blob ${key}`);
}

/** Cuts what came at once into chunks that a reader can take one by one. */
export function* chunksOf(bytes: Uint8Array): Iterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += LIMITS.blobChunkBytes) {
    yield bytes.subarray(at, at + LIMITS.blobChunkBytes);
  }
}
