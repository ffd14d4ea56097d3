import { viewOf } from '../../base/words.ts';
import type { Analysis } from '../effects.ts';
import { hasShape, type ShapePieces, takeApart } from './shape-pieces.ts';

/** What all texts of one shape say. */
export interface RecentShape {
  readonly shape: ShapePieces;
  readonly shelf: number;
  readonly analysis: Analysis;
}

/** Longer texts are walked along too slowly here to be worth it. */
const TEXT_BYTES_MAX = 512;
/** A power of two; with the limit above, and two shapes in each, at most a quarter of a megabyte. */
const PLACES = 256;
/** How much of a text its place is computed from. */
const PREFIX_BYTES = 32;

const ZERO = 48;
const NINE = 57;
const QUOTE = 39;

/**
 * The shapes of texts that programs send again and again with other literals: found by walking along text and shape, so
 * that a text whose like was just here is not scanned, copied, made a string of and hashed. Each has one place, which
 * it takes once it has been missed in it twice, as recent texts do; the one that was there last stays beside it, since
 * `+ 5` and `+ -5` are two shapes of one statement. A text without literals is its own shape.
 */
export class RecentShapes {
  readonly #kept: (RecentShape | undefined)[] = new Array(PLACES).fill(undefined);
  readonly #beside: (RecentShape | undefined)[] = new Array(PLACES).fill(undefined);
  readonly #missed = new Int32Array(PLACES);
  /** Of the text last looked for. */
  #place = 0;

  /** What was kept for texts of the shape of `bytes[start, end)` on that shelf. */
  find(bytes: Buffer, start: number, end: number, shelf: number): RecentShape | null {
    const place = placeOf(bytes, start, end);
    this.#place = place;
    let kept = this.#kept[place];
    if (kept === undefined || end - start > TEXT_BYTES_MAX) return null;
    if (kept.shelf !== shelf || !hasShape(kept.shape, bytes, start, end)) {
      kept = this.#beside[place];
      if (kept === undefined || kept.shelf !== shelf || !hasShape(kept.shape, bytes, start, end)) return null;
    }
    return kept;
  }

  /** Tells what is said by texts of the shape `bytes[start, end)`, one of which `find` was last asked for and did not have. */
  missed(bytes: Buffer, start: number, end: number, shelf: number, analysis: Analysis): void {
    if (end - start > TEXT_BYTES_MAX) return;
    const place = this.#place;
    const hash = hashOf(bytes, start, end);
    if (this.#missed[place] === hash) {
      const shape = takeApart(Uint8Array.prototype.slice.call(bytes, start, end));
      this.#beside[place] = this.#kept[place];
      this.#kept[place] = { shape, shelf, analysis };
    }
    this.#missed[place] = hash;
  }
}

const FNV_PRIME = 0x01000193;
const FNV_START = 0x811c9dc5;

/** By the bytes in front of the first that a literal may begin with, which are the same in each text of a shape. */
function placeOf(bytes: Buffer, start: number, end: number): number {
  const last = Math.min(end, start + PREFIX_BYTES);
  const view = viewOf(bytes);
  let hash = FNV_START;
  let at = start;
  for (; at + 4 <= last; at += 4) {
    const word = view.getInt32(at, true);
    if (mayBeginLiteral(word)) break;
    hash = Math.imul(hash ^ word, FNV_PRIME);
  }
  for (; at < last; at++) {
    const c = bytes[at]!;
    if ((c >= ZERO && c <= NINE) || c === QUOTE) break;
    hash = Math.imul(hash ^ c, FNV_PRIME);
  }
  return (hash ^ (hash >>> 15)) & (PLACES - 1);
}

/** Whether one of four bytes is a digit or a quote, or one of the signs that have the same bits; surely not for letters and blanks. */
function mayBeginLiteral(word: number): boolean {
  return (word & ~(word >>> 1) & ((word << 1) | (word << 3)) & 0x20202020) !== 0;
}

function hashOf(bytes: Buffer, start: number, end: number): number {
  let hash = FNV_START;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, FNV_PRIME);
  return hash | 0;
}
