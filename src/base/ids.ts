import { randomBytes } from 'node:crypto';

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

/**
 * A new identifier: the prefix, ten characters of time and ten of chance, in Crockford's base 32, so that
 * identifiers sort by the time they were made and can be read aloud.
 */
export function newId(prefix: string, timeMs: number = Date.now()): string {
  let time = '';
  let rest = timeMs;
  for (let i = 0; i < 10; i++) {
    time = ALPHABET[rest % 32]! + time;
    rest = Math.floor(rest / 32);
  }
  let chance = '';
  for (const byte of randomBytes(10)) chance += ALPHABET[byte & 31]!;
  return `${prefix}_${time}${chance}`;
}

/** When an identifier was made, or null where it is none. */
export function timeOfId(id: string): number | null {
  const [, time] = /^[a-z]+_([0-9a-z]{10})[0-9a-z]{10}$/.exec(id) ?? [];
  if (time === undefined) return null;
  let timeMs = 0;
  for (const letter of time) {
    const digit = ALPHABET.indexOf(letter);
    if (digit < 0) return null;
    timeMs = timeMs * 32 + digit;
  }
  return timeMs;
}
