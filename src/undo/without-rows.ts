import type { UndoOutcome, UndoPreview } from './outcome.ts';

/**
 * An outcome as it is told to those who may not see rows. Conflicts are rows, and what the server says may have values
 * of them: of a row that a constraint refuses, of what cannot become another type, or whatever a trigger of the user's raises.
 */
export function withoutRows<T extends UndoOutcome | UndoPreview>(outcome: T): T {
  return told(outcome) as T;
}

function told(outcome: UndoOutcome | UndoPreview): UndoOutcome | UndoPreview {
  switch (outcome.kind) {
    case 'done':
    case 'preview': {
      const { dropped } = outcome;
      const seen =
        dropped === undefined ? {} : { dropped: { ...dropped, lacking: dropped.lacking.map(bare) } };
      return outcome.kind === 'done' ? { ...outcome, ...seen } : { ...outcome, ...seen, conflicts: [] };
    }
    case 'conflicts':
      return { ...outcome, conflicts: [] };
    case 'refused':
      return { ...outcome, problems: outcome.problems.map(bare) };
    case 'failed':
      return bare(outcome);
    default:
      return outcome satisfies never;
  }
}

function bare<T extends { readonly reason: string; readonly bareReason?: string }>(one: T): T {
  const { bareReason } = one;
  return bareReason === undefined ? one : { ...one, reason: `${bareReason} (${WITHHELD})` };
}

const WITHHELD = 'its words are shown with the scope snapshot:rows, since they may have values of rows';
