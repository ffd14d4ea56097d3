/** Something kept, and whether it was used since eviction last looked at it. */
interface Entry<Value> {
  readonly value: Value;
  readonly bytes: number;
  used: boolean;
}

type Shelf<Value> = Map<string, Entry<Value>>;

/**
 * Values by key on numbered shelves, which share one budget of bytes. A hit only marks the entry, because
 * moving it would cost more than the rest of the look-up; eviction gives what was used a second round.
 */
export class BoundedStore<Value> {
  readonly #shelves: (Shelf<Value> | undefined)[] = [];
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#shelves.reduce((sum, shelf) => sum + (shelf?.size ?? 0), 0);
  }

  get(shelf: number, key: string): Value | undefined {
    const entry = this.#shelves[shelf]?.get(key);
    if (entry === undefined) return undefined;
    entry.used = true;
    return entry.value;
  }

  /** What is larger than the whole budget is not kept. */
  set(shelf: number, key: string, value: Value, bytes: number): void {
    this.#shelves[shelf] ??= new Map();
    const entries = this.#shelves[shelf];
    const old = entries.get(key);
    if (old !== undefined) {
      entries.delete(key);
      this.#bytes -= old.bytes;
    }
    if (bytes > this.#bytesMax) return;
    const entry: Entry<Value> = { value, bytes, used: false };
    entries.set(key, entry);
    this.#bytes += bytes;
    if (this.#bytes > this.#bytesMax) this.#evict(entry);
  }

  /** The fullest shelf gives first; what has just been put there stays. */
  #evict(latest: Entry<Value>): void {
    const shelves = this.#shelves.filter((shelf) => shelf !== undefined);
    shelves.sort((a, b) => b.size - a.size);
    for (const shelf of shelves) this.#evictFrom(shelf, latest);
  }

  /** A map keeps the order of insertion: what was used goes to its end once, what was not goes. */
  #evictFrom(shelf: Shelf<Value>, latest: Entry<Value>): void {
    for (const [key, entry] of shelf) {
      if (this.#bytes <= this.#bytesMax) return;
      if (entry === latest) {
        if (shelf.size === 1) return;
        continue;
      }
      shelf.delete(key);
      if (entry.used) {
        entry.used = false;
        shelf.set(key, entry);
      } else this.#bytes -= entry.bytes;
    }
  }
}
