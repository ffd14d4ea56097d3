/**
 * Reads a text into its shape: plain integers, plain decimals and plain string literals become one byte each,
 * everything else stays as it is. It understands only what is surely simple and gives up on the rest, because
 * two texts of one shape share one analysis.
 */

/** What stands for a literal; these bytes are refused in texts, so a shape is never mistaken for a text. */
const INTEGER = 1;
const BIG_INTEGER = 2;
const DECIMAL = 3;
export const STRING = 4;

/** What a canonical text has in each one's place. */
const CANONICAL: Readonly<Record<number, string>> = {
  [INTEGER]: '7',
  [BIG_INTEGER]: '700000000000',
  [DECIMAL]: '7.5',
  [STRING]: "'x'",
};

/** Literals with such a content are read in full, because they may hold a secret. */
const SUSPECT =
  /passw|passphrase|pwd|secret|:\/\/|token|(?:api|private|access|encryption)[_-]?key|credential/i;

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

/** Bytes that go on a word once it has begun. */
const IN_WORD = new Uint8Array(256);
for (let c = 0; c < 256; c++)
  if (CLASS[c] === WORD || CLASS[c] === DIGIT || CLASS[c] === DOLLAR) IN_WORD[c] = 1;

/** Classes after which a literal does not stand alone. */
const TOUCHES = new Uint8Array(11);
for (const kind of [WORD, DIGIT, QUOTE, DOUBLE_QUOTE, DOLLAR, DOT]) TOUCHES[kind] = 1;

/** What reading a shape gives. */
export interface ShapeFacts {
  /** False where the text has no shape that is surely known. */
  known: boolean;
  /** Bytes of the shape in the scratch; 0 where no literal was replaced and the shape is the text itself. */
  length: number;
  /** Whether the text has bytes above 127. */
  highBytes: boolean;
}

/** The facts of the last shape read: one object, reused, because this runs for every statement. */
export const shape: ShapeFacts = { known: false, length: 0, highBytes: false };

/** Reads the shape of `bytes[start..end)`: its facts into `shape`, its bytes, if they differ, into `scratch`. */
export function readShape(bytes: Buffer, start: number, end: number, scratch: Buffer): void {
  shape.known = false;
  shape.length = 0;
  let high = 0;
  let at = start;
  // How far the text was copied, and how much the scratch holds: copying waits for the first literal.
  let copied = start;
  let out = 0;
  // The class of the byte before: a literal is plain only if it stands alone.
  let before = PLAIN;
  while (at < end) {
    const c = bytes[at]!;
    const kind = CLASS[c]!;
    if (kind === PLAIN || kind === DOT) at++;
    else if (kind === WORD) {
      if (before === DIGIT) return;
      do high |= bytes[at++]!;
      while (at < end && IN_WORD[bytes[at]!] === 1);
    } else if (kind === DIGIT || kind === QUOTE) {
      // Before a quote a letter is a prefix (E, B, X, N) or a type, and an ampersand may end U&.
      if (TOUCHES[before] === 1 || (kind === QUOTE && at > start && bytes[at - 1] === 38)) return;
      const close = kind === DIGIT ? numberEnd(bytes, at, end) : literalEnd(bytes, at, end);
      if (close < 0) return;
      const placeholder = kind === QUOTE ? STRING : numberPlaceholder(bytes, at, close);
      if (kind === QUOTE) high |= literalHigh;
      if (placeholder !== 0) {
        while (copied < at) scratch[out++] = bytes[copied++]!;
        scratch[out++] = placeholder;
        copied = close;
      }
      at = close;
    } else {
      const close = specialEnd(bytes, at, end, kind, before);
      if (close < 0) return;
      if (kind === DOUBLE_QUOTE) high |= literalHigh;
      at = close;
    }
    before = kind;
  }
  if (out > 0) {
    while (copied < end) scratch[out++] = bytes[copied++]!;
    shape.length = out;
  }
  shape.highBytes = high >= 128;
  shape.known = true;
}

/** Where the literal of that kind ends that stands there, or -1 where none does. */
export function literalAt(wanted: number, bytes: Buffer, at: number, end: number): number {
  if (at >= end) return -1;
  const kind = CLASS[bytes[at]!];
  if (wanted === STRING) {
    if (kind !== QUOTE) return -1;
    const close = literalEnd(bytes, at, end);
    return literalHigh >= 128 ? -1 : close;
  }
  if (kind !== DIGIT) return -1;
  const close = numberEnd(bytes, at, end);
  return close >= 0 && numberPlaceholder(bytes, at, close) === wanted ? close : -1;
}

/** Where what begins with a special byte ends, or -1 where it is more than this reader understands. */
function specialEnd(bytes: Buffer, at: number, end: number, kind: number, before: number): number {
  switch (kind) {
    case DOUBLE_QUOTE:
      return quotedNameEnd(bytes, at, end);
    case DOLLAR:
      return before === WORD || before === DIGIT ? -1 : parameterEnd(bytes, at, end);
    case DASH:
      return at + 1 < end && bytes[at + 1] === 45 ? -1 : at + 1;
    case SLASH:
      return at + 1 < end && bytes[at + 1] === 42 ? -1 : at + 1;
    case SEMICOLON:
      return isLastSemicolon(bytes, at, end) ? end : -1;
    default:
      return -1;
  }
}

function quotedNameEnd(bytes: Buffer, start: number, end: number): number {
  literalHigh = 0;
  for (let at = start + 1; at < end; at++) {
    const c = bytes[at]!;
    if (c === 34) return at + 1;
    if (c < 32 || c === 127) return -1;
    literalHigh |= c;
  }
  return -1;
}

/** $1 is a parameter; anything else that begins with a dollar may begin a dollar quote. */
function parameterEnd(bytes: Buffer, start: number, end: number): number {
  let at = start + 1;
  while (at < end && CLASS[bytes[at]!] === DIGIT) at++;
  if (at === start + 1) return -1;
  return at < end && (IN_WORD[bytes[at]!] === 1 || bytes[at] === 46) ? -1 : at;
}

/** A text of several statements is decided by itself. */
function isLastSemicolon(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start + 1; at < end; at++) {
    const c = bytes[at]!;
    if (c !== 32 && !(c >= 9 && c <= 13)) return false;
  }
  return true;
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
    // What a secret in a literal cannot do without: password=…, user:…@host, a nested quote of some kind, a key of JSON.
    if (c === 61 || c === 64 || c === 36 || c === 34) suspect = true;
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
