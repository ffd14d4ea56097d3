import { NAMES_SECRETS } from './secret-names.ts';
import { SUSPECT, secretStretches } from './secret-stretches.ts';

/** What stands for a secret in every log, event and answer. */
export const MASK = '***';

/** Statements whose every literal is masked where the text is not understood. */
const CREDENTIAL_STATEMENT = /\b(create|alter)\s+(role|user|group|subscription|server|foreign|system)\b/i;

/** A text with passwords and connection strings masked. */
export interface Redaction {
  readonly text: string;
  /** How many characters of it are masked that may be code as well. */
  readonly unseenChars: number;
}

/**
 * Null where there is nothing to mask. Where the text did not parse (`understood` false), everything after the first
 * sign of a secret goes.
 */
export function redact(text: string, understood: boolean): Redaction | null {
  if (!understood && SUSPECT.test(text)) return withoutRest(text);
  if (!understood && CREDENTIAL_STATEMENT.test(text)) return keepUpTo(text, text.search(/['$]/), '');
  return SUSPECT.test(text) || NAMES_SECRETS.test(text) ? withoutSecrets(text) : null;
}

function withoutSecrets(text: string): Redaction | null {
  const stretches = secretStretches(text);
  if (stretches.length === 0) return null;
  let out = '';
  let done = 0;
  let unseenChars = 0;
  const notStored = stretches.filter(({ isStored }) => isStored !== true).length;
  for (const { start, end, mayBeCode, isStored } of stretches) {
    out += text.slice(done, start) + (mayBeCode ? countedMask(end - start) : MASK);
    // Words that say nothing each by itself may be put together.
    if (isStored !== true && (mayBeCode || notStored > 1)) unseenChars += end - start;
    done = end;
  }
  return { text: out + text.slice(done), unseenChars };
}

function countedMask(chars: number): string {
  return `${MASK}[${chars} characters]${MASK}`;
}

function withoutRest(text: string): Redaction | null {
  const sign = text.search(SUSPECT);
  const kept = sign + firstWordLength(text.slice(sign));
  // In a statement about credentials the secret may come in front of the word.
  const literal = CREDENTIAL_STATEMENT.test(text) ? text.search(/['$]/) : -1;
  return literal >= 0 && literal < kept ? keepUpTo(text, literal, '') : keepUpTo(text, kept, ' ');
}

function firstWordLength(rest: string): number {
  return /^(?:password|passwd|passphrase|pwd|identified|secret)/i.exec(rest)?.[0].length ?? 0;
}

function keepUpTo(text: string, end: number, space: string): Redaction | null {
  if (end < 0 || end >= text.length) return null;
  const unseenChars = text.length - end;
  return { text: `${text.slice(0, end)}${space}${countedMask(unseenChars)}`, unseenChars };
}
