import type { CompletedPart, UploadPartOutput } from '@aws-sdk/client-s3';
import { assert } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { BlobSummary } from './blob-store.ts';
import type { BlockSink } from './block-writer.ts';
import type { S3Connection } from './s3-connection.ts';
import { s3Error, s3Facts } from './s3-errors.ts';
import { type ObjectPlace, putObject } from './s3-put.ts';
import { assureEncrypted, type WriteSettings, writeSettings } from './s3-settings.ts';

/** In an object's metadata: which write it comes from, where an answer was lost and the request made again. */
export const WRITE_ID = 'holdfast-write';
/** In the metadata of what was written at once; of a longer blob it is known only after the metadata is sent. */
export const SHA256 = 'sha256';

/** One blob on its way: in one request if it fits a part, else as parts that become an object at the end. */
export class S3Upload implements BlockSink {
  readonly putsMax = LIMITS.s3PartsUnderWayMax;
  readonly #connection: S3Connection;
  readonly #place: ObjectPlace;
  readonly #settings: WriteSettings;
  readonly #writeId = newId('write');
  readonly #canceling = new AbortController();
  readonly #beginning = new AbortController();
  /** Of this process, which no sweep of its own takes. */
  readonly #living: Set<string>;
  readonly #parts: CompletedPart[] = [];
  #upload: Promise<string> | undefined;
  #uploadId: string | undefined;

  constructor(connection: S3Connection, object: string, living: Set<string>) {
    this.#connection = connection;
    this.#place = { Bucket: connection.target.bucket, Key: object };
    this.#settings = writeSettings(connection.target, Date.now());
    this.#living = living;
  }

  /** Grows, so that the parts that S3 takes suffice for the largest blob, and stays small for all others. */
  blockBytes(index: number): number {
    return LIMITS.s3PartBytes * (1 + Math.floor(index / LIMITS.s3PartsPerStep));
  }

  async put(block: Uint8Array, index: number): Promise<void> {
    assert(index < LIMITS.s3PartsMax, 'the parts suffice for the largest blob');
    this.#upload ??= this.#begin();
    const part = { ...this.#place, UploadId: await this.#upload, PartNumber: index + 1 };
    const answer = await this.#connection.call(
      (client, options) => client.uploadPart({ ...part, Body: block }, options),
      { signal: this.#canceling.signal },
    );
    this.#parts[index] = completedPart(part.PartNumber, answer);
  }

  async finish(last: Uint8Array, index: number, summary: BlobSummary): Promise<void> {
    if (index === 0) {
      await this.#putWhole(last, summary);
    } else {
      await this.put(last, index);
      await this.#complete(this.#uploadId!);
    }
    this.#forget();
  }

  /** The begin of an upload is given a while longer, because without its id the upload could not be aborted. */
  cancel(): void {
    this.#canceling.abort();
    if (this.#upload === undefined || this.#uploadId !== undefined) return;
    const timer = setTimeout(() => this.#beginning.abort(), LIMITS.s3AbortTimeoutMs);
    const stop = (): void => clearTimeout(timer);
    this.#upload.then(stop, stop);
  }

  async discard(): Promise<void> {
    await this.#upload?.catch(() => {});
    const uploadId = this.#uploadId;
    if (uploadId === undefined) return;
    // What fails here is left to a sweep, which will find it in the server's list.
    await this.#connection
      .call(
        (client, options) => client.abortMultipartUpload({ ...this.#place, UploadId: uploadId }, options),
        { timeoutMs: LIMITS.s3AbortTimeoutMs },
      )
      .catch(() => {});
    this.#forget();
  }

  async #putWhole(bytes: Uint8Array, summary: BlobSummary): Promise<void> {
    const put = { Body: bytes, Metadata: { [SHA256]: summary.sha256, [WRITE_ID]: this.#writeId } };
    try {
      await putObject(this.#connection, this.#place, this.#settings, put, this.#canceling.signal);
    } catch (error) {
      throw s3Error(error, this.#connection.target);
    }
  }

  async #begin(): Promise<string> {
    const Metadata = { [WRITE_ID]: this.#writeId };
    const answer = await this.#connection.call(
      (client, options) =>
        client.createMultipartUpload({ ...this.#place, ...this.#settings, Metadata }, options),
      { signal: this.#beginning.signal },
    );
    if (answer.UploadId === undefined) throw new HoldfastError('BLOBS_FAILED', 'S3 gave an upload no id');
    this.#uploadId = answer.UploadId;
    this.#living.add(answer.UploadId);
    assureEncrypted(this.#settings, answer);
    return answer.UploadId;
  }

  async #complete(uploadId: string): Promise<void> {
    let version: string | undefined;
    try {
      const answer = await this.#connection.raw(
        (client, options) =>
          client.completeMultipartUpload(
            { ...this.#place, UploadId: uploadId, MultipartUpload: { Parts: this.#parts } },
            options,
          ),
        { signal: this.#canceling.signal },
      );
      version = answer.VersionId;
    } catch (error) {
      const found = s3Facts(error).name === 'NoSuchUpload' ? await this.#written() : null;
      if (found === null) throw s3Error(error, this.#connection.target);
      version = found.version;
    }
    await this.#retain(version);
  }

  /** An upload that is gone was completed by this very request, if the object says that it comes from this write. */
  async #written(): Promise<{ readonly version: string | undefined } | null> {
    const found = await this.#connection
      .call((client, options) => client.headObject(this.#place, options))
      .catch(() => null);
    return found?.Metadata?.[WRITE_ID] === this.#writeId ? { version: found.VersionId } : null;
  }

  /** Ceph forgets the lock that an upload was begun with; where it is there already this changes nothing. */
  async #retain(version: string | undefined): Promise<void> {
    const { ObjectLockMode: Mode, ObjectLockRetainUntilDate: RetainUntilDate } = this.#settings;
    if (Mode === undefined || RetainUntilDate === undefined) return;
    const VersionId = version === undefined ? {} : { VersionId: version };
    await this.#connection.call((client, options) =>
      client.putObjectRetention(
        { ...this.#place, ...VersionId, Retention: { Mode, RetainUntilDate } },
        options,
      ),
    );
  }

  #forget(): void {
    if (this.#uploadId !== undefined) this.#living.delete(this.#uploadId);
  }
}

/** The server's own checksum of a part, whichever it made, is repeated to it at the end. */
function completedPart(number: number, answer: UploadPartOutput): CompletedPart {
  const { ETag, ChecksumCRC32, ChecksumCRC32C, ChecksumCRC64NVME, ChecksumSHA256 } = answer;
  return { PartNumber: number, ETag, ChecksumCRC32, ChecksumCRC32C, ChecksumCRC64NVME, ChecksumSHA256 };
}
