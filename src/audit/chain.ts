import { hash } from 'node:crypto';
import {
  CHECK_BYTES,
  ENTRY_HEADER_BYTES,
  EVENT,
  HEADER,
  HEADER_BYTES,
  RECORD,
  RECORD_BYTES,
  RECORDS_MAGIC,
} from './block-format.ts';
import { itemEnd } from './block-items.ts';

/**
 * The chain over all events (docs/audit.md has the bytes). A block has the hash of the block before, and its own
 * covers all of it: so every event is covered together with all events before it. Blocks can be stored together or
 * compressed, and the oldest dropped, and the rest still proves itself.
 *
 * One hash for each event would cost more than all else that the audit does with it. What an event has of its own is
 * a check, which follows from the event before and tells which one was changed. It proves nothing: whoever changes an
 * event can mend its check, but not the hash of the block.
 *
 * The store's thread imports this file by its URL and knows it as AuditChain.
 */
export const CHAIN_URL = import.meta.url;

export const HASH_BYTES = 32;
export const GENESIS: Uint8Array = new Uint8Array(HASH_BYTES);

const REFS = [RECORD.session, RECORD.facts, RECORD.decision, RECORD.text, RECORD.approval] as const;

/** The prime and the start of FNV-1a in 32 bits, which is taken over words where there are whole ones. */
const FNV_PRIME = 0x01000193;
const FNV_START = 0x811c9dc5;

/** Writes the hash before and the checks into the block, and returns its hash. Throws where a reference leads nowhere. */
export function chainBlock(bytes: Uint8Array, previousHash: Uint8Array): Uint8Array {
  bytes.set(previousHash, HEADER.previousHash);
  const view = viewOf(bytes);
  const checks = checksOf(view);
  const events = view.getUint32(HEADER.events, true);
  for (let i = 0; i < events; i++) {
    const check = checks.next();
    if (check === null) throw new Error('an audit block refers to what it does not have');
    view.setUint32(checks.checkAt, check, true);
  }
  return blockHash(bytes);
}

export function blockHash(bytes: Uint8Array): Uint8Array {
  return hash('sha256', bytes, 'buffer');
}

/** The checks of a block's events, one after the other. */
export interface EventChecks {
  /** Of the next event, as it should be, or null where that refers to an entry that is not there. */
  next(): number | null;
  /** Where that of the last one is kept. */
  readonly checkAt: number;
}

export function checksOf(block: DataView): EventChecks {
  const isOfRecords = block.getUint32(HEADER.magic, true) === RECORDS_MAGIC;
  return isOfRecords ? new RecordChecks(block) : new ItemChecks(block);
}

/** Over all bytes since the event before: an entry is covered by the first event that may refer to it. */
class ItemChecks implements EventChecks {
  readonly #view: DataView;
  #check: number;
  checkAt = HEADER_BYTES - CHECK_BYTES;

  constructor(block: DataView) {
    this.#view = block;
    this.#check = block.getUint32(HEADER.previousHash, true);
  }

  next(): number {
    const view = this.#view;
    const start = this.checkAt + CHECK_BYTES;
    let at = start;
    while (view.getUint8(at) !== EVENT) at = itemEnd(view, at);
    this.checkAt = itemEnd(view, at) - CHECK_BYTES;
    this.#check = fnv(view, start, this.checkAt, this.#check);
    return this.#check >>> 0;
  }
}

/** The checks of a block of records. */
class RecordChecks implements EventChecks {
  readonly #view: DataView;
  /** Of each entry of the dictionary; the first, for none, is zero. */
  readonly #entries: Uint32Array;
  #check: number;
  #at = HEADER_BYTES;
  checkAt = 0;

  constructor(block: DataView) {
    this.#view = block;
    this.#entries = entryChecks(block);
    this.#check = block.getUint32(HEADER.previousHash, true);
  }

  next(): number | null {
    const view = this.#view;
    const at = this.#at;
    let check = this.#check;
    for (let i = RECORD.startedAtMs; i < RECORD.session; i += 4) {
      check = Math.imul(check ^ view.getUint32(at + i, true), FNV_PRIME);
    }
    for (let i = 0; i < REFS.length; i++) {
      const ref = view.getUint16(at + REFS[i]!, true);
      if (ref >= this.#entries.length) return null;
      check = Math.imul(check ^ this.#entries[ref]!, FNV_PRIME);
    }
    for (let i = RECORD.statementIndex; i < RECORD.check; i += 2) {
      check = Math.imul(check ^ view.getUint16(at + i, true), FNV_PRIME);
    }
    this.#check = check;
    this.#at = at + RECORD_BYTES;
    this.checkAt = at + RECORD.check;
    return check >>> 0;
  }
}

function entryChecks(view: DataView): Uint32Array {
  const count = view.getUint32(HEADER.dictionaryEntries, true);
  const checks = new Uint32Array(count + 1);
  let at = view.getUint32(HEADER.dictionaryOffset, true);
  for (let ref = 1; ref <= count; ref++) {
    const end = at + ENTRY_HEADER_BYTES + view.getUint32(at + 1, true);
    checks[ref] = fnv(view, at, end, FNV_START);
    at = end;
  }
  return checks;
}

function fnv(view: DataView, from: number, end: number, start: number): number {
  let check = start;
  let at = from;
  for (; at + 4 <= end; at += 4) check = Math.imul(check ^ view.getInt32(at, true), FNV_PRIME);
  for (; at < end; at++) check = Math.imul(check ^ view.getUint8(at), FNV_PRIME);
  return check;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
