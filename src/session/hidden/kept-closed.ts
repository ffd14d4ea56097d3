import { assert } from '../../base/assert.ts';
import { stringEnd } from '../../wire/frontend.ts';
import { Frontend } from '../../wire/message-type.ts';
import type { SessionState } from '../state.ts';
import type { Verdict } from '../verdict.ts';
import { HiddenQueryEnded } from './hidden-exchange.ts';
import type { HiddenQueries } from './hidden-queries.ts';
import { segmentFits, untilSegmentFits } from './segment-fits.ts';

/** The wait for the Close of what is kept as the unnamed statement, ahead of a message that names it; null for any other. */
export function beforeUnnamed(
  state: SessionState,
  hidden: HiddenQueries,
  type: number,
  bytes: Buffer,
  start: number,
  end: number,
): Verdict {
  if (!namesUnnamed(type, bytes, start, end)) return null;
  return { kind: 'wait', until: close(state, hidden).then(() => ({ analysis: null, outcome: null })) };
}

/** What is not there whole, or malformed, is taken for such a message, which does no harm. */
function namesUnnamed(type: number, bytes: Buffer, start: number, end: number): boolean {
  switch (type) {
    case Frontend.Parse:
      return start >= end || bytes[start] === 0;
    case Frontend.Bind: {
      const portalEnd = stringEnd(bytes, start, end);
      return portalEnd < 0 || portalEnd + 1 >= end || bytes[portalEnd + 1] === 0;
    }
    case Frontend.Describe:
    case Frontend.Close:
      return bytes[start] !== PORTAL && (start + 1 >= end || bytes[start + 1] === 0);
    default:
      return false;
  }
}

const PORTAL = 0x50;

/** Where the server discards, it stays, and what follows in the segment runs nothing. */
async function close(state: SessionState, hidden: HiddenQueries): Promise<void> {
  await untilSegmentFits(state);
  if (state.discarding || state.copyingIn) return;
  assert(segmentFits(state), 'it is clear what a COPY has swallowed where a statement is named');
  // A Sync of ours would end the block that is none.
  const isInside = state.replies.segmentOpen || state.inImplicitBlock;
  try {
    await hidden.closeKept(isInside ? 'flush' : 'sync');
    hidden.kept.closed();
  } catch (error) {
    if (!(error instanceof HiddenQueryEnded && (state.discarding || state.copyingIn))) throw error;
  }
}
