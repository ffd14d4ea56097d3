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

const TIME_CHARS = 10;
const ID = /^[a-z]+_([0-9a-hjkmnp-tv-z]{0,20})$/;

/** When identifiers that begin so were made, first and last, or null where none of them can begin so. */
export function timesOfIds(beginning: string): { readonly firstMs: number; readonly lastMs: number } | null {
  const time = ID.exec(beginning)?.[1]?.slice(0, TIME_CHARS);
  if (time === undefined) return null;
  return { firstMs: decoded(time.padEnd(TIME_CHARS, '0')), lastMs: decoded(time.padEnd(TIME_CHARS, 'z')) };
}

/** Whether nothing of an identifier is missing. */
export function isWholeId(text: string): boolean {
  return ID.exec(text)?.[1]?.length === 20;
}

function decoded(time: string): number {
  return [...time].reduce((ms, char) => ms * 32 + ALPHABET.indexOf(char), 0);
}
