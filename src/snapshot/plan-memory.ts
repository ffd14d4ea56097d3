import { type CatalogAnswer, sameAnswer } from '../catalog/catalog.ts';
import type { RowsSlice, UpsertSlice } from '../sql/slices/slice.ts';
import type { PlanOutcome, StatementParameters } from './plan.ts';

interface Remembered {
  readonly answer: CatalogAnswer;
  readonly outcome: PlanOutcome;
}

/** The last plan of each slice for what was read of its tables, which is the same again as long as the catalog says the same. */
const last = new WeakMap<RowsSlice | UpsertSlice, WeakMap<CatalogAnswer['relations'], Remembered>>();

/** The outcome of that time with these parameters, or a new one. */
export function remembered(
  slice: RowsSlice | UpsertSlice,
  answer: CatalogAnswer,
  parameters: StatementParameters,
  plan: () => PlanOutcome,
): PlanOutcome {
  const plans = last.get(slice) ?? new WeakMap<CatalogAnswer['relations'], Remembered>();
  const known = plans.get(answer.relations);
  if (known === undefined || !sameAnswer(known.answer, answer)) {
    const outcome = plan();
    last.set(slice, plans.set(answer.relations, { answer, outcome }));
    return outcome;
  }
  const { outcome } = known;
  return outcome.kind === 'exact' ? { kind: 'exact', plan: { ...outcome.plan, parameters } } : outcome;
}
