import { assert } from '../base/assert.ts';

/**
 * Which rows a statement would change, without saying so: a hash of 64 bits for each, by a salt that only those sets share
 * which are to be compared. Of many rows the smallest hashes are kept, which are as good as chosen by lot and are the same
 * ones in both sets, so that how far two sets are apart can be told from them; whether they are equal, the sum of all tells.
 */
export interface RowSet {
  readonly salt: Uint8Array;
  readonly count: number;
  /** The sum of all hashes, modulo 2^64. */
  readonly sum: bigint;
  /** The smallest, in order, each as often as it came; all of them where there are `count`. */
  readonly hashes: BigUint64Array;
}

/** How many rows, and which they are where that is known as well. */
export interface KnownRows {
  readonly rows: number;
  readonly set: RowSet | null;
}

/** Rows of one set that are not in the other: about so many, and hardly more than `most`. */
export interface Apart {
  readonly rows: number;
  readonly most: number;
}

export interface Difference {
  readonly added: Apart;
  readonly removed: Apart;
}

/** Gathers hashes in any order. */
export class RowSetBuilder {
  readonly #salt: Uint8Array;
  readonly #keptMax: number;
  #kept: BigUint64Array;
  #length = 0;
  /** What is not below is not kept. */
  #below: bigint | null = null;
  #count = 0;
  #sum = 0n;

  constructor(salt: Uint8Array, keptMax: number) {
    this.#salt = salt;
    this.#keptMax = keptMax;
    this.#kept = new BigUint64Array(64);
  }

  add(hash: bigint): void {
    this.#count++;
    this.#sum = BigInt.asUintN(64, this.#sum + hash);
    if (this.#below !== null && hash >= this.#below) return;
    if (this.#length === this.#kept.length) this.#makeRoom();
    this.#kept[this.#length++] = hash;
  }

  get count(): number {
    return this.#count;
  }

  set(): RowSet {
    const hashes = this.#kept.slice(0, this.#length).sort().slice(0, this.#keptMax);
    return { salt: this.#salt, count: this.#count, sum: this.#sum, hashes };
  }

  #makeRoom(): void {
    if (this.#kept.length < this.#keptMax * 2) {
      const larger = new BigUint64Array(Math.min(this.#kept.length * 4, this.#keptMax * 2));
      larger.set(this.#kept);
      this.#kept = larger;
      return;
    }
    this.#kept.sort();
    this.#length = this.#keptMax;
    this.#below = this.#kept[this.#keptMax - 1]!;
  }
}

/** How two sets of one salt differ. */
export function differenceOf(before: RowSet, after: RowSet): Difference {
  assert(Buffer.compare(before.salt, after.salt) === 0, 'sets of rows are compared by one salt');
  if (before.count === after.count && before.sum === after.sum) return { added: NONE, removed: NONE };
  const below = lesser(endOf(before), endOf(after));
  const { added, removed } = countApart(before.hashes, after.hashes, below);
  if (below === null) return { added: exactly(added), removed: exactly(removed) };
  const share = Number(below) / 2 ** 64;
  return { added: about(added, share, after.count), removed: about(removed, share, before.count) };
}

const NONE: Apart = { rows: 0, most: 0 };

function exactly(rows: number): Apart {
  return { rows, most: rows };
}

/** From so many of a sample, with what it may be too few by, about once in fifty times. */
function about(sampled: number, share: number, max: number): Apart {
  const scaled = (rows: number) => Math.min(Math.round(rows / share), max);
  return { rows: scaled(sampled), most: scaled(sampled + 2 * Math.sqrt(sampled) + 4) };
}

/** All of its hashes below that are kept; null where all are. */
function endOf({ hashes, count }: RowSet): bigint | null {
  return hashes.length === count ? null : (hashes.at(-1) ?? 0n);
}

function lesser(a: bigint | null, b: bigint | null): bigint | null {
  if (a === null || b === null) return a ?? b;
  return a < b ? a : b;
}

function countApart(
  before: BigUint64Array,
  after: BigUint64Array,
  below: bigint | null,
): { readonly added: number; readonly removed: number } {
  let [i, j, added, removed] = [0, 0, 0, 0];
  const there = (hashes: BigUint64Array, at: number) =>
    at < hashes.length && (below === null || hashes[at]! < below);
  while (there(before, i) || there(after, j)) {
    if (!there(after, j) || (there(before, i) && before[i]! < after[j]!)) {
      removed++;
      i++;
    } else if (!there(before, i) || after[j]! < before[i]!) {
      added++;
      j++;
    } else {
      i++;
      j++;
    }
  }
  return { added, removed };
}

const VERSION = 1;
const HEAD_BYTES = 20;

/** As it is stored: the version, how long the salt is, the count, the sum, the salt and the hashes. */
export function encodeRowSet({ salt, count, sum, hashes }: RowSet): Buffer {
  const out = Buffer.alloc(HEAD_BYTES + salt.length + hashes.length * 8);
  out.writeUInt16LE(VERSION, 0);
  out.writeUInt16LE(salt.length, 2);
  out.writeDoubleLE(count, 4);
  out.writeBigUInt64LE(sum, 12);
  out.set(salt, HEAD_BYTES);
  let at = HEAD_BYTES + salt.length;
  for (const hash of hashes) at = out.writeBigUInt64LE(hash, at);
  return out;
}

/** Null where it was written by another version. */
export function decodeRowSet(bytes: Uint8Array): RowSet | null {
  const stored = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (stored.length < HEAD_BYTES || stored.readUInt16LE(0) !== VERSION) return null;
  const end = HEAD_BYTES + stored.readUInt16LE(2);
  const hashes = new BigUint64Array(Math.floor(Math.max(stored.length - end, 0) / 8));
  for (let i = 0; i < hashes.length; i++) hashes[i] = stored.readBigUInt64LE(end + i * 8);
  return {
    salt: Buffer.from(stored.subarray(HEAD_BYTES, end)),
    count: stored.readDoubleLE(4),
    sum: stored.readBigUInt64LE(12),
    hashes,
  };
}
