import type { AuditEntry } from '../audit/event.ts';
import { nowMs } from '../base/clock.ts';
import type { Analysis, StatementEffects, TransactionVerb } from '../sql/effects.ts';
import { encodeMessage } from '../wire/backend.ts';
import { stringEnd } from '../wire/frontend.ts';
import { Frontend } from '../wire/message-type.ts';
import { besideBound } from './capturing/bound-beside.ts';
import { DROP_ALONE } from './capturing/capturable.ts';
import { runCaptured } from './capturing/captured-query.ts';
import type { CommitRecord } from './capturing/commit-record.ts';
import type { BoundDrop, Captured, SnapshotDesk } from './capturing/snapshot-desk.ts';
import { isNeedless, noteRead } from './code/called-code-run.ts';
import { startOfMessage } from './decision-time.ts';
import type { HiddenQueries } from './hidden/hidden-queries.ts';
import type { ApprovedPortals } from './holding/approved-portals.ts';
import { isWatched } from './holding/approved-rows.ts';
import { watchExecute } from './holding/approved-run.ts';
import type { HoldDesk } from './holding/hold.ts';
import type { Doubts } from './known/doubts.ts';
import { messageKey } from './known/message-key.ts';
import { type Portal, UNSETTLED } from './known/names.ts';
import { statementsSent } from './known/session-effects.ts';
import { newEntry } from './new-entry.ts';
import { type Reply, ReplyKind } from './replies.ts';
import { noted } from './ruling/noted.ts';
import { isPlain } from './ruling/plain-portal.ts';
import { NOTHING, poison, refuse } from './ruling/poison.ts';
import { ruleAgain, ruleUnknownPortal } from './ruling/portal-ruling.ts';
import { driftError, noPlanError, unreadableNameError } from './ruling/refusal.ts';
import { refusedByRestraint } from './ruling/restrained.ts';
import { beforeUnseenPortal } from './ruling/unseen-portal.ts';
import { ruleWithoutPlan } from './ruling/without-plan.ts';
import type { SessionState } from './state.ts';
import type { Answer, Verdict } from './verdict.ts';
import { settle, waitForCapture } from './waits.ts';

const NOT_AS_BOUND = 'what its portal runs was not so when it was bound';

const ENDS_BLOCK: ReadonlySet<TransactionVerb> = new Set(['commit', 'rollback', 'prepare']);

function verbOf({ session }: StatementEffects): TransactionVerb | null {
  for (const effect of session) if (effect.kind === 'transaction') return effect.verb;
  return null;
}

/** The event of an Execute of that portal. */
export function entryOf(state: SessionState, portal: Portal): AuditEntry {
  const { analysis, statement, parameters } = portal;
  const text = analysis.redacted === null ? statement.text : null;
  return newEntry(state, 'extended', analysis, text, parameters, portal, startOfMessage(state));
}

/** An Execute in this segment is sent. What begins a transaction leaves nothing that a Sync would commit. */
export function noteExecuted(state: SessionState, { status, statements }: Analysis): void {
  // The server does nothing, and makes no block of that and what comes behind it.
  if (status === 'empty') return;
  const only = statements.length === 1 ? statements[0]! : null;
  // Most statements have none of these effects.
  const verb = only !== null && only.session.length > 0 ? verbOf(only) : null;
  if (verb !== null && ENDS_BLOCK.has(verb)) state.endsBlock = true;
  if (verb === 'begin') state.begunIn = state.segment;
  else state.executedIn = state.segment;
}

/** What an Execute means to the session: it runs what was decided at its Bind, or what has become of that. */
export class ExecuteMessages {
  private readonly state: SessionState;
  private readonly hidden: HiddenQueries;
  private readonly holds: HoldDesk;
  private readonly snapshots: SnapshotDesk;
  private readonly records: CommitRecord;
  private readonly doubts: Doubts;
  private readonly approved: ApprovedPortals;
  /** Portals of captured statements that have run. */
  private readonly ran = new WeakSet<Portal>();

  constructor(
    state: SessionState,
    hidden: HiddenQueries,
    holds: HoldDesk,
    snapshots: SnapshotDesk,
    records: CommitRecord,
    doubts: Doubts,
    approved: ApprovedPortals,
  ) {
    this.state = state;
    this.hidden = hidden;
    this.holds = holds;
    this.snapshots = snapshots;
    this.records = records;
    this.doubts = doubts;
    this.approved = approved;
  }

