import { viewOf } from '../base/words.ts';
import { encodeMessage } from './backend.ts';
import { Frontend } from './message-type.ts';

/**
 * The frontend messages that the gateway reads or originates itself. The readers take a whole buffer and the
 * bounds of the message's body in it, and copy nothing but the names they return.
 */

/** Where the NUL-terminated string that starts at `start` ends, or -1 where no NUL comes before `end`. */
export function stringEnd(bytes: Buffer, start: number, end: number): number {
  // Most are names, of which most are empty, or texts of a line or two, which are read through in less time than a native
  // search takes to begin.
  const short = Math.min(end, start + SHORT_BYTES);
  let at = start;
  for (; at < short; at++) if (bytes[at] === 0) return at;
  const near = Math.min(end, start + NEAR_BYTES);
  const view = viewOf(bytes);
  while (at + 4 <= near && !hasZero(view.getInt32(at, true))) at += 4;
  for (; at < near; at++) if (bytes[at] === 0) return at;
  if (near >= end) return -1;
  at = bytes.indexOf(0, near);
  return at < 0 || at >= end ? -1 : at;
}

const SHORT_BYTES = 8;
const NEAR_BYTES = 512;

/** Whether one of the four bytes of a word is zero. */
function hasZero(word: number): boolean {
  return ((word - 0x01010101) & ~word & 0x80808080) !== 0;
}

/** A Query's text without its NUL: `[start, textEnd)`; -1 where PostgreSQL would refuse the message. */
export function queryTextEnd(bytes: Buffer, start: number, end: number): number {
  const at = stringEnd(bytes, start, end);
  return at === end - 1 ? at : -1;
}

/** Whether a Parse is well formed behind its two strings: a count of types and that many OIDs, nothing more. */
export function isParseTailValid(bytes: Buffer, start: number, end: number): boolean {
  if (end - start < 2) return false;
  return end - start === 2 + uint16At(bytes, start) * 4;
}

/** Parameters that a Bind carries, read from behind its two names; -1 where they are not there. */
export function bindParameterCount(bytes: Buffer, start: number, end: number): number {
  if (end - start < 2) return -1;
  const at = start + 2 + uint16At(bytes, start) * 2;
  return at + 2 > end ? -1 : uint16At(bytes, at);
}

/** Big-endian; the caller has seen that both bytes are there. */
function uint16At(bytes: Buffer, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

export function encodeExecute(portal: string, rowsMax: number): Buffer {
  const name = Buffer.from(`${portal}\0`, 'utf8');
  const body = Buffer.allocUnsafe(name.length + 4);
  name.copy(body);
  body.writeInt32BE(rowsMax, name.length);
  return encodeMessage(Frontend.Execute, body);
}

export function encodeDescribe(target: 'S' | 'P', name: string): Buffer {
  return encodeMessage(Frontend.Describe, Buffer.from(`${target}${name}\0`, 'utf8'));
}

export function encodeClose(target: 'S' | 'P', name: string): Buffer {
  return encodeMessage(Frontend.Close, Buffer.from(`${target}${name}\0`, 'utf8'));
}

export function encodeFlush(): Buffer {
  return encodeMessage(Frontend.Flush, Buffer.alloc(0));
}

export function encodeSync(): Buffer {
  return encodeMessage(Frontend.Sync, Buffer.alloc(0));
}

export function encodeQuery(text: string): Buffer {
  return encodeMessage(Frontend.Query, Buffer.from(`${text}\0`, 'utf8'));
}
