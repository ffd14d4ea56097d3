import { getEventListeners } from 'node:events';
import { nowMs } from '../base/clock.ts';

/** One Ctrl-C comes twice where npm passes on what the terminal has told all of its processes already. */
const SAME_PRESS_MS = 1_000;

/** What a user who wants the end asks for, the gentler first. */
export interface StopSignals {
  readonly stop: AbortSignal;
  readonly hurry: AbortSignal;
  /**
   * Ends the process at once. `process.exit` would wait for threads that wait for a disk; a signal that nobody catches
   * does not.
   */
  readonly endNow: (signal: 'SIGTERM' | 'SIGKILL') => void;
}

/**
 * The first SIGINT or SIGTERM asks to stop, the next to wait for nothing, where somebody can hurry at all, and one
 * more ends the process at once.
 */
export function stopOnSignals(): StopSignals & { readonly stopNow: () => void } {
  const stop = new AbortController();
  const hurry = new AbortController();
  let lastMs = 0;
  const told = (signal: NodeJS.Signals): void => {
    const again = nowMs() - lastMs > SAME_PRESS_MS;
    if (stop.signal.aborted && !again) return;
    lastMs = nowMs();
    if (!stop.signal.aborted) return stop.abort();
    if (!hurry.signal.aborted && getEventListeners(hurry.signal, 'abort').length > 0) return hurry.abort();
    endNow(signal);
  };
  const endNow = (signal: NodeJS.Signals): void => {
    process.off('SIGINT', told);
    process.off('SIGTERM', told);
    process.kill(process.pid, signal);
  };
  process.on('SIGINT', told);
  process.on('SIGTERM', told);
  return { stop: stop.signal, hurry: hurry.signal, endNow, stopNow: () => stop.abort() };
}
