import { assert } from './assert.ts';

/**
 * Node has one pool of threads for all that waits for files, for the names of hosts, and for what is compressed aside; its own
 * size is four. A disk that stalls keeps each thread that waits for it, so that no host would be found any more: what
 * waits for the disk of the snapshots takes some of them only, in each of the three threads that use it (this one, that of small
 * blobs, and that of many rows).
 */
export const POOL_THREADS = 16;
const DISK_CALLS_MAX = 4;
assert(3 * DISK_CALLS_MAX < POOL_THREADS, 'a disk that stalls leaves threads to others');

/** So many calls at once, in the order in which they come. */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(slots: number) {
    this.#free = slots;
  }

  async run<T>(call: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await call();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}

/** Those of this thread for the disk of the snapshots. */
export const DISK_SLOTS = new Slots(DISK_CALLS_MAX);
