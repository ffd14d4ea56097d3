import { isUtf8 } from 'node:buffer';

/** U+FFFD, which no name has for its own sake. */
const UNREADABLE = '\ufffd';
const UNREADABLE_BYTES = Buffer.from(UNREADABLE, 'utf8');

/**
 * A name that may not be UTF-8, as text that policy compares and people read. A byte that is no UTF-8 is written as
 * U+FFFD and its two hex digits, and so are the bytes of a U+FFFD itself: two names are never the same text, and a
 * policy can name what the audit shows.
 */
export function legibleText(bytes: Buffer): string {
  if (isUtf8(bytes) && !bytes.includes(UNREADABLE_BYTES)) return bytes.toString('utf8');
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const character = bytes.subarray(at, at + characterBytes(bytes[at]!));
    if (isUtf8(character) && !character.equals(UNREADABLE_BYTES)) {
      text += character.toString('utf8');
      at += character.length;
    } else {
      text += UNREADABLE + bytes.toString('hex', at, at + 1);
      at++;
    }
  }
  return text;
}

/** How many bytes a character has that begins with this one, if it begins one at all. */
function characterBytes(first: number): number {
  if (first < 0x80) return 1;
  if (first < 0xe0) return 2;
  return first < 0xf0 ? 3 : 4;
}
