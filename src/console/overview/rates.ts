import type { Buckets, LiveNumbers } from './live-numbers.ts';

/** What has happened between two of the gateway's counts; null where it has begun to count anew in between. */
export type Series = readonly (number | null)[];

/** How many a second. */
export function rates(samples: readonly LiveNumbers[], countOf: (sample: LiveNumbers) => number): Series {
  return pairs(samples).map(([before, after]) => {
    const seconds = (Date.parse(after.time) - Date.parse(before.time)) / 1000;
    const more = countOf(after) - countOf(before);
    return seconds <= 0 || more < 0 ? null : more / seconds;
  });
}

/** The time, in milliseconds, within which this share was done; null where there was nothing. */
export function quantiles(
  samples: readonly LiveNumbers[],
  bucketsOf: (sample: LiveNumbers) => Buckets,
  share: number,
): Series {
  return pairs(samples).map(([before, after]) => {
    const { bounds, counts } = bucketsOf(after);
    const earlier = bucketsOf(before).counts;
    const seconds = quantile(
      bounds,
      counts.map((count, i) => count - (earlier[i] ?? 0)),
      share,
    );
    return seconds === null ? null : seconds * 1000;
  });
}

/** Taken as if what is in a bucket were spread evenly over it. */
export function quantile(bounds: readonly number[], counts: readonly number[], share: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total <= 0 || counts.some((count) => count < 0)) return null;
  let below = 0;
  for (const [i, count] of counts.entries()) {
    const lower = i === 0 ? 0 : bounds[i - 1]!;
    const upper = bounds[i] ?? lower;
    if (below + count >= share * total) {
      return count === 0 ? upper : lower + (upper - lower) * ((share * total - below) / count);
    }
    below += count;
  }
  return bounds.at(-1) ?? null;
}

function pairs(samples: readonly LiveNumbers[]): (readonly [LiveNumbers, LiveNumbers])[] {
  return samples.slice(1).map((after, i) => [samples[i]!, after] as const);
}
