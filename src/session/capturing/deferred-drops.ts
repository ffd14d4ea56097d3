import { randomBytes } from 'node:crypto';
import { nowMs } from '../../base/clock.ts';
import type { ErrorFields } from '../../wire/backend.ts';
import { encodeMessage } from '../../wire/backend.ts';
import { encodeClose, encodeExecute, encodeSync } from '../../wire/frontend.ts';
import { Frontend } from '../../wire/message-type.ts';
import type { HoldDesk } from '../holding/hold.ts';
import { statementsSent } from '../known/session-effects.ts';
import { ReplyKind } from '../replies.ts';
import { noted } from '../ruling/noted.ts';
import { NOTHING, poison } from '../ruling/poison.ts';
import { internalError } from '../ruling/refusal.ts';
import { heldBackSince } from '../ruling/restrained.ts';
import { ruleWithoutPlan } from '../ruling/without-plan.ts';
import type { SessionState } from '../state.ts';
import type { Answer, Verdict } from '../verdict.ts';
import { waitForCapture } from '../waits.ts';
import { DROP_ALONE } from './capturable.ts';
import { answerLost, giveBack, tellDone } from './captured-query.ts';
import type { CommitRecord } from './commit-record.ts';
import type { Captured, DeferredDrop, SnapshotDesk } from './snapshot-desk.ts';

const SYNC = encodeSync();
const CLOSE_UNNAMED = encodeClose('P', '');
/** No client has made it, because nobody can guess its name. */
const PORTAL = `__holdfast_drops_${randomBytes(12).toString('hex')}`;

/**
 * The messages behind an Execute that drops something, and that was not sent. At the Sync the segment is ended at the
 * server, which has nothing in it that a Sync would commit, and what is dropped is moved away as for a Query; then the
 * client reads the answer to its Execute, and its Sync goes on. Drivers may close the portal before; whatever else
 * comes before the Sync, nothing could be held back from the commit of the move. What is not moved is decided again
 * by `without_plan`; where it is to run all the same, it does so in front of the message that has come.
 */
export class DeferredDrops {
  private readonly state: SessionState;
  private readonly snapshots: SnapshotDesk;
  private readonly holds: HoldDesk;
  private readonly records: CommitRecord;

  constructor(state: SessionState, snapshots: SnapshotDesk, holds: HoldDesk, records: CommitRecord) {
    this.state = state;
    this.snapshots = snapshots;
    this.holds = holds;
    this.records = records;
  }

  /** Null where the message goes on as any other. */
  before(type: number, bytes: Buffer, start: number, end: number, answer: Answer | null): Verdict {
    const { state } = this;
    const deferred = state.deferred!;
    const outcome = answer?.outcome ?? null;
    if (outcome?.kind === 'capture') return this.captured(deferred, type, outcome.captured);
    if (outcome?.kind === 'fault') {
      const { error } = outcome;
      return this.refused(
        deferred,
        type,
        internalError(error instanceof Error ? error.message : String(error)),
      );
    }
    // An error in front of it has the server discard it; and behind a Terminate nothing is committed.
    if (state.discarding || type === Frontend.Terminate) {
      state.deferred = null;
      deferred.entry.end = 'not-run';
      state.services.audit.finish(deferred.entry);
      return null;
    }
    const heldBack = answer === null ? heldBackSince(state, deferred.entry) : null;
    if (heldBack !== null) return this.refused(deferred, type, heldBack);
    if (deferred.whyNone !== null) return this.unmoved(deferred, type, answer);
    if (type === Frontend.Sync)
      return waitForCapture(this.state, null, this.snapshots.captureDeferred(deferred));
    if (type === Frontend.Close && !deferred.closed && bytes[start] === 0x50 /* P */ && end - start === 2) {
      deferred.closed = true;
      return { kind: 'replace', bytes: NOTHING };
    }
    deferred.whyNone = DROP_ALONE;
    return this.unmoved(deferred, type, answer);
  }

