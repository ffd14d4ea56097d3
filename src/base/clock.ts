/** It is a getter that costs as much as the clock itself. */
const TIME_ORIGIN_MS = performance.timeOrigin;

/** Milliseconds since the Unix epoch with sub-millisecond digits; it never runs backwards within a process. */
export function nowMs(): number {
  return TIME_ORIGIN_MS + performance.now();
}
