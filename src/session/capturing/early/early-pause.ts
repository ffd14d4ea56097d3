import type { SessionState } from '../../state.ts';

/** Where what was sent ahead came to nothing, that is likely of the next as well, and each costs two round trips more. */
const PAUSES = new WeakMap<SessionState, number>();

/** Statements of which nothing is sent ahead then. */
const EARLY_PAUSE = 20;

export function pauseEarly(state: SessionState): void {
  PAUSES.set(state, EARLY_PAUSE);
}

/** To be asked once for each statement. */
export function isEarlyPaused(state: SessionState): boolean {
  const left = PAUSES.get(state) ?? 0;
  if (left > 0) PAUSES.set(state, left - 1);
  return left > 0;
}
