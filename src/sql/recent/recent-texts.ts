import { viewOf, wordsOf } from '../../base/words.ts';
import type { Analysis } from '../effects.ts';

/** A text and what it says. */
export interface Reading {
  readonly analysis: Analysis;
  /** As it was sent; where `analysis.redacted` is set, this holds the secret that it masks. */
  readonly text: string;
}

interface Kept extends Reading {
  readonly length: number;
  /** Its bytes as words of four, which are compared as fast as one. */
  readonly words: Int32Array;
  readonly shelf: number;
}

/** Longer texts are compared too slowly here to be worth it. */
const TEXT_BYTES_MAX = 512;
/** A power of two; with the limit above, at most half a megabyte. */
const SLOTS = 512;
/** A text's place is computed from about 16 of its words. */
const SAMPLES_SHIFT = 6;

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
    if (kept === undefined || kept.shelf !== shelf || kept.length !== end - start) return null;
    return isMadeOf(kept.words, bytes, start, end) ? kept : null;
  }

  /** Tells what the text says that `find` was last asked for and did not have. */
  missed(bytes: Uint8Array, start: number, end: number, shelf: number, reading: Reading): void {
    if (end - start > TEXT_BYTES_MAX || reading.analysis.status === 'failed') return;
    const slot = this.#hash & (SLOTS - 1);
    if (this.#missed[slot] === this.#hash) {
      this.#kept[slot] = { ...reading, length: end - start, words: wordsOf(bytes, start, end), shelf };
    }
    this.#missed[slot] = this.#hash;
  }
}

/** FNV-1a over some of the words; those who share a place by it only cost each other time. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  const view = viewOf(bytes);
  const step = 4 + (((end - start) >> SAMPLES_SHIFT) << 2);
  let hash = 0x811c9dc5 ^ (end - start);
  // The last bytes count, which are what numbered texts differ in.
  let at = end - 4;
  for (; at >= start; at -= step) hash = Math.imul(hash ^ view.getInt32(at, true), 0x01000193);
  for (at += step - 1; at >= start && at < start + 4; at--) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  return hash ^ (hash >>> 15);
}

/** By loops of their own, in which V8 looks at nothing but the bytes. */
function isMadeOf(words: Int32Array, bytes: Uint8Array, start: number, end: number): boolean {
  const view = viewOf(bytes);
  const whole = (end - start) >> 2;
  for (let i = 0; i < whole; i++) if (words[i] !== view.getInt32(start + i * 4, true)) return false;
  for (let at = start + whole * 4; at < end; at++)
    if (((words[whole]! >>> (((at - start) & 3) * 8)) & 255) !== bytes[at]) return false;
  return true;
}
