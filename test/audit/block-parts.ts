import { CHECK_BYTES, EVENT, HEADER, HEADER_BYTES } from '../../src/audit/block-format.ts';
import { itemEnd } from '../../src/audit/block-items.ts';
import { checksOf } from '../../src/audit/chain.ts';

/** An event of a block with the entries in front of it, for those who change what they ought not to. */
export interface Part {
  readonly start: number;
  /** Behind its check. */
  readonly end: number;
}

export function partsOf(block: Buffer): Part[] {
  const view = viewOf(block);
  const parts: Part[] = [];
  for (let at = HEADER_BYTES, start = at; at < block.length; ) {
    const isEvent = block[at] === EVENT;
    at = itemEnd(view, at);
    if (!isEvent) continue;
    parts.push({ start, end: at });
    start = at;
  }
  return parts;
}

/** The number of its rows, which is the last that it says, must be below 126. */
export function setRows(block: Buffer, index: number, rows: number): void {
  block[partsOf(block)[index]!.end - CHECK_BYTES - 1] = rows + 2;
}

/** The block with these of its events, and their number mended. */
export function withEvents(block: Buffer, indexes: readonly number[]): Buffer {
  const parts = partsOf(block);
  const kept = indexes.map((index) => block.subarray(parts[index]!.start, parts[index]!.end));
  const made = Buffer.concat([block.subarray(0, HEADER_BYTES), ...kept]);
  made.writeUInt32LE(made.length, HEADER.totalBytes);
  made.writeUInt32LE(indexes.length, HEADER.events);
  return made;
}

export function mendChecks(block: Buffer): void {
  const checks = checksOf(viewOf(block));
  for (const _ of partsOf(block)) block.writeUInt32LE(checks.next()!, checks.checkAt);
}

function viewOf(block: Buffer): DataView {
  return new DataView(block.buffer, block.byteOffset, block.length);
}
