import type { AuditRow } from '../store/audit-source.ts';
import { type CheckedBlock, checkBlock } from './block-check.ts';
import { HEADER } from './block-format.ts';
import { blockHash, checksOf, GENESIS, HASH_BYTES } from './chain.ts';
import type { Fault, FaultKind, Faults } from './faults.ts';
import { timeText } from './recorded-event.ts';

/**
 * The hash of the block that ends with a record that was asked for. `unknown`: a fault is in the way, and has been told.
 * `within`: the record is in the middle of a block, where no head was ever made.
 */
export type HashAt = Uint8Array | 'unknown' | 'unchained' | 'within';

/**
 * Goes through the stored rows in order. After a fault it goes on from the next hash that is written down, so that
 * each fault is told once and what comes after is verified again.
 */
export class ChainWalk {
  records = 0;
  /** The last record that was there. */
  lastSeq = 0;
  /** The first record that is chained, or null as long as there was none. */
  chainedFrom: number | null = null;
  readonly #faults: Faults;
  /** Of the last block; null where a fault hides it. */
  #hash: Uint8Array | null = GENESIS;
  /** The first record of the last block. */
  #hashedFrom = Number.POSITIVE_INFINITY;

  /** `cut` is where the records before were dropped. */
  constructor(faults: Faults, cut: { readonly sequence: number; readonly hash: Uint8Array } | null = null) {
    this.#faults = faults;
    if (cut === null) return;
    this.lastSeq = cut.sequence;
    this.chainedFrom = cut.sequence + 1;
    this.#hash = cut.hash;
  }

  /** Of the last record, or null where that is not known. */
  get lastHash(): Uint8Array | null {
    return this.#hash;
  }

  /** Verifies the next row, and gives the hashes of the records with these numbers. */
  row(row: AuditRow, wanted: ReadonlySet<number>): ReadonlyMap<number, HashAt> {
    const found = new Map<number, HashAt>();
    const unchainedTo = this.chainedFrom !== null ? 0 : row.hash === null ? row.lastSeq : row.firstSeq - 1;
    for (const seq of wanted) found.set(seq, seq <= unchainedTo ? 'unchained' : 'unknown');
    if (!this.#isInPlace(row)) return found;
    if (row.hash === null) {
      if (this.chainedFrom !== null) {
        this.#fault(
          'unchained',
          row.firstSeq,
          row.lastSeq,
          null,
          'without hashes, though records before have them',
        );
        this.#hash = null;
      }
    } else {
      this.#chainedRow(row, row.hash, wanted, found);
    }
    this.records += row.lastSeq - row.firstSeq + 1;
    this.lastSeq = row.lastSeq;
    return found;
  }

  #isInPlace({ firstSeq, lastSeq, hash }: AuditRow): boolean {
    if (firstSeq <= this.lastSeq || lastSeq < firstSeq) {
      this.#fault('misplaced', firstSeq, lastSeq, null, `there, though record ${this.lastSeq} comes before`);
      return false;
    }
    if (firstSeq > this.lastSeq + 1) {
      this.#fault('missing', this.lastSeq + 1, firstSeq - 1, null, 'not there');
      if (hash !== null) this.#hash = null;
    }
    return true;
  }

  #chainedRow(
    row: AuditRow,
    hash: Uint8Array,
    wanted: ReadonlySet<number>,
    found: Map<number, HashAt>,
  ): void {
    this.chainedFrom ??= row.firstSeq;
    const faultsBefore = this.#faults.count;
    const times = { firstMs: Number.POSITIVE_INFINITY, lastMs: 0 };
    let seq = row.firstSeq;
    for (let rest = row.bytes; seq <= row.lastSeq || rest === null || rest.length > 0; ) {
      const block = rest === null ? 'it cannot be decompressed' : checkBlock(rest);
      const problem = typeof block === 'string' ? block : placeProblem(block, seq, row.lastSeq);
      if (typeof block === 'string' || problem !== null) {
        const from = Math.min(seq, row.lastSeq);
        this.#fault('changed', from, row.lastSeq, null, `not to be read as they are stored: ${problem}`);
        this.#hash = null;
        break;
      }
      this.#block(block, wanted, found, times);
      seq += block.events;
      rest = rest!.subarray(block.bytes.length);
    }
    if (this.#hash === null) {
      this.#hash = hash;
      return;
    }
    if (!same(this.#hash, hash)) {
      const what = 'not what the hash beside them is of';
      this.#fault('changed', this.#hashedFrom, row.lastSeq, null, what);
      // Which of the two is the right one is not known, and has been told already.
      this.#hash = null;
    }
    if (this.#faults.count > faultsBefore) return;
    if (
      times.firstMs !== row.firstTimeMs ||
      times.lastMs !== row.lastTimeMs ||
      row.rawBytes !== row.bytes?.length
    )
      this.#fault(
        'changed',
        row.firstSeq,
        row.lastSeq,
        null,
        'stored under times or a size that are not theirs',
      );
  }

  #block(
    block: CheckedBlock,
    wanted: ReadonlySet<number>,
    found: Map<number, HashAt>,
    times: { firstMs: number; lastMs: number },
  ): void {
    const { bytes, view, events, firstSeq } = block;
    const previous = bytes.subarray(HEADER.previousHash, HEADER.previousHash + HASH_BYTES);
    if (this.#hash !== null && !same(this.#hash, previous)) {
      const what = `not what this block or the one before it was: record ${firstSeq} does not follow`;
      this.#fault('changed', Math.min(this.#hashedFrom, firstSeq), firstSeq, null, what);
    }
    const checks = checksOf(view);
    for (let i = 0; i < events; i++) {
      const timeMs = block.timeMs(i);
      if (checks.next() !== view.getUint32(checks.checkAt, true)) {
        const what = changedWhat(events - i - 1);
        this.#fault('changed', firstSeq + i, firstSeq + i, told(timeMs), what);
        this.#hash = null;
        return;
      }
      if (timeMs < times.firstMs) times.firstMs = timeMs;
      if (timeMs > times.lastMs) times.lastMs = timeMs;
    }
    const lastSeq = firstSeq + events - 1;
    if (block.unreadable !== null)
      this.#fault(
        'changed',
        firstSeq,
        lastSeq,
        null,
        `not to be read as they are stored: ${block.unreadable}`,
      );
    this.#hash = blockHash(bytes);
    this.#hashedFrom = firstSeq;
    for (const seq of wanted) {
      if (seq === lastSeq) found.set(seq, this.#hash);
      else if (seq >= firstSeq && seq < lastSeq) found.set(seq, 'within');
    }
  }

  #fault(kind: FaultKind, first: number, last: number, time: string | null, what: string): void {
    this.#faults.add({ kind, first, last, time, what } satisfies Fault);
  }
}

function placeProblem({ firstSeq, events }: CheckedBlock, seq: number, lastSeq: number): string | null {
  if (firstSeq !== seq) return `records from ${firstSeq} on are in the place of ${seq}`;
  return seq + events - 1 > lastSeq ? `there are records beyond ${lastSeq}` : null;
}

function told(timeMs: number): string | null {
  return Math.abs(timeMs) < 8.64e15 ? timeText(timeMs) : null;
}

function changedWhat(after: number): string {
  const rest = after === 0 ? '' : `; the ${after} after it in its block cannot be verified`;
  return `not what was recorded${rest}`;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
