import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { Rates } from '../base/rates.ts';

/** How many approvals may be asked for, in all and by one role, so that no role keeps others from asking or fills the disk. */
export class Admission {
  readonly #pendingOf = new Map<string, number>();
  readonly #rates = new Rates({
    atOnce: LIMITS.approvalsAtOnce,
    perS: LIMITS.approvalsPerS,
    namesMax: LIMITS.approvalsRolesMax,
  });
  #pending = 0;
  /** Requests that are on their way to the store, which count against the limit as well. */
  #asking = 0;

  /** Throws TOO_MANY_HELD where the role may not ask now. What is let in counts while `store` stores it. */
  async whileAsking<T>(role: string, nowMs: number, store: () => Promise<T>): Promise<T> {
    this.#refuseTooMany(role);
    this.#refuseTooOften(role, nowMs);
    this.#asking++;
    try {
      return await store();
    } finally {
      this.#asking--;
    }
  }

  /** One is pending by now. */
  add(role: string): void {
    this.#pending++;
    this.#pendingOf.set(role, (this.#pendingOf.get(role) ?? 0) + 1);
  }

  /** One is no longer. */
  remove(role: string): void {
    this.#pending--;
    const left = (this.#pendingOf.get(role) ?? 1) - 1;
    if (left > 0) this.#pendingOf.set(role, left);
    else this.#pendingOf.delete(role);
  }

  #refuseTooMany(role: string): void {
    const ofAll = this.#pending + this.#asking >= LIMITS.approvalsPendingMax;
    if (!ofAll && (this.#pendingOf.get(role) ?? 0) < LIMITS.approvalsPendingOfRoleMax) return;
    throw new HoldfastError(
      'TOO_MANY_HELD',
      `too many statements${ofAll ? '' : ` of the role ${role}`} are waiting for approval`,
      { hint: 'Try again when some of them have been decided.' },
    );
  }

  /** What is asked for and given up at once is kept as well, and would fill the disk. */
  #refuseTooOften(role: string, nowMs: number): void {
    const waitS = this.#rates.take(role, nowMs);
    if (waitS === 0) return;
    throw new HoldfastError('TOO_MANY_HELD', `the role ${role} has asked for too many approvals lately`, {
      hint: `Try again in ${waitS} s.`,
    });
  }
}
