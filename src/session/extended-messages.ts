import type { AuditEntry } from '../audit/event.ts';
import { nowMs } from '../base/clock.ts';
import { LIMITS } from '../base/limits.ts';
import type { Decision } from '../policy/decision.ts';
import type { Analysis, StatementEffects, TransactionVerb } from '../sql/effects.ts';
import { encodeMessage } from '../wire/backend.ts';
import { bindParameterCount, stringEnd } from '../wire/frontend.ts';
import { Frontend } from '../wire/message-type.ts';
import type { ApprovedPortals } from './approved-portals.ts';
import { isWatched } from './approved-rows.ts';
import { watchExecute } from './approved-run.ts';
import { besideBound } from './bound-beside.ts';
import { isNeedless, noteRead } from './called-code-run.ts';
import { DROP_ALONE, isDrop, problemOfBoundDrop } from './capturable.ts';
import { runCaptured } from './captured-query.ts';
import type { CommitRecord } from './commit-record.ts';
import { countDecision, startOfMessage } from './decision-time.ts';
import type { Doubts } from './doubts.ts';
import type { HiddenQueries } from './hidden-queries.ts';
import type { HoldDesk } from './hold.ts';
import { messageKey } from './message-key.ts';
import { charsOf, type Portal, UNSETTLED } from './names.ts';
import { newEntry } from './new-entry.ts';
import { noted } from './noted.ts';
import { mayBeNothing } from './nothing-dropped.ts';
import { NO_STATEMENT, UNKNOWN_STATEMENT } from './opaque.ts';
import { NOTHING, poison, probeUnknown, refuse } from './poison.ts';
import { ruleAgain, ruleUnknownPortal } from './portal-ruling.ts';
import { driftError, noPlanError, tooLargeError, tooManyNamesError, unreadableNameError } from './refusal.ts';
import { type Reply, ReplyKind } from './replies.ts';
import { refusedByRestraint } from './restrained.ts';
import type { RowCounts } from './row-counts.ts';
import { rule } from './ruling.ts';
import { mayBeHeld, type Sent, sentBind } from './sent.ts';
import { resolveExecute, statementsSent } from './session-effects.ts';
import type { BoundDrop, Captured, Planned, SnapshotDesk } from './snapshot-desk.ts';
import type { SessionState } from './state.ts';
import { isReadAlike } from './text-encoding.ts';
import {
  currentAnalysis,
  executedBy,
  executesUnsettled,
  mayComeToCall,
  plansUnseenCode,
} from './understanding.ts';
import type { Answer, Verdict } from './verdict.ts';
import { settle, waitForAnalysis, waitForCapture, waitForPlan } from './waits.ts';
import { ruleWithoutPlan } from './without-plan.ts';

const NOT_AS_BOUND = 'what its portal runs was not so when it was bound';

const ENDS_BLOCK: ReadonlySet<TransactionVerb> = new Set(['commit', 'rollback', 'prepare']);

function verbOf({ session }: StatementEffects): TransactionVerb | null {
  for (const effect of session) if (effect.kind === 'transaction') return effect.verb;
  return null;
}

/** What a portal is made of beside what was decided. */
type Understood = Pick<Portal, 'read' | 'resolved' | 'analysis' | 'statement' | 'parameters'>;

/** What Bind and Execute, by which the extended query protocol runs statements, mean to the session. */
export class ExtendedMessages {
  private readonly state: SessionState;
  private readonly hidden: HiddenQueries;
  private readonly holds: HoldDesk;
  private readonly snapshots: SnapshotDesk;
  private readonly records: CommitRecord;
  private readonly doubts: Doubts;
  private readonly counts: RowCounts;
  /** Portals of captured statements that have run. */
  private readonly ran = new WeakSet<Portal>();
  private readonly approved: ApprovedPortals;

  constructor(
    state: SessionState,
    hidden: HiddenQueries,
    holds: HoldDesk,
    snapshots: SnapshotDesk,
    records: CommitRecord,
    doubts: Doubts,
    counts: RowCounts,
    approved: ApprovedPortals,
  ) {
    this.state = state;
    this.hidden = hidden;
    this.holds = holds;
    this.snapshots = snapshots;
    this.records = records;
    this.doubts = doubts;
    this.counts = counts;
    this.approved = approved;
  }

