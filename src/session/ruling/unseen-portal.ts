import { HiddenQueryError } from '../../catalog/connection.ts';
import { encodeErrorResponse } from '../../wire/backend.ts';
import { HiddenQueryEnded } from '../hidden/hidden-exchange.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { segmentFits, untilSegmentFits } from '../hidden/segment-fits.ts';
import { mayBeHeld } from '../holding/sent.ts';
import { UNKNOWN_PORTAL } from '../known/opaque.ts';
import type { SessionState } from '../state.ts';
import type { Answer, Verdict } from '../verdict.ts';
import { refusedByRestraint } from './restrained.ts';

/**
 * The wait, in front of the Execute of a portal that the gateway has not seen bound and that would be held, for whether
 * there is one. Mostly there is none, because it has gone with its transaction, and the client is owed that error at
 * once. Describe tells, and runs nothing. Null where nobody would be asked about it.
 */
export function beforeUnseenPortal(
  state: SessionState,
  hidden: HiddenQueries,
  name: Buffer,
  answer: Answer | null,
): Verdict {
  if (answer !== null || !state.takesQueries) return null;
  if (!mayBeHeld(state, state.decide(UNKNOWN_PORTAL))) return null;
  if (refusedByRestraint(state, UNKNOWN_PORTAL) !== null) return null;
  return { kind: 'wait', until: isThere(state, hidden, name) };
}

async function isThere(state: SessionState, hidden: HiddenQueries, name: Buffer): Promise<Answer> {
  const unsaid: Answer = { analysis: null, outcome: null };
  await untilSegmentFits(state);
  if (state.copyingIn || state.discarding || state.fatal || !segmentFits(state)) return unsaid;
  // A Sync of ours would end the block that is none.
  if (state.inImplicitBlock && !state.replies.segmentOpen) return unsaid;
  try {
    await hidden.describePortal(name, state.replies.segmentOpen ? 'flush' : 'sync');
    return unsaid;
  } catch (error) {
    await state.untilHiddenOver();
    if (error instanceof HiddenQueryEnded) return unsaid;
    if (!(error instanceof HiddenQueryError)) throw error;
    if (!state.discarding) return { analysis: null, outcome: { kind: 'ended', error: error.fields } };
    // Inside a segment it is one of the client's errors, with which the server discards up to its Sync.
    state.inject(encodeErrorResponse(error.fields, state.clientEncoding));
    return unsaid;
  }
}
