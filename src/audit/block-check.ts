import { ENTRY_HEADER_BYTES, HEADER, HEADER_BYTES, MAGIC, RECORD_BYTES } from './block-format.ts';
import { REFS, recordAt } from './chain.ts';

/** A block that is one: it can be hashed without looking whether its numbers lead anywhere. */
export interface CheckedBlock {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly events: number;
  readonly entries: number;
  readonly firstSeq: number;
}

/** The block at the beginning of `bytes`, or what is wrong with it. */
export function checkBlock(bytes: Uint8Array): CheckedBlock | string {
  if (bytes.length < HEADER_BYTES) return 'it is shorter than the header of a block';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = (at: number): number => view.getUint32(at, true);
  if (header(HEADER.magic) !== MAGIC) return 'it does not begin as a block does';
  const totalBytes = header(HEADER.totalBytes);
  const events = header(HEADER.events);
  if (totalBytes > bytes.length) return 'it is cut short';
  if (header(HEADER.recordBytes) !== RECORD_BYTES || events === 0) return 'its header is none of a block';
  if (header(HEADER.dictionaryOffset) !== HEADER_BYTES + events * RECORD_BYTES) {
    return 'its header does not fit the number of its records';
  }
  const entries = header(HEADER.dictionaryEntries);
  const end = endOfEntries(view, header(HEADER.dictionaryOffset), entries, totalBytes);
  if (end !== totalBytes) return 'its dictionary does not end where the block does';
  return {
    bytes: bytes.subarray(0, totalBytes),
    view,
    events,
    entries,
    firstSeq: view.getFloat64(HEADER.firstSeq, true),
  };
}

/** Where the entries end, or -1 where that is beyond the block. */
function endOfEntries(view: DataView, from: number, entries: number, end: number): number {
  let at = from;
  for (let i = 0; i < entries; i++) {
    if (at + ENTRY_HEADER_BYTES > end) return -1;
    at += ENTRY_HEADER_BYTES + view.getUint32(at + 1, true);
  }
  return at > end ? -1 : at;
}

/** Which entries the records refer to: only those are in the hashes, so no other may be there. */
export class DictionaryUse {
  readonly #block: CheckedBlock;
  readonly #used: Uint8Array;

  constructor(block: CheckedBlock) {
    this.#block = block;
    this.#used = new Uint8Array(block.entries + 1);
    this.#used[0] = 1;
  }

  /** False where a record refers to what is not there. */
  add(index: number): boolean {
    const at = recordAt(index);
    for (const field of REFS) {
      const ref = this.#block.view.getUint16(at + field, true);
      if (ref > this.#block.entries) return false;
      this.#used[ref] = 1;
    }
    return true;
  }

  get isComplete(): boolean {
    return !this.#used.includes(0);
  }
}
