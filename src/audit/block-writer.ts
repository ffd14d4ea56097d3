import { createHash } from 'node:crypto';
import { assert } from '../base/assert.ts';
import { LIMITS } from '../base/limits.ts';
import type { ShapePieces } from '../sql/recent/shape-pieces.ts';
import type { AuditBlock } from '../store/control-store.ts';
import * as format from './block-format.ts';
import {
  CHECK_BYTES,
  ENTRY,
  EVENT_BYTES_MAX,
  EVENT_HEADER_BYTES,
  HEADER,
  HEADER_BYTES,
  ITEM_HEADER_BYTES,
  PATTERN,
  PATTERN_BYTES,
  SHAPE_REF_BYTES,
  TICKS_PER_MS,
  VARINT_MAX,
} from './block-format.ts';
import type { AnalysisPieces, Dictionary } from './dictionary.ts';
import type { AuditEntry } from './event.ts';
import type { KeptLiterals } from './kept-literals.ts';
import type { Pattern, Piece } from './piece.ts';
import { isShaped, writeLiterals } from './shaped-text.ts';

/** A search reads a block as a whole, so that none has more than it may read in a moment. */
const EVENTS_MAX = 4096;
const UINT16_MAX = 0xffff;
const UTF8_BYTES_PER_UNIT = 3;
/** Of one statement; events that alternate between more have theirs written again and again. */
const PATTERNS_KEPT = 8;

/** Writers stamp dictionary entries with the block they are in; no two blocks have the same generation. */
let lastGeneration = 0;

/**
 * Encodes events straight into memory that is there already. This runs once a statement on the thread that
 * carries all traffic, so nothing here allocates for a statement whose like was seen before.
 */
export class BlockWriter {
  readonly #shared: Dictionary;
  /** What comes behind the header. */
  readonly #items: Buffer;
  readonly #view: DataView;
  #length = 0;
  #entries = 0;
  #generation = ++lastGeneration;
  #firstTimeMs = Number.POSITIVE_INFINITY;
  #lastTimeMs = 0;
  /** Of the last event and its text, which the next are told by. */
  #timeMs = 0;
  #text = 0;
  #events = 0;
  /** Those whose text is kept until the block is sealed. */
  #longTexts: AnalysisPieces[] = [];
  /** Set when something did not fit; the event that was being written then has to go into the next block. */
  #full = false;

  constructor(shared: Dictionary, blockBytes: number = LIMITS.auditBlockBytes) {
    this.#shared = shared;
    this.#items = Buffer.alloc(blockBytes - HEADER_BYTES);
    this.#view = new DataView(this.#items.buffer, this.#items.byteOffset, this.#items.length);
  }

  get events(): number {
    return this.#events;
  }

