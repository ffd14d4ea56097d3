import type { ApprovedRows, RowsTolerance } from './decision.ts';

export const ROWS_TOLERANCE_HINT = 'expected a number of rows, like 100, or a share of them, like "10%"';

export function parseRowsTolerance(text: string | number): RowsTolerance | null {
  const match = /^(\d{1,15})(%?)$/.exec(String(text));
  if (match === null) return null;
  const amount = Number(match[1]);
  return match[2] === '%' ? { unit: 'percent', percent: amount } : { unit: 'rows', rows: amount };
}

export function formatRowsTolerance(tolerance: RowsTolerance): string {
  return tolerance.unit === 'percent' ? `${tolerance.percent}%` : String(tolerance.rows);
}

/** Whether so many rows are what was approved as that many. */
export function isWithin(tolerance: RowsTolerance, approvedRows: number, rows: number): boolean {
  return Math.abs(rows - approvedRows) <= allowedApart(tolerance, approvedRows);
}

/** How many rows may be others, or more, or fewer. */
export function allowedApart(tolerance: RowsTolerance, approvedRows: number): number {
  return tolerance.unit === 'rows' ? tolerance.rows : (approvedRows * tolerance.percent) / 100;
}

/** How many it may be at most. */
export function mostRows({ rows, tolerance }: ApprovedRows): number {
  return rows + allowedApart(tolerance, rows);
}

/** Which of the two lets fewer rows differ; a share and a number are compared by what they say of a thousand rows. */
export function narrower(a: RowsTolerance, b: RowsTolerance): RowsTolerance {
  return allowedOfThousand(a) <= allowedOfThousand(b) ? a : b;
}

function allowedOfThousand(tolerance: RowsTolerance): number {
  return tolerance.unit === 'rows' ? tolerance.rows : tolerance.percent * 10;
}
