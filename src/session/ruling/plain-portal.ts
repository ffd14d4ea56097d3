import type { Decision } from '../../policy/decision.ts';
import type { TextFacts } from '../../sql/effects.ts';
import { isNeedless } from '../code/called-code-run.ts';
import type { Portal } from '../known/names.ts';
import type { SessionState } from '../state.ts';
import type { SessionPolicy } from './bound-policy.ts';

/** What a decision hangs on beside the epoch of the session. */
export interface Circumstances {
  readonly policy: SessionPolicy;
  readonly facts: TextFacts;
}

/**
 * Most of what comes is let through as it was a moment before: the same prepared statement, decided by the same policy,
 * with nothing that has to be looked up, captured, counted or approved. Its portal is *plain*: a decision that was made
 * once is the one that would be made again, for as long as what it hangs on is the same, and is not made again.
 *
 * What is known of the tables that it writes is not among that, since it counts for a while only, and is looked at each time.
 */
export function isPlain(state: SessionState, portal: Portal): boolean {
  const { plainBy } = portal;
  if (plainBy === null || portal.epoch !== state.epoch) return false;
  return plainBy.facts === state.textFacts && plainBy.policy === state.policy.inForce && isCalm(state);
}

/** Nothing is refused but what policy refuses, and no rows were counted for the message. */
export function isCalm({ services, facts, policy }: SessionState): boolean {
  return policy.counted === null && !services.audit.failing && services.restraints.of(facts) === null;
}

/** What a portal was decided by that is being made, if it is plain. */
export function circumstancesOf(
  state: SessionState,
  { read, resolved, analysis }: Pick<Portal, 'read' | 'resolved' | 'analysis'>,
  decision: Decision,
  approvalId: string | null,
): Circumstances | null {
  if (read !== resolved || read !== analysis || read.touchesSession || approvalId !== null) return null;
  if (!state.takesQueries || !isCalm(state) || !isLetThrough(state, decision)) return null;
  if (state.reads.concerns(resolved)) return null;
  return { policy: state.policy.inForce, facts: state.textFacts };
}

/** Whether a decision stands for every statement of its like, and lets it pass. */
export function isLetThrough({ services }: SessionState, decision: Decision): boolean {
  if (decision.counted !== undefined) return false;
  if (decision.action === 'allow') return true;
  // Where no snapshots are taken, the decision to take one lets it pass.
  return decision.action === 'snapshot' && services.snapshots === null && !isNeedless(decision);
}
