import { nowMs } from '../base/clock.ts';
import type { SessionState } from './state.ts';

/**
 * When the message that is dealt with began to be. To read the clock costs as much as what many a message needs besides, so
 * that one reading serves until a decision is counted, or more bytes have come.
 */
export function startOfMessage(state: SessionState): number {
  if (state.messageAtMs === 0) state.messageAtMs = nowMs();
  return state.messageAtMs;
}

/** Counts how long it took to decide a message. */
export function countDecision(state: SessionState, startedAtMs: number): void {
  const now = nowMs();
  state.messageAtMs = now;
  state.services.metrics.decisionSeconds.observe((now - startedAtMs) / 1000);
}

/** Of decisions that need nothing but to be found, one in so many is measured: the clock costs more than they do. */
const ALIKE = 16;
let alike = 0;

/** As `startOfMessage`, of a message that is decided by what was found; exact where it is one that is measured. */
export function startOfAlike(state: SessionState): number {
  if (++alike >= ALIKE) state.messageAtMs = nowMs();
  return startOfMessage(state);
}

/** Counts it, where it is measured, for those that were not. */
export function countAlike(state: SessionState, startedAtMs: number): void {
  if (alike < ALIKE) return;
  alike = 0;
  const now = nowMs();
  state.messageAtMs = now;
  state.services.metrics.decisionSeconds.observe((now - startedAtMs) / 1000, ALIKE);
}
