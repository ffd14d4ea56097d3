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

/** Between how many rows a statement writes; `most` is null where nothing bounds them. */
export interface RowCount {
  readonly least: number;
  readonly most: number | null;
}

export function parseRowLimit(text: string): RowLimit | null {
  const match = ROW_LIMIT_PATTERN.exec(text);
  return match === null ? null : { comparison: match[1] as Comparison, rows: Number(match[2]) };
}

export function matchRows(limit: RowLimit, count: RowCount): Certainty {
  const { least } = count;
  const most = count.most ?? Number.POSITIVE_INFINITY;
  const some = compare(limit, least) || compare(limit, most) || isBetween(limit, least, most);
  if (!some) return 'no';
  return compare(limit, least) && compare(limit, most) && (limit.comparison !== '=' || least === most)
    ? 'sure'
    : 'possible';
}

/** All others hold for one of the ends if for any between them. */
function isBetween({ comparison, rows }: RowLimit, least: number, most: number): boolean {
  return comparison === '=' && least <= rows && rows <= most;
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
