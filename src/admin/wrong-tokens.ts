import { isIPv6 } from 'node:net';
import { LIMITS } from '../base/limits.ts';

export interface WrongTokenVerdict {
  readonly tooMany: boolean;
  /** How long the answer is kept back; `answered` is to be called after that. */
  readonly delayMs: number;
  readonly retryAfterS: number;
}

/**
 * Counts wrong tokens of each address in windows of a minute. Above the limit answers are slow and say 429;
 * what waits is bounded as well, and beyond that the refusal is immediate.
 */
export class WrongTokens {
  #counts = new Map<string, number>();
  #windowEndMs = 0;
  #waiting = 0;

  note(address: string, nowMs: number): WrongTokenVerdict {
    if (nowMs >= this.#windowEndMs || this.#counts.size >= LIMITS.adminAddressesMax) {
      this.#counts = new Map();
      this.#windowEndMs = nowMs + LIMITS.adminWrongTokensWindowMs;
    }
    const network = networkOf(address);
    const count = (this.#counts.get(network) ?? 0) + 1;
    this.#counts.set(network, count);
    const tooMany = count > LIMITS.adminWrongTokensMax;
    const slow = tooMany && this.#waiting < LIMITS.adminWaitingMax;
    if (slow) this.#waiting++;
    return {
      tooMany,
      delayMs: slow ? LIMITS.adminWrongTokenDelayMs : 0,
      retryAfterS: Math.ceil((this.#windowEndMs - nowMs) / 1000),
    };
  }

  answered(): void {
    this.#waiting--;
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
