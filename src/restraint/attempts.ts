import { LIMITS } from '../base/limits.ts';
import type { Actor, QuarantineRule } from './restraint.ts';

/** Counts refused statements of each role, or of each of its applications, within a time that moves along. */
export class Attempts {
  readonly #rule: QuarantineRule;
  readonly #times = new Map<string, number[]>();

  constructor(rule: QuarantineRule) {
    this.#rule = rule;
  }

  /** Counts one more. Returns whether these are enough; then counting begins anew. */
  note({ role, application }: Actor, atMs: number): boolean {
    const { attempts, withinMs, by } = this.#rule;
    const key = by === 'role' ? role : `${role}\0${application}`;
    const recent = (this.#times.get(key) ?? []).filter((time) => time > atMs - withinMs);
    recent.push(atMs);
    // Taking it out and putting it back keeps the map in the order of the last attempt.
    this.#times.delete(key);
    if (recent.length >= attempts) return true;
    this.#times.set(key, recent);
    if (this.#times.size > LIMITS.attemptsActorsMax) this.#times.delete(this.#times.keys().next().value!);
    return false;
  }
}
