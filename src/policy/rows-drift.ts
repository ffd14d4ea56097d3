import type { RowsTolerance } from './decision.ts';
import { type Apart, differenceOf, type KnownRows, type RowSet } from './row-set.ts';
import { allowedApart, formatRowsTolerance, isWithin } from './rows-tolerance.ts';

/** How rows differ from those that were approved; null is not known, which is as good only where that was not known either. */
export function driftOfRows(
  approved: KnownRows | null,
  now: KnownRows | null,
  tolerance: RowsTolerance,
): string | null {
  if (approved === null) return null;
  const { rows, set } = approved;
  if (now === null) return `how many rows it would change is not known now; it was ${rows}`;
  if (!isWithin(tolerance, rows, now.rows)) {
    const allowed = formatRowsTolerance(tolerance);
    return `it would change ${now.rows} rows, not ${rows}, which is more than ${allowed} apart`;
  }
  if (set === null) return null;
  if (now.set === null)
    return `which rows it would change is not known now; that of ${rows} rows was approved`;
  return driftOfSet(set, now.set, tolerance);
}

/** Whether others are among them than were approved, or too many of those that were are not. */
export function driftOfSet(approved: RowSet, now: RowSet, tolerance: RowsTolerance): string | null {
  const { added, removed } = differenceOf(approved, now);
  const allowed = allowedApart(tolerance, approved.count);
  const others = saidOf(added, now.count, allowed);
  if (others !== null) return `${others} that it would change are not those that were approved`;
  const gone = saidOf(removed, approved.count, allowed);
  return gone === null ? null : `${gone} that were approved are not among those that it would change`;
}

/** Where it may be too many by a sample it counts as too many. */
function saidOf({ rows, most }: Apart, all: number, allowed: number): string | null {
  if (most <= allowed) return null;
  if (rows === most) return `${rows} of the ${all} rows`;
  return rows > allowed ? `about ${rows} of the ${all} rows` : `up to ${most} of the ${all} rows`;
}
