import { performance } from 'node:perf_hooks';

/** How far the clock of the machine may be ahead, how often that is looked at, and for how long it has to be so. */
const AHEAD_MS = 1_000;
const LOOK_MS = 1_000;
const SURE_MS = 30_000;

/**
 * Milliseconds since the Unix epoch with sub-millisecond digits, which never run backwards within a process. `monotonicMs`
 * stands still while a machine is suspended, and knows nothing of a clock that is set right after the start: where
 * `wallMs` stays ahead, it is followed, so that what was to end by then has ended. One that is wrong for a moment is not,
 * since there is no way back.
 */
export function clockOf(originMs: number, monotonicMs: () => number, wallMs: () => number): () => number {
  let origin = originMs;
  let lookAt = 0;
  let aheadSince = Number.POSITIVE_INFINITY;
  let leastAhead = Number.POSITIVE_INFINITY;
  return () => {
    const elapsed = monotonicMs();
    if (elapsed >= lookAt) {
      lookAt = elapsed + LOOK_MS;
      const ahead = wallMs() - origin - elapsed;
      if (ahead <= AHEAD_MS) aheadSince = leastAhead = Number.POSITIVE_INFINITY;
      else {
        aheadSince = Math.min(aheadSince, elapsed);
        leastAhead = Math.min(leastAhead, ahead);
      }
      if (elapsed - aheadSince >= SURE_MS) {
        origin += leastAhead;
        aheadSince = leastAhead = Number.POSITIVE_INFINITY;
      }
    }
    return origin + elapsed;
  };
}

/** `performance.timeOrigin` is a getter that costs as much as the clock itself, and so is the global `performance`. */
export const nowMs = clockOf(
  performance.timeOrigin,
  () => performance.now(),
  () => Date.now(),
);

/**
 * For what is dropped for good because it is old: the time by the clock of the machine, as far as ours agrees. One that is
 * ahead for a moment is not believed, nor ours where the process began with one that was wrong and has been set right since.
 */
export const agreedMs = (): number => Math.min(nowMs(), Date.now());
