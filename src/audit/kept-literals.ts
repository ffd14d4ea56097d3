import { literalPlaces, type ShapePieces } from '../sql/recent/shape-pieces.ts';
import { SHAPED_TEXT_BYTES_MAX } from './block-format.ts';

/** The literals of a text as a block holds them: `bytes[start, end)`, with a byte of zero between two. */
export interface KeptLiterals {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

const BETWEEN = 0;

/** What is kept lies side by side, so that it costs no memory of its own; all of a piece goes with the last that is used. */
const PIECE_BYTES = 8192;
let piece = new Uint8Array(PIECE_BYTES);
let used = 0;

/**
 * Keeps the literals of `text` for its event, which is written when the statement has ended; no string is made of it.
 * `hasShape` has been asked about the text, and nothing else since.
 */
export function keepLiterals(text: Uint8Array, { literals }: ShapePieces): KeptLiterals {
  if (used + SHAPED_TEXT_BYTES_MAX > PIECE_BYTES) {
    piece = new Uint8Array(PIECE_BYTES);
    used = 0;
  }
  const start = used;
  let out = start;
  for (let i = 0; i < literals.length; i++) {
    if (i > 0) piece[out++] = BETWEEN;
    const end = literalPlaces[i * 2 + 1]!;
    for (let at = literalPlaces[i * 2]!; at < end; at++) piece[out++] = text[at]!;
  }
  used = out;
  return { bytes: piece, start, end: out };
}
