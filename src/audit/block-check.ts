import { ENTRY_HEADER_BYTES, HEADER, HEADER_BYTES, MAGIC, RECORD_BYTES } from './block-format.ts';

/** A block that is one: it can be hashed without looking whether its numbers lead anywhere. */
export interface CheckedBlock {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly events: number;
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
