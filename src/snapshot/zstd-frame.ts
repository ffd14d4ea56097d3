import { assert } from '../base/assert.ts';

/** Of RFC 8878, 3.1.1: a frame that is one segment, whose size is told in one byte or in two. */
const MAGIC = 0xfd2fb528;
const SINGLE_SEGMENT = 0x20;
const SIZE_OF_TWO_BYTES = 0x40;
/** The first size that takes two bytes, which leave it out. */
const TWO_BYTES_FROM = 256;
const BYTES_MAX = TWO_BYTES_FROM + 0xffff;
const LAST_BLOCK = 1;

/** The bytes as a frame of zstd that holds them as they are, in one block. */
export function storedFrame(bytes: Uint8Array): Buffer {
  assert(bytes.length <= BYTES_MAX, 'what is stored as it is, is short');
  const isShort = bytes.length < TWO_BYTES_FROM;
  const head = isShort ? 9 : 10;
  const frame = Buffer.allocUnsafe(head + bytes.length);
  frame.writeUInt32LE(MAGIC, 0);
  frame[4] = isShort ? SINGLE_SEGMENT : SINGLE_SEGMENT | SIZE_OF_TWO_BYTES;
  if (isShort) frame[5] = bytes.length;
  else frame.writeUInt16LE(bytes.length - TWO_BYTES_FROM, 5);
  frame.writeUIntLE((bytes.length << 3) | LAST_BLOCK, head - 3, 3);
  frame.set(bytes, head);
  return frame;
}
