import { createHash } from 'node:crypto';
import { assert } from '../base/assert.ts';
import { LIMITS } from '../base/limits.ts';
import type { ShapePieces } from '../sql/recent/template.ts';
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
import type { AnalysisPieces, Dictionary } from './dictionary.ts';
import type { AuditEntry } from './event.ts';
import type { Piece } from './piece.ts';
import { isShaped, writeLiterals } from './shaped-text.ts';

/** A share of the block for records leaves room for texts; which of the two is full first ends the block. */
const RECORDS_SHARE = 3 / 8;
const UINT16_MAX = 0xffff;
const UTF8_BYTES_PER_UNIT = 3;

/** Writers stamp dictionary entries with the block they are in; no two blocks have the same generation. */
let lastGeneration = 0;

/**
 * Encodes events straight into memory that is there already. This runs once a statement on the thread that
 * carries all traffic, so nothing here allocates for a statement whose like was seen before.
 */
export class BlockWriter {
  readonly #shared: Dictionary;
  readonly #records: DataView;
  readonly #recordsBytes: Uint8Array;
  readonly #eventsMax: number;
  readonly #dictionary: Buffer;
  #dictionaryLength = 0;
  #entries = 0;
  #generation = ++lastGeneration;
  #firstTimeMs = Number.POSITIVE_INFINITY;
  #lastTimeMs = 0;
  #events = 0;
  /** Those whose text is kept until the block is sealed. */
  #longTexts: AnalysisPieces[] = [];
  /** Set when something did not fit; the event that was being written then has to go into the next block. */
  #full = false;

  constructor(shared: Dictionary, blockBytes: number = LIMITS.auditBlockBytes) {
    this.#shared = shared;
    this.#eventsMax = Math.max(1, Math.floor((blockBytes * RECORDS_SHARE) / RECORD_BYTES));
    this.#recordsBytes = new Uint8Array(this.#eventsMax * RECORD_BYTES);
    this.#records = new DataView(this.#recordsBytes.buffer);
    this.#dictionary = Buffer.alloc(blockBytes - this.#recordsBytes.length);
  }

  get events(): number {
    return this.#events;
  }

