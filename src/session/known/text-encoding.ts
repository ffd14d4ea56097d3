import type { TextFacts } from '../../sql/effects.ts';
import type { SessionState } from '../state.ts';

/**
 * In which encodings of the client rows are captured. Values come in it, as they do for the client, and undo gives them
 * back in it, so that it has to keep every text as it is; and our own queries are sent in it.
 */

export const NOT_UTF8 = 'the client does not write UTF-8 (client_encoding)';
export const INEXACT =
  'not every text comes back the same from the encoding of the client (client_encoding), nor is it UTF-8';
export const NOT_ASCII = 'it is not ASCII, and the client does not write UTF-8 (client_encoding)';

/** One byte a character, each that of one character of Unicode. */
const SINGLE_BYTES = /^(?:LATIN(?:[1-9]|10)|ISO_8859_[5-8]|WIN(?:125[0-8]|866|874)|KOI8[RU])$/;

/**
 * Of several bytes a character, into which a character of Unicode is converted to come back as itself or not at all.
 * That is so of no other: of EUC_JP for all but one, of SJIS for all but eight.
 */
const SEVERAL_BYTES: ReadonlySet<string> = new Set(['EUC_CN', 'EUC_KR', 'BIG5', 'UHC', 'GB18030']);

/** Why values in the client's encoding may not be what they were, or null. */
export function problemOfEncoding(state: SessionState): string | null {
  if (state.textFacts.encoding === 'utf8') return null;
  if (state.settings.isUncertain) return NOT_UTF8;
  const client = state.parameters.get('client_encoding') ?? '';
  const server = state.parameters.get('server_encoding') ?? '';
  // Nothing is converted.
  if (client === 'SQL_ASCII' || server === 'SQL_ASCII' || client === server) return null;
  const keeps = server === 'UTF8' && (SINGLE_BYTES.test(client) || SEVERAL_BYTES.has(client));
  return keeps ? null : INEXACT;
}

/** Why names and definitions cannot be kept, which have to be in UTF-8, or null. */
export function problemOfNames(state: SessionState): string | null {
  const readable = state.textFacts.encoding === 'utf8' || state.parameters.get('server_encoding') === 'UTF8';
  return readable ? null : NOT_UTF8;
}

/** The client's own text in UTF-8; null where its bytes are not understood. */
export function utf8Of(state: SessionState, text: Buffer): Buffer | null {
  switch (state.textFacts.encoding) {
    case 'utf8':
      return text;
    case 'latin1':
      return isAscii(text) ? text : Buffer.from(text.latin1Slice(), 'utf8');
    case 'ascii-only':
      return isAscii(text) ? text : null;
    default:
      return state.textFacts.encoding satisfies never;
  }
}

/** Whether a text that was prepared is the same in the encoding that our own queries are sent in now. */
export function isReadAlike(state: SessionState, { encoding }: TextFacts, utf8: Buffer): boolean {
  return isAscii(utf8) || (encoding === 'utf8' && state.textFacts.encoding === 'utf8');
}

function isAscii(text: Buffer): boolean {
  for (const byte of text) if (byte > 0x7f) return false;
  return true;
}
