/**
 * Characters that nobody sees, or that change the order in which others are shown, could make a statement look like
 * another one to whoever approves it. They are shown by their numbers.
 */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Z}\p{Default_Ignorable_Code_Point}]/u;

/** Of those, what a text may well have. */
const USUAL: ReadonlySet<string> = new Set([' ', '\t', '\n']);

/** Most texts. */
const PLAIN = /^[\t\n\x20-\x7e]*$/;

export interface VisiblePart {
  readonly text: string;
  /** It stands for a character that is not shown. */
  readonly isMark: boolean;
}

export function visibleParts(text: string): VisiblePart[] {
  if (PLAIN.test(text)) return [{ text, isMark: false }];
  const parts: VisiblePart[] = [];
  let plain = '';
  for (const char of text.replaceAll('\r\n', '\n')) {
    if (USUAL.has(char) || !UNSEEN.test(char)) {
      plain += char;
      continue;
    }
    if (plain !== '') parts.push({ text: plain, isMark: false });
    plain = '';
    const number = char.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0');
    parts.push({ text: `U+${number}`, isMark: true });
  }
  if (plain !== '' || parts.length === 0) parts.push({ text: plain, isMark: false });
  return parts;
}
