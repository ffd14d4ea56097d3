import { tokens } from '../parsing/lexer.ts';

/** A token that is no comment, with how deep in parentheses, brackets and CASE it stands. */
export interface SliceToken {
  /** The lower-case word, or the text itself where the token is no word. */
  readonly text: string;
  readonly word: boolean;
  readonly start: number;
  readonly end: number;
  readonly depth: number;
}

/**
 * A text cut by the bytes that the parser's locations count. Read as latin1 each byte is one character, which
 * the lexer takes for part of a name where it is above 127, so that its positions are bytes as well.
 */
export class SliceText {
  readonly #utf8: Buffer;
  readonly tokens: readonly SliceToken[];
  readonly end: number;

  private constructor(utf8: Buffer, tokens: readonly SliceToken[], end: number) {
    this.#utf8 = utf8;
    this.tokens = tokens;
    this.end = end;
  }

  static of(utf8: Buffer, start: number, end: number): SliceText {
    return new SliceText(utf8, withDepth(utf8.subarray(start, end).latin1Slice(), start), end);
  }

  /** The same text as far as a token, which is left out. */
  until(index: number): SliceText {
    return new SliceText(this.#utf8, this.tokens.slice(0, index), this.startOf(index));
  }

  /** The text between two positions, without the space around it. */
  cut(start: number, end: number): string {
    return this.#utf8.subarray(start, end).utf8Slice().trim();
  }

  /** The index of the first token at a position or after it. */
  at(position: number): number {
    const index = this.tokens.findIndex((token) => token.start >= position);
    return index < 0 ? this.tokens.length : index;
  }

  /** The first of the words from the index on, at a depth; its index, or -1. */
  find(words: readonly string[], from: number, depth: number, before = this.tokens.length): number {
    for (let i = from; i < before; i++) if (this.#is(i, words, depth)) return i;
    return -1;
  }

  findLast(words: readonly string[], from: number, depth: number, before: number): number {
    for (let i = before - 1; i >= from; i--) if (this.#is(i, words, depth)) return i;
    return -1;
  }

  /** The first opening parenthesis behind a word, both at a depth; its index, or -1. */
  openingBehind(word: string, from: number, depth: number): number {
    const behind = this.find([word], from, depth);
    return behind < 0
      ? -1
      : this.tokens.findIndex((token, i) => i > behind && token.text === '(' && token.depth === depth);
  }

  /** The index of the token that closes what another opens, or -1. */
  closingOf(open: number): number {
    const { depth } = this.tokens[open]!;
    return this.tokens.findIndex((token, i) => i > open && token.depth === depth);
  }

  /** Where the token of the index starts, or the text ends. */
  startOf(index: number): number {
    return index < 0 ? this.end : (this.tokens[index]?.start ?? this.end);
  }

  /** What stands between two tokens, both left out; an index of -1 means the end of the text. */
  between(after: number, before: number): string {
    return this.cut(this.tokens[after]!.end, this.startOf(before));
  }

  #is(index: number, words: readonly string[], depth: number): boolean {
    const token = this.tokens[index]!;
    return token.word && token.depth === depth && words.includes(token.text);
  }
}

const OPENING = new Set(['(', '[']);
const CLOSING = new Set([')', ']']);

function withDepth(text: string, offset: number): SliceToken[] {
  const out: SliceToken[] = [];
  let depth = 0;
  for (const token of tokens(text)) {
    if (token.kind === 'comment') continue;
    const raw = text.slice(token.start, token.end);
    // After a dot or AS a word is a name, whatever it says.
    const before = out.at(-1);
    const named = before !== undefined && (before.text === '.' || (before.word && before.text === 'as'));
    const word = token.kind === 'word' && !(named && !STATEMENT_WORDS.has(raw.toLowerCase()));
    const said = word ? raw.toLowerCase() : raw;
    if (CLOSING.has(said) || (word && said === 'end' && !named)) depth--;
    out.push({ text: said, word, start: offset + token.start, end: offset + token.end, depth });
    if (OPENING.has(said) || (word && said === 'case' && !named)) depth++;
  }
  return out;
}

/** What may follow AS without being a name: the statement of PREPARE. */
const STATEMENT_WORDS = new Set(['with', 'update', 'delete', 'insert', 'merge']);
