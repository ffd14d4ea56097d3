const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** A whole number and a unit; a bare number would leave the reader to guess seconds or milliseconds. */
export const DURATION_PATTERN = /^(\d{1,9})(ms|s|m|h|d)$/;
export const DURATION_HINT = 'expected a duration with its unit, like 500ms, 30s, 10m, 2h or 1d';

/** Milliseconds of `30m` and the like, or null where the text is no duration. */
export function parseDurationMs(text: string): number | null {
  const match = DURATION_PATTERN.exec(text);
  if (match === null) return null;
  return Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS];
}

/** The longest unit that says it in whole numbers. */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    if (ms >= UNIT_MS[unit] && ms % UNIT_MS[unit] === 0) return `${ms / UNIT_MS[unit]}${unit}`;
  }
  return `${ms}ms`;
}
