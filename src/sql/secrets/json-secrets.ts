import { isSecretName } from './secret-names.ts';
import { looksLikeCode, type Stretch } from './stretch.ts';

const NUMBER = /[-+.\deE]+/y;

/** The values of keys named like secrets, in a text that is or has JSON: the content of strings, and numbers. */
export function jsonSecrets(text: string): readonly Stretch[] {
  const stretches: Stretch[] = [];
  let isSecret = false;
  for (let at = text.indexOf('"'); at >= 0; ) {
    const end = stringEnd(text, at);
    if (end < 0) break;
    if (isSecret) stretches.push(stretchOf(text, at + 1, end));
    const value: number = isSecret ? -1 : valueStart(text, end + 1);
    isSecret = value >= 0 && isSecretName(text.slice(at + 1, end));
    if (isSecret && text[value] !== '"') {
      NUMBER.lastIndex = value;
      const number = NUMBER.exec(text);
      if (number !== null) stretches.push(stretchOf(text, value, NUMBER.lastIndex));
      isSecret = false;
    }
    at = text.indexOf('"', end + 1);
  }
  return stretches;
}

function stretchOf(text: string, start: number, end: number): Stretch {
  return { start, end, mayBeCode: looksLikeCode(text.slice(start, end)) };
}

/** Where the string that is opened there is closed, or -1. */
function stringEnd(text: string, open: number): number {
  for (let at = open + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"') return at;
  }
  return -1;
}

/** Where a value begins, if a colon comes before it; -1 where none does. */
function valueStart(text: string, from: number): number {
  const colon = pastBlanks(text, from);
  return text[colon] === ':' ? pastBlanks(text, colon + 1) : -1;
}

function pastBlanks(text: string, from: number): number {
  let at = from;
  while (at < text.length && /\s/.test(text[at]!)) at++;
  return at;
}
