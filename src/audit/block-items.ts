import {
  CHECK_BYTES,
  ENTRY,
  EVENT,
  EVENT_HEADER_BYTES,
  HEADER,
  HEADER_BYTES,
  ITEM_HEADER_BYTES,
  PATTERN,
  PATTERN_BYTES,
  RECORD,
  RECORD_BYTES,
  TICKS_PER_MS,
} from './block-format.ts';

export interface Entry {
  readonly kind: number;
  readonly content: Buffer;
}

/** What a block of items says, in the form of a block of records. */
export interface Unpacked {
  readonly records: DataView;
  readonly entries: readonly Entry[];
}

const BROKEN = 'an audit block is not one of items';
/** Of the last of five bytes. */
const VARINT_UNIT_MAX = 2 ** 28;

/** Where the item ends that begins there, which may be beyond the block. */
export function itemEnd(view: DataView, at: number): number {
  if (view.getUint8(at) === EVENT) return at + EVENT_HEADER_BYTES + view.getUint8(at + 1) + CHECK_BYTES;
  return at + ITEM_HEADER_BYTES + (view.getUint32(at, true) >>> 8);
}

/** The fewest bytes that an item has, so that its header can be read where so many are left. */
export const ITEM_BYTES_MIN = 4;

/** Takes the items apart. Throws where they are none; takes no more memory than a few times the block. */
export function unpack(bytes: Uint8Array): Unpacked {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const events = view.getUint32(HEADER.events, true);
  if (events * (EVENT_HEADER_BYTES + CHECK_BYTES) > bytes.length) throw new Error(BROKEN);
  // Of Node's pool where they are few: blocks of a quiet time have one event each, and there are many of them.
  const memory = Buffer.allocUnsafe(events * RECORD_BYTES);
  const records = new DataView(memory.buffer, memory.byteOffset, memory.length);
  const entries: Entry[] = [];
  const reader = new EventReader(view);
  let done = 0;
  for (let at = HEADER_BYTES; at < bytes.length; ) {
    const end = at + ITEM_BYTES_MIN > bytes.length ? Number.POSITIVE_INFINITY : itemEnd(view, at);
    if (end > bytes.length) throw new Error(BROKEN);
    const kind = bytes[at]!;
    if (kind !== EVENT) entries.push({ kind, content: buffer.subarray(at + ITEM_HEADER_BYTES, end) });
    else if (done === events) throw new Error(BROKEN);
    else reader.read(at, end - CHECK_BYTES, entries, records, done++ * RECORD_BYTES);
    at = end;
  }
  if (done !== events || entries.length !== view.getUint32(HEADER.dictionaryEntries, true))
    throw new Error(BROKEN);
  return { records, entries };
}

/** Reads what events say, which is told by those before. */
export class EventReader {
  readonly #view: DataView;
  #at = 0;
  #end = 0;
  #timeMs = 0;
  #text = 0;

  constructor(view: DataView) {
    this.#view = view;
  }

  /** The time of the event that begins there; to be asked of each in turn. */
  timeMs(start: number, end: number): number {
    this.#at = start + EVENT_HEADER_BYTES;
    this.#end = end;
    const told = this.#varint();
    this.#timeMs =
      told === 0
        ? this.#view.getFloat64(this.#skip(8), true)
        : this.#timeMs + unzigzag(told - 1) / TICKS_PER_MS;
    return this.#timeMs;
  }

  read(start: number, end: number, entries: readonly Entry[], into: DataView, record: number): void {
    const view = this.#view;
    into.setFloat64(record + RECORD.startedAtMs, this.timeMs(start, end), true);
    const pattern = entries[this.#ref(entries) - 1];
    if (pattern?.kind !== ENTRY.pattern || pattern.content.length !== PATTERN_BYTES) throw new Error(BROKEN);
    // What lies side by side in both is copied together.
    const of = pattern.content.byteOffset - view.byteOffset;
    into.setUint32(record + RECORD.holdMs, view.getUint32(of + PATTERN.holdMs));
    into.setUint32(record + RECORD.sqlstate, view.getUint32(of + PATTERN.sqlstate));
    into.setUint32(record + RECORD.facts, view.getUint32(of + PATTERN.facts));
    into.setUint32(record + RECORD.approval, view.getUint32(of + PATTERN.approval));
    into.setUint32(record + RECORD.parameters, view.getUint32(of + PATTERN.parameters));
    into.setUint16(record + RECORD.session, this.#ref(entries), true);
    this.#text += unzigzag(this.#varint());
    if (this.#text < 0 || this.#text > entries.length) throw new Error(BROKEN);
    into.setUint16(record + RECORD.text, this.#text, true);
    const duration = this.#varint();
    const durationMs = duration === 1 ? -1 : (duration - 2) / TICKS_PER_MS;
    const isRaw = duration === 0;
    into.setFloat32(
      record + RECORD.durationMs,
      isRaw ? view.getFloat32(this.#skip(4), true) : durationMs,
      true,
    );
    const rows = this.#varint();
    into.setFloat64(record + RECORD.rows, rows === 0 ? view.getFloat64(this.#skip(8), true) : rows - 2, true);
    if (this.#at !== end) throw new Error(BROKEN);
  }

  #ref(entries: readonly Entry[]): number {
    const ref = this.#varint();
    if (ref > entries.length) throw new Error(BROKEN);
    return ref;
  }

  #varint(): number {
    const view = this.#view;
    let at = this.#at;
    let value = 0;
    for (let unit = 1; at < this.#end && unit <= VARINT_UNIT_MAX; unit *= 128) {
      const byte = view.getUint8(at++);
      value += (byte & 127) * unit;
      if (byte < 128) {
        this.#at = at;
        return value;
      }
    }
    throw new Error(BROKEN);
  }

  #skip(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    if (this.#at > this.#end) throw new Error(BROKEN);
    return at;
  }
}

function unzigzag(told: number): number {
  return told % 2 === 0 ? told / 2 : -(told + 1) / 2;
}
