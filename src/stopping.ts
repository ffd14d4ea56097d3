import { nowMs } from './base/clock.ts';
import { LIMITS } from './base/limits.ts';
import type { Logger } from './base/log.ts';

interface Part {
  /** As people name what is under way in it. */
  readonly what: string;
  readonly end: () => Promise<void>;
  readonly waits: Waits;
}

/**
 * How long the end of a part is waited for: as long as it says itself; until the audit's turn comes, which all that may be left
 * share; or until the rest of a stop is over.
 */
type Waits = 'itself' | 'shares' | 'rest';

/** What has no time left gets this long, which is enough for whatever does not wait for a disk or a server. */
const MOMENT_MS = 100;

/**
 * The parts of a gateway, ended in the opposite order of how they were started. A disk or a server that does not answer
 * keeps no stop for longer than LIMITS.faultStopMs behind the end of the sessions: what was not ended by then is left, and
 * named in the log.
 */
export class Stopping {
  readonly #log: Pick<Logger, 'error'>;
  readonly #parts: Part[] = [];

  constructor(log: Pick<Logger, 'error'>) {
    this.#log = log;
  }

  add(what: string, end: () => Promise<void>, waits: Waits = 'shares'): void {
    this.#parts.push({ what, end, waits });
  }

  /** Rejects with the first failure when all have had their turn: none keeps another from it, least of all the audit. */
  async end(): Promise<void> {
    const failures: unknown[] = [];
    let sinceMs: number | null = null;
    for (const { what, end, waits } of this.#parts.splice(0).reverse()) {
      if (waits !== 'itself') sinceMs ??= nowMs();
      const ending = end().catch((error: unknown) => void failures.push(error));
      if (waits === 'itself') await ending;
      else if (!(await endsWithin(leftMs(sinceMs!, waits), ending))) {
        this.#log.error({ left: what }, 'the gateway stops without waiting any longer for what is under way');
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}

function leftMs(sinceMs: number, waits: 'shares' | 'rest'): number {
  const limitMs = waits === 'shares' ? LIMITS.sessionEndMs : LIMITS.faultStopMs;
  return Math.max(limitMs - (nowMs() - sinceMs), MOMENT_MS);
}

async function endsWithin(limitMs: number, ending: Promise<void>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(() => resolve(false), limitMs);
  const ended = await Promise.race([ending.then(() => true), late]);
  clearTimeout(timer);
  return ended;
}
