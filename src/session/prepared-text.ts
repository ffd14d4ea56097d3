import { NO_PARAMETERS, type PlanRequest } from '../snapshot/plan.ts';
import type { PreparedText } from '../snapshot/plan-execute.ts';
import type { WriteSlice } from '../sql/slice.ts';
import { UNSETTLED } from './names.ts';
import type { SessionState } from './state.ts';

/** What the session has seen prepared under a name that SQL gives, taken apart; null where its text is not known. */
async function preparedText(state: SessionState, name: string): Promise<PreparedText | null> {
  const key = state.sqlNameKey(name);
  const known = key === null ? null : state.statements.lookup(key);
  if (known === null || known === UNSETTLED || key === null) return null;
  const text = known.text ?? known.source ?? null;
  const { encoding, standardConformingStrings } = known.facts;
  if (text === null || encoding !== 'utf8' || !standardConformingStrings) return null;
  const slice = await state.services.snapshots!.slice(Buffer.from(text, 'utf8'));
  return { name: Buffer.from(key, 'latin1').toString('utf8'), text, slice };
}

/** What is asked of a plan, with the client's parameters yet to be bound. */
export function planRequest(state: SessionState, slice: WriteSlice): PlanRequest {
  const prepared = async (name: string) => await preparedText(state, name);
  return { scope: state.facts.database, slice, parameters: NO_PARAMETERS, prepared };
}
