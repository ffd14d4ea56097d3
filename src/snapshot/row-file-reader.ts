import { pipeline, Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { verified } from '../blobs/verified.ts';
import { FIELDS_MAX, FILE_HEADER, GZIP_SUFFIX, type RowFile } from './row-file.ts';

/**
 * The rows of a file, each as the body of a DataRow, valid until the next is asked for. Ends with BLOB_DAMAGED where
 * the file is not as it was written: another byte, fewer rows or more.
 */
export async function* readRows(store: BlobStore, file: RowFile): AsyncIterable<Buffer> {
  let rows = 0;
  for await (const row of rowsIn(file.blob, decompressed(store, file))) {
    rows++;
    yield row;
  }
  if (rows !== file.rows) throw damaged(file.blob, `${file.rows} rows were written and ${rows} read`);
}

/** The rows of a binary COPY, from wherever it comes. */
export async function* rowsIn(name: string, chunks: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  const reader = new RowReader(name);
  for await (const chunk of chunks) {
    reader.add(chunk);
    for (let row = reader.next(); row !== null; row = reader.next()) yield row;
  }
  reader.end();
}

/** The file's COPY stream as it is, header and trailer included, to be sent to a server. */
export async function* decompressed(store: BlobStore, file: RowFile): AsyncIterable<Buffer> {
  const expected = { bytes: file.bytes, sha256: file.sha256 };
  const stored = Readable.from(
    file.inline === undefined
      ? store.read(file.blob, { expected })
      : verified(file.blob, Readable.from([file.inline]), expected),
  );
  const create = file.blob.endsWith(GZIP_SUFFIX) ? createGunzip : createZstdDecompress;
  const raw = create({ chunkSize: LIMITS.snapshotBlockBytes });
  // A fault of the blob ends the decompressor with it, and so comes out of the iteration.
  pipeline(stored, raw, () => {});
  let rawBytes = 0;
  try {
    for await (const chunk of raw) {
      rawBytes += (chunk as Buffer).length;
      if (rawBytes > file.rawBytes) throw damaged(file.blob, `more than ${file.rawBytes} bytes decompressed`);
      yield chunk as Buffer;
    }
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause;
    throw damaged(file.blob, cause instanceof Error ? cause.message : String(cause));
  }
  if (rawBytes !== file.rawBytes) {
    throw damaged(file.blob, `${file.rawBytes} bytes were compressed and ${rawBytes} came back`);
  }
}

/** Finds the tuples in a COPY stream, wherever it is cut. */
class RowReader {
  readonly #blob: string;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  /** Chunks that are not worth being joined yet, because a row that has begun is longer still. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** Bytes from `#at` without which there is no use in looking. */
  #needed = 0;
  #state: 'header' | 'rows' | 'done' = 'header';

  constructor(blob: string) {
    this.#blob = blob;
  }

  add(chunk: Buffer): void {
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    const left = this.#bytes.length - this.#at;
    if (left + this.#waitingBytes < this.#needed) return;
    const whole = left === 0 && this.#waiting.length === 1;
    this.#bytes = whole ? chunk : Buffer.concat([this.#bytes.subarray(this.#at), ...this.#waiting]);
    this.#at = 0;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#needed = 0;
  }

  /** The next row that is there whole, or null. */
  next(): Buffer | null {
    if (this.#state === 'header' && !this.#readHeader()) return null;
    const left = this.#bytes.length - this.#at;
    if (this.#state === 'done') {
      if (left > 0) throw damaged(this.#blob, 'there is more behind the end of the rows');
      return null;
    }
    if (left < 2) return null;
    const fields = this.#bytes.readInt16BE(this.#at);
    if (fields === -1) {
      this.#state = 'done';
      this.#at += 2;
      return this.next();
    }
    const end = this.#rowEnd(fields);
    if (end < 0) return null;
    const row = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return row;
  }

  end(): void {
    if (this.#state !== 'done') throw damaged(this.#blob, 'the end of the rows is missing');
  }

  #readHeader(): boolean {
    const end = this.#at + FILE_HEADER.length;
    if (end > this.#bytes.length) return false;
    if (!this.#bytes.subarray(this.#at, end).equals(FILE_HEADER)) {
      throw damaged(this.#blob, 'it does not begin as a binary COPY does');
    }
    this.#at = end;
    this.#state = 'rows';
    return true;
  }

  /** Where a row of so many fields ends, or -1 where it is not there whole. */
  #rowEnd(fields: number): number {
    if (fields < 0 || fields > FIELDS_MAX) throw damaged(this.#blob, `a row of ${fields} fields`);
    let at = this.#at + 2;
    for (let i = 0; i < fields; i++) {
      if (at + 4 > this.#bytes.length) return this.#incomplete(at + 4);
      const length = this.#bytes.readInt32BE(at);
      if (length < -1) throw damaged(this.#blob, `a field of ${length} bytes`);
      at += 4 + Math.max(length, 0);
    }
    return at > this.#bytes.length ? this.#incomplete(at) : at;
  }

  #incomplete(end: number): -1 {
    this.#needed = end - this.#at;
    return -1;
  }
}

function damaged(blob: string, detail: string): HoldfastError {
  return new HoldfastError('BLOB_DAMAGED', `the rows in ${blob} are not as they were written`, { detail });
}
