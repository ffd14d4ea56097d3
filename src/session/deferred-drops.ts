import type { ErrorFields } from '../wire/backend.ts';
import { encodeClose, encodeSync } from '../wire/frontend.ts';
import { Frontend } from '../wire/message-type.ts';
import { DROP_ALONE } from './capturable.ts';
import { answerLost, giveBack, tellDone } from './captured-query.ts';
import { noted } from './noted.ts';
import { NOTHING, poison } from './poison.ts';
import { internalError, noPlanError } from './refusal.ts';
import { ReplyKind } from './replies.ts';
import type { Captured, DeferredDrop, SnapshotDesk } from './snapshot-desk.ts';
import type { SessionState } from './state.ts';
import type { Answer, Verdict } from './verdict.ts';
import { waitForCapture } from './waits.ts';

const SYNC = encodeSync();
const CLOSE_UNNAMED = encodeClose('P', '');

/**
 * The messages behind an Execute that drops something, and that was not sent. At the Sync the segment is ended at the
 * server, which has nothing in it that a Sync would commit, and what is dropped is moved away as for a Query; then the
 * client reads the answer to its Execute, and its Sync goes on. Drivers may close the portal before; whatever else
 * comes before the Sync, the DROP is refused, because nothing could be held back from the commit of the move.
 */
export class DeferredDrops {
  private readonly state: SessionState;
  private readonly snapshots: SnapshotDesk;

  constructor(state: SessionState, snapshots: SnapshotDesk) {
    this.state = state;
    this.snapshots = snapshots;
  }

  /** Null where the message goes on as any other. */
  before(type: number, bytes: Buffer, start: number, end: number, answer: Answer | null): Verdict {
    const { state } = this;
    const deferred = state.deferred!;
    const outcome = answer?.outcome ?? null;
    if (outcome?.kind === 'capture') return this.synced(deferred, outcome.captured);
    if (outcome?.kind === 'fault') {
      const { error } = outcome;
      return this.refused(deferred, internalError(error instanceof Error ? error.message : String(error)));
    }
    // An error in front of it has the server discard it; and behind a Terminate nothing is committed.
    if (state.discarding || type === Frontend.Terminate) {
      state.deferred = null;
      deferred.entry.end = 'not-run';
      state.services.audit.finish(deferred.entry);
      return null;
    }
    if (type === Frontend.Sync)
      return waitForCapture(this.state, null, this.snapshots.captureDeferred(deferred));
    if (type === Frontend.Close && !deferred.closed && bytes[start] === 0x50 /* P */ && end - start === 2) {
      deferred.closed = true;
      return { kind: 'replace', bytes: NOTHING };
    }
    state.deferred = null;
    const { entry, bound } = deferred;
    const error = noPlanError(bound.decision, DROP_ALONE);
    entry.decision = noted(entry.decision, null, error['M'] ?? '');
    return poison(state, Frontend.Execute, error, entry);
  }

  private synced(deferred: DeferredDrop, captured: Captured): Verdict {
    const { state } = this;
    const { entry } = captured;
    switch (captured.kind) {
      case 'done':
        state.deferred = null;
        tellDone(state, captured.done, entry, NOTHING);
        return this.behind(deferred);
      case 'discarded':
        state.deferred = null;
        return null;
      case 'lost':
        state.deferred = null;
        return answerLost(state, captured, entry);
      case 'refused':
        return this.refused(deferred, captured.error);
      case 'unplanned':
        return this.refused(deferred, noPlanError(deferred.bound.decision, captured.reason));
      case 'without':
        return this.refused(deferred, noPlanError(deferred.bound.decision, captured.why));
      case 'taken':
      case 'recorded':
      case 'told':
        giveBack(state, captured);
        return this.refused(deferred, internalError('a DROP was captured'));
      default:
        throw captured satisfies never;
    }
  }

  private behind({ closed }: DeferredDrop): Verdict {
    const { state } = this;
    if (closed) {
      const reply = state.replies.push(ReplyKind.Close);
      reply.of = 'portal';
      reply.name = '';
      state.portals.ask('', null);
    }
    state.syncs();
    return { kind: 'replace', bytes: closed ? Buffer.concat([CLOSE_UNNAMED, SYNC]) : SYNC };
  }

  /** The failure comes in the place of the Execute, and leaves the transaction as any error does. */
  private refused({ entry }: DeferredDrop, error: ErrorFields): Verdict {
    const { state } = this;
    state.deferred = null;
    entry.decision = noted(entry.decision, null, error['M'] ?? '');
    const { bytes } = poison(state, Frontend.Execute, error, entry);
    state.syncs();
    return { kind: 'replace', bytes: Buffer.concat([bytes, SYNC]) };
  }
}
