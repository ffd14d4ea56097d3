import { createHash } from 'node:crypto';
import type { AuditBlock } from '../store/control-store.ts';
import * as format from './block-format.ts';
import {
  ENTRY,
  ENTRY_HEADER_BYTES,
  HEADER,
  HEADER_BYTES,
  RECORD,
  RECORD_BYTES,
  SHAPE_REF_BYTES,
} from './block-format.ts';
import { type Entry, unpack } from './block-items.ts';
import type { DecisionFacts, StatementFacts } from './dictionary.ts';
import type { AuditEnd, AuditEntry, AuditSession } from './event.ts';
import { shapedText } from './shaped-text.ts';

/** The SQL of a statement as a block holds it. */
export interface StoredText {
  readonly sql: string;
  readonly truncated: boolean;
  /** Of all of the text, in hex. */
  readonly sha256: string;
}

/** A record's numbers, and references into the dictionary of its block. */
export interface StoredRecord {
  readonly seq: number;
  readonly startedAtMs: number;
  readonly rows: number;
  readonly durationMs: number;
  readonly holdMs: number;
  readonly sqlstate: number;
  readonly session: number;
  readonly facts: number;
  readonly decision: number;
  readonly text: number;
  readonly approval: number;
  readonly statementIndex: number;
  readonly parameters: number;
  readonly protocol: AuditEntry['protocol'];
  readonly end: AuditEnd;
  readonly transactionStatus: AuditEntry['transactionStatus'];
}

/** The blocks that lie one after the other in `bytes`. */
export function readBlocks(bytes: Uint8Array): BlockReader[] {
  const blocks: BlockReader[] = [];
  for (let at = 0; at < bytes.length; ) {
    const block = new BlockReader(bytes.subarray(at));
    blocks.push(block);
    at += block.totalBytes;
  }
  return blocks;
}

