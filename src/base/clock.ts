/** How far the clock of the machine may be ahead before it is followed, and how often that is looked at. */
const AHEAD_MS = 1_000;
const LOOK_MS = 1_000;

/**
 * Milliseconds since the Unix epoch with sub-millisecond digits, which never run backwards within a process. `monotonicMs`
 * stands still while a machine is suspended, and knows nothing of a clock that is set right after the start: where
 * `wallMs` is ahead, it is followed, so that what was to end by then has ended.
 */
export function clockOf(originMs: number, monotonicMs: () => number, wallMs: () => number): () => number {
  let origin = originMs;
  let lookAt = 0;
  return () => {
    const elapsed = monotonicMs();
    if (elapsed >= lookAt) {
      lookAt = elapsed + LOOK_MS;
      const ahead = wallMs() - origin - elapsed;
      if (ahead > AHEAD_MS) origin += ahead;
    }
    return origin + elapsed;
  };
}

/** `performance.timeOrigin` is a getter that costs as much as the clock itself. */
export const nowMs = clockOf(
  performance.timeOrigin,
  () => performance.now(),
  () => Date.now(),
);
