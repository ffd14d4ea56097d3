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

  add(table: number, row: Buffer, at: number): void {
    if (!this.#complete) return;
    if (++this.#count > this.#limit) {
      this.#complete = false;
      this.#tables.clear();
      return;
    }
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
const PLACE_END = 20;
const TABLE_AT = 6;
export const PLACE_AT = 14;

export function tableOf(row: Buffer): number {
  assert(
    row.readInt32BE(2) === 4 && row.readInt32BE(10) === TID_BYTES,
    'a captured row begins with its place',
  );
  return row.readUInt32BE(TABLE_AT);
}

/** The row without its place: a tuple of PGCOPY. The new count is written over the last bytes of the place. */
export function withoutPlace(row: Buffer): Buffer {
  const count = row.readInt16BE(0) - 2;
  row.writeInt16BE(count, PLACE_END - 2);
  return row.subarray(PLACE_END - 2);
}
