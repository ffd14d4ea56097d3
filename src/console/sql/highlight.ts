import { KEYWORDS } from './keywords.ts';

/** What a piece of SQL is, as far as colour goes. It is for reading only: nothing is decided by it. */
export type TokenKind = 'plain' | 'keyword' | 'string' | 'name' | 'number' | 'comment' | 'parameter';

export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
}

/** In the order in which they are tried; each matches only where the one before has ended. */
const PATTERNS: readonly (readonly [TokenKind, RegExp])[] = [
  ['comment', /--[^\n\r]*/y],
  ['string', /[eE]'(?:[^'\\]|''|\\.)*'?/sy],
  ['string', /(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*'?/y],
  ['name', /(?:[uU]&)?"(?:[^"]|"")*"?/y],
  ['parameter', /\$\d+/y],
  ['number', /(?:0[xXoObB][\da-fA-F_]+|\d[\d_]*(?:\.[\d_]*)?(?:[eE][+-]?\d+)?|\.\d[\d_]*(?:[eE][+-]?\d+)?)/y],
  ['plain', /\s+/y],
];

const WORD = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;
const DOLLAR = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;

/** Neighbours of one kind are one token. */
export function highlight(sql: string): Token[] {
  const tokens: { kind: TokenKind; text: string }[] = [];
  let at = 0;
  while (at < sql.length) {
    const { kind, length } = next(sql, at);
    const text = sql.slice(at, at + length);
    const last = tokens.at(-1);
    if (last?.kind === kind) last.text += text;
    else tokens.push({ kind, text });
    at += length;
  }
  return tokens;
}

function next(sql: string, at: number): { readonly kind: TokenKind; readonly length: number } {
  if (sql.startsWith('/*', at)) return { kind: 'comment', length: blockComment(sql, at) };
  const dollar = match(DOLLAR, sql, at);
  if (dollar !== null) {
    const end = sql.indexOf(dollar, at + dollar.length);
    return { kind: 'string', length: (end < 0 ? sql.length : end + dollar.length) - at };
  }
  for (const [kind, pattern] of PATTERNS) {
    const text = match(pattern, sql, at);
    if (text !== null) return { kind, length: text.length };
  }
  const word = match(WORD, sql, at);
  if (word === null) return { kind: 'plain', length: 1 };
  return { kind: KEYWORDS.has(word.toLowerCase()) ? 'keyword' : 'plain', length: word.length };
}

/** PostgreSQL's nest. */
function blockComment(sql: string, start: number): number {
  let depth = 1;
  let at = start + 2;
  while (at < sql.length && depth > 0) {
    const two = sql.slice(at, at + 2);
    if (two === '/*') depth += 1;
    if (two === '*/') depth -= 1;
    at += two === '/*' || two === '*/' ? 2 : 1;
  }
  return at - start;
}

function match(pattern: RegExp, sql: string, at: number): string | null {
  pattern.lastIndex = at;
  return pattern.exec(sql)?.[0] || null;
}