  private captured(deferred: DeferredDrop, type: number, captured: Captured): Verdict {
    const { state } = this;
    const { entry } = captured;
    switch (captured.kind) {
      case 'done':
        state.deferred = null;
        tellDone(state, captured.done, entry, NOTHING);
        return this.synced(deferred, []);
      case 'discarded':
        state.deferred = null;
        return null;
      case 'lost':
        state.deferred = null;
        return answerLost(state, captured, entry);
      case 'refused':
        return this.refused(deferred, type, captured.error);
      case 'unplanned':
        deferred.whyNone = captured.reason;
        return this.unmoved(deferred, type, null);
      case 'without':
        entry.decision = noted(entry.decision, null, captured.why);
        return captured.begun === true ? this.run(deferred, type) : this.recorded(deferred, type);
      case 'recorded':
        return this.run(deferred, type);
      case 'taken':
      case 'told':
        giveBack(state, captured);
        return this.refused(deferred, type, internalError('a DROP was captured'));
      default:
        throw captured satisfies never;
    }
  }

  /** It has to be decided whether it runs without a snapshot. */
  private unmoved(deferred: DeferredDrop, type: number, answer: Answer | null): Verdict {
    const { entry, bound, whyNone } = deferred;
    if (bound.decision?.snapshot === 'best_effort') {
      entry.decision = noted(entry.decision, null, whyNone ?? '');
      return this.recorded(deferred, type);
    }
    const ruling = ruleWithoutPlan(this.state, this.holds, bound.portal, entry, answer, whyNone, bound.sent);
    if (ruling.kind === 'wait') return ruling;
    return ruling.kind === 'refuse'
      ? this.refused(deferred, type, ruling.error)
      : this.recorded(deferred, type);
  }

  private recorded(deferred: DeferredDrop, type: number): Verdict {
    const { entry } = deferred;
    const heldBack = heldBackSince(this.state, entry);
    if (heldBack !== null) return this.refused(deferred, type, heldBack);
    if (this.records.isAwaited(Frontend.Execute, entry))
      return waitForCapture(this.state, null, this.records.ofStatement(entry));
    this.state.services.audit.begin(entry);
    return this.run(deferred, type);
  }

  /** The client's statement runs as it is; at its Sync by a portal of our own, since its own may be gone by then. */
  private run(deferred: DeferredDrop, type: number): Verdict {
    const { state } = this;
    const { bound, entry, execute } = deferred;
    const atSync = type === Frontend.Sync;
    state.deferred = null;
    state.executedIn = state.segment;
    if (atSync) state.replies.push(ReplyKind.Bind).hidden = true;
    const reply = state.replies.push(ReplyKind.Execute);
    reply.audit = entry;
    const { analysis, statement } = bound.portal;
    statementsSent(state, analysis, reply, statement.text, nowMs());
    if (atSync) {
      state.replies.push(ReplyKind.Close).hidden = true;
      return this.synced(deferred, [
        encodeBindWithout(bound.statement),
        encodeExecute(PORTAL, 0),
        encodeClose('P', PORTAL),
      ]);
    }
    const ahead = Buffer.concat([execute, ...this.closing(deferred)]);
    return { kind: 'wait', ahead, until: Promise.resolve({ analysis: null, outcome: null }) };
  }

  /** What the client has sent behind it, and was not passed on. */
  private closing({ closed }: DeferredDrop): readonly Buffer[] {
    if (!closed) return [];
    const { state } = this;
    const reply = state.replies.push(ReplyKind.Close);
    reply.of = 'portal';
    reply.name = '';
    state.portals.ask('', null);
    return [CLOSE_UNNAMED];
  }

  /** The client's Sync goes on behind `ahead`. */
  private synced(deferred: DeferredDrop, ahead: readonly Buffer[]): Verdict {
    const bytes = [...ahead, ...this.closing(deferred), SYNC];
    this.state.syncs();
    return { kind: 'replace', bytes: bytes.length === 1 ? SYNC : Buffer.concat(bytes) };
  }

  /** The failure comes in the place of the Execute, and leaves the transaction as any error does. */
  private refused({ entry }: DeferredDrop, type: number, error: ErrorFields): Verdict {
    const { state } = this;
    state.deferred = null;
    entry.decision = noted(entry.decision, null, error['M'] ?? '');
    const refusal = poison(state, Frontend.Execute, error, entry);
    if (type !== Frontend.Sync) return refusal;
    state.syncs();
    return { kind: 'replace', bytes: Buffer.concat([refusal.bytes, SYNC]) };
  }
}

/** A Bind of a statement, by its name as it is on the wire, that has no parameters. */
function encodeBindWithout(statement: Buffer): Buffer {
  return encodeMessage(
    Frontend.Bind,
    Buffer.concat([Buffer.from(`${PORTAL}\0`), statement, Buffer.alloc(7)]),
  );
}
