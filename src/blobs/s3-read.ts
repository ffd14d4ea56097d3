import { addAbortSignal, type Readable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { S3Connection } from './s3-connection.ts';
import { s3Error, s3Facts } from './s3-errors.ts';
import { SHA256 } from './s3-upload.ts';
import { chunksOf, notFound } from './verified.ts';

/** A part of an object, with what came with it about the whole. */
interface Piece {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly total: number;
  readonly etag: string;
  readonly sha256: string | null;
}

/**
 * One object in requests of a bounded size, each taken into memory whole: so a request that breaks is made again
 * by itself, and a reader that takes its time keeps no connection waiting. One piece is fetched ahead.
 */
export class S3Reader {
  readonly #connection: S3Connection;
  readonly #key: string;
  readonly #end: number;
  readonly #leaving = new AbortController();

  constructor(connection: S3Connection, key: string, end: number) {
    this.#connection = connection;
    this.#key = key;
    this.#end = end;
  }

  /** The first piece, or null where there is nothing from there on. */
  async first(start: number): Promise<Piece | null> {
    return start >= this.#end ? null : await this.#fetch(start, null);
  }

  async *from(first: Piece): AsyncIterable<Uint8Array> {
    const until = Math.min(this.#end, first.total);
    let piece = first;
    try {
      for (;;) {
        const next = piece.start + piece.bytes.length;
        const ahead = next < until ? this.#fetch(next, first.etag) : null;
        // Whether it failed is looked at when its turn has come.
        ahead?.catch(() => {});
        yield* chunksOf(piece.bytes);
        if (ahead === null) return;
        const following = await ahead;
        if (following === null) throw changed(this.#key);
        piece = following;
      }
    } finally {
      this.#leaving.abort();
    }
  }

  async #fetch(start: number, etag: string | null): Promise<Piece | null> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#fetchOnce(start, etag);
      } catch (error) {
        const { name, status } = s3Facts(error);
        if (name === 'NoSuchKey') throw notFound(this.#key);
        if (status === 416) return null;
        if (status === 412) throw changed(this.#key);
        // The SDK makes a request again until its answer begins; from there on it is up to us.
        if (!(error instanceof BrokenBody) || attempt === LIMITS.s3AttemptsMax) {
          throw s3Error(error instanceof BrokenBody ? error.cause : error, this.#connection.target);
        }
        await wait(LIMITS.s3RetryMs * 2 ** (attempt - 1));
      }
    }
  }

  async #fetchOnce(start: number, etag: string | null): Promise<Piece> {
    const { bucket } = this.#connection.target;
    const last = Math.min(this.#end, start + LIMITS.s3ReadBytes) - 1;
    return await this.#connection.raw(
      async (client, options) => {
        const answer = await client.getObject(
          {
            Bucket: bucket,
            Key: this.#connection.objectOf(this.#key),
            Range: `bytes=${start}-${last}`,
            ...(etag === null ? {} : { IfMatch: etag }),
          },
          options,
        );
        const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(answer.ContentRange ?? '');
        const body = answer.Body as Readable;
        if (range === null || Number(range[1]) !== start || Number(range[2]) > last) {
          body.destroy();
          throw new HoldfastError('BLOBS_REFUSED', 'the S3 server does not answer for a part of an object');
        }
        const bytes = await collect(body, Number(range[2]) - start + 1, options.abortSignal);
        const sha256 = answer.Metadata?.[SHA256] ?? null;
        return { bytes, start, total: Number(range[3]), etag: answer.ETag ?? '', sha256 };
      },
      { signal: this.#leaving.signal },
    );
  }
}

class BrokenBody extends Error {}

async function collect(body: Readable, length: number, signal: AbortSignal): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  try {
    for await (const chunk of addAbortSignal(signal, body) as AsyncIterable<Uint8Array>) {
      bytes.set(chunk, filled);
      filled += chunk.length;
    }
    if (filled !== length) throw new Error(`the answer has ${filled} bytes instead of ${length}`);
    return bytes;
  } catch (error) {
    throw new BrokenBody('the answer of S3 broke off', { cause: error });
  }
}

function changed(key: string): HoldfastError {
  return new HoldfastError('BLOBS_FAILED', `the blob ${key} was replaced while it was read`);
}
