import { nowMs } from '../base/clock.ts';
import { LIMITS } from '../base/limits.ts';
import type { Decision } from '../policy/decision.ts';
import { bindParameterCount, stringEnd } from '../wire/frontend.ts';
import { Frontend } from '../wire/message-type.ts';
import { besideBound } from './capturing/bound-beside.ts';
import { isDrop, problemOfBoundDrop } from './capturing/capturable.ts';
import { losslessBound } from './capturing/lossless.ts';
import type { Planned, SnapshotDesk } from './capturing/snapshot-desk.ts';
import { countAlike, countDecision, startOfAlike, startOfMessage } from './decision-time.ts';
import type { ApprovedPortals } from './holding/approved-portals.ts';
import type { HoldDesk } from './holding/hold.ts';
import { mayBeHeld, type Sent, sentBind } from './holding/sent.ts';
import type { Doubts } from './known/doubts.ts';
import { messageKey } from './known/message-key.ts';
import { charsOf, type Portal, UNSETTLED } from './known/names.ts';
import { NO_STATEMENT, UNKNOWN_STATEMENT } from './known/opaque.ts';
import { resolveExecute } from './known/session-effects.ts';
import { isReadAlike } from './known/text-encoding.ts';
import {
  currentAnalysis,
  executedBy,
  executesUnsettled,
  mayComeToCall,
  plansUnseenCode,
} from './known/understanding.ts';
import { newEntry } from './new-entry.ts';
import { ReplyKind } from './replies.ts';
import { noted } from './ruling/noted.ts';
import { circumstancesOf, isPlain } from './ruling/plain-portal.ts';
import { NOTHING, poison, probeUnknown, refuse } from './ruling/poison.ts';
import { tooLargeError, tooManyNamesError, unreadableNameError } from './ruling/refusal.ts';
import type { RowCounts } from './ruling/row-counts.ts';
import { rule } from './ruling/ruling.ts';
import type { SessionState } from './state.ts';
import type { Answer, Verdict } from './verdict.ts';
import { settle, waitForAnalysis, waitForPlan } from './waits.ts';

/** What a portal is made of beside what was decided. */
type Understood = Pick<Portal, 'read' | 'resolved' | 'analysis' | 'statement' | 'parameters'>;

/** Whether nothing has run since the Parse of that name. */
function isFresh({ parsedName, parsedIn, segment, executedIn }: SessionState, name: string): boolean {
  return parsedIn === segment && parsedName === name && executedIn !== segment;
}

/** What a Bind means to the session: the statement that it makes a portal of is decided here. */
export class BindMessages {
  private readonly state: SessionState;
  private readonly holds: HoldDesk;
  private readonly snapshots: SnapshotDesk;
  private readonly doubts: Doubts;
  private readonly counts: RowCounts;
  private readonly approved: ApprovedPortals;

  constructor(
    state: SessionState,
    holds: HoldDesk,
    snapshots: SnapshotDesk,
    doubts: Doubts,
    counts: RowCounts,
    approved: ApprovedPortals,
  ) {
    this.state = state;
    this.holds = holds;
    this.snapshots = snapshots;
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
    const parameters = Math.max(bindParameterCount(bytes, nameEnd + 1, end), 0);
    const last = answer === null && statement !== null ? (statement.plain ?? null) : null;
    if (last !== null && last.parameters === parameters && isPlain(this.state, last))
      return this.bindPlain(portal, last);
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
      const nothing = this.bindLossless(portal, name, understood, text, sent, answer);
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
    if (answer === null && statement !== null && made.plainBy !== null && !wantsAll) statement.plain = made;
    if (!captures || !this.snapshots.takes(made.decision)) return this.bound(portal, made);
    // What the server refuses as malformed makes no portal.
    const bound = sent?.bound ?? null;
    if (bound === null) return this.bound(portal, made);
    const entry = newEntry(this.state, 'extended', analysis, text, parameters, ruling, began);
    const goesAhead = (describes: boolean) => {
      this.bound(portal, made);
      if (describes) this.state.replies.push(ReplyKind.Describe);
    };
    const plan = { name: portal, portal: made, decision: made.decision, ...bound, entry, sent, goesAhead };
    return waitForPlan(this.state, read, this.snapshots.plan(plan));
  }

  /** The portal is the one that this statement had before. */
  private bindPlain(name: string, portal: Portal): Verdict {
    const began = startOfAlike(this.state);
    const learning = this.doubts.beforeWrite(portal.analysis, null, began);
    if (learning !== null) return learning;
    countAlike(this.state, began);
    return this.bound(name, portal);
  }

  /** All portals have the same fields in the same order, because one is made for every statement. */
  private portalOf(
    understood: Understood,
    decision: Decision,
    approvalId: string | null,
    holdMs: number,
    losesNothing: boolean,
  ): Portal {
    const { state } = this;
    const { read, resolved, analysis, statement, parameters } = understood;
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
      losesNothing,
      plainBy: losesNothing ? null : circumstancesOf(state, understood, decision, approvalId),
    };
  }

  /**
   * Where it loses nothing as things stand, its Execute is put off, and taken back if it loses anything after all. Undefined
   * where it is decided as any other.
   */
  private bindLossless(
    name: string,
    statementName: string,
    understood: Understood,
    text: string | null,
    sent: Sent,
    answer: Answer | null,
  ): Verdict | undefined {
    const { state, doubts } = this;
    const { analysis, statement } = understood;
    if (text === null || sent.bound === null) return undefined;
    const ways = losslessBound(state, analysis, text, {
      bind: sent.bound.bind,
      statement,
      name: sent.bound.statement,
      isFresh: isFresh(state, statementName),
    });
    const utf8 = Buffer.from(text, 'utf8');
    if (ways.length === 0 || !isReadAlike(state, statement.facts, utf8)) return undefined;
    const asking = doubts.beforeLoss(ways, answer);
    if (asking !== null) return asking;
    const { lossless } = doubts;
    if (lossless === null) return undefined;
    const portal = this.portalOf(understood, state.decide(lossless.analysis), null, 0, true);
    this.bound(name, portal);
    const { statement: wireName } = sent.bound;
    state.bound = {
      drop: true,
      sent,
      name,
      portal,
      decision: null,
      lossless,
      text: utf8,
      statement: wireName,
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
    const { state } = this;
    const { name, portal, bound } = planned;
    if (bound !== null && 'sentAhead' in bound && bound.sentAhead !== undefined) {
      state.answeredAhead = [...bound.sentAhead];
      state.bound = bound;
      return { kind: 'replace', bytes: NOTHING };
    }
    this.bound(name, portal);
    state.bound = bound;
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
}
