import type { AuditEntry } from '../../audit/event.ts';
import type { HiddenConnection } from '../../catalog/connection.ts';
import type { Decision, Snapshot } from '../../policy/decision.ts';
import type { Analysis } from '../../sql/effects.ts';
import { type CaptureOutcome, withoutPlan } from '../capturing/capture-run.ts';
import { NOTHING_TAKEN, tagsTold, takesNothing } from '../capturing/takes-nothing.ts';
import { type Capturing, noted } from '../ruling/noted.ts';
import type { SessionState } from '../state.ts';
import { NOTHING_TO_CAPTURE } from './called-code.ts';

/** What becomes of a statement that may change something only by what it calls. */
export async function runsCalledCode(
  state: SessionState,
  connection: HiddenConnection,
  analysis: Analysis,
  decision: Capturing,
): Promise<Extract<CaptureOutcome, { kind: 'without' | 'unplanned' }>> {
  const problem = await state.called.ask(connection, analysis);
  if (problem === null) return { kind: 'without', why: NOTHING_TO_CAPTURE };
  return withoutPlan(decision, problem);
}

/** Whether it takes nothing away unless event triggers do, which only the catalog can tell. */
export function mayBeTold(state: SessionState, analysis: Analysis, decision: Decision): boolean {
  if (decision.action !== 'snapshot' || tagsTold(analysis).length === 0) return false;
  return takesNothing(analysis, state.policy.inForce.goesByNames !== false);
}

/** What becomes of it. */
export async function runsToldCode(
  state: SessionState,
  connection: HiddenConnection,
  analysis: Analysis,
  decision: Capturing,
): Promise<Extract<CaptureOutcome, { kind: 'without' | 'unplanned' }>> {
  const problem = await state.called.askTold(connection, tagsTold(analysis));
  return problem === null ? { kind: 'without', why: NOTHING_TAKEN } : withoutPlan(decision, problem);
}

/** Decisions as the audit is to have them, by why nothing is captured. */
const NEEDLESS = { [NOTHING_TO_CAPTURE]: new WeakMap(), [NOTHING_TAKEN]: new WeakMap() } as const;

/** The decision as the audit is to have it of a statement that is known to change nothing. */
export function needless(decision: Snapshot, why: keyof typeof NEEDLESS = NOTHING_TO_CAPTURE): Snapshot {
  const known = NEEDLESS[why] as WeakMap<Snapshot, Snapshot>;
  let found = known.get(decision);
  if (found === undefined) {
    found = noted(decision, null, why);
    known.set(decision, found);
  }
  return found;
}

/** The decision to snapshot; one that wants nothing any more where it is known already that nothing is taken away. */
export function unlessHarmless(
  state: SessionState,
  decision: Snapshot,
  analysis: Analysis,
  now: number,
): Snapshot {
  const { goesByNames } = state.policy.inForce;
  if (takesNothing(analysis, goesByNames !== false))
    return state.called.isUntold(tagsTold(analysis), now) ? needless(decision, NOTHING_TAKEN) : decision;
  return state.called.isHarmless(analysis, now) ? needless(decision) : decision;
}

const TAKEN = `none: ${NOTHING_TO_CAPTURE}`;

/** Whether a snapshot was wanted, and none taken because the statement changes nothing. */
export function isNeedless(decision: Decision): decision is Snapshot & Capturing {
  return decision.action === 'snapshot' && decision.taken === TAKEN;
}

/** Has the audit treat it as any other read where it is one. */
export function noteRead(entry: AuditEntry): void {
  if (!isNeedless(entry.decision)) return;
  const { statements } = entry.analysis;
  if (
    statements.every(({ writes, called, risk }) => writes.length === 0 && (called?.risk ?? risk) === 'safe')
  )
    entry.onlyReads = true;
}
