import { LIMITS } from '../base/limits.ts';

interface Allowance {
  left: number;
  atMs: number;
}

/** How many requests each principal may make: so many at once, and so many a second for ever. */
export class RequestRates {
  readonly #allowances = new Map<string, Allowance>();

  /** Takes one. Returns 0, or after how many seconds there is one again. */
  take(name: string, nowMs: number): number {
    const { adminRequestsAtOnce: most, adminRequestsPerS: perS, adminPrincipalsMax } = LIMITS;
    const before = this.#allowances.get(name) ?? { left: most, atMs: nowMs };
    const left = Math.min(most, before.left + ((nowMs - before.atMs) / 1000) * perS);
    // Taking it out and putting it back keeps the map in the order of use, the oldest first.
    this.#allowances.delete(name);
    this.#allowances.set(name, { left: left < 1 ? left : left - 1, atMs: nowMs });
    if (this.#allowances.size > adminPrincipalsMax) {
      this.#allowances.delete(this.#allowances.keys().next().value!);
    }
    return left < 1 ? Math.ceil((1 - left) / perS) : 0;
  }
}
