import type { Analysis } from '../effects.ts';

/** A text and what it says. */
export interface Reading {
  readonly analysis: Analysis;
  /** As it was sent; where `analysis.redacted` is set, this holds the secret that it masks. */
  readonly text: string;
}

interface Kept extends Reading {
  readonly bytes: Uint8Array;
  readonly shelf: number;
}

/** Longer texts are compared too slowly here to be worth it. */
const TEXT_BYTES_MAX = 512;
/** A power of two; with the limit above, at most half a megabyte. */
const SLOTS = 512;
/** A text's place is computed from about 32 of its bytes. */
const SAMPLES_SHIFT = 5;

/**
 * The texts that programs send again and again, byte for byte: found by comparing bytes, so that a text that was
 * just here is neither scanned nor made a string of. Each has one place, which it takes from whatever was there once
 * it has been missed in it twice; texts that never come again therefore leave no trace but a number.
 */
export class RecentTexts {
  readonly #kept: (Kept | undefined)[] = new Array(SLOTS).fill(undefined);
  readonly #missed = new Int32Array(SLOTS);
  /** The hash of the text last looked for. */
  #hash = 0;

  /** What was kept for `bytes[start, end)` on that shelf. */
  find(bytes: Uint8Array, start: number, end: number, shelf: number): Reading | null {
    if (end - start > TEXT_BYTES_MAX) return null;
    this.#hash = hashOf(bytes, start, end);
    const kept = this.#kept[this.#hash & (SLOTS - 1)];
    if (kept === undefined || kept.shelf !== shelf || kept.bytes.length !== end - start) return null;
    const own = kept.bytes;
    for (let i = 0; i < own.length; i++) if (own[i] !== bytes[start + i]) return null;
    return kept;
  }

  /** Tells what the text says that `find` was last asked for and did not have. */
  missed(bytes: Uint8Array, start: number, end: number, shelf: number, reading: Reading): void {
    if (end - start > TEXT_BYTES_MAX || reading.analysis.status === 'failed') return;
    const slot = this.#hash & (SLOTS - 1);
    if (this.#missed[slot] === this.#hash) {
      this.#kept[slot] = { ...reading, bytes: Uint8Array.prototype.slice.call(bytes, start, end), shelf };
    }
    this.#missed[slot] = this.#hash;
  }
}

/** FNV-1a over some of the bytes; those who share a place by it only cost each other time. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  const step = 1 + ((end - start) >> SAMPLES_SHIFT);
  let hash = 0x811c9dc5 ^ (end - start);
  for (let at = end - 1; at >= start; at -= step) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  return hash ^ (hash >>> 15);
}
