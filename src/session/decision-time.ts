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
