import type { S3 } from '@aws-sdk/client-s3';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { S3Target } from './blob-target.ts';
import { s3Error } from './s3-errors.ts';

export interface CallOptions {
  /** Gives the call up. */
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

export type S3Operation<T> = (client: S3, options: { readonly abortSignal: AbortSignal }) => Promise<T>;

/** One bucket: every call has a deadline and attempts that are counted, and `close` ends all that are under way. */
export class S3Connection {
  readonly target: S3Target;
  readonly #closing = new AbortController();
  #client: Promise<S3> | undefined;

  constructor(target: S3Target) {
    this.target = target;
  }

  /** Where a blob is in the bucket; with an empty key, what all of them start with. */
  objectOf(key: string): string {
    return this.target.prefix === '' ? key : `${this.target.prefix}/${key}`;
  }

  async call<T>(operation: S3Operation<T>, options: CallOptions = {}): Promise<T> {
    try {
      return await this.raw(operation, options);
    } catch (error) {
      throw s3Error(error, this.target);
    }
  }

  /** As `call`, for who looks at the server's own answer before it gets our name. */
  async raw<T>(operation: S3Operation<T>, options: CallOptions = {}): Promise<T> {
    const timeoutMs = options.timeoutMs ?? LIMITS.s3OperationTimeoutMs;
    const deadline = AbortSignal.timeout(timeoutMs);
    const given = options.signal === undefined ? [] : [options.signal];
    const abortSignal = AbortSignal.any([this.#closing.signal, deadline, ...given]);
    try {
      abortSignal.throwIfAborted();
      this.#client ??= connect(this.target);
      return await operation(await this.#client, { abortSignal });
    } catch (error) {
      if (this.#closing.signal.aborted) {
        throw new HoldfastError('BLOBS_FAILED', 'the snapshots storage is closed', { cause: error });
      }
      if (options.signal?.aborted) {
        throw new HoldfastError('BLOBS_FAILED', 'the request to S3 was given up', { cause: error });
      }
      if (deadline.aborted) {
        throw new HoldfastError('BLOBS_FAILED', `the S3 server did not do its work within ${timeoutMs} ms`, {
          cause: error,
        });
      }
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const client = await this.#client?.catch(() => undefined);
    client?.destroy();
  }
}

/** The SDK takes 40 MB of memory and a while to load, which only those pay who use it. */
async function connect(target: S3Target): Promise<S3> {
  const { S3 } = await import('@aws-sdk/client-s3');
  // Servers other than AWS's do not know all checksums; what they all check is the SHA-256 that requests are signed with.
  const checksums = target.endpoint === null ? 'WHEN_SUPPORTED' : 'WHEN_REQUIRED';
  const region = target.region ?? (target.endpoint === null ? null : 'us-east-1');
  return new S3({
    ...(region === null ? {} : { region }),
    ...(target.endpoint === null ? {} : { endpoint: target.endpoint }),
    forcePathStyle: target.pathStyle,
    requestChecksumCalculation: checksums,
    // Parts of an object have no checksum of their own; what is read whole is compared with its SHA-256.
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: LIMITS.s3AttemptsMax,
    retryMode: 'standard',
    requestHandler: {
      connectionTimeout: LIMITS.s3ConnectTimeoutMs,
      socketTimeout: LIMITS.s3IdleTimeoutMs,
      httpAgent: { keepAlive: true, maxSockets: LIMITS.s3ConnectionsMax },
      httpsAgent: { keepAlive: true, maxSockets: LIMITS.s3ConnectionsMax },
    },
  });
}
