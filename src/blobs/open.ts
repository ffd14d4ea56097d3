import { HoldfastError } from '../base/errors.ts';
import type { BlobStore } from './blob-store.ts';
import { type BlobTarget, parseBlobTarget } from './blob-target.ts';
import { DirectoryBlobStore } from './directory-blob-store.ts';
import { S3BlobStore } from './s3-blob-store.ts';

/**
 * Touches nothing yet; `probe` says whether it works. `putsOften`: small blobs are put so often that a thread of their own
 * (40 MB) is worth it.
 */
export function openBlobStore(where: string | BlobTarget, putsOften = false): BlobStore {
  const target = typeof where === 'string' ? understood(where) : where;
  if (target.kind !== 'file') return new S3BlobStore(target);
  return new DirectoryBlobStore(target.directory, undefined, putsOften ? 'thread' : 'pool');
}

function understood(url: string): BlobTarget {
  const parsed = parseBlobTarget(url);
  if (!parsed.ok) throw new HoldfastError('CONFIG_INVALID', `the place for snapshots: ${parsed.problem}`);
  return parsed.value;
}
