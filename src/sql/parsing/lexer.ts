/**
 * PostgreSQL's lexical rules, as far as they tell literals, comments and names apart. It never fails: what is
 * not closed reaches to the end of the text. It assumes standard_conforming_strings, as the parser does.
 */
export type TokenKind = 'word' | 'quoted-name' | 'literal' | 'number' | 'comment' | 'symbol';

export interface Token {
  readonly kind: TokenKind;
  readonly start: number;
  readonly end: number;
  /** For a literal, where its content starts and ends, without quotes and prefix. */
  readonly contentStart: number;
  readonly contentEnd: number;
  /** False where the text ends before the token does. */
  readonly closed: boolean;
}

export function* tokens(text: string): Generator<Token> {
  let at = 0;
  while (at < text.length) {
    if (isSpace(text.charCodeAt(at))) {
      at++;
      continue;
    }
    const token = tokenAt(text, at);
    yield token;
    at = token.end;
  }
}

function tokenAt(text: string, at: number): Token {
  const c = text[at]!;
  const next = text[at + 1];
  if (c === '-' && next === '-') return lineComment(text, at);
  if (c === '/' && next === '*') return blockComment(text, at);
  if (c === "'") return quoted(text, at, at, 'literal', false);
  if (c === '"') return quoted(text, at, at, 'quoted-name', false);
  if (next === "'" && /[eE]/.test(c)) return quoted(text, at, at + 1, 'literal', true);
  if (next === "'" && /[bBxXnN]/.test(c)) return quoted(text, at, at + 1, 'literal', false);
  if (/[uU]/.test(c) && next === '&') {
    if (text[at + 2] === "'") return quoted(text, at, at + 2, 'literal', false);
    if (text[at + 2] === '"') return quoted(text, at, at + 2, 'quoted-name', false);
  }
  if (c === '$') return dollar(text, at);
  if (isNameStart(text.charCodeAt(at))) return run(text, at, 'word', isNamePart);
  if (isDigit(text.charCodeAt(at))) return run(text, at, 'number', isNumberPart);
  return whole('symbol', at, at + 1);
}

function whole(kind: TokenKind, start: number, end: number, closed = true): Token {
  return { kind, start, end, contentStart: start, contentEnd: end, closed };
}

function run(text: string, start: number, kind: TokenKind, part: (c: number) => boolean): Token {
  let end = start + 1;
  while (end < text.length && part(text.charCodeAt(end))) end++;
  return whole(kind, start, end);
}

function quoted(text: string, start: number, open: number, kind: TokenKind, escapes: boolean): Token {
  const quote = text[open]!;
  let at = open + 1;
  while (at < text.length) {
    const c = text[at];
    if (c === '\\' && escapes) at += 2;
    else if (c !== quote) at++;
    else if (text[at + 1] === quote) at += 2;
    else {
      const next = kind === 'literal' ? continuation(text, at + 1) : -1;
      if (next < 0) return { kind, start, end: at + 1, contentStart: open + 1, contentEnd: at, closed: true };
      at = next;
    }
  }
  return { kind, start, end: text.length, contentStart: open + 1, contentEnd: text.length, closed: false };
}

/**
 * Where a literal that was closed just in front goes on, in its own way of quoting, or -1 where it does not: behind white
 * space and line comments with a line break among them.
 */
export function continuation(text: string, from: number): number {
  let broken = false;
  for (let at = from; at < text.length; ) {
    const c = text.charCodeAt(at);
    if (isSpace(c)) {
      broken ||= c === 10 || c === 13;
      at++;
    } else if (c === 45 && text.charCodeAt(at + 1) === 45) at = lineComment(text, at).end;
    else return c === 39 && broken ? at + 1 : -1;
  }
  return -1;
}

function dollar(text: string, start: number): Token {
  let at = start + 1;
  if (isDigit(text.charCodeAt(at))) return run(text, start, 'symbol', isDigit);
  if (isNameStart(text.charCodeAt(at))) {
    while (at < text.length && isNamePart(text.charCodeAt(at)) && text[at] !== '$') at++;
  }
  if (text[at] !== '$') return whole('symbol', start, start + 1);
  const tag = text.slice(start, at + 1);
  const close = text.indexOf(tag, at + 1);
  if (close < 0) {
    return {
      kind: 'literal',
      start,
      end: text.length,
      contentStart: at + 1,
      contentEnd: text.length,
      closed: false,
    };
  }
  return {
    kind: 'literal',
    start,
    end: close + tag.length,
    contentStart: at + 1,
    contentEnd: close,
    closed: true,
  };
}

function lineComment(text: string, start: number): Token {
  let end = start + 2;
  while (end < text.length && text[end] !== '\n' && text[end] !== '\r') end++;
  return whole('comment', start, end);
}

function blockComment(text: string, start: number): Token {
  let depth = 1;
  let at = start + 2;
  while (at < text.length) {
    if (text[at] === '*' && text[at + 1] === '/') {
      at += 2;
      if (--depth === 0) return whole('comment', start, at);
    } else if (text[at] === '/' && text[at + 1] === '*') {
      depth++;
      at += 2;
    } else at++;
  }
  return whole('comment', start, text.length, false);
}

function isSpace(c: number): boolean {
  return c === 32 || (c >= 9 && c <= 13);
}

function isDigit(c: number): boolean {
  return c >= 48 && c <= 57;
}

function isNameStart(c: number): boolean {
  return (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || c === 95 || c >= 128;
}

function isNamePart(c: number): boolean {
  return isNameStart(c) || isDigit(c) || c === 36;
}

function isNumberPart(c: number): boolean {
  return isNameStart(c) || isDigit(c) || c === 46;
}