/** One block, decoded as far as it is asked for. */
export class BlockReader {
  readonly totalBytes: number;
  readonly events: number;
  readonly firstSeq: number;
  readonly #records: DataView;
  readonly #recordBytes: number;
  readonly #entries: readonly Entry[];
  readonly #decoded: unknown[] = [];

  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const magic = bytes.length < HEADER_BYTES ? 0 : view.getUint32(HEADER.magic, true);
    if (magic !== format.MAGIC && magic !== format.RECORDS_MAGIC)
      throw new Error('not an audit block, or of another version');
    this.totalBytes = view.getUint32(HEADER.totalBytes, true);
    if (this.totalBytes > bytes.length) throw new Error('an audit block is cut short');
    this.events = view.getUint32(HEADER.events, true);
    this.firstSeq = view.getFloat64(HEADER.firstSeq, true);
    if (this.totalBytes < HEADER_BYTES) throw new Error('an audit block is cut short');
    if (magic === format.MAGIC) {
      const { records, entries } = unpack(bytes.subarray(0, this.totalBytes));
      this.#records = records;
      this.#recordBytes = RECORD_BYTES;
      this.#entries = entries;
      return;
    }
    this.#records = new DataView(bytes.buffer, bytes.byteOffset + HEADER_BYTES, bytes.length - HEADER_BYTES);
    this.#recordBytes = view.getUint32(HEADER.recordBytes, true);
    const count = view.getUint32(HEADER.dictionaryEntries, true);
    this.#entries = readEntries(bytes.subarray(view.getUint32(HEADER.dictionaryOffset, true)), count);
  }

  /** The numbers of the references of a kind, so that a filter looks at each once and not at each event. */
  refsOf(...kinds: readonly number[]): number[] {
    return this.#entries.flatMap((entry, i) => (kinds.includes(entry.kind) ? [i + 1] : []));
  }

  startedAtMs(index: number): number {
    return this.#records.getFloat64(this.#at(index) + RECORD.startedAtMs, true);
  }

  /** The reference or number of 16 bits at an offset of the record. */
  small(index: number, offset: number): number {
    return this.#records.getUint16(this.#at(index) + offset, true);
  }

  sqlstate(index: number): number {
    return this.#records.getUint32(this.#at(index) + RECORD.sqlstate, true);
  }

  end(index: number): AuditEnd {
    return endOf(this.small(index, RECORD.flags));
  }

  record(index: number): StoredRecord {
    const at = this.#at(index);
    const flags = this.small(index, RECORD.flags);
    return {
      seq: this.firstSeq + index,
      startedAtMs: this.startedAtMs(index),
      rows: this.#records.getFloat64(at + RECORD.rows, true),
      durationMs: this.#records.getFloat32(at + RECORD.durationMs, true),
      holdMs: this.#records.getFloat32(at + RECORD.holdMs, true),
      sqlstate: this.sqlstate(index),
      session: this.small(index, RECORD.session),
      facts: this.small(index, RECORD.facts),
      decision: this.small(index, RECORD.decision),
      text: this.small(index, RECORD.text),
      approval: this.small(index, RECORD.approval),
      statementIndex: this.small(index, RECORD.statementIndex),
      parameters: this.small(index, RECORD.parameters),
      protocol: format.PROTOCOLS[flags & format.TWO_BITS]!,
      end: endOf(flags),
      transactionStatus: format.TRANSACTION_STATUSES[(flags >> format.STATUS_SHIFT) & format.TWO_BITS]!,
    };
  }

  session(ref: number): AuditSession {
    return this.#once(ref, (entry) => JSON.parse(entry.content.toString()) as AuditSession);
  }

  facts(ref: number): StatementFacts {
    return this.#once(ref, (entry) => JSON.parse(entry.content.toString()) as StatementFacts);
  }

  decision(ref: number): DecisionFacts {
    return this.#once(ref, (entry) => JSON.parse(entry.content.toString()) as DecisionFacts);
  }

  approval(ref: number): string | null {
    return ref === 0 ? null : this.#once(ref, (entry) => entry.content.toString('latin1'));
  }

  text(ref: number): StoredText | null {
    return ref === 0 ? null : this.#once(ref, (entry) => this.#readText(entry));
  }

  /** The stored SQL alone, without taking its hash. */
  sql(ref: number): string {
    const entry = this.#entries[ref - 1];
    return entry === undefined ? '' : this.#sqlBytes(entry).toString();
  }

  #readText(entry: Entry): StoredText {
    const bytes = this.#sqlBytes(entry);
    const truncated = entry.kind === ENTRY.cutText;
    const sha256 = truncated
      ? entry.content.subarray(0, 32).toString('hex')
      : createHash('sha256').update(bytes).digest('hex');
    return { sql: bytes.toString(), truncated, sha256 };
  }

  #sqlBytes({ kind, content }: Entry): Buffer {
    if (kind === ENTRY.cutText) return content.subarray(format.CUT_TEXT_HEADER_BYTES);
    if (kind !== ENTRY.shapedText) return content;
    const shape = content.length < SHAPE_REF_BYTES ? undefined : this.#entries[content.readUInt16LE(0) - 1];
    const text =
      shape?.kind === ENTRY.shape ? shapedText(shape.content, content.subarray(SHAPE_REF_BYTES)) : null;
    if (text === null) throw new Error('an audit block has a text that is not of its shape');
    return text;
  }

  #at(index: number): number {
    return index * this.#recordBytes;
  }

  #once<T>(ref: number, decode: (entry: Entry) => T): T {
    const entry = this.#entries[ref - 1];
    if (entry === undefined) throw new Error('an audit block refers to what it does not have');
    this.#decoded[ref] ??= decode(entry);
    return this.#decoded[ref] as T;
  }
}

/** The block of statements that were begun, made into that of some whose outcome nobody knows. */
export function lostBlock(bytes: Uint8Array, seq: number): AuditBlock {
  const copy = Uint8Array.from(bytes);
  new DataView(copy.buffer).setFloat64(HEADER.firstSeq, seq, true);
  const block = new BlockReader(copy);
  const times = Array.from({ length: block.events }, (_, i) => block.startedAtMs(i));
  const [firstTimeMs, lastTimeMs] = [Math.min(...times), Math.max(...times)];
  return { firstSeq: seq, lastSeq: seq + times.length - 1, firstTimeMs, lastTimeMs, bytes: copy };
}

function readEntries(bytes: Uint8Array, count: number): Entry[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: Entry[] = [];
  for (let at = 0; entries.length < count; ) {
    const length = buffer.readUInt32LE(at + 1);
    const start = at + ENTRY_HEADER_BYTES;
    entries.push({ kind: buffer[at]!, content: buffer.subarray(start, start + length) });
    at = start + length;
  }
  return entries;
}

function endOf(flags: number): AuditEnd {
  return format.ENDS[(flags >> format.END_SHIFT) & format.END_MASK]!;
}
