import type { Parser } from '../parsing/parser.ts';
import { inexact, type RowsSlice, type WriteSlice } from './slice.ts';
import type { ParseSlice } from './slice-check.ts';
import { sliceWrite } from './write-slice.ts';

export const TOO_LONG = 'its text is too long';

/** A slice as it goes from thread to thread, which can take no definition of a view apart any more. */
export type SentSlice = Exclude<WriteSlice, RowsSlice> | Omit<RowsSlice, 'sliceView'>;

export function parsing(parser: Parser): ParseSlice {
  return (text) => {
    const outcome = parser.ready ? parser.parse(Buffer.from(text)) : null;
    return outcome?.kind === 'tree' ? outcome.tree : null;
  };
}

/** Of a text that is one statement. */
export function sliceOne(utf8: Buffer, parser: Parser): WriteSlice {
  const parse = parsing(parser);
  const [raw, ...others] = parse(utf8.toString('utf8'))?.stmts ?? [];
  if (others.length > 0) return inexact('it is one of several statements in one text');
  return raw === undefined ? inexact('its text is not understood') : sliceWrite(utf8, raw, parse);
}

export function toSend(slice: WriteSlice): SentSlice {
  if (slice.kind !== 'rows') return slice;
  const { sliceView: _, ...sent } = slice;
  return sent;
}

export function received(slice: SentSlice): WriteSlice {
  return slice.kind === 'rows' ? { ...slice, sliceView: () => inexact(TOO_LONG) } : slice;
}
