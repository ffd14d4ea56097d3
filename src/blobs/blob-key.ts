import { assert } from '../base/assert.ts';
import { LIMITS } from '../base/limits.ts';

/**
 * One alphabet for every store. Without capitals, because some file systems take `a` and `A` for one; without a
 * leading dot, so that `..` is none and names with one are free for a store's own use.
 */
const SEGMENT = /^[a-z0-9_][a-z0-9_.-]*$/;

export function isBlobKey(text: string): boolean {
  if (text.length > LIMITS.blobKeyBytes) return false;
  return text.split('/').every((one) => SEGMENT.test(one) && one.length <= LIMITS.blobKeySegmentBytes);
}

/** Keys are made by this program, so that a wrong one is a mistake of its own. */
export function assertBlobKey(key: string): void {
  assert(isBlobKey(key), `${JSON.stringify(key.slice(0, LIMITS.blobKeyBytes))} is a key`);
}

/** A prefix is the beginning of a key, and may end in the middle of a segment. */
export function assertBlobPrefix(prefix: string): void {
  if (prefix !== '') assertBlobKey(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix);
}
