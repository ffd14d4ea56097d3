import {
  ENTRY_HEADER_BYTES,
  EVENT,
  HEADER,
  HEADER_BYTES,
  MAGIC,
  RECORD,
  RECORD_BYTES,
  RECORDS_MAGIC,
} from './block-format.ts';
import { ITEM_BYTES_MIN, itemEnd, unpack } from './block-items.ts';

/** A block that is one: it can be hashed without looking whether its numbers lead anywhere. */
export interface CheckedBlock {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly events: number;
  readonly firstSeq: number;
  /** When the event at an index began, or NaN where that is not to be read. */
  timeMs(index: number): number;
  /** What keeps it from being read, which is told where nothing else is: most often its cause is a record that was changed. */
  readonly unreadable: string | null;
}

/** The block at the beginning of `bytes`, or what is wrong with it. */
export function checkBlock(bytes: Uint8Array): CheckedBlock | string {
  if (bytes.length < HEADER_BYTES) return 'it is shorter than the header of a block';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = (at: number): number => view.getUint32(at, true);
  const magic = header(HEADER.magic);
  if (magic !== MAGIC && magic !== RECORDS_MAGIC) return 'it does not begin as a block does';
  const totalBytes = header(HEADER.totalBytes);
  const events = header(HEADER.events);
  if (totalBytes > bytes.length || totalBytes < HEADER_BYTES) return 'it is cut short';
  const block = {
    bytes: bytes.subarray(0, totalBytes),
    view,
    events,
    firstSeq: view.getFloat64(HEADER.firstSeq, true),
  };
  if (magic === MAGIC) {
    if (!hasItems(view, totalBytes)) return 'it does not hold what its header says';
    const records = recordsOf(block.bytes);
    const timeMs = (i: number) =>
      records?.getFloat64(i * RECORD_BYTES + RECORD.startedAtMs, true) ?? Number.NaN;
    return { ...block, timeMs, unreadable: records === null ? 'its events do not say what events do' : null };
  }
  if (header(HEADER.recordBytes) !== RECORD_BYTES || events === 0) return 'its header is none of a block';
  if (header(HEADER.dictionaryOffset) !== HEADER_BYTES + events * RECORD_BYTES) {
    return 'its header does not fit the number of its records';
  }
  const entries = header(HEADER.dictionaryEntries);
  const end = endOfEntries(view, header(HEADER.dictionaryOffset), entries, totalBytes);
  if (end !== totalBytes) return 'its dictionary does not end where the block does';
  const timesAt = HEADER_BYTES + RECORD.startedAtMs;
  return { ...block, timeMs: (i) => view.getFloat64(timesAt + i * RECORD_BYTES, true), unreadable: null };
}

function recordsOf(bytes: Uint8Array): DataView | null {
  try {
    return unpack(bytes).records;
  } catch {
    return null;
  }
}

/** Whether it is made of as many events and entries as its header says, and of at least one event. */
function hasItems(view: DataView, end: number): boolean {
  let at = HEADER_BYTES;
  let events = 0;
  let entries = 0;
  while (at + ITEM_BYTES_MIN <= end) {
    if (view.getUint8(at) === EVENT) events++;
    else entries++;
    at = itemEnd(view, at);
  }
  const isAsSaid =
    events === view.getUint32(HEADER.events, true) &&
    entries === view.getUint32(HEADER.dictionaryEntries, true);
  return at === end && events > 0 && isAsSaid;
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
