import { type CatalogAnswer, sameAnswer } from '../catalog/catalog.ts';
import type { RowsSlice, UpsertSlice } from '../sql/slice.ts';
import type { PlanOutcome, StatementParameters } from './plan.ts';

/** The last plan of each slice, which is the same again as long as the catalog says the same. */
const last = new WeakMap<
  RowsSlice | UpsertSlice,
  { readonly answer: CatalogAnswer; readonly outcome: PlanOutcome }
>();

/** The outcome of that time with these parameters, or a new one. */
export function remembered(
  slice: RowsSlice | UpsertSlice,
  answer: CatalogAnswer,
  parameters: StatementParameters,
  plan: () => PlanOutcome,
): PlanOutcome {
  const known = last.get(slice);
  if (known === undefined || !sameAnswer(known.answer, answer)) {
    const outcome = plan();
    last.set(slice, { answer, outcome });
    return outcome;
  }
  const { outcome } = known;
  return outcome.kind === 'exact' ? { kind: 'exact', plan: { ...outcome.plan, parameters } } : outcome;
}
