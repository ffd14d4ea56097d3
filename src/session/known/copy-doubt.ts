import { randomBytes } from 'node:crypto';
import { encodeClose, encodeFlush, encodeSync } from '../../wire/frontend.ts';
import { Frontend } from '../../wire/message-type.ts';
import { ReplyKind, type ReplyQueue } from '../replies.ts';
import type { SessionState } from '../state.ts';
import type { Answer, Verdict } from '../verdict.ts';

/**
 * A Sync that is sent while the server copies in is swallowed, but one that it reads after the COPY has failed is
 * answered; and where the COPY failed is not to be seen from outside. As long as only Syncs and data follow, that
 * does no harm. But a message behind such a Sync is run by the one reading and discarded by the other, so it waits
 * for what has become of the COPY; and if it has failed, the server is asked which of the Syncs it has read.
 *
 * - none: no Sync is in doubt.
 * - open: an error has ended a COPY behind which Syncs had been sent, and no ReadyForQuery has come since.
 * - asked: as open, and a question is on its way to the server.
 */

/** What may come while the server copies in, and needs no answer to what has become of the COPY. */
export const PART_OF_COPY = new Uint8Array(256);
for (const type of [
  Frontend.Sync,
  Frontend.Flush,
  Frontend.Terminate,
  Frontend.CopyData,
  Frontend.CopyDone,
  Frontend.CopyFail,
]) {
  PART_OF_COPY[type] = 1;
}

const FLUSH = encodeFlush();
const SYNC = encodeSync();
/** Closes a portal that nobody can have made, so that all it does is to be answered. */
const QUESTION = Buffer.concat([
  SYNC,
  encodeClose('P', `__holdfast_asks_${randomBytes(12).toString('hex')}`),
  SYNC,
]);

/** Whether a COPY whose outcome has not come may have swallowed a Sync that stands in front of the next message. */
export function awaitsCopy(replies: ReplyQueue): boolean {
  let sync = false;
  let data = false;
  for (let i = replies.length - 1; i >= 0; i--) {
    const reply = replies.at(i);
    switch (reply.kind) {
      case ReplyKind.CopyEnd:
        // A Sync behind the end of the COPY is answered whatever has become of it.
        if (sync) return false;
        data = true;
        break;
      case ReplyKind.Sync:
        sync = true;
        data ||= reply.dataBehind;
        break;
      case ReplyKind.Execute:
        // Without data behind the Sync the server can go on only if the COPY failed in front of it.
        return sync && data;
      default:
        return false;
    }
  }
  return false;
}

/** Where a message cannot be decided before it is known which Syncs the server has read: the wait for that. */
export function waitForCopy(state: SessionState, answer: Answer | null): Verdict {
  const { copyDoubt, replies } = state;
  if (copyDoubt === 'none' && !awaitsCopy(replies)) return null;
  const until = state.untilAnswered().then(() => answer ?? { analysis: null, outcome: null });
  if (copyDoubt === 'open') return { kind: 'wait', until, ahead: ask(state) };
  // What has become of a COPY that has all its data may wait in the server for a Flush.
  const ahead = answer === null && replies.tail?.kind === ReplyKind.CopyEnd ? FLUSH : null;
  return { kind: 'wait', until, ahead };
}

/**
 * The server answers as many Syncs as it has read behind the error, then the first of the question, then its Close.
 * The last Sync leaves it as a Sync leaves it.
 */
function ask(state: SessionState): Buffer {
  const { replies } = state;
  state.copyDoubt = 'asked';
  state.readyWhileAsked = 0;
  for (const kind of [ReplyKind.Sync, ReplyKind.Close, ReplyKind.Sync]) replies.push(kind).hidden = true;
  return QUESTION;
}

/**
 * The server has begun to copy in, for the head of the queue: it swallows the Syncs behind. Returns whether it
 * waits for more data, which it does not where the end of it, or something else, has been sent already.
 */
export function swallowSyncs(replies: ReplyQueue): boolean {
  let count = 1;
  while (count < replies.length && replies.at(count).kind === ReplyKind.Sync) count++;
  const next = count < replies.length ? replies.at(count).kind : null;
  if (next !== null && next !== ReplyKind.CopyEnd) {
    // At that the server breaks off, unless it has failed before: then it reads the Syncs that no data follows.
    while (count > 1 && !replies.at(count - 1).dataBehind) count--;
  }
  for (let i = 1; i < count; i++) replies.at(i).swallowed = true;
  return next === null;
}

/** The COPY has taken all its data, so every Sync before the end of it was swallowed. */
export function endCopyIn(replies: ReplyQueue): void {
  while (replies.length > 0 && (replies.head!.swallowed || replies.head!.kind === ReplyKind.CopyEnd)) {
    const { kind } = replies.head!;
    replies.shift();
    if (kind === ReplyKind.CopyEnd) return;
  }
}

/** As `endCopyIn`, for a Query, which stays at the head: its next statement may copy in as well. */
export function endCopyInOfQuery(replies: ReplyQueue): void {
  replies.head!.copyIn = false;
  for (let i = 1; i < replies.length; i++) {
    const { kind, swallowed } = replies.at(i);
    if (kind === ReplyKind.CopyEnd) return replies.removeBehindHead(i);
    if (!swallowed) return;
  }
}

/** An error has ended the COPY at the head: whether it is open which Syncs behind it the server has swallowed. */
export function leavesDoubt(replies: ReplyQueue): boolean {
  let doubt = false;
  for (let i = 1; i < replies.length; i++) {
    const { kind, swallowed } = replies.at(i);
    if (kind === ReplyKind.CopyEnd) continue;
    // Behind a Sync that is surely answered both readings are the same again.
    if (kind !== ReplyKind.Sync || !swallowed) return false;
    doubt = true;
  }
  return doubt;
}
