/** Milliseconds since the Unix epoch with sub-millisecond digits; it never runs backwards within a process. */
export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}
