import { isIPv6 } from 'node:net';
import { LIMITS } from '../base/limits.ts';

export interface WrongTokenVerdict {
  readonly tooMany: boolean;
  /** How long the answer is kept back; `answered` is to be called after that. Null: there is to be none. */
  readonly delayMs: number | null;
  readonly retryAfterS: number;
}

/** So many wrong tokens make answers slower by one step. */
const SLOWER_AFTER = 250;

/**
 * Counts wrong tokens of each address in windows of a minute. Above the limit answers are slow and say 429, the
 * slower the more there were, so that a connection is good for few guesses. What waits is bounded as well: beyond
 * that, and on a connection that has one waiting already, there is no answer but its end.
 */
export class WrongTokens {
  #counts = new Map<string, number>();
  #windowEndMs = 0;
  readonly #waiting = new Set<object>();

  note(address: string, connection: object, nowMs: number): WrongTokenVerdict {
    if (nowMs >= this.#windowEndMs || this.#counts.size >= LIMITS.adminAddressesMax) {
      this.#counts = new Map();
      this.#windowEndMs = nowMs + LIMITS.adminWrongTokensWindowMs;
    }
    const network = networkOf(address);
    const count = (this.#counts.get(network) ?? 0) + 1;
    this.#counts.set(network, count);
    const tooMany = count > LIMITS.adminWrongTokensMax;
    const retryAfterS = Math.ceil((this.#windowEndMs - nowMs) / 1000);
    if (!tooMany) return { tooMany, delayMs: 0, retryAfterS };
    if (this.#waiting.size >= LIMITS.adminWaitingMax || this.#waiting.has(connection)) {
      return { tooMany, delayMs: null, retryAfterS };
    }
    this.#waiting.add(connection);
    const delayMs = LIMITS.adminWrongTokenDelayMs * (1 + Math.floor(count / SLOWER_AFTER));
    return { tooMany, delayMs: Math.min(delayMs, LIMITS.adminWrongTokenDelayMaxMs), retryAfterS };
  }

  answered(connection: object): void {
    this.#waiting.delete(connection);
  }
}

/** Whoever has one IPv6 address has all of its /64. */
function networkOf(address: string): string {
  if (!isIPv6(address) || address.startsWith('::ffff:')) return address;
  const [head = '', tail] = address.split('::');
  const groups = head.split(':').filter((group) => group !== '');
  if (tail !== undefined) {
    const after = tail.split(':').filter((group) => group !== '');
    while (groups.length + after.length < 8) groups.push('0');
    groups.push(...after);
  }
  return groups.slice(0, 4).join(':');
}
