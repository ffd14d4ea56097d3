import { isDeepStrictEqual } from 'node:util';
import type { Analysis } from '../sql/effects.ts';
import { type Brief, decide, isMilder, stricter } from './decide.ts';
import type { CountedRows, Decision } from './decision.ts';
import { matchStatement, subjectOf } from './match.ts';
import type { RowCount } from './row-limit.ts';

/** Between so many rows, both included, a statement is decided in one way; `most` is null for as many as there may be. */
export interface RowBand extends RowCount {
  readonly decision: Decision;
}

/** Statements whose own rows may be counted before they run. */
const COUNTED: ReadonlySet<string> = new Set(['update', 'delete', 'merge', 'insert', 'truncate']);

/** What came of counting rows: how many there are, or why they are not counted. */
export type Count = RowCount | { readonly reason: string };

/** The rules of a session as they compare numbers of rows. Each analysis is looked at once. */
export class ByRows {
  readonly #brief: Brief;
  readonly #bands = new WeakMap<Analysis, readonly RowBand[] | null>();

  constructor(brief: Brief) {
    this.#brief = brief;
  }

  /** How it is decided by its number of rows, where it hangs on that and the text does not tell it. */
  bands(analysis: Analysis): readonly RowBand[] | null {
    let bands = this.#bands.get(analysis);
    if (bands === undefined) {
      bands = rowBands(this.#brief, analysis);
      this.#bands.set(analysis, bands);
    }
    return bands;
  }

  /** What happens to a text of which that was counted; `otherwise` where it had not been. */
  decide(analysis: Analysis, count: Count, otherwise: Decision): Decision {
    const bands = this.bands(analysis);
    if (bands === null) return otherwise;
    if ('reason' in count) return withRows(otherwise, { kind: 'uncounted', reason: count.reason });
    return decidedByRows(bands, count, otherwise);
  }

  /** As it might have been decided of what ended before it was counted: policy has not said no to that. */
  undecided(analysis: Analysis, reason: string, otherwise: Decision): Decision {
    const bands = this.bands(analysis) ?? [];
    const mildest = bands.reduce(
      (all, { decision }) => (isMilder(decision, all) ? decision : all),
      otherwise,
    );
    return withRows(mildest, { kind: 'uncounted', reason });
  }
}

/**
 * How a statement is decided by the number of its rows, where its text does not tell that number and the decision hangs on
 * it; null for all others, which is all of them where no rule has `rows`.
 */
function rowBands(brief: Brief, analysis: Analysis): readonly RowBand[] | null {
  const limits = limitsOf(brief, analysis);
  if (limits.length === 0) return null;
  const starts = [...new Set([0, ...limits.flatMap((rows) => [rows, rows + 1])])].sort((a, b) => a - b);
  const bands: RowBand[] = [];
  for (const [i, least] of starts.entries()) {
    const next = starts[i + 1];
    const most = next === undefined ? null : next - 1;
    const decision = decide(brief, analysis, { least, most });
    const last = bands.at(-1);
    if (last !== undefined && isDeepStrictEqual(last.decision, decision))
      bands[bands.length - 1] = { ...last, most };
    else bands.push({ least, most, decision });
  }
  const [only, ...others] = bands;
  return others.length === 0 && isDeepStrictEqual(only?.decision, decide(brief, analysis)) ? null : bands;
}

/** The numbers in the rules that may match, however many rows it writes. */
function limitsOf({ rules }: Brief, analysis: Analysis): readonly number[] {
  const [effects, ...others] = analysis.statements;
  if (analysis.status !== 'parsed' || effects === undefined || others.length > 0) return [];
  const { operation, operations, reasons, rowsMax, writes } = effects;
  if (!COUNTED.has(operation) || rowsMax !== undefined) return [];
  // What clauses of it write beside its own table is in no tag of it.
  if (writes.length !== 1 && operation !== 'truncate') return [];
  // What a MERGE inserts is not told beforehand, nor what a TRUNCATE empties besides.
  if (operation === 'merge' && operations.includes('insert')) return [];
  if (operation === 'truncate' && reasons.some((reason) => reason.endsWith('(CASCADE)'))) return [];
  const subject = subjectOf(analysis, effects);
  return rules.flatMap(({ rule: { match } }) => {
    if (match.rows === null || matchStatement({ ...match, rows: null }, subject) === 'no') return [];
    return [match.rows.rows];
  });
}

/** How far rows have to be counted: any number beyond is decided alike. */
export function rowsToCount(bands: readonly RowBand[]): number {
  return Math.max((bands.at(-1)?.least ?? 0) - 1, 0);
}

/** The decision by so many rows, with how many the statement may come to change without being decided more strictly. */
function decidedByRows(bands: readonly RowBand[], rows: RowCount, otherwise: Decision): Decision {
  const at = bands.findIndex((band) => isIn(rows, band));
  const decision = bands[at]?.decision;
  // Where it is counted no closer than that, the strictest of what may be.
  const decided =
    decision ?? bandsOf(bands, rows).reduce((all, band) => stricter(all, band.decision), otherwise);
  return withRows(decided, { kind: 'counted', rows, within: within(bands, rows, decided) });
}

function withRows(decision: Decision, counted: CountedRows): Decision {
  return Object.freeze({ ...decision, counted });
}

/** As people are told it. */
export function bandText({ least, most }: RowCount): string {
  if (most === null) return least === 0 ? 'any number' : `more than ${least - 1}`;
  return least === most ? String(least) : `${least} to ${most}`;
}

function isIn({ least, most }: RowCount, band: RowCount): boolean {
  if (least < band.least) return false;
  return band.most === null || (most !== null && most <= band.most);
}

function bandsOf(bands: readonly RowBand[], { least, most }: RowCount): readonly RowBand[] {
  return bands.filter(
    (band) => (most === null || band.least <= most) && (band.most === null || band.most >= least),
  );
}

/** The bands about what was counted, one beside the other, that ask for nothing more than the decision has. */
function within(bands: readonly RowBand[], rows: RowCount, decision: Decision): RowCount {
  let [first, last] = [bands.indexOf(bandsOf(bands, rows)[0]!), bands.indexOf(bandsOf(bands, rows).at(-1)!)];
  while (first > 0 && asksNoMore(bands[first - 1]!.decision, decision)) first--;
  while (last < bands.length - 1 && asksNoMore(bands[last + 1]!.decision, decision)) last++;
  return { least: bands[first]!.least, most: bands[last]!.most };
}

function asksNoMore(other: Decision, decision: Decision): boolean {
  const { wouldBe, draft, ...asked } = stricter(decision, other);
  const { wouldBe: _wouldBe, draft: _draft, ...given } = decision;
  return isDeepStrictEqual(asked, given);
}