  execute(bytes: Buffer, start: number, end: number, answer: Answer | null): Verdict {
    const nameEnd = stringEnd(bytes, start, end);
    if (nameEnd < 0 || end - nameEnd !== 5) {
      this.state.replies.push(ReplyKind.Execute);
      return null;
    }
    const name = messageKey(this.state, bytes, start, nameEnd);
    if (name === null) return refuse(this.state, Frontend.Execute, unreadableNameError());
    const captured = answer?.outcome?.kind === 'capture' ? answer.outcome.captured : null;
    if (captured !== null && captured.kind !== 'unplanned') return this.run(captured, name);
    const { bound } = this.state;
    if (bound !== null && bound.name !== name) {
      const beside = besideBound(this.state, Frontend.Execute);
      if (beside !== null) return beside;
    }
    const known = this.state.portals.lookup(name);
    if (known === UNSETTLED) return settle(this.state, null);
    const { state, holds } = this;
    if (known !== null && answer === null && bound === null && isPlain(state, known))
      return this.send(known, entryOf(state, known));
    if (known === null) {
      const portalName = Buffer.from(bytes.subarray(start, nameEnd));
      const asking = beforeUnseenPortal(state, this.hidden, portalName, answer);
      if (asking !== null) return asking;
    }
    const closed = known === null ? null : this.approved.refusal(known);
    if (closed !== null) return closed;
    const portal =
      known === null
        ? ruleUnknownPortal(state, holds, answer)
        : (this.doubts.beforePortal(known, answer) ??
          ruleAgain(state, holds, known, this.approved.hasMoved(known), answer));
    if (!('analysis' in portal)) return portal;
    const { analysis } = portal;
    const entry = entryOf(state, portal);
    noteRead(entry);
    if (answer?.outcome?.kind === 'ended') {
      this.state.bound = null;
      return poison(this.state, Frontend.Execute, answer.outcome.error, entry);
    }
    // What was decided at Bind may be held back by now, a write that has begun to run as well.
    const heldBack = refusedByRestraint(this.state, analysis);
    if (heldBack !== null) {
      this.state.bound = null;
      entry.decision = heldBack.decision;
      return poison(this.state, Frontend.Execute, heldBack.error, entry);
    }
    if (portal.losesNothing) {
      if (bound?.portal === portal && 'drop' in bound)
        return this.defer(bound, entry, bytes.subarray(start, end));
      return poison(this.state, Frontend.Execute, driftError(NOT_AS_BOUND, false), entry);
    }
    // Of what is neither captured nor counted it does not matter.
    const { action, counted } = portal.decision;
    const isFirst = (action === 'allow' && counted === undefined) || !this.ran.has(portal);
    if (isFirst && this.snapshots.takes(portal.decision)) {
      if (bound?.portal === portal) {
        if ('drop' in bound) return this.defer(bound, entry, bytes.subarray(start, end));
        if (captured === null && answer?.outcome?.kind !== 'held') {
          noteExecuted(this.state, analysis);
          const capture = this.snapshots.captureBound(bound, entry);
          return waitForCapture(this.state, null, this.records.ofCaptured(Frontend.Execute, capture));
        }
        const refused = this.planGone(portal, entry, answer, captured?.reason ?? null);
        if (refused !== null) return refused;
      } else if (portal.decision.snapshot === 'required') {
        return poison(this.state, Frontend.Execute, noPlanError(portal.decision, NOT_AS_BOUND), entry);
      } else entry.decision = noted(entry.decision, null, NOT_AS_BOUND);
    }
    if (
      isNeedless(portal.decision) &&
      captured === null &&
      !this.state.called.isHarmless(analysis, nowMs())
    ) {
      noteExecuted(this.state, analysis);
      const again = this.snapshots.lookAgain(entry, portal.decision);
      return waitForCapture(this.state, null, this.records.ofCaptured(Frontend.Execute, again));
    }
    // What was decided of it only now may be an approval of so many rows.
    if (isFirst && isWatched(entry.decision, analysis)) {
      noteExecuted(this.state, analysis);
      const watched = watchExecute(state, this.hidden, entry);
      return waitForCapture(state, null, this.records.ofCaptured(Frontend.Execute, watched));
    }
    const sent = this.send(portal, entry);
    if (sent === null && known !== null && known.approvalId !== null)
      this.approved.executed(name, known, entry);
    return sent;
  }

  /** Nothing stands against it any more but that it may have to be recorded first. */
  private send({ analysis, statement }: Portal, entry: AuditEntry): Verdict {
    const { state, records } = this;
    noteExecuted(this.state, analysis);
    if (records.isAwaited(Frontend.Execute, entry))
      return waitForCapture(state, null, records.ofStatement(entry));
    const reply = state.replies.push(ReplyKind.Execute);
    if (analysis.status !== 'empty') this.begin(reply, entry);
    statementsSent(state, analysis, reply, statement.text, entry.startedAtMs);
    return null;
  }

  /** What had a plan at its Bind has none any more, so that it is decided again. Null where it runs without. */
  private planGone(portal: Portal, entry: AuditEntry, answer: Answer | null, why: string | null): Verdict {
    const { state, holds } = this;
    const ruling = ruleWithoutPlan(state, holds, portal, entry, answer, why, state.bound?.sent ?? null);
    if (ruling.kind === 'wait') return ruling;
    state.bound = null;
    if (ruling.kind === 'refuse') return poison(state, Frontend.Execute, ruling.error, entry);
    this.ran.add(portal);
    return null;
  }

  /** The Execute of a DROP is not sent, and what it does is done ahead of the Sync behind it. */
  private defer(bound: BoundDrop, entry: AuditEntry, body: Buffer): Verdict {
    const { state } = this;
    state.bound = null;
    const whyNone = state.executedIn === state.segment ? DROP_ALONE : null;
    state.deferred = { bound, entry, execute: encodeMessage(Frontend.Execute, body), closed: false, whyNone };
    return { kind: 'replace', bytes: NOTHING };
  }

  /** A write runs whole at the first Execute of its portal, and what comes by another is what was left of its rows. */
  private run(captured: Captured, name: string): Verdict {
    const { bound } = this.state;
    this.state.bound = null;
    if (bound !== null && captured.kind !== 'refused' && captured.kind !== 'unplanned') {
      this.ran.add(bound.portal);
      this.approved.hasRun(name, bound.portal);
    }
    const verdict = runCaptured(this.state, Frontend.Execute, captured);
    const watched = bound === null ? this.state.portals.lookup(name) : null;
    if (watched === null || watched === UNSETTLED) return verdict;
    if (captured.kind === 'taken') {
      this.ran.add(watched);
      this.approved.hasRun(name, watched);
    } else if (verdict === null) this.approved.executed(name, watched, captured.entry);
    return verdict;
  }

  private begin(reply: Reply, entry: AuditEntry): void {
    reply.audit = entry;
    this.state.services.audit.begin(entry);
  }
}
