import { type ErrorCode, HoldfastError } from '../base/errors.ts';

interface Cause {
  readonly code: ErrorCode;
  readonly what: (folder: string) => string;
  readonly hint?: string;
}

const full = (folder: string): string => `there is no space left for the snapshots in ${folder}`;
const forbidden = (folder: string): string => `the snapshots folder ${folder} may not be written or read`;

const CAUSES: Readonly<Record<string, Cause>> = {
  ENOSPC: { code: 'BLOBS_FULL', what: full, hint: 'Make room, or name another place in "snapshots".' },
  EDQUOT: { code: 'BLOBS_FULL', what: full, hint: 'Raise the quota, or name another place in "snapshots".' },
  EACCES: { code: 'BLOBS_REFUSED', what: forbidden },
  EPERM: { code: 'BLOBS_REFUSED', what: forbidden },
  EROFS: {
    code: 'BLOBS_REFUSED',
    what: (folder) => `the file system of the snapshots in ${folder} is read-only`,
  },
  ENOENT: {
    code: 'BLOBS_FAILED',
    what: (folder) => `the snapshots folder ${folder} is not there any more`,
    hint: 'Bring it back, or the disk that it was on. Where another folder takes its place, start the gateway again.',
  },
  ENOTDIR: { code: 'BLOBS_REFUSED', what: (folder) => `a file stands where a folder of ${folder} has to be` },
  ENOTSUP: {
    code: 'BLOBS_REFUSED',
    what: (folder) => `the file system of ${folder} cannot do what snapshots need, such as links`,
  },
  EXDEV: {
    code: 'BLOBS_REFUSED',
    what: (folder) => `the snapshots folder ${folder} is not on one file system`,
  },
  EIO: { code: 'BLOBS_FAILED', what: (folder) => `the disk of the snapshots in ${folder} does not work` },
};

/** What the file system said, in one sentence and with what can be done. */
export function directoryError(error: unknown, folder: string): HoldfastError {
  if (error instanceof HoldfastError) return error;
  const detail = error instanceof Error ? error.message : String(error);
  const cause = CAUSES[codeOf(error) ?? ''];
  if (cause === undefined) {
    return new HoldfastError('BLOBS_FAILED', `the snapshots folder ${folder} failed`, {
      detail,
      cause: error,
    });
  }
  const hint = cause.hint === undefined ? {} : { hint: cause.hint };
  return new HoldfastError(cause.code, cause.what(folder), { detail, cause: error, ...hint });
}

export function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
}

/** Nothing is under that name. */
function isAbsent(error: unknown): boolean {
  return codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR';
}

/** Null instead of what rejects because nothing is under that name. */
export async function unlessAbsent<T>(found: Promise<T>): Promise<T | null> {
  try {
    return await found;
  } catch (error) {
    if (isAbsent(error)) return null;
    throw error;
  }
}
