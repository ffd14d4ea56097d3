/**
 * Reads a text into its shape: plain integers, plain decimals and plain string literals become one byte each,
 * everything else stays as it is. It understands only what is surely simple and gives up on the rest, because
 * two texts of one shape share one analysis.
 */

/** What stands for a literal; these bytes are refused in texts, so a shape is never mistaken for a text. */
const INTEGER = 1;
const BIG_INTEGER = 2;
const DECIMAL = 3;
const STRING = 4;

/** What a canonical text has in each one's place. */
const CANONICAL: Readonly<Record<number, string>> = {
  [INTEGER]: '7',
  [BIG_INTEGER]: '700000000000',
  [DECIMAL]: '7.5',
  [STRING]: "'x'",
};

/** Literals with such a content are read in full, because they may hold a secret. */
const SUSPECT = /passw|pwd|secret|:\/\//i;

// Classes of bytes, so that the scan decides with one look-up.
const PLAIN = 0;
const WORD = 1;
const DIGIT = 2;
const QUOTE = 3;
const DOUBLE_QUOTE = 4;
const DOLLAR = 5;
const REFUSED = 6;
const DASH = 7;
const SLASH = 8;
const SEMICOLON = 9;
const DOT = 10;

const CLASS = new Uint8Array(256);
for (let c = 0; c < 256; c++) {
  const letter = (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || c === 95 || c >= 128;
  if (letter) CLASS[c] = WORD;
  else if (c >= 48 && c <= 57) CLASS[c] = DIGIT;
  else if ((c < 32 && !(c >= 9 && c <= 13)) || c === 127 || c === 92) CLASS[c] = REFUSED;
}
CLASS[39] = QUOTE;
CLASS[34] = DOUBLE_QUOTE;
CLASS[36] = DOLLAR;
CLASS[45] = DASH;
CLASS[47] = SLASH;
CLASS[59] = SEMICOLON;
CLASS[46] = DOT;

/** What reading a shape gives besides the bytes written. */
export interface ShapeFacts {
  /** Bytes written into the scratch, or -1 where the text has no shape that is surely known. */
  length: number;
  /** Whether a literal was replaced; the shape is otherwise the text itself. */
  replaced: boolean;
  /** Whether the text has bytes above 127. */
  highBytes: boolean;
}

/** The facts of the last shape read: one object, reused, because this runs for every statement. */
export const shape: ShapeFacts = { length: -1, replaced: false, highBytes: false };

/** Writes the shape of `bytes[start..end)` into `scratch` from `offset` on, and its facts into `shape`. */
export function readShape(bytes: Buffer, start: number, end: number, scratch: Buffer, offset: number): void {
  shape.length = -1;
  shape.replaced = false;
  let high = 0;
  let at = start;
  let out = offset;
  // The class of the byte before, where it touches: a literal is plain only if it stands alone.
  let before = PLAIN;
  while (at < end) {
    const c = bytes[at]!;
    const kind = CLASS[c]!;
    switch (kind) {
      case WORD: {
        if (before === DIGIT) return;
        high |= c;
        scratch[out++] = c;
        at++;
        while (at < end) {
          const part = bytes[at]!;
          const partKind = CLASS[part]!;
          if (partKind !== WORD && partKind !== DIGIT && partKind !== DOLLAR) break;
          high |= part;
          scratch[out++] = part;
          at++;
        }
        break;
      }
      case DIGIT: {
        if (before === DOT || before === WORD || before === QUOTE || before === DOUBLE_QUOTE) return;
        const close = numberEnd(bytes, at, end);
        const placeholder = close < 0 ? 0 : numberPlaceholder(bytes, at, close);
        if (close < 0) return;
        if (placeholder === 0) {
          while (at < close) scratch[out++] = bytes[at++]!;
        } else {
          scratch[out++] = placeholder;
          shape.replaced = true;
          at = close;
        }
        break;
      }
      case QUOTE: {
        // A letter before it is a prefix (E, B, X, N) or a type; U& ends in an ampersand.
        if (before === WORD || before === DIGIT || before === DOLLAR || bytes[at - 1] === 38) return;
        const close = literalEnd(bytes, at, end);
        if (close < 0) return;
        high |= literalHigh;
        scratch[out++] = STRING;
        shape.replaced = true;
        at = close;
        break;
      }
      case DOUBLE_QUOTE: {
        scratch[out++] = c;
        at++;
        while (at < end && bytes[at] !== 34) {
          const part = bytes[at]!;
          if (part < 32 || part === 127) return;
          high |= part;
          scratch[out++] = part;
          at++;
        }
        if (at >= end) return;
        scratch[out++] = 34;
        at++;
        break;
      }
      case DOLLAR: {
        // $1 is a parameter; anything else may begin a dollar quote.
        if (before === WORD || before === DIGIT || at + 1 >= end || CLASS[bytes[at + 1]!] !== DIGIT) return;
        scratch[out++] = c;
        at++;
        while (at < end && CLASS[bytes[at]!] === DIGIT) scratch[out++] = bytes[at++]!;
        if (at < end && (CLASS[bytes[at]!] === WORD || CLASS[bytes[at]!] === DOLLAR || bytes[at] === 46))
          return;
        break;
      }
      case REFUSED:
        return;
      case DASH:
      case SLASH:
        // A comment may begin here: -- or /*.
        if (at + 1 < end && bytes[at + 1] === (kind === DASH ? 45 : 42)) return;
        scratch[out++] = c;
        at++;
        break;
      case SEMICOLON:
        // Only the last: a text of several statements is decided by itself.
        for (let rest = at + 1; rest < end; rest++) {
          const space = bytes[rest]!;
          if (space !== 32 && !(space >= 9 && space <= 13)) return;
        }
        scratch[out++] = c;
        at++;
        break;
      default:
        scratch[out++] = c;
        at++;
    }
    before = kind;
  }
  shape.highBytes = high >= 128;
  shape.length = out - offset;
}

/** Where a number ends, or -1 where it is more than digits with at most one point among them. */
function numberEnd(bytes: Buffer, start: number, end: number): number {
  let at = start + 1;
  while (at < end && CLASS[bytes[at]!] === DIGIT) at++;
  if (at < end && bytes[at] === 46) {
    at++;
    if (at >= end || CLASS[bytes[at]!] !== DIGIT) return -1;
    while (at < end && CLASS[bytes[at]!] === DIGIT) at++;
  }
  if (at >= end) return at;
  const kind = CLASS[bytes[at]!]!;
  return kind === WORD || kind === DOT || kind === DOLLAR || kind === QUOTE || kind === DOUBLE_QUOTE
    ? -1
    : at;
}

/** PostgreSQL reads a number as an integer up to 2^31 - 1; between the two it stays as it is written. */
function numberPlaceholder(bytes: Buffer, start: number, end: number): number {
  const length = end - start;
  if (length <= 9) {
    for (let at = start; at < end; at++) if (bytes[at] === 46) return DECIMAL;
    return INTEGER;
  }
  if (length > 40) return 0;
  for (let at = start; at < end; at++) if (bytes[at] === 46) return DECIMAL;
  const first = bytes[start]!;
  if (length === 10) return first === 49 ? INTEGER : first >= 51 ? BIG_INTEGER : 0;
  return first === 48 ? 0 : BIG_INTEGER;
}

let literalHigh = 0;

/** Where a string literal ends, or -1 where it is not closed, has a backslash, or may hold a secret. */
function literalEnd(bytes: Buffer, start: number, end: number): number {
  let at = start + 1;
  let suspect = false;
  literalHigh = 0;
  while (at < end) {
    const c = bytes[at]!;
    if (c === 39) {
      if (at + 1 >= end || bytes[at + 1] !== 39) {
        return suspect && SUSPECT.test(bytes.latin1Slice(start, at)) ? -1 : at + 1;
      }
      suspect = true;
      at += 2;
      continue;
    }
    if (c === 0 || c === 92) return -1;
    // What a secret in a literal cannot do without: password=…, user:…@host, a nested quote of some kind.
    if (c === 61 || c === 64 || c === 36) suspect = true;
    literalHigh |= c;
    at++;
  }
  return -1;
}

/** A text of the shape, with the same literal in every place of a kind. */
export function canonicalText(shapeBytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  let from = 0;
  for (let at = 0; at < shapeBytes.length; at++) {
    const literal = CANONICAL[shapeBytes[at]!];
    if (literal === undefined) continue;
    parts.push(shapeBytes.subarray(from, at), Buffer.from(literal, 'latin1'));
    from = at + 1;
  }
  parts.push(shapeBytes.subarray(from));
  return Buffer.concat(parts);
}

/** The grammar itself looks at the number in float(n): such a shape is no shape. */
const VALUE_IN_GRAMMAR = /\bfloat\s*\(/i;

export function mayShare(shapeBytes: Buffer): boolean {
  return !VALUE_IN_GRAMMAR.test(shapeBytes.latin1Slice());
}
