import { encodeFlush } from '../../wire/frontend.ts';
import { ReplyKind } from '../replies.ts';
import type { SessionState } from '../state.ts';

const FLUSH = encodeFlush();

/** What answers nothing that has run, so that queries of ours may be sent behind it in the same segment. */
const RUNS_NOTHING: ReadonlySet<ReplyKind> = new Set([
  ReplyKind.Parse,
  ReplyKind.Bind,
  ReplyKind.Describe,
  ReplyKind.Close,
  ReplyKind.Hidden,
]);

/** Waits until a query of ours can be sent in the client's segment, and its status is known; or until it is not to be known. */
export async function untilSegmentFits(state: SessionState): Promise<void> {
  // What stands in front of the message is sent by then.
  await Promise.resolve();
  let flushed = false;
  // What comes while the server copies in is refused at its header.
  while (!segmentFits(state) && !state.copyingIn && !mayOweNothing(state)) {
    // What has run may wait in the server for a Flush.
    if (!flushed && state.replies.segmentOpen) state.upstream.write(FLUSH);
    flushed = true;
    await state.untilAnswered();
  }
}

/**
 * Waits until the server has answered all that was sent in front of a Query; or until it copies in, or it is not to be known
 * what it owes.
 */
export async function untilQuiet(state: SessionState): Promise<void> {
  while (!state.owesNothing() && !state.copyingIn && !mayOweNothing(state)) await state.untilAnswered();
}

/** Only Syncs are left that a COPY may have swallowed: what is waited for may never come. */
export function mayOweNothing({ replies }: SessionState): boolean {
  for (let i = 0; i < replies.length; i++) {
    const { kind, swallowed } = replies.at(i);
    if (kind !== ReplyKind.CopyEnd && !(kind === ReplyKind.Sync && swallowed)) return false;
  }
  return true;
}

export function segmentFits(state: SessionState): boolean {
  const { replies } = state;
  if (state.owesNothing()) return true;
  for (let i = 0; i < replies.length; i++) if (!RUNS_NOTHING.has(replies.at(i).kind)) return false;
  return true;
}

/**
 * Whether the client's segment may be ended ahead of its own Sync, once all of it has been answered: where no transaction
 * is open, that would commit what has run, and take portals away. A Query that waits takes the unnamed one away by itself.
 */
export function mayEndSegment(state: SessionState, isAheadOfQuery = false): boolean {
  if (state.bound !== null || state.deferred !== null) return false;
  if (state.isInBlock || (state.begunIn === state.segment && !state.endsBlock)) return true;
  const hasPortals = (!isAheadOfQuery && state.portals.lookup('') !== null) || state.portals.size > 0;
  return state.executedIn !== state.segment && !hasPortals;
}
