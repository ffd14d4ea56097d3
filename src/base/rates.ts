export interface Rate {
  readonly atOnce: number;
  readonly perS: number;
  /** Names that are remembered; whoever was forgotten begins anew. */
  readonly namesMax: number;
}

interface Allowance {
  left: number;
  atMs: number;
}

/** How often each of many may do something: so many times at once, and so many a second for ever. */
export class Rates {
  readonly #rate: Rate;
  readonly #allowances = new Map<string, Allowance>();

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  /** Takes one. Returns 0, or after how many seconds there is one again. */
  take(name: string, nowMs: number): number {
    const { atOnce, perS, namesMax } = this.#rate;
    const before = this.#allowances.get(name) ?? { left: atOnce, atMs: nowMs };
    const left = Math.min(atOnce, before.left + ((nowMs - before.atMs) / 1000) * perS);
    // Taking it out and putting it back keeps the map in the order of use, the oldest first.
    this.#allowances.delete(name);
    this.#allowances.set(name, { left: left < 1 ? left : left - 1, atMs: nowMs });
    if (this.#allowances.size > namesMax) this.#allowances.delete(this.#allowances.keys().next().value!);
    return left < 1 ? Math.ceil((1 - left) / perS) : 0;
  }
}
