import { NO_PARAMETERS, type PlanRequest } from '../../snapshot/plan.ts';
import type { PreparedText } from '../../snapshot/plan-execute.ts';
import type { WriteSlice } from '../../sql/slices/slice.ts';
import type { SessionState } from '../state.ts';
import { UNSETTLED } from './names.ts';
import { isReadAlike } from './text-encoding.ts';

/** What the session has seen prepared under a name that SQL gives, taken apart; null where its text is not known. */
async function preparedText(state: SessionState, name: string): Promise<PreparedText | null> {
  const key = state.sqlNameKey(name);
  const known = key === null ? null : state.statements.lookup(key);
  if (known === null || known === UNSETTLED || key === null) return null;
  const text = known.text ?? known.source ?? null;
  if (text === null || !known.facts.standardConformingStrings) return null;
  const utf8 = Buffer.from(text, 'utf8');
  if (!isReadAlike(state, known.facts, utf8)) return null;
  const slice = await state.services.snapshots!.slice(utf8);
  return { name: Buffer.from(key, 'latin1').toString('utf8'), text, slice };
}

/** What is asked of a plan, with the client's parameters yet to be bound. */
export function planRequest(state: SessionState, slice: WriteSlice): PlanRequest {
  const prepared = async (name: string) => await preparedText(state, name);
  const { database, role } = state.facts;
  const asciiNames = state.textFacts.encoding !== 'utf8';
  // By another role or path the answers are others, and what is read of names in another encoding is not for others.
  const scope = [database, role, state.settings.knownPath ?? '', asciiNames ? 'ascii' : ''].join('\0');
  return { scope, slice, parameters: NO_PARAMETERS, prepared, asciiNames };
}
