import { unreachable } from '../../base/assert.ts';
import { nowMs } from '../../base/clock.ts';
import type { Decision, Hold, Snapshot, WithoutPlan } from '../../policy/decision.ts';
import { type Analysis, worseRisk } from '../../sql/effects.ts';
import { NOT_KEPT } from '../../sql/named/drop-target.ts';
import type { ErrorFields } from '../../wire/backend.ts';
import { isDrop } from '../capturing/capturable.ts';
import { commits } from '../capturing/commit-record.ts';
import { problemOf } from '../capturing/split/split-text.ts';
import { needless } from '../code/called-code-run.ts';
import type { HoldDesk } from '../holding/hold.ts';
import type { Sent } from '../holding/sent.ts';
import type { SessionState } from '../state.ts';
import type { Answer } from '../verdict.ts';
import { noted, wantsSnapshot, whyNone } from './noted.ts';
import { auditFailedError, blockedError, holdEndedError, noPlanError } from './refusal.ts';
import { refusedByRestraint } from './restrained.ts';

/** What was decided of a statement: it goes on, it is refused, or the decision is yet to come. */
export type Ruling =
  | {
      readonly kind: 'run';
      readonly decision: Decision;
      readonly approvalId: string | null;
      readonly holdMs: number;
    }
  | {
      readonly kind: 'refuse';
      readonly decision: Decision;
      readonly error: ErrorFields;
      readonly approvalId: string | null;
      readonly holdMs: number;
    }
  | { readonly kind: 'wait'; readonly until: Promise<Answer> };

const BLOCKED: WithoutPlan = { kind: 'block' };

const NOT_SEEN = 'it runs what the gateway has not read as text';

/** As `rule`, for a statement of which no snapshot can be taken because of the way that it comes. */
export function ruleUncaptured(
  state: SessionState,
  holds: HoldDesk,
  analysis: Analysis,
  text: string | null,
  parameters: number,
  answer: Answer | null,
  read: Analysis,
  sent: Sent | null = null,
): Ruling {
  const isHarmless = state.called.isHarmless(analysis, nowMs());
  const unseen = isHarmless ? null : NOT_SEEN;
  const ruling = rule(state, holds, analysis, text, parameters, answer, read, unseen, sent);
  if (ruling.kind !== 'run' || !wantsSnapshot(ruling.decision)) return ruling;
  if (state.services.snapshots === null) return ruling;
  const { decision } = ruling;
  if (isHarmless && decision.action === 'snapshot') return { ...ruling, decision: needless(decision) };
  if (decision.snapshot === 'best_effort') return { ...ruling, decision: noted(decision, null, NOT_SEEN) };
  return { ...ruling, kind: 'refuse', error: noPlanError(decision, NOT_SEEN) };
}

/**
 * What is to be approved: where it is known by now that there will be no snapshot, although there ought to be one, to
 * go on without.
 */
function toApprove(state: SessionState, decision: Hold, analysis: Analysis, unseen: string | null): Hold {
  if (state.services.snapshots === null || decision.snapshot !== 'required') return decision;
  const isMoved = isDrop(analysis) && analysis.statements.length === 1;
  const problem = unseen ?? (isMoved ? unmoved(analysis) : problemOf(state, analysis));
  return problem === null ? decision : noted(decision, null, problem);
}

/** Of a role nothing else is tried, so that nobody is asked twice. */
const unmoved = ({ operation }: Analysis): string | null => (operation === 'drop role' ? NOT_KEPT : null);

/** A hold in the place of a snapshot that cannot be taken. */
function heldInstead(
  { rule, reason, risk, wouldBe, draft, counted, snapshot }: Snapshot,
  terms: HeldTerms,
  why: string,
): Hold {
  const { kind: _, ...held } = terms;
  const ground = {
    ...{ rule, reason, risk, wouldBe },
    ...(draft === undefined ? {} : { draft }),
    ...(counted === undefined ? {} : { counted }),
  };
  return noted({ ...ground, action: 'hold', ...held, snapshot, withoutPlan: terms }, null, why);
}

type HeldTerms = Extract<WithoutPlan, { readonly kind: 'hold' }>;

type Held = Extract<Answer['outcome'], { readonly kind: 'held' }>;

/** Whether the approval is one of what is to be decided by now, since policy and settings may have moved meanwhile. */
function isApproved(held: Held, decision: Hold): boolean {
  const { approved } = held;
  if (decision.taken !== undefined && approved.taken === undefined) return false;
  if (approved.rule !== decision.rule || approved.approvals < decision.approvals) return false;
  if (String(approved.approvers) !== String(decision.approvers)) return false;
  return worseRisk(approved.risk, decision.risk) === approved.risk;
}

/**
 * What was decided of a statement; while the audit cannot be stored, only reads go on. Others wait a little for the
 * store, unless they have waited for anything already.
 */
