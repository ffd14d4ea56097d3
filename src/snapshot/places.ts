import { assert } from '../base/assert.ts';
import { LIMITS } from '../base/limits.ts';
import { TID_BYTES } from '../catalog/array-parameter.ts';

/**
 * Where the captured rows were: six bytes a row, so that what became of each can be asked for afterwards. Beyond
 * the limit all are forgotten, because some of them prove nothing.
 */
export class Places {
  readonly #limit: number;
  readonly #tables = new Map<number, { bytes: Buffer; length: number }>();
  #count = 0;
  #complete = true;

  constructor(limit: number = LIMITS.snapshotPlacesMax) {
    this.#limit = limit;
  }

  get complete(): boolean {
    return this.#complete;
  }

  /** Rows come without. */
  forgo(): void {
    this.#complete = false;
    this.#tables.clear();
  }

  add(table: number, row: Buffer, at: number): void {
    if (!this.#complete) return;
    if (++this.#count > this.#limit) return this.forgo();
    let run = this.#tables.get(table);
    if (run === undefined) {
      run = { bytes: Buffer.allocUnsafe(64 * TID_BYTES), length: 0 };
      this.#tables.set(table, run);
    }
    if (run.length === run.bytes.length) {
      const larger = Buffer.allocUnsafe(run.bytes.length * 2);
      run.bytes.copy(larger);
      run.bytes = larger;
    }
    row.copy(run.bytes, run.length, at, at + TID_BYTES);
    run.length += TID_BYTES;
  }

  /** The places in a table, in runs that one query can ask about. */
  *batches(table: number): Generator<Buffer> {
    assert(this.#complete, 'places are asked for only while all are known');
    const run = this.#tables.get(table);
    if (run === undefined) return;
    const step = LIMITS.snapshotPlacesBatch * TID_BYTES;
    for (let at = 0; at < run.length; at += step)
      yield run.bytes.subarray(at, Math.min(at + step, run.length));
  }
}

/** Bytes of a DataRow's body before the columns: their count, the table's OID and the ctid, each with its length. */
export const PLACE_END = 20;
const TABLE_AT = 6;
export const PLACE_AT = 14;

export function tableOf(row: Buffer): number {
  assert(
    row.readInt32BE(2) === 4 && row.readInt32BE(10) === TID_BYTES,
    'a captured row begins with its place',
  );
  return row.readUInt32BE(TABLE_AT);
}

const DATA_ROW = 0x44;
const HEADER_BYTES = 5;

/**
 * Goes through whole DataRow messages in `bytes[at, end)` and gives where it stopped: at what is none, at one that is
 * not all there, or that `take` does not take. It gets the table, where the row's body begins, and where it ends.
 */
export function eachRow(
  bytes: Buffer,
  at: number,
  end: number,
  take: (table: number, body: number, end: number) => boolean,
): number {
  while (end - at >= HEADER_BYTES + PLACE_END && bytes[at] === DATA_ROW) {
    const next = at + 1 + int32At(bytes, at + 1);
    const body = at + HEADER_BYTES;
    if (next > end || next < body + PLACE_END) return at;
    assert(
      int32At(bytes, body + 2) === 4 && int32At(bytes, body + 10) === TID_BYTES,
      'a captured row begins with its place',
    );
    if (!take(int32At(bytes, body + TABLE_AT) >>> 0, body, next)) return at;
    at = next;
  }
  return at;
}

/** As Buffer.readInt32BE, which checks its arguments again for each of millions of rows. */
function int32At(bytes: Buffer, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

/** Makes the row whose body begins there a tuple of PGCOPY, as `withoutPlace` does, and gives where that begins. */
export function tupleAt(bytes: Buffer, body: number): number {
  const count = ((bytes[body]! << 8) | bytes[body + 1]!) - 2;
  bytes[body + PLACE_END - 2] = count >> 8;
  bytes[body + PLACE_END - 1] = count & 0xff;
  return body + PLACE_END - 2;
}

/** The row without its place: a tuple of PGCOPY. The new count is written over the last bytes of the place. */
export function withoutPlace(row: Buffer): Buffer {
  const count = row.readInt16BE(0) - 2;
  row.writeInt16BE(count, PLACE_END - 2);
  return row.subarray(PLACE_END - 2);
}
