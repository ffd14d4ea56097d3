import { poison } from './poison.ts';
import { boundBesideError } from './refusal.ts';
import type { SessionState } from './state.ts';
import type { Verdict } from './verdict.ts';
import { settle } from './waits.ts';

/**
 * A portal that has to be captured runs by its Execute alone: SQL's FETCH would run it as well. So nothing else
 * runs between its Bind and its Execute, or the end of its transaction. Null where this may.
 */
export function besideBound(state: SessionState, type: number): Verdict {
  const owes = !state.replies.segmentOpen && !state.owesNothing();
  if (owes && state.replies.tail?.swallowed !== true) return settle(state, null);
  if (state.bound?.decision?.snapshot === 'required') return poison(state, type, boundBesideError(), null);
  state.bound = null;
  return null;
}

/** Whether a Sync may run such a portal: what was deferred to the commit may fetch from it. */
export function runsBound({ bound, executedIn, segment, inImplicitBlock, isInBlock }: SessionState): boolean {
  return (
    bound?.decision?.snapshot === 'required' && (executedIn === segment || inImplicitBlock) && !isInBlock
  );
}
