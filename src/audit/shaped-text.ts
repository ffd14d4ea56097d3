import type { ShapePieces } from '../sql/recent/shape-pieces.ts';
import { STRING } from '../sql/recent/template.ts';
import { SHAPE_LITERAL_MAX, SHAPED_TEXT_BYTES_MAX } from './block-format.ts';

/**
 * A text as a block holds it where it has only literals of its own: a reference to the shape, and the literals, with a
 * byte of zero between two of them, which none has in it.
 */
const BETWEEN = 0;

const POINT = 46;
const ZERO = 48;
const NINE = 57;
const QUOTE = 39;

/** Whether such a text is worth it, and short enough that whoever reads it puts no more together than it should. */
export function isShaped(text: string, shape: ShapePieces): boolean {
  return shape.literals.length > 0 && text.length <= SHAPED_TEXT_BYTES_MAX;
}

/**
 * Writes the literals of a text that was proven to have that shape, and to have no bytes above 127, and returns where
 * they end. They begin where the pieces of the shape end, so that nothing else of the text is looked at; -1 where the
 * text does not end as it should then.
 */
export function writeLiterals(into: Uint8Array, at: number, text: string, shape: ShapePieces): number {
  const { pieces, literals } = shape;
  const { length } = text;
  let out = at;
  let from = 0;
  for (let i = 0; i < literals.length; i++) {
    if (i > 0) into[out++] = BETWEEN;
    from += pieces[i]!;
    if (literals[i] === STRING) {
      const end = stringEnd(text, from);
      while (from < end) into[out++] = text.charCodeAt(from++);
    } else {
      for (; from < length; from++) {
        const c = text.charCodeAt(from);
        if (c > NINE || (c < ZERO && c !== POINT)) break;
        into[out++] = c;
      }
    }
  }
  return from + pieces[literals.length]! === length ? out : -1;
}

/** A quote within is written twice. */
function stringEnd(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text.charCodeAt(at) !== QUOTE) continue;
    if (at + 1 === text.length || text.charCodeAt(at + 1) !== QUOTE) return at + 1;
    at++;
  }
  return text.length;
}

/** The text of that shape with those literals; null where the two do not fit. */
export function shapedText(shape: Uint8Array, literals: Uint8Array): Buffer | null {
  if (shape.length > SHAPED_TEXT_BYTES_MAX) return null;
  const parts: Uint8Array[] = [];
  let from = 0;
  let literal = 0;
  for (let at = 0; at < shape.length; at++) {
    const c = shape[at]!;
    if (c === 0 || c > SHAPE_LITERAL_MAX) continue;
    if (literal > literals.length) return null;
    const between = literals.indexOf(BETWEEN, literal);
    const end = between < 0 ? literals.length : between;
    parts.push(shape.subarray(from, at), literals.subarray(literal, end));
    literal = end + 1;
    from = at + 1;
  }
  if (literal !== literals.length + 1) return null;
  parts.push(shape.subarray(from));
  return Buffer.concat(parts);
}
