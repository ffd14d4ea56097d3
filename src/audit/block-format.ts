/**
 * How audit events lie in a block (docs/audit.md tells it in full). A block is a header and items, one after the other:
 * each is an event, or an entry of the dictionary of what events share, which comes before the first that refers to it.
 * It can be read without any other block. All numbers are little-endian.
 *
 * Blocks of before have a record of fixed size for each event, and the dictionary behind them.
 */

export const MAGIC = 0x32414648; // "HFA2"
export const RECORDS_MAGIC = 0x31414648; // "HFA1"

/** Offsets in the header. */
export const HEADER = {
  magic: 0,
  /** Of the whole block, so that blocks can be stored one after the other. */
  totalBytes: 4,
  events: 8,
  /** Of blocks of records only, as is `dictionaryOffset`. */
  recordBytes: 12,
  firstSeq: 16,
  dictionaryOffset: 24,
  dictionaryEntries: 28,
  /** 32 bytes: the hash of the event before the first; the store fills it in as it chains the block. */
  previousHash: 32,
} as const;
export const HEADER_BYTES = 64;

/** Offsets in a record, and what an event says. References count the dictionary's entries from 1; 0 is none. */
export const RECORD = {
  startedAtMs: 0,
  rows: 8,
  durationMs: 16,
  holdMs: 20,
  sqlstate: 24,
  session: 28,
  facts: 30,
  decision: 32,
  text: 34,
  approval: 36,
  statementIndex: 38,
  parameters: 40,
  flags: 42,
  /** The first four bytes of the event's hash, so that a changed event can be told from those around it. */
  check: 44,
} as const;
export const RECORD_BYTES = 48;

/**
 * An event among items: a zero, the bytes of what it says, that, and its check. What it says are varints, seven bits a
 * byte, the lowest first, with the top bit where more follow: time, pattern, session, text, duration, rows. The last two
 * and the time have a 0 where they are no such numbers, and their bytes behind it.
 */
export const EVENT = 0;
export const EVENT_HEADER_BYTES = 2;
export const CHECK_BYTES = 4;
export const EVENT_BYTES_MAX = 64;
/** What times and durations are counted in, of a millisecond: as fine as a double tells the time. */
export const TICKS_PER_MS = 4096;
/** What a varint is not above, so that it is computed with 32 bits. */
export const VARINT_MAX = 0x3fff_ffff;

/** Offsets in a pattern: what many events have in common. */
export const PATTERN = {
  holdMs: 0,
  sqlstate: 4,
  facts: 8,
  decision: 10,
  approval: 12,
  statementIndex: 14,
  parameters: 16,
  flags: 18,
} as const;
export const PATTERN_BYTES = 20;

/** Among items, the kind of an entry is the lowest byte of four, and the others the length of the rest. */
export const ITEM_HEADER_BYTES = 4;

/** Behind records, each entry is its kind in one byte, the length of the rest in four, and the rest. */
export const ENTRY = {
  session: 1,
  facts: 2,
  decision: 3,
  text: 4,
  /** A text that was cut: the SHA-256 of all of it and how many bytes it had, then the beginning. */
  cutText: 5,
  approval: 6,
  /** A text with a byte from 1 to SHAPE_LITERAL_MAX in the place of each literal. */
  shape: 7,
  /** A text by its shape: the reference to that, and the literals. */
  shapedText: 8,
  /** What many events have in common; only among items. */
  pattern: 9,
} as const;
export const ENTRY_HEADER_BYTES = 5;
export const CUT_TEXT_HEADER_BYTES = 32 + 8;
export const SHAPE_REF_BYTES = 2;
export const SHAPE_LITERAL_MAX = 4;
export const SHAPED_TEXT_BYTES_MAX = 512;

/** `indexOf` is a call, for names that mostly come first. */
export function placeOf<T extends string>(name: T, names: readonly T[]): number {
  let place = 0;
  while (place < names.length && names[place] !== name) place++;
  return place;
}

export const PROTOCOLS = ['simple', 'extended', 'function', 'admin'] as const;
export const ENDS = ['completed', 'suspended', 'failed', 'blocked', 'not-run', 'lost'] as const;
export const TRANSACTION_STATUSES = ['?', 'I', 'T', 'E'] as const;

/** Where in `flags` each of the three lies. */
export const END_SHIFT = 2;
export const END_MASK = 0b111;
export const STATUS_SHIFT = 5;
export const TWO_BITS = 0b11;

/** A SQLSTATE is five digits of base 36; 0, which no error has, is success. */
export function encodeSqlstate(sqlstate: string | null): number {
  if (sqlstate === null) return 0;
  const number = Number.parseInt(sqlstate, 36);
  return Number.isNaN(number) ? 0 : number;
}

export function decodeSqlstate(number: number): string | null {
  return number === 0 ? null : number.toString(36).toUpperCase().padStart(5, '0');
}