  /**
   * The decision is made here and not at Execute, because planning already runs functions. It holds for every
   * Execute of the portal that runs what was decided.
   */
  bind(bytes: Buffer, start: number, end: number, answer: Answer | null, missingBytes: number): Verdict {
    const { replies, portals, statements } = this.state;
    const planned = answer?.outcome?.kind === 'planned' ? answer.outcome.planned : null;
    if (planned !== null && planned.kind !== 'unplanned') return this.bindPlanned(planned);
    const portalEnd = stringEnd(bytes, start, end);
    const nameEnd = portalEnd < 0 ? -1 : stringEnd(bytes, portalEnd + 1, end);
    if (nameEnd < 0) {
      if (end - start >= LIMITS.nameBytes - 5)
        return refuse(this.state, Frontend.Bind, tooLargeError('a name', LIMITS.nameBytes));
      replies.push(ReplyKind.Bind);
      return null;
    }
    const portal = messageKey(this.state, bytes, start, portalEnd);
    const name = messageKey(this.state, bytes, portalEnd + 1, nameEnd);
    if (portal === null || name === null) return refuse(this.state, Frontend.Bind, unreadableNameError());
    if (this.state.bound !== null && this.state.bound.name !== portal) {
      const beside = besideBound(this.state, Frontend.Bind);
      if (beside !== null) return beside;
    }
    const statement = statements.lookup(name);
    if (statement === UNSETTLED) return settle(this.state, null);
    const tooMany = portals.fullFor(portal, statement === null ? 0 : charsOf(statement));
    if (tooMany !== null) return refuse(this.state, Frontend.Bind, tooManyNamesError('portals', tooMany));
    const read =
      answer?.analysis ?? (statement === null ? UNKNOWN_STATEMENT : currentAnalysis(this.state, statement));
    if (read instanceof Promise) return waitForAnalysis(this.state, read);
    if (read.touchesSession && executesUnsettled(this.state, read)) return settle(this.state, read);
    const resolved = read.touchesSession ? resolveExecute(this.state, read) : read;
    const began = startOfMessage(this.state);
    const { reads } = this.state;
    const isRead = reads.concerns(resolved);
    const looking = isRead ? this.doubts.beforeRead(resolved, answer, began) : null;
    if (looking !== null) return looking;
    const analysis = isRead ? reads.understood(resolved, began) : resolved;
    const learning = this.doubts.beforeWrite(analysis, answer, began);
    if (learning !== null) return learning;
    const text = statement === null || analysis.redacted !== null ? null : statement.text;
    const parameters = Math.max(bindParameterCount(bytes, nameEnd + 1, end), 0);
    const decision = this.state.decide(analysis);
    if (statement === null) {
      if (decision.action !== 'allow')
        return probeUnknown(this.state, bytes.toString('latin1', portalEnd + 1, nameEnd));
    }
    const captures = this.snapshots.takes(decision);
    const counts = statement !== null && this.counts.wants(analysis);
    const wantsAll = captures || counts || mayBeHeld(this.state, decision);
    if (wantsAll && missingBytes > 0) {
      const wholeBytes = end - start + missingBytes;
      if (wholeBytes <= LIMITS.capturedBindBytes) return { kind: 'whole' };
      return refuse(this.state, Frontend.Bind, tooLargeError('what is bound', LIMITS.capturedBindBytes));
    }
    const unseen =
      planned?.reason ?? (isDrop(analysis) ? problemOfBoundDrop(statement ?? NO_STATEMENT, analysis) : null);
    const sent = wantsAll ? sentBind(statement, bytes, start, end, portalEnd + 1, nameEnd) : null;
    if (counts) {
      const asked = { text: statement.text, parameters, bound: sent?.bound ?? null, facts: statement.facts };
      return this.counts.count(analysis, read, asked);
    }
    if (statement !== null && unseen === null && sent !== null) {
      const understood = { read, resolved, analysis, statement, parameters };
      const nothing = this.bindNothing(portal, understood, text, sent, answer);
      if (nothing !== undefined) return nothing;
    }
    const ruling = rule(this.state, this.holds, analysis, text, parameters, answer, read, unseen, sent);
    countDecision(this.state, began);
    if (ruling.kind === 'wait') return ruling;
    if (ruling.kind === 'refuse') {
      const entry = newEntry(this.state, 'extended', analysis, text, parameters, ruling, began);
      return poison(this.state, Frontend.Bind, ruling.error, entry);
    }
    const known = this.snapshots.unlessNeedless(ruling.decision, analysis, began);
    const understood = { read, resolved, analysis, statement: statement ?? NO_STATEMENT, parameters };
    const made = this.portalOf(understood, known, ruling.approvalId, ruling.holdMs, false);
    if (!captures || !this.snapshots.takes(made.decision)) return this.bound(portal, made);
    // What the server refuses as malformed makes no portal.
    const bound = sent?.bound ?? null;
    if (bound === null) return this.bound(portal, made);
    const entry = newEntry(this.state, 'extended', analysis, text, parameters, ruling, began);
    const plan = { name: portal, portal: made, decision: made.decision, ...bound, entry, sent };
    return waitForPlan(this.state, read, this.snapshots.plan(plan));
  }

  /** All portals have the same fields in the same order, because one is made for every statement. */
  private portalOf(
    { read, resolved, analysis, statement, parameters }: Understood,
    decision: Decision,
    approvalId: string | null,
    holdMs: number,
    dropsNothing: boolean,
  ): Portal {
    const { state } = this;
    return {
      statement,
      read,
      executed: executedBy(state, read),
      epoch: state.epoch,
      resolved,
      mayComeToCall: state.reads.concerns(resolved) && mayComeToCall(state, read, resolved, analysis),
      analysis,
      decision,
      parameters,
      approvalId,
      holdMs,
      dropsNothing,
    };
  }

