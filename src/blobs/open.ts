import { HoldfastError } from '../base/errors.ts';
import type { BlobStore } from './blob-store.ts';
import { type BlobTarget, parseBlobTarget } from './blob-target.ts';
import { DirectoryBlobStore } from './directory-blob-store.ts';
import { S3BlobStore } from './s3-blob-store.ts';

/** Touches nothing yet; `probe` says whether it works. */
export function openBlobStore(where: string | BlobTarget): BlobStore {
  const target = typeof where === 'string' ? understood(where) : where;
  return target.kind === 'file' ? new DirectoryBlobStore(target.directory) : new S3BlobStore(target);
}

function understood(url: string): BlobTarget {
  const parsed = parseBlobTarget(url);
  if (!parsed.ok) throw new HoldfastError('CONFIG_INVALID', `the place for snapshots: ${parsed.problem}`);
  return parsed.value;
}
