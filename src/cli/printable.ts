/**
 * A text that came from elsewhere, fit for a terminal: what would move the cursor, change colours, ring, reverse the
 * reading direction or not be seen at all is shown as an escape instead, as the console shows it by its number.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Default_Ignorable_Code_Point}]|(?! )\p{Z}/gu, escaped);
}

/**
 * The same on one line, of at most so many characters. A line's end is shown as one, because what stands behind `--` before
 * it and after it is not the same.
 */
export function oneLine(text: string, charsMax: number): string {
  const line = printable(
    text
      .trim()
      .replace(/[ \t]*[\r\n][\s]*/g, ' ⏎ ')
      .replace(/[ \t\v\f]+/g, ' '),
  );
  const characters = [...line];
  return characters.length <= charsMax ? line : `${characters.slice(0, charsMax - 1).join('')}…`;
}

function escaped(char: string): string {
  if (char === '\n') return '\\n';
  if (char === '\r') return '\\r';
  if (char === '\t') return '\\t';
  const code = char.codePointAt(0) ?? 0;
  if (code > 0xffff) return `\\u{${hex(code, 5)}}`;
  return code < 0x100 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0');
}
