import { unreachable } from '../base/assert.ts';
import type { Certainty } from './certainty.ts';

const COMPARISONS = ['>', '>=', '<', '<=', '='] as const;
type Comparison = (typeof COMPARISONS)[number];

export interface RowLimit {
  readonly comparison: Comparison;
  readonly rows: number;
}

export const ROW_LIMIT_PATTERN = /^(>=|<=|>|<|=)\s?(\d{1,15})$/;
export const ROW_LIMIT_HINT = 'expected a comparison with a number of rows, like ">100" or "<=10"';

/** How many rows a statement writes; null is not known, and never zero. */
export type RowCount = number | null;

export function parseRowLimit(text: string): RowLimit | null {
  const match = ROW_LIMIT_PATTERN.exec(text);
  return match === null ? null : { comparison: match[1] as Comparison, rows: Number(match[2]) };
}

export function matchRows(limit: RowLimit, count: RowCount): Certainty {
  if (count === null) return 'possible';
  return compare(limit, count) ? 'sure' : 'no';
}

function compare({ comparison, rows }: RowLimit, count: number): boolean {
  switch (comparison) {
    case '>':
      return count > rows;
    case '>=':
      return count >= rows;
    case '<':
      return count < rows;
    case '<=':
      return count <= rows;
    case '=':
      return count === rows;
    default:
      return unreachable(comparison);
  }
}
