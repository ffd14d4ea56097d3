import { nowMs } from '../base/clock.ts';
import type { SessionState } from './state.ts';

/** Counts how long it took to decide a message. */
export function countDecision({ services }: SessionState, startedAtMs: number): void {
  services.metrics.decisionSeconds.observe((nowMs() - startedAtMs) / 1000);
}
