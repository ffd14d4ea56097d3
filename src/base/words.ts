import { LIMITS } from './limits.ts';

let viewed: Uint8Array | null = null;
let view: DataView = new DataView(new ArrayBuffer(0));

/**
 * Bytes to be read by words of four, which costs about as much as by single ones. The view is kept, because nearly all that
 * is read stands in the one buffer that connections are read into; but nothing large is kept alive by it.
 */
export function viewOf(bytes: Uint8Array): DataView {
  if (bytes === viewed) return view;
  const made = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.buffer.byteLength <= LIMITS.readBufferBytes) {
    viewed = bytes;
    view = made;
  }
  return made;
}

/** `bytes[start, end)` as such words, of which the last may have less than four bytes, and zeros behind them. */
export function wordsOf(bytes: Uint8Array, start: number, end: number): Int32Array {
  const words = new Int32Array((end - start + 3) >> 2);
  for (let at = start; at < end; at++) words[(at - start) >> 2]! |= bytes[at]! << (((at - start) & 3) * 8);
  return words;
}
