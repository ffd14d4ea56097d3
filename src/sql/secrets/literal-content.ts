import { continuation, type Token } from '../parsing/lexer.ts';

/** What a literal stands for, and which place of the text each of its characters comes from. */
export interface LiteralContent {
  readonly text: string;
  /** Of the character of an index; of the index behind the last, where the content ends. */
  readonly placeOf: (index: number) => number;
}

type Quoting = 'plain' | 'escapes' | 'unicode';

/** UESCAPE is not regarded: with another sign than the backslash the content is read as it is written. */
export function literalContent(text: string, token: Token): LiteralContent {
  const { contentStart: start, contentEnd: end } = token;
  const raw = text.slice(start, end);
  const quoting = quotingOf(text, token);
  if (quoting === null || !(quoting === 'plain' ? /'/ : /['\\]/).test(raw))
    return { text: raw, placeOf: (index) => start + index };
  let out = '';
  const places: number[] = [];
  for (let at = start; at < end; ) {
    const [character, next] = characterAt(text, at, quoting);
    for (let i = 0; i < character.length; i++) places.push(at);
    out += character;
    at = next;
  }
  return { text: out, placeOf: (index) => places[index] ?? end };
}

/** Null between dollar signs, where everything is what it is. */
function quotingOf(text: string, { start }: Token): Quoting | null {
  const c = text[start]!;
  if (c === '$') return null;
  if (c === 'e' || c === 'E') return 'escapes';
  return c === 'u' || c === 'U' ? 'unicode' : 'plain';
}

/** The character that stands at a place, or nothing where the literal is only continued there, and the next place. */
function characterAt(text: string, at: number, quoting: Quoting): readonly [string, number] {
  const c = text[at]!;
  if (c === "'") {
    if (text[at + 1] === "'") return ["'", at + 2];
    const next = continuation(text, at + 1);
    return ['', next < 0 ? at + 1 : next];
  }
  if (c !== '\\' || quoting === 'plain') return [c, at + 1];
  return quoting === 'escapes' ? escaped(text, at) : unicode(text, at);
}

const CODE_POINT_MAX = 0x10ffff;
const ESCAPE = /\\(?:x([0-9a-f]{1,2})|u([0-9a-f]{4})|U([0-9a-f]{8})|([0-7]{1,3}))/iy;
const UNICODE = /\\(?:\+([0-9a-f]{6})|([0-9a-f]{4}))/iy;
const NAMED: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

function escaped(text: string, at: number): readonly [string, number] {
  ESCAPE.lastIndex = at;
  const match = ESCAPE.exec(text);
  if (match === null) {
    const c = text[at + 1] ?? '';
    return [NAMED[c] ?? c, at + 2];
  }
  const [whole, hex, short, long, octal] = match;
  const code = octal === undefined ? Number.parseInt(hex ?? short ?? long!, 16) : Number.parseInt(octal, 8);
  return [ofCode(code), at + whole.length];
}

function unicode(text: string, at: number): readonly [string, number] {
  if (text[at + 1] === '\\') return ['\\', at + 2];
  UNICODE.lastIndex = at;
  const match = UNICODE.exec(text);
  if (match === null) return ['\\', at + 1];
  return [ofCode(Number.parseInt(match[1] ?? match[2]!, 16)), at + match[0].length];
}

function ofCode(code: number): string {
  return code <= CODE_POINT_MAX ? String.fromCodePoint(code) : '\ufffd';
}
