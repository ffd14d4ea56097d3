import { type ErrorCode, HoldfastError } from '../base/errors.ts';
import type { S3Target } from './blob-target.ts';

interface Cause {
  readonly code: ErrorCode;
  readonly what: (target: S3Target) => string;
  readonly hint?: string;
}

const placeOf = ({ endpoint }: S3Target): string => endpoint ?? 'AWS';

const refusedCredentials: Cause = {
  code: 'BLOBS_REFUSED',
  what: (target) => `the S3 server ${placeOf(target)} refuses the credentials for the snapshots`,
  hint: 'Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what else the AWS SDK takes credentials from.',
};
const forbidden: Cause = {
  code: 'BLOBS_REFUSED',
  what: ({ bucket }) => `the credentials do not allow what snapshots need in the bucket ${bucket}`,
  hint: 'Allow s3:GetObject, PutObject, DeleteObject, AbortMultipartUpload, ListBucket and ListBucketMultipartUploads; PutObjectRetention and ListBucketVersions for a lock.',
};
const wrongRegion: Cause = {
  code: 'BLOBS_REFUSED',
  what: ({ bucket }) => `the bucket ${bucket} is in another region`,
  hint: 'Add ?region=… to "snapshots", or set AWS_REGION.',
};
const noKey: Cause = {
  code: 'BLOBS_REFUSED',
  what: () => 'the KMS key for the snapshots cannot be used',
  hint: 'Check sse_key in "snapshots", and that the credentials may use the key.',
};
const noLock: Cause = {
  code: 'BLOBS_REFUSED',
  what: ({ bucket }) => `the bucket ${bucket} does not take blobs with a lock`,
  hint: 'Object lock is chosen when a bucket is created. Use one that has it, or remove lock from "snapshots".',
};
const full: Cause = {
  code: 'BLOBS_FULL',
  what: ({ bucket }) => `there is no space left for the snapshots in the bucket ${bucket}`,
  hint: 'Raise the quota, or name another place in "snapshots".',
};
const clockSkew: Cause = {
  code: 'BLOBS_REFUSED',
  what: (target) =>
    `the clock of this machine and that of the S3 server ${placeOf(target)} are too far apart`,
  hint: 'Set the clock, for example with NTP.',
};
const noBucket: Cause = {
  code: 'BLOBS_REFUSED',
  what: (target) => `there is no bucket ${target.bucket} at ${placeOf(target)}`,
  hint: 'Create it, or name another place in "snapshots".',
};
const noCredentials: Cause = {
  code: 'BLOBS_REFUSED',
  what: () => 'there are no credentials for the snapshots in S3',
  hint: 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what else the AWS SDK takes credentials from.',
};
const unreachable: Cause = {
  code: 'BLOBS_FAILED',
  what: (target) => `the S3 server ${placeOf(target)} cannot be reached, or broke the connection off`,
};

const throttled: Cause = {
  code: 'BLOBS_FAILED',
  what: (target) => `the S3 server ${placeOf(target)} asks for fewer requests`,
};

/** By what S3 and the SDK call it. */
const CAUSES: Readonly<Record<string, Cause>> = {
  NoSuchBucket: noBucket,
  InvalidBucketName: noBucket,
  InvalidAccessKeyId: refusedCredentials,
  SignatureDoesNotMatch: refusedCredentials,
  ExpiredToken: refusedCredentials,
  InvalidToken: refusedCredentials,
  CredentialsProviderError: noCredentials,
  AccessDenied: forbidden,
  RequestTimeTooSkewed: clockSkew,
  PermanentRedirect: wrongRegion,
  AuthorizationHeaderMalformed: wrongRegion,
  QuotaExceeded: full,
  InsufficientStorage: full,
  'KMS.NotFoundException': noKey,
  'KMS.DisabledException': noKey,
  'KMS.InvalidStateException': noKey,
  SlowDown: throttled,
  TooManyRequests: throttled,
  TimeoutError: unreachable,
  ECONNREFUSED: unreachable,
  ECONNRESET: unreachable,
  EPIPE: unreachable,
  ETIMEDOUT: unreachable,
  ENOTFOUND: unreachable,
  EAI_AGAIN: unreachable,
  EHOSTUNREACH: unreachable,
  ENETUNREACH: unreachable,
};

/** A HEAD has no body that could name the cause. */
const CAUSES_BY_STATUS: Readonly<Record<number, Cause>> = {
  301: wrongRegion,
  403: forbidden,
  429: throttled,
  507: full,
};

/** What the server or the SDK said, in one sentence and with what can be done; credentials are in none of it. */
export function s3Error(error: unknown, target: S3Target): HoldfastError {
  if (error instanceof HoldfastError) return error;
  const { name, message, status } = s3Facts(error);
  const cause = causeOf(error, target);
  const detail = [name, message].filter((one) => one !== '' && one !== 'UnknownError').join(': ');
  if (cause !== undefined) {
    const hint = cause.hint === undefined ? {} : { hint: cause.hint };
    return new HoldfastError(cause.code, cause.what(target), { detail, cause: error, ...hint });
  }
  if (/region is missing/i.test(message)) {
    return new HoldfastError('BLOBS_REFUSED', 'the region of the bucket for the snapshots is not known', {
      detail,
      hint: 'Add ?region=… to "snapshots", or set AWS_REGION.',
    });
  }
  // Of the other answers, 4xx mean that the request cannot succeed as it is.
  const code =
    status >= 400 && status < 500 && status !== 408 && status !== 429 ? 'BLOBS_REFUSED' : 'BLOBS_FAILED';
  return new HoldfastError(code, `the S3 server ${placeOf(target)} failed`, { detail, cause: error });
}

function causeOf(error: unknown, target: S3Target): Cause | undefined {
  const { name, message, status } = s3Facts(error);
  // Ceph calls a KMS key that it does not find an invalid access key.
  if (/kms-keyid/.test(message)) return noKey;
  if (name === 'InvalidRequest' && target.lock !== null) return noLock;
  return CAUSES[name] ?? CAUSES[codeOf(error)] ?? CAUSES_BY_STATUS[status];
}

export interface S3Facts {
  readonly name: string;
  readonly message: string;
  /** 0 where no answer came. */
  readonly status: number;
  /** How often the SDK has made the request. */
  readonly attempts: number;
}

export function s3Facts(error: unknown): S3Facts {
  if (!(error instanceof Error)) return { name: '', message: String(error), status: 0, attempts: 1 };
  const metadata = (error as { $metadata?: { httpStatusCode?: number; attempts?: number } }).$metadata;
  const { name, message } = error;
  return { name, message, status: metadata?.httpStatusCode ?? 0, attempts: metadata?.attempts ?? 1 };
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
}
