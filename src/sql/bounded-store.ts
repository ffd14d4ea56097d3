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
    entries.set(key, { value, bytes, used: false });
    this.#bytes += bytes;
    if (this.#bytes > this.#bytesMax) this.#evictFrom(shelf);
  }

  /** The shelf that grew gives first; the others only where it has nothing left. */
  #evictFrom(shelf: number): void {
    this.#evict(this.#shelves[shelf]);
    for (const other of this.#shelves) this.#evict(other);
  }

  /** A map keeps the order of insertion: what was used goes to its end once, what was not goes. */
  #evict(entries: Shelf<Value> | undefined): void {
    if (entries === undefined) return;
    for (const [key, entry] of entries) {
      if (this.#bytes <= this.#bytesMax) return;
      entries.delete(key);
      if (entry.used) {
        entry.used = false;
        entries.set(key, entry);
      } else this.#bytes -= entry.bytes;
    }
  }
}
