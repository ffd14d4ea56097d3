import type { TextFacts } from '../sql/effects.ts';
import type { SessionState } from './state.ts';

/**
 * In which encodings of the client rows are captured. Values come in it, as they do for the client, and undo gives them
 * back in it, so that it has to keep every text as it is; and our own queries are sent in it.
 */

export const NOT_UTF8 = 'the client does not write UTF-8 (client_encoding)';
export const NOT_ASCII = 'it is not ASCII, and the client does not write UTF-8 (client_encoding)';

/** One byte a character, each that of one character of Unicode. */
const SINGLE_BYTES = /^(?:LATIN(?:[1-9]|10)|ISO_8859_[5-8]|WIN(?:125[0-8]|866|874)|KOI8[RU])$/;

/** Why values in the client's encoding may not be what they were, or null. */
export function problemOfEncoding(state: SessionState): string | null {
  if (state.textFacts.encoding === 'utf8') return null;
  if (state.settings.isUncertain) return NOT_UTF8;
  const client = state.parameters.get('client_encoding') ?? '';
  const server = state.parameters.get('server_encoding') ?? '';
  // Nothing is converted.
  if (client === 'SQL_ASCII' || server === 'SQL_ASCII' || client === server) return null;
  return server === 'UTF8' && SINGLE_BYTES.test(client) ? null : NOT_UTF8;
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
