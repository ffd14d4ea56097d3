import { HoldfastError } from '../base/errors.ts';
import type { S3Encryption, S3Lock, S3Target } from './blob-target.ts';

/** What is asked for with every blob beside its bytes. */
export interface WriteSettings {
  readonly ServerSideEncryption?: S3Encryption['kind'];
  readonly SSEKMSKeyId?: string;
  readonly ObjectLockMode?: S3Lock['mode'];
  readonly ObjectLockRetainUntilDate?: Date;
}

const DAY_MS = 24 * 60 * 60_000;

export function writeSettings({ encryption, lock }: S3Target, nowMs: number): WriteSettings {
  const until = lock === null ? null : new Date(nowMs + lock.days * DAY_MS);
  // To whole seconds, which is as exact as the date travels.
  until?.setMilliseconds(0);
  return {
    ...(encryption === null ? {} : { ServerSideEncryption: encryption.kind }),
    ...(encryption?.kind === 'aws:kms' && encryption.keyId !== null ? { SSEKMSKeyId: encryption.keyId } : {}),
    ...(lock === null || until === null
      ? {}
      : { ObjectLockMode: lock.mode, ObjectLockRetainUntilDate: until }),
  };
}

/** There are servers that take the wish for encryption for nothing and answer that all is well. */
export function assureEncrypted(
  settings: WriteSettings,
  answer: { readonly ServerSideEncryption?: string | undefined },
): void {
  const wanted = settings.ServerSideEncryption;
  if (wanted === undefined || answer.ServerSideEncryption === wanted) return;
  throw new HoldfastError(
    'BLOBS_REFUSED',
    `the S3 server does not encrypt with ${wanted} as it was asked to`,
    {
      hint: 'Remove sse from "snapshots", or use a server that encrypts.',
    },
  );
}