  /** False where the block is full: seal it and append again. */
  append(entry: AuditEntry): boolean {
    if (this.#events === this.#eventsMax) return false;
    const dictionaryLength = this.#dictionaryLength;
    const entries = this.#entries;
    const analysis = this.#shared.analysis(entry.analysis);
    const facts = analysis.statements[entry.statementIndex];
    const session = this.#refOf(this.#shared.session(entry.session));
    const decision = this.#refOf(this.#shared.decision(entry.decision, analysis));
    const statement = this.#refOf(
      facts ?? this.#shared.statement(entry.analysis, analysis, entry.statementIndex),
    );
    // What has a masked form is recorded in that form only, whatever the session hands over.
    const content = entry.analysis.redacted ?? entry.text;
    let text = 0;
    if (content !== null) {
      if (analysis.textGeneration === this.#generation && analysis.text === content) text = analysis.textRef;
      else {
        text = this.#addText(content, entry.analysis.redacted === null ? entry.shape : null, analysis);
        analysis.text = content;
        // A text that is so long is not kept alive for longer than this block: a Query of 100,000 statements would have it
        // hashed for each, but the analysis may live for ever.
        if (content.length > LIMITS.auditBlockBytes) this.#longTexts.push(analysis);
        analysis.textGeneration = this.#generation;
        analysis.textRef = text;
      }
    }
    const approval = entry.approvalId === null ? 0 : this.#addApproval(entry.approvalId);
    if (this.#full) {
      // What was added for an event that is not in this block is nobody's; each byte of a block is some event's.
      this.#dictionaryLength = dictionaryLength;
      this.#entries = entries;
      return false;
    }

    const at = this.#events * RECORD_BYTES;
    const records = this.#records;
    records.setFloat64(at + RECORD.startedAtMs, entry.startedAtMs, true);
    records.setFloat64(at + RECORD.rows, entry.rows, true);
    records.setFloat32(at + RECORD.durationMs, entry.durationMs, true);
    records.setFloat32(at + RECORD.holdMs, entry.holdMs, true);
    records.setUint32(at + RECORD.sqlstate, format.encodeSqlstate(entry.sqlstate), true);
    records.setUint16(at + RECORD.session, session, true);
    records.setUint16(at + RECORD.facts, statement, true);
    records.setUint16(at + RECORD.decision, decision, true);
    records.setUint16(at + RECORD.text, text, true);
    records.setUint16(at + RECORD.approval, approval, true);
    records.setUint16(at + RECORD.statementIndex, Math.min(entry.statementIndex, UINT16_MAX), true);
    records.setUint16(at + RECORD.parameters, Math.min(entry.parameters, UINT16_MAX), true);
    records.setUint16(at + RECORD.flags, flagsOf(entry), true);
    this.#events++;
    if (entry.startedAtMs < this.#firstTimeMs) this.#firstTimeMs = entry.startedAtMs;
    if (entry.startedAtMs > this.#lastTimeMs) this.#lastTimeMs = entry.startedAtMs;
    return true;
  }

  /** Copies the block out, numbering its events from `firstSeq`, and begins the next. */
  seal(firstSeq: number): AuditBlock {
    const recordsLength = this.#events * RECORD_BYTES;
    const dictionaryOffset = HEADER_BYTES + recordsLength;
    const bytes = new Uint8Array(dictionaryOffset + this.#dictionaryLength);
    bytes.set(this.#recordsBytes.subarray(0, recordsLength), HEADER_BYTES);
    bytes.set(this.#dictionary.subarray(0, this.#dictionaryLength), dictionaryOffset);
    const header = new DataView(bytes.buffer);
    header.setUint32(HEADER.magic, format.MAGIC, true);
    header.setUint32(HEADER.totalBytes, bytes.length, true);
    header.setUint32(HEADER.events, this.#events, true);
    header.setUint32(HEADER.recordBytes, RECORD_BYTES, true);
    header.setFloat64(HEADER.firstSeq, firstSeq, true);
    header.setUint32(HEADER.dictionaryOffset, dictionaryOffset, true);
    header.setUint32(HEADER.dictionaryEntries, this.#entries, true);
    const block = {
      firstSeq,
      lastSeq: firstSeq + this.#events - 1,
      firstTimeMs: this.#firstTimeMs,
      lastTimeMs: this.#lastTimeMs,
      bytes,
    };
    this.discard();
    return block;
  }

  /** Begins the next block without what there is of this one. */
  discard(): void {
    this.#events = 0;
    this.#entries = 0;
    this.#dictionaryLength = 0;
    this.#generation = ++lastGeneration;
    this.#firstTimeMs = Number.POSITIVE_INFINITY;
    this.#lastTimeMs = 0;
    this.#full = false;
    for (const analysis of this.#longTexts) analysis.text = null;
    this.#longTexts = [];
  }

  #refOf(piece: Piece): number {
    if (piece.generation === this.#generation) return piece.ref;
    if (!this.#hasRoomFor(piece.bytes.length)) return 0;
    this.#dictionary.set(piece.bytes, this.#dictionaryLength);
    this.#dictionaryLength += piece.bytes.length;
    piece.generation = this.#generation;
    piece.ref = ++this.#entries;
    return piece.ref;
  }

  #addText(text: string, shape: ShapePieces | null, analysis: AnalysisPieces): number {
    if (shape !== null && isShaped(text, shape)) {
      const shaped = this.#addShapedText(text, shape, analysis);
      if (shaped >= 0) return shaped;
    }
    const mayBeTooLong = text.length * UTF8_BYTES_PER_UNIT > LIMITS.auditTextBytes;
    if (mayBeTooLong && Buffer.byteLength(text) > LIMITS.auditTextBytes) return this.#addCutText(text);
    if (!this.#hasRoomFor(ENTRY_HEADER_BYTES + text.length * UTF8_BYTES_PER_UNIT)) return 0;
    const at = this.#dictionaryLength + ENTRY_HEADER_BYTES;
    return this.#addEntry(ENTRY.text, this.#dictionary.write(text, at));
  }

  /** -1 where it is not of that shape after all. */
  #addShapedText(text: string, shape: ShapePieces, analysis: AnalysisPieces): number {
    const ref = this.#refOf(this.#shared.shape(shape, analysis));
    if (!this.#hasRoomFor(ENTRY_HEADER_BYTES + SHAPE_REF_BYTES + text.length)) return 0;
    const at = this.#dictionaryLength + ENTRY_HEADER_BYTES;
    this.#dictionary[at] = ref;
    this.#dictionary[at + 1] = ref >> 8;
    const end = writeLiterals(this.#dictionary, at + SHAPE_REF_BYTES, text, shape);
    return end < 0 ? -1 : this.#addEntry(ENTRY.shapedText, end - at);
  }

  /** The hash of what was cut off can only be taken now; that of a whole text is left to whoever reads it. */
  #addCutText(text: string): number {
    const length = format.CUT_TEXT_HEADER_BYTES + LIMITS.auditTextBytes;
    if (!this.#hasRoomFor(ENTRY_HEADER_BYTES + length)) return 0;
    const at = this.#dictionaryLength + ENTRY_HEADER_BYTES;
    createHash('sha256').update(text).digest().copy(this.#dictionary, at);
    this.#dictionary.writeDoubleLE(Buffer.byteLength(text), at + 32);
    const textAt = at + format.CUT_TEXT_HEADER_BYTES;
    const written = this.#dictionary.write(text, textAt, LIMITS.auditTextBytes, 'utf8');
    return this.#addEntry(ENTRY.cutText, format.CUT_TEXT_HEADER_BYTES + written);
  }

  #addApproval(id: string): number {
    if (!this.#hasRoomFor(ENTRY_HEADER_BYTES + id.length)) return 0;
    const at = this.#dictionaryLength + ENTRY_HEADER_BYTES;
    return this.#addEntry(ENTRY.approval, this.#dictionary.write(id, at, 'latin1'));
  }

  /** Puts the header before content that is in its place already. */
  #addEntry(kind: number, length: number): number {
    this.#dictionary[this.#dictionaryLength] = kind;
    this.#dictionary.writeUInt32LE(length, this.#dictionaryLength + 1);
    this.#dictionaryLength += ENTRY_HEADER_BYTES + length;
    return ++this.#entries;
  }

  #hasRoomFor(bytes: number): boolean {
    if (this.#dictionaryLength + bytes <= this.#dictionary.length) return true;
    assert(this.#dictionaryLength > 0, 'one event fits an empty block');
    this.#full = true;
    return false;
  }
}

function flagsOf(entry: AuditEntry): number {
  return (
    placeOf(entry.protocol, format.PROTOCOLS) |
    (placeOf(entry.end, format.ENDS) << format.END_SHIFT) |
    (placeOf(entry.transactionStatus, format.TRANSACTION_STATUSES) << format.STATUS_SHIFT)
  );
}

/** `indexOf` is a call, for names that mostly come first. */
function placeOf<T extends string>(name: T, names: readonly T[]): number {
  let place = 0;
  while (place < names.length && names[place] !== name) place++;
  return place;
}