  /**
   * Where nothing is there that it drops, its Execute is put off, and taken back if it drops anything after all. Undefined
   * where it is decided as any other.
   */
  private bindNothing(
    name: string,
    understood: Understood,
    text: string | null,
    sent: Sent,
    answer: Answer | null,
  ): Verdict | undefined {
    const { state, doubts } = this;
    const nothing = mayBeNothing(state, understood.analysis, text);
    if (nothing === null || text === null || sent.bound === null) return undefined;
    const utf8 = Buffer.from(text, 'utf8');
    if (!isReadAlike(state, understood.statement.facts, utf8)) return undefined;
    const asking = doubts.beforeDrop(utf8, answer);
    if (asking !== null) return asking;
    if (!doubts.dropsNothing) return undefined;
    const portal = this.portalOf(understood, state.decide(nothing), null, 0, true);
    this.bound(name, portal);
    state.bound = {
      drop: true,
      sent,
      name,
      portal,
      decision: null,
      text: utf8,
      statement: sent.bound.statement,
    };
    return null;
  }

  private bindPlanned(planned: Exclude<Planned, { kind: 'unplanned' }>): Verdict {
    if (planned.kind === 'discarded') return { kind: 'replace', bytes: NOTHING };
    if (planned.kind === 'refused') {
      const { entry, error } = planned;
      entry.decision = noted(entry.decision, null, error['M'] ?? '');
      return poison(this.state, Frontend.Bind, error, entry);
    }
    this.bound(planned.name, planned.portal);
    this.state.bound = planned.bound;
    return null;
  }

  /** The Bind is sent as it is. */
  private bound(name: string, portal: Portal): null {
    const { replies, portals } = this.state;
    const reply = replies.push(ReplyKind.Bind);
    reply.of = 'portal';
    reply.name = name;
    reply.portal = portal;
    portals.ask(name, portal);
    if (portal.analysis.touchesSession && plansUnseenCode(portal)) {
      const known = this.state.called.knownOf(portal.analysis, nowMs());
      if (known !== 'leaves settings') this.state.codeRuns('names', known === null);
    }
    this.approved.bound(name, portal);
    this.state.bound = null;
    return null;
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
    const closed = known === null ? null : this.approved.refusal(known);
    if (closed !== null) return closed;
    const portal =
      known === null
        ? ruleUnknownPortal(state, holds, answer)
        : (this.doubts.beforePortal(known, answer) ??
          ruleAgain(state, holds, known, this.approved.hasMoved(known), answer));
    if (!('analysis' in portal)) return portal;
    const { analysis } = portal;
    const text = analysis.redacted === null ? portal.statement.text : null;
    const entry = newEntry(
      this.state,
      'extended',
      analysis,
      text,
      portal.parameters,
      portal,
      startOfMessage(state),
    );
    noteRead(entry);
    // What was decided at Bind may be held back by now, a write that has begun to run as well.
    const heldBack = refusedByRestraint(this.state, analysis);
    if (heldBack !== null) {
      this.state.bound = null;
      entry.decision = heldBack.decision;
      return poison(this.state, Frontend.Execute, heldBack.error, entry);
    }
    const isFirst = !this.ran.has(portal);
    if (portal.dropsNothing) {
      if (bound?.portal === portal && 'drop' in bound)
        return this.defer(bound, entry, bytes.subarray(start, end));
      return poison(this.state, Frontend.Execute, driftError(NOT_AS_BOUND, false), entry);
    }
    if (isFirst && this.snapshots.takes(portal.decision)) {
      if (bound?.portal === portal) {
        if ('drop' in bound) return this.defer(bound, entry, bytes.subarray(start, end));
        if (captured === null && answer?.outcome?.kind !== 'held') {
          this.executes(analysis);
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
      this.executes(analysis);
      const again = this.snapshots.lookAgain(entry, portal.decision);
      return waitForCapture(this.state, null, this.records.ofCaptured(Frontend.Execute, again));
    }
    this.executes(analysis);
    // What was decided of it only now may be an approval of so many rows.
    if (isFirst && isWatched(entry.decision, analysis)) {
      const watched = watchExecute(state, this.hidden, entry);
      return waitForCapture(state, null, this.records.ofCaptured(Frontend.Execute, watched));
    }
    if (this.records.isAwaited(Frontend.Execute, entry))
      return waitForCapture(this.state, null, this.records.ofStatement(entry));
    const reply = this.state.replies.push(ReplyKind.Execute);
    if (analysis.status !== 'empty') this.begin(reply, entry);
    statementsSent(this.state, analysis, reply, portal.statement.text, entry.startedAtMs);
    if (known !== null && known.approvalId !== null) this.approved.executed(name, known, entry);
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

  /** An Execute in this segment is sent. What begins a transaction leaves nothing that a Sync would commit. */
  private executes({ statements }: Analysis): void {
    const { state } = this;
    const only = statements.length === 1 ? statements[0]! : null;
    // Most statements have none of these effects.
    const verb = only !== null && only.session.length > 0 ? verbOf(only) : null;
    if (verb !== null && ENDS_BLOCK.has(verb)) state.endsBlock = true;
    if (verb === 'begin') state.begunIn = state.segment;
    else state.executedIn = state.segment;
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