  /** False where the block is full: seal it and append again. */
  append(entry: AuditEntry): boolean {
    if (this.#events === EVENTS_MAX) return false;
    const length = this.#length;
    const entries = this.#entries;
    const analysis = this.#shared.analysis(entry.analysis, entry.shape);
    const session = this.#refOf(this.#shared.session(entry.session));
    const text = this.#textOf(entry, analysis);
    const pattern = this.#patternOf(entry, analysis);
    if (this.#full || !this.#hasRoomFor(EVENT_BYTES_MAX)) {
      // What was added for an event that is not in this block is nobody's; each byte of a block is some event's.
      this.#length = length;
      this.#entries = entries;
      return false;
    }
    this.#addEvent(entry, session, text, pattern);
    this.#events++;
    if (entry.startedAtMs < this.#firstTimeMs) this.#firstTimeMs = entry.startedAtMs;
    if (entry.startedAtMs > this.#lastTimeMs) this.#lastTimeMs = entry.startedAtMs;
    return true;
  }

  /** Copies the block out, numbering its events from `firstSeq`, and begins the next. */
  seal(firstSeq: number): AuditBlock {
    const bytes = new Uint8Array(HEADER_BYTES + this.#length);
    bytes.set(this.#items.subarray(0, this.#length), HEADER_BYTES);
    const header = new DataView(bytes.buffer);
    header.setUint32(HEADER.magic, format.MAGIC, true);
    header.setUint32(HEADER.totalBytes, bytes.length, true);
    header.setUint32(HEADER.events, this.#events, true);
    header.setFloat64(HEADER.firstSeq, firstSeq, true);
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
    this.#length = 0;
    this.#generation = ++lastGeneration;
    this.#firstTimeMs = Number.POSITIVE_INFINITY;
    this.#lastTimeMs = 0;
    this.#timeMs = 0;
    this.#text = 0;
    this.#full = false;
    for (const analysis of this.#longTexts) analysis.text = null;
    this.#longTexts = [];
  }

  #addEvent(entry: AuditEntry, session: number, text: number, pattern: number): void {
    const out = this.#items;
    const start = this.#length;
    let at = this.#time(start + EVENT_HEADER_BYTES, entry.startedAtMs);
    at = varint(out, at, pattern);
    at = varint(out, at, session);
    at = varint(out, at, zigzag(text - this.#text));
    this.#text = text;
    at = this.#duration(at, entry.durationMs);
    at = this.#rows(at, entry.rows);
    out[start] = format.EVENT;
    out[start + 1] = at - start - EVENT_HEADER_BYTES;
    // The store puts the check here as it chains the block.
    this.#view.setUint32(at, 0, true);
    this.#length = at + CHECK_BYTES;
  }

  #time(at: number, timeMs: number): number {
    const last = this.#timeMs;
    this.#timeMs = timeMs;
    const ticks = (timeMs - last) * TICKS_PER_MS;
    const isNear = ticks > -VARINT_MAX / 4 && ticks < VARINT_MAX / 4;
    if (isNear && Math.floor(ticks) === ticks && last + ticks / TICKS_PER_MS === timeMs)
      return varint(this.#items, at, zigzag(ticks | 0) + 1);
    this.#items[at] = 0;
    this.#view.setFloat64(at + 1, timeMs, true);
    return at + 9;
  }

  #duration(at: number, durationMs: number): number {
    if (durationMs === -1) return varint(this.#items, at, 1);
    const ticks = durationMs * TICKS_PER_MS;
    if (ticks >= 0 && ticks < VARINT_MAX - 2 && Math.floor(ticks) === ticks)
      return varint(this.#items, at, (ticks | 0) + 2);
    this.#items[at] = 0;
    this.#view.setFloat32(at + 1, durationMs, true);
    return at + 5;
  }

  #rows(at: number, rows: number): number {
    if (rows >= -1 && rows < VARINT_MAX - 2 && Math.floor(rows) === rows)
      return varint(this.#items, at, (rows | 0) + 2);
    this.#items[at] = 0;
    this.#view.setFloat64(at + 1, rows, true);
    return at + 9;
  }

  #patternOf(entry: AuditEntry, analysis: AnalysisPieces): number {
    const { statementIndex } = entry;
    const known = analysis.statements[statementIndex];
    const facts = known ?? this.#shared.statement(entry.analysis, analysis, statementIndex);
    const { patterns } = facts;
    const decision = this.#shared.decision(entry.decision, analysis);
    // What was held is like nothing else.
    const isKept = entry.approvalId === null && entry.holdMs === 0;
    if (isKept)
      for (let i = 0; i < patterns.length; i++)
        if (patterns[i]!.generation === this.#generation && isOfPattern(entry, decision, patterns[i]!))
          return patterns[i]!.ref;
    const ref = this.#addPattern(entry, facts, decision);
    if (!isKept) return ref;
    const { protocol, parameters, end, sqlstate, transactionStatus } = entry;
    const generation = this.#generation;
    const said = { protocol, statementIndex, parameters, end, sqlstate, transactionStatus };
    const pattern = { generation, ref, decision, ...said };
    const stale = patterns.findIndex(({ generation }) => generation !== this.#generation);
    if (stale >= 0) patterns[stale] = pattern;
    else if (patterns.length < PATTERNS_KEPT) patterns.push(pattern);
    else patterns[ref % PATTERNS_KEPT] = pattern;
    return ref;
  }

  #addPattern(entry: AuditEntry, stated: Piece, decided: Piece): number {
    const facts = this.#refOf(stated);
    const decision = this.#refOf(decided);
    const approval = entry.approvalId === null ? 0 : this.#addApproval(entry.approvalId);
    if (!this.#hasRoomFor(ITEM_HEADER_BYTES + PATTERN_BYTES)) return 0;
    const at = this.#length + ITEM_HEADER_BYTES;
    const view = this.#view;
    view.setFloat32(at + PATTERN.holdMs, entry.holdMs, true);
    view.setUint32(at + PATTERN.sqlstate, format.encodeSqlstate(entry.sqlstate), true);
    view.setUint16(at + PATTERN.facts, facts, true);
    view.setUint16(at + PATTERN.decision, decision, true);
    view.setUint16(at + PATTERN.approval, approval, true);
    view.setUint16(at + PATTERN.statementIndex, Math.min(entry.statementIndex, UINT16_MAX), true);
    view.setUint16(at + PATTERN.parameters, Math.min(entry.parameters, UINT16_MAX), true);
    view.setUint16(at + PATTERN.flags, flagsOf(entry), true);
    return this.#addEntry(ENTRY.pattern, PATTERN_BYTES);
  }

  #textOf(entry: AuditEntry, analysis: AnalysisPieces): number {
    // What has a masked form is recorded in that form only, whatever the session hands over.
    const { redacted } = entry.analysis;
    const { literals } = entry;
    if (literals !== null && redacted === null) return this.#addLiterals(literals, entry.shape!, analysis);
    const content = redacted ?? entry.text;
    if (content === null) return 0;
    if (analysis.textGeneration === this.#generation && analysis.text === content) return analysis.textRef;
    const text = this.#addText(content, redacted === null ? entry.shape : null, analysis);
    analysis.text = content;
    // A text that is so long is not kept alive for longer than this block: a Query of 100,000 statements would have it
    // hashed for each, but the analysis may live for ever.
    if (content.length > LIMITS.auditBlockBytes) this.#longTexts.push(analysis);
    analysis.textGeneration = this.#generation;
    analysis.textRef = text;
    return text;
  }

  #refOf(piece: Piece): number {
    if (piece.generation === this.#generation) return piece.ref;
    if (!this.#hasRoomFor(piece.bytes.length)) return 0;
    this.#items.set(piece.bytes, this.#length);
    this.#length += piece.bytes.length;
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
    if (!this.#hasRoomFor(ITEM_HEADER_BYTES + text.length * UTF8_BYTES_PER_UNIT)) return 0;
    const at = this.#length + ITEM_HEADER_BYTES;
    return this.#addEntry(ENTRY.text, this.#items.write(text, at));
  }

  /** -1 where it is not of that shape after all. */
  #addShapedText(text: string, shape: ShapePieces, analysis: AnalysisPieces): number {
    const ref = this.#refOf(this.#shared.shape(shape, analysis));
    if (!this.#hasRoomFor(ITEM_HEADER_BYTES + SHAPE_REF_BYTES + text.length)) return 0;
    const at = this.#length + ITEM_HEADER_BYTES;
    this.#items[at] = ref;
    this.#items[at + 1] = ref >> 8;
    const end = writeLiterals(this.#items, at + SHAPE_REF_BYTES, text, shape);
    return end < 0 ? -1 : this.#addEntry(ENTRY.shapedText, end - at);
  }

  #addLiterals({ bytes, start, end }: KeptLiterals, shape: ShapePieces, analysis: AnalysisPieces): number {
    const ref = this.#refOf(this.#shared.shape(shape, analysis));
    const length = SHAPE_REF_BYTES + end - start;
    if (!this.#hasRoomFor(ITEM_HEADER_BYTES + length)) return 0;
    const out = this.#items;
    let at = this.#length + ITEM_HEADER_BYTES;
    out[at++] = ref;
    out[at++] = ref >> 8;
    for (let from = start; from < end; from++) out[at++] = bytes[from]!;
    return this.#addEntry(ENTRY.shapedText, length);
  }

  /** The hash of what was cut off can only be taken now; that of a whole text is left to whoever reads it. */
  #addCutText(text: string): number {
    const length = format.CUT_TEXT_HEADER_BYTES + LIMITS.auditTextBytes;
    if (!this.#hasRoomFor(ITEM_HEADER_BYTES + length)) return 0;
    const at = this.#length + ITEM_HEADER_BYTES;
    createHash('sha256').update(text).digest().copy(this.#items, at);
    this.#items.writeDoubleLE(Buffer.byteLength(text), at + 32);
    const textAt = at + format.CUT_TEXT_HEADER_BYTES;
    const written = this.#items.write(text, textAt, LIMITS.auditTextBytes, 'utf8');
    return this.#addEntry(ENTRY.cutText, format.CUT_TEXT_HEADER_BYTES + written);
  }

  #addApproval(id: string): number {
    if (!this.#hasRoomFor(ITEM_HEADER_BYTES + id.length)) return 0;
    const at = this.#length + ITEM_HEADER_BYTES;
    return this.#addEntry(ENTRY.approval, this.#items.write(id, at, 'latin1'));
  }

  /** Puts the header before content that is in its place already. */
  #addEntry(kind: number, length: number): number {
    this.#view.setUint32(this.#length, (length << 8) | kind, true);
    this.#length += ITEM_HEADER_BYTES + length;
    return ++this.#entries;
  }

  #hasRoomFor(bytes: number): boolean {
    if (this.#length + bytes <= this.#items.length && this.#entries < UINT16_MAX) return true;
    assert(this.#length > 0, 'one event fits an empty block');
    this.#full = true;
    return false;
  }
}

function flagsOf(entry: AuditEntry): number {
  return (
    format.placeOf(entry.protocol, format.PROTOCOLS) |
    (format.placeOf(entry.end, format.ENDS) << format.END_SHIFT) |
    (format.placeOf(entry.transactionStatus, format.TRANSACTION_STATUSES) << format.STATUS_SHIFT)
  );
}

/** Of entries that were neither held nor approved. */
function isOfPattern(entry: AuditEntry, decision: Piece, pattern: Pattern): boolean {
  return (
    pattern.decision === decision &&
    pattern.statementIndex === entry.statementIndex &&
    pattern.transactionStatus === entry.transactionStatus &&
    pattern.end === entry.end &&
    pattern.parameters === entry.parameters &&
    pattern.protocol === entry.protocol &&
    pattern.sqlstate === entry.sqlstate
  );
}

/** Numbers around zero as numbers from zero on. */
function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value;
}

function varint(out: Uint8Array, start: number, value: number): number {
  let at = start;
  let left = value;
  while (left > 127) {
    out[at++] = (left & 127) | 128;
    left >>= 7;
  }
  out[at++] = left;
  return at;
}