export function rule(
  state: SessionState,
  holds: HoldDesk,
  analysis: Analysis,
  text: string | null,
  parameters: number,
  answer: Answer | null,
  read: Analysis,
  unseen: string | null = null,
  sent: Sent | null = null,
): Ruling {
  const ruled = decided(state, holds, analysis, text, parameters, answer, read, unseen, sent);
  const ruling = unlessStalled(state, ruled);
  if (ruling.kind !== 'run' || !state.services.audit.failing || onlyReads(state, analysis)) return ruling;
  const { textFacts: facts } = state;
  if (answer === null) {
    const until = state.services.audit.whenWorking().then(() => ({ analysis: read, facts, outcome: null }));
    return { kind: 'wait', until };
  }
  return { ...ruling, kind: 'refuse', error: auditFailedError() };
}

const STALLED = 'the storage of the snapshots does not answer';

/** What may do without a snapshot waits for none behind a storage that does not answer. */
function unlessStalled({ services }: SessionState, ruling: Ruling): Ruling {
  if (ruling.kind !== 'run' || services.snapshots?.stalls() !== true) return ruling;
  const { decision } = ruling;
  if (!wantsSnapshot(decision) || decision.snapshot !== 'best_effort') return ruling;
  return { ...ruling, decision: noted(decision, null, STALLED) };
}

/** Whether a statement changes nothing, nor commits a change that is not recorded. */
function onlyReads(state: SessionState, analysis: Analysis): boolean {
  if (analysis.risk !== 'safe') return false;
  return !commits(analysis) || state.services.audit.isRecorded(state.identity);
}

/** Whether nothing stands against a statement but what may be put on the role; `why` there will be no snapshot of it. */
function goesOn({ services }: SessionState, decision: Decision, why: string | null): boolean {
  if (decision.action === 'allow') return true;
  if (decision.action !== 'snapshot') return false;
  return why === null || decision.snapshot !== 'required' || services.snapshots === null;
}

/** What policy says, or what has come of it where the statement was held. */
function decided(
  state: SessionState,
  holds: HoldDesk,
  analysis: Analysis,
  text: string | null,
  parameters: number,
  answer: Answer | null,
  read: Analysis,
  unseen: string | null,
  sent: Sent | null,
): Ruling {
  const decision = state.decide(analysis);
  if (answer?.outcome?.kind === 'ended')
    return { kind: 'refuse', decision, error: answer.outcome.error, approvalId: null, holdMs: 0 };
  const ended = state.policy.counted?.ended ?? null;
  if (ended !== null) {
    const error = holdEndedError(ended, decision, null);
    return { kind: 'refuse', decision, error, approvalId: null, holdMs: 0 };
  }
  if (answer === null && goesOn(state, decision, unseen)) {
    const refused = refusedByRestraint(state, analysis);
    return refused === null
      ? { kind: 'run', decision, approvalId: null, holdMs: 0 }
      : { kind: 'refuse', ...refused, approvalId: null, holdMs: 0 };
  }
  const { restraints } = state.services;
  const held = answer?.outcome?.kind === 'held' ? answer.outcome : null;
  const approvalId = held?.approvalId ?? null;
  const holdMs = held?.holdMs ?? 0;
  if (held !== null && held.end.kind !== 'approved') {
    // Somebody said no, or nobody yes: whatever policy says by now, that stands.
    const error = holdEndedError(held.end, held.approved, approvalId);
    if (held.end.kind === 'denied') restraints.attempted(state.facts, analysis.operation);
    return { kind: 'refuse', decision: held.approved, error, approvalId, holdMs };
  }
  const refused = refusedByRestraint(state, analysis);
  if (refused !== null) return { kind: 'refuse', ...refused, approvalId, holdMs };
  // Whoever has approved it has been told why there will be no snapshot.
  const why = unseen ?? (held === null ? null : whyNone(held.approved));
  const refuseFor = (refused: Snapshot | Hold, reason: string): Ruling => {
    const error = noPlanError(refused, reason);
    return { kind: 'refuse', decision: noted(refused, null, reason), error, approvalId, holdMs };
  };
  const askFor = (asked: Hold): Ruling => {
    if (held !== null && isApproved(held, asked)) {
      const { approvedRows } = held.approved;
      const decision = approvedRows === undefined ? asked : Object.freeze({ ...asked, approvedRows });
      return { kind: 'run', decision, approvalId, holdMs };
    }
    return { kind: 'wait', until: holds.hold({ analysis, decision: asked, text, parameters, read, sent }) };
  };
  switch (decision.action) {
    case 'allow':
      return { kind: 'run', decision, approvalId, holdMs };
    case 'snapshot': {
      if (why === null || goesOn(state, decision, why)) return { kind: 'run', decision, approvalId, holdMs };
      const planless = decision.withoutPlan ?? BLOCKED;
      if (planless.kind === 'allow')
        return { kind: 'run', decision: noted(decision, null, why), approvalId, holdMs };
      return planless.kind === 'block'
        ? refuseFor(decision, why)
        : askFor(heldInstead(decision, planless, why));
    }
    case 'block':
      restraints.attempted(state.facts, analysis.operation);
      return { kind: 'refuse', decision, error: blockedError(decision, analysis), approvalId, holdMs };
    case 'hold': {
      const asked = toApprove(state, decision, analysis, why);
      const problem = whyNone(asked);
      return problem !== null && decision.withoutPlan?.kind === 'block'
        ? refuseFor(decision, problem)
        : askFor(asked);
    }
    default:
      return unreachable(decision);
  }
}
