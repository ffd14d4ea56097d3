import { createHash } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import type { ListMultipartUploadsOutput, ListObjectVersionsOutput } from '@aws-sdk/client-s3';
import { assert } from '../base/assert.ts';
import { agreedMs } from '../base/clock.ts';
import { newId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { assertBlobKey, assertBlobPrefix, isBlobKey } from './blob-key.ts';
import type {
  BlobEntry,
  BlobStat,
  BlobStore,
  BlobSummary,
  BlobWriter,
  PutResult,
  ReadOptions,
} from './blob-store.ts';
import type { S3Target } from './blob-target.ts';
import { BlockWriter } from './block-writer.ts';
import { probeStore, sweepProbes } from './probe.ts';
import { S3Connection } from './s3-connection.ts';
import { s3Error, s3Facts } from './s3-errors.ts';
import { type ObjectPlace, putObject } from './s3-put.ts';
import { S3Reader } from './s3-read.ts';
import { writeSettings } from './s3-settings.ts';
import { S3Upload, SHA256, WRITE_ID } from './s3-upload.ts';
import { verified } from './verified.ts';

/** Blobs as objects of one bucket, below a prefix. Without one, the bucket is taken to be for nothing else. */
export class S3BlobStore implements BlobStore {
  readonly #connection: S3Connection;
  readonly #bucket: string;
  readonly #uploads = new Set<string>();
  readonly #writers = new Set<BlobWriter>();

  constructor(target: S3Target) {
    this.#connection = new S3Connection(target);
    this.#bucket = target.bucket;
  }

  async create(key: string): Promise<BlobWriter> {
    assertBlobKey(key);
    const sink = new S3Upload(this.#connection, this.#connection.objectOf(key), this.#uploads);
    const writer = new BlockWriter(sink, () => this.#writers.delete(writer));
    this.#writers.add(writer);
    return writer;
  }

  async putIfAbsent(key: string, bytes: Uint8Array): Promise<PutResult> {
    assertBlobKey(key);
    assert(bytes.length <= LIMITS.blobAtOnceBytes, 'what is put at once is short');
    const settings = writeSettings(this.#connection.target, Date.now());
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const writeId = newId('write');
    const put = { Metadata: { [SHA256]: sha256, [WRITE_ID]: writeId }, IfNoneMatch: '*', Body: bytes };
    const created: PutResult = { kind: 'created', summary: { bytes: bytes.length, sha256 } };
    for (let attempt = 1; ; attempt++) {
      try {
        await putObject(this.#connection, this.#objectOf(key), settings, put);
        return created;
      } catch (error) {
        const { status, attempts } = s3Facts(error);
        if (status === 412) {
          // A request that was made again, because its answer was lost, finds what it has written itself.
          const own = (attempt > 1 || attempts > 1) && (await this.#isFrom(key, writeId));
          return own ? created : { kind: 'exists' };
        }
        // S3's word for two at the same time of which none has won yet.
        if (status !== 409 || attempt === LIMITS.s3AttemptsMax) throw s3Error(error, this.#connection.target);
        await wait(LIMITS.s3RetryMs * 2 ** (attempt - 1));
      }
    }
  }

  read(key: string, options: ReadOptions = {}): AsyncIterable<Uint8Array> {
    assertBlobKey(key);
    const { start = 0, end = Number.POSITIVE_INFINITY, expected } = options;
    const whole = start === 0 && end === Number.POSITIVE_INFINITY;
    assert(expected === undefined || whole, 'a part is not verified');
    return this.#read(key, start, end, whole, expected);
  }

  async stat(key: string): Promise<BlobStat | null> {
    assertBlobKey(key);
    try {
      const answer = await this.#connection.raw((client, options) =>
        client.headObject(this.#objectOf(key), options),
      );
      return { bytes: answer.ContentLength ?? 0, modifiedAtMs: answer.LastModified?.getTime() ?? 0 };
    } catch (error) {
      if (s3Facts(error).status !== 404) throw s3Error(error, this.#connection.target);
      await this.#assureBucket();
      return null;
    }
  }

  async *list(prefix: string): AsyncIterable<BlobEntry> {
    assertBlobPrefix(prefix);
    const before = this.#connection.objectOf('');
    let from: string | undefined;
    do {
      const page = await this.#connection.call((client, options) =>
        client.listObjectsV2(
          {
            Bucket: this.#bucket,
            Prefix: before + prefix,
            MaxKeys: LIMITS.blobListPageMax,
            EncodingType: 'url',
            ...(from === undefined ? {} : { ContinuationToken: from }),
          },
          options,
        ),
      );
      for (const { Key = '', Size = 0, LastModified } of page.Contents ?? []) {
        const key = decodeURIComponent(Key).slice(before.length);
        if (isBlobKey(key)) yield { key, bytes: Size, modifiedAtMs: LastModified?.getTime() ?? 0 };
      }
      from = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (from !== undefined);
  }

  async remove(key: string): Promise<void> {
    assertBlobKey(key);
    await this.#connection.call((client, options) => client.deleteObject(this.#objectOf(key), options));
  }

  async *removed(prefix: string): AsyncIterable<string> {
    assertBlobPrefix(prefix);
    if (this.#connection.target.lock === null) return;
    const before = this.#connection.objectOf('');
    const place = { Bucket: this.#bucket, Prefix: before + prefix, MaxKeys: LIMITS.blobListPageMax } as const;
    let from: { KeyMarker?: string; VersionIdMarker?: string | undefined } | undefined = {};
    while (from !== undefined) {
      const marker: typeof from = from;
      const page: ListObjectVersionsOutput = await this.#connection.call((client, options) =>
        client.listObjectVersions({ ...place, ...marker }, options),
      );
      for (const { Key = '', IsLatest } of page.DeleteMarkers ?? []) {
        const key = Key.slice(before.length);
        if (IsLatest === true && isBlobKey(key)) yield key;
      }
      const { NextKeyMarker, NextVersionIdMarker: VersionIdMarker } = page;
      const more = page.IsTruncated === true && NextKeyMarker !== undefined;
      from = more ? { KeyMarker: NextKeyMarker, VersionIdMarker } : undefined;
    }
  }

  async sweepOrphans(olderThanMs: number): Promise<number> {
    const beforeMs = agreedMs() - olderThanMs;
    let removed = 0;
    for await (const upload of this.#unfinishedUploads()) {
      if (upload.begunAtMs >= beforeMs || this.#uploads.has(upload.UploadId)) continue;
      const { Key, UploadId } = upload;
      const abort = { Bucket: this.#bucket, Key, UploadId };
      await this.#connection
        .raw((client, options) => client.abortMultipartUpload(abort, options))
        .catch((error: unknown) => {
          // Somebody else has ended it meanwhile.
          if (s3Facts(error).name !== 'NoSuchUpload') throw s3Error(error, this.#connection.target);
        });
      removed++;
    }
    return removed + (await sweepProbes(this, beforeMs));
  }

  async probe(): Promise<void> {
    await probeStore(this);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#writers].map((writer) => writer.abort()));
    await this.#connection.close();
  }

  #objectOf(key: string): ObjectPlace {
    return { Bucket: this.#bucket, Key: this.#connection.objectOf(key) };
  }

  async *#read(
    key: string,
    start: number,
    end: number,
    whole: boolean,
    given: BlobSummary | undefined,
  ): AsyncIterable<Uint8Array> {
    const reader = new S3Reader(this.#connection, key, end);
    const first = await reader.first(start);
    const known = whole && first !== null && first.sha256 !== null;
    const expected = given ?? (known ? { bytes: first.total, sha256: first.sha256! } : null);
    const chunks = first === null ? nothing() : reader.from(first);
    yield* expected === null ? chunks : verified(key, chunks, expected);
  }

  async #isFrom(key: string, writeId: string): Promise<boolean> {
    const found = await this.#connection
      .raw((client, options) => client.headObject(this.#objectOf(key), options))
      .catch((error: unknown) => {
        if (s3Facts(error).status === 404) return null;
        throw s3Error(error, this.#connection.target);
      });
    return found?.Metadata?.[WRITE_ID] === writeId;
  }

  /** HEAD says the same of an object that is not there and of a bucket that is not there. */
  async #assureBucket(): Promise<void> {
    try {
      await this.#connection.raw((client, options) => client.headBucket({ Bucket: this.#bucket }, options));
    } catch (error) {
      const missing = s3Facts(error).status === 404;
      throw s3Error(
        missing ? Object.assign(new Error('HEAD: 404'), { name: 'NoSuchBucket' }) : error,
        this.#connection.target,
      );
    }
  }

  async *#unfinishedUploads(): AsyncIterable<{ Key: string; UploadId: string; begunAtMs: number }> {
    let from: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {};
    while (from !== undefined) {
      const marker: typeof from = from;
      const page: ListMultipartUploadsOutput = await this.#connection.call((client, options) =>
        client.listMultipartUploads(
          { Bucket: this.#bucket, Prefix: this.#connection.objectOf(''), ...marker },
          options,
        ),
      );
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        const key = Key?.slice(this.#connection.objectOf('').length);
        if (Key !== undefined && UploadId !== undefined && isBlobKey(key ?? '')) {
          yield { Key, UploadId, begunAtMs: Initiated?.getTime() ?? 0 };
        }
      }
      const { NextKeyMarker: KeyMarker, NextUploadIdMarker: UploadIdMarker } = page;
      const more = page.IsTruncated === true && KeyMarker !== undefined && UploadIdMarker !== undefined;
      from = more ? { KeyMarker, UploadIdMarker } : undefined;
    }
  }
}

async function* nothing(): AsyncIterable<Uint8Array> {}
