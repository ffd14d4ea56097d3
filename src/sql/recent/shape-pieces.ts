import { viewOf, wordsOf } from '../../base/words.ts';
import { literalAt, STRING } from './template.ts';

/** A shape taken apart at its literals, of which each stands behind one of the pieces but for the last. */
export interface ShapePieces {
  /** The shape itself, with a byte up to SHAPE_LITERAL_MAX in the place of each literal. */
  readonly bytes: Uint8Array;
  /** How long they are. */
  readonly pieces: readonly number[];
  readonly literals: readonly number[];
  /** The text itself, of which there is one alone where nothing in it is a literal; else null. */
  readonly text: string | null;
  /**
   * What is walked along. For each piece: its length, its bytes as words of four, which are compared as fast as one, and
   * the literal behind it. It is all in one place, because with each message it has to come into the processor's cache anew.
   */
  readonly path: Int32Array;
  /** What those who decide and record such texts keep with their shape, each its own; nothing here looks at it. */
  readonly notes: { decided: unknown; recorded: unknown };
}

/** In a path behind the last piece. */
const NO_LITERAL = -1;

export function takeApart(shapeBytes: Uint8Array): ShapePieces {
  const pieces: number[] = [];
  const literals: number[] = [];
  const path: number[] = [];
  let from = 0;
  for (let at = 0; at <= shapeBytes.length; at++) {
    if (at < shapeBytes.length && shapeBytes[at]! > STRING) continue;
    const literal = shapeBytes[at] ?? NO_LITERAL;
    pieces.push(at - from);
    path.push(at - from, ...wordsOf(shapeBytes, from, at), literal);
    if (literal !== NO_LITERAL) literals.push(literal);
    from = at + 1;
  }
  const text = literals.length === 0 ? Buffer.from(shapeBytes).latin1Slice() : null;
  return {
    bytes: shapeBytes,
    pieces,
    literals,
    text,
    path: Int32Array.from(path),
    notes: { decided: null, recorded: null },
  };
}

/**
 * Where the literals begin and end that `hasShape` has walked over last, if it has said yes: one array, reused, because this
 * runs for every statement.
 */
export const literalPlaces = new Int32Array(2048);

/**
 * Whether `readShape` would read `bytes[start..end)` as that shape, which it has read before. It is told by one walk along
 * the two: what is the same byte for byte is read the same, and a literal begins and ends by itself. False as well where
 * a literal has bytes above 127.
 */
export function hasShape({ path }: ShapePieces, bytes: Buffer, start: number, end: number): boolean {
  const view = viewOf(bytes);
  let at = start;
  let i = 0;
  for (let place = 0; ; place += 2) {
    const length = path[i++]!;
    if (at + length > end || !isPieceAt(path, i, length, view, at)) return false;
    at += length;
    i += (length + 3) >> 2;
    const literal = path[i++]!;
    if (literal === NO_LITERAL) return at === end;
    if (place === literalPlaces.length) return false;
    literalPlaces[place] = at;
    at = literalAt(literal, bytes, at, end);
    if (at < 0) return false;
    literalPlaces[place + 1] = at;
  }
}

/** By loops of their own, in which V8 looks at nothing but the bytes. */
function isPieceAt(path: Int32Array, from: number, length: number, view: DataView, at: number): boolean {
  const words = length >> 2;
  for (let i = 0; i < words; i++) if (path[from + i] !== view.getInt32(at + i * 4, true)) return false;
  const last = path[from + words]!;
  for (let i = words * 4; i < length; i++)
    if (((last >>> ((i & 3) * 8)) & 255) !== view.getUint8(at + i)) return false;
  return true;
}
