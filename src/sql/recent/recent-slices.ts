import { LIMITS } from '../../base/limits.ts';
import type { WriteSlice } from '../slices/slice.ts';

/** Only such texts come again and again. */
const PARAMETER = /\$[0-9]/;

/** Slices of texts with parameters. What was not asked for longest goes first. */
export class RecentSlices {
  readonly #slices = new Map<string, WriteSlice>();

  /** The slice of the text, made where it is not kept. */
  of(utf8: Buffer, make: () => WriteSlice): WriteSlice {
    if (utf8.length > LIMITS.slicedTextBytes) return make();
    const key = utf8.latin1Slice();
    const kept = this.#slices.get(key);
    const slice = kept ?? make();
    // Why there is none may pass, as a parser that broke does.
    if (slice.kind === 'inexact' || !PARAMETER.test(key)) return slice;
    if (kept !== undefined) this.#slices.delete(key);
    this.#slices.set(key, slice);
    if (this.#slices.size > LIMITS.slicesKept) this.#slices.delete(this.#slices.keys().next().value!);
    return slice;
  }
}
