import { Frontend } from '../../wire/message-type.ts';
import { HiddenQueryEnded } from '../hidden/hidden-exchange.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { segmentFits, untilSegmentFits } from '../hidden/segment-fits.ts';
import { isAsciiName } from '../known/names.ts';
import { poison } from '../ruling/poison.ts';
import { boundBesideError } from '../ruling/refusal.ts';
import type { SessionState } from '../state.ts';
import type { Answer, Verdict } from '../verdict.ts';
import { settle } from '../waits.ts';
import type { BoundDrop, BoundPortal } from './snapshot-desk.ts';

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

/**
 * The portal that a Sync would commit without its Execute is closed ahead of that, since what was deferred to the commit may
 * fetch from it. It would go with its transaction. Null where the Sync may be sent.
 */
export function closeBound(state: SessionState, hidden: HiddenQueries): Verdict {
  const { bound } = state;
  if (bound === null || !runsBound(state)) return null;
  // Its name on the wire is not kept, and may be written otherwise there.
  if (!isAsciiName(bound.name) || TRIED.has(bound))
    return poison(state, Frontend.Sync, boundBesideError(), null);
  TRIED.add(bound);
  return { kind: 'wait', until: close(state, hidden, bound.name) };
}

/** Those that were to be closed. */
const TRIED = new WeakSet<BoundPortal | BoundDrop>();

async function close(state: SessionState, hidden: HiddenQueries, name: string): Promise<Answer> {
  await untilSegmentFits(state);
  const isClear = !state.copyingIn && segmentFits(state);
  if (isClear && !state.discarding) await hidden.closePortals([name], 'flush').catch(unlessDiscarded);
  // What has failed gives all portals up.
  if (isClear || state.discarding) state.bound = null;
  return { analysis: null, outcome: null };
}

function unlessDiscarded(error: unknown): void {
  if (!(error instanceof HiddenQueryEnded && error.why === 'discarded')) throw error;
}

/** Whether a Sync may run such a portal. */
function runsBound({ bound, executedIn, segment, inImplicitBlock, isInBlock }: SessionState): boolean {
  return (
    bound?.decision?.snapshot === 'required' && (executedIn === segment || inImplicitBlock) && !isInBlock
  );
}
