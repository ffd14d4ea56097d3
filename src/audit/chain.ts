import { hash } from 'node:crypto';
import { ENTRY_HEADER_BYTES, HEADER, HEADER_BYTES, RECORD, RECORD_BYTES } from './block-format.ts';

/**
 * The chain of hashes over all events (docs/audit.md has the bytes). The hash of an event covers the hash of the
 * one before, its number, its record and what the record refers to, and not how events share blocks: blocks can be
 * joined or encoded anew, and the oldest dropped, and the rest still proves itself.
 *
 * The store's thread imports this file by its URL and knows it as AuditChain.
 */
export const CHAIN_URL = import.meta.url;

export const HASH_BYTES = 32;
export const GENESIS: Uint8Array = new Uint8Array(HASH_BYTES);

/** The parts of a record around its references: in the record, and where they go in what is hashed. */
const BEFORE_REFS = { start: RECORD.startedAtMs, end: RECORD.session } as const;
const AFTER_REFS = { start: RECORD.statementIndex, end: RECORD.check } as const;
export const REFS = [RECORD.session, RECORD.facts, RECORD.decision, RECORD.text, RECORD.approval] as const;

const BEFORE_REFS_WORDS = (BEFORE_REFS.end - BEFORE_REFS.start) / 2;
const AFTER_REFS_WORDS = (AFTER_REFS.end - AFTER_REFS.start) / 2;

const SEQ_AT = HASH_BYTES;
const BEFORE_REFS_AT = SEQ_AT + 8;
const AFTER_REFS_AT = BEFORE_REFS_AT + BEFORE_REFS.end - BEFORE_REFS.start;
const DIGESTS_AT = AFTER_REFS_AT + AFTER_REFS.end - AFTER_REFS.start;
const INPUT_BYTES = DIGESTS_AT + REFS.length * HASH_BYTES;

export function chainBlock(bytes: Uint8Array, previousHash: Uint8Array): Uint8Array {
  bytes.set(previousHash, HEADER.previousHash);
  const hashes = new EventHashes(bytes);
  const view = viewOf(bytes);
  const events = view.getUint32(HEADER.events, true);
  for (let i = 0; i < events; i++) view.setUint32(recordAt(i) + RECORD.check, hashes.next(), true);
  return hashes.last();
}

export function recordAt(index: number): number {
  return HEADER_BYTES + index * RECORD_BYTES;
}

/** The hashes of a block's events, one after the other, from the hash in the block's header on. */
export class EventHashes {
  readonly #block: DataView;
  /** The hash of each entry of the dictionary; the first, for none, is zero. */
  readonly #digests: DataView;
  /** What is hashed. It begins with the hash before, in whose place the next one is put. */
  readonly #input = Buffer.alloc(INPUT_BYTES);
  readonly #inputView = viewOf(this.#input);
  /** Whose digests the input has, since events next to each other refer to much the same. */
  readonly #refs: number[] = REFS.map(() => 0);
  #seq: number;
  #at = HEADER_BYTES;

  constructor(block: Uint8Array) {
    this.#block = viewOf(block);
    this.#digests = viewOf(digestEntries(block));
    this.#seq = this.#block.getFloat64(HEADER.firstSeq, true);
    this.#input.set(block.subarray(HEADER.previousHash, HEADER.previousHash + HASH_BYTES));
  }

  /** Takes the hash of the next event and returns its check. */
  next(): number {
    const at = this.#at;
    const input = this.#inputView;
    input.setFloat64(SEQ_AT, this.#seq, true);
    copyWords(this.#block, at + BEFORE_REFS.start, input, BEFORE_REFS_AT, BEFORE_REFS_WORDS);
    copyWords(this.#block, at + AFTER_REFS.start, input, AFTER_REFS_AT, AFTER_REFS_WORDS);
    for (let i = 0; i < REFS.length; i++) {
      const ref = this.#block.getUint16(at + REFS[i]!, true);
      if (ref === this.#refs[i]) continue;
      const from = ref * HASH_BYTES;
      if (from >= this.#digests.byteLength) throw new Error('an audit block refers to what it does not have');
      copyWords(this.#digests, from, input, DIGESTS_AT + i * HASH_BYTES, HASH_BYTES / 2);
      this.#refs[i] = ref;
    }
    digestInto(this.#input, 0, this.#input);
    this.#seq++;
    this.#at += RECORD_BYTES;
    return input.getUint32(0, true);
  }

  /** The hash that was taken last; before the first, that of the event before. */
  last(): Buffer {
    return Buffer.from(this.#input.subarray(0, HASH_BYTES));
  }
}

function digestEntries(block: Uint8Array): Buffer {
  const view = viewOf(block);
  const count = view.getUint32(HEADER.dictionaryEntries, true);
  const digests = Buffer.alloc((count + 1) * HASH_BYTES);
  let at = view.getUint32(HEADER.dictionaryOffset, true);
  for (let ref = 1; ref <= count; ref++) {
    const end = at + ENTRY_HEADER_BYTES + view.getUint32(at + 1, true);
    digestInto(digests, ref * HASH_BYTES, block.subarray(at, end));
    at = end;
  }
  return digests;
}

/** As a string in between, since that is made three times as fast as a buffer. */
function digestInto(target: Buffer, at: number, bytes: Uint8Array): void {
  target.write(hash('sha256', bytes, 'binary'), at, HASH_BYTES, 'latin1');
}

/** Words of 16 bits. For so few, a loop is faster than any call that copies. */
function copyWords(from: DataView, fromAt: number, to: DataView, toAt: number, words: number): void {
  for (let i = 0; i < words * 2; i += 2) to.setUint16(toAt + i, from.getUint16(fromAt + i, true), true);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
