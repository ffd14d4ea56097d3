import type { HoldOutcome } from '../approval/approval.ts';
import { unreachable } from '../base/assert.ts';
import type { Decision } from '../policy/decision.ts';
import type { Analysis } from '../sql/effects.ts';
import type { ErrorFields } from '../wire/backend.ts';
import type { HoldDesk } from './hold.ts';
import { blockedError, holdEndedError } from './refusal.ts';
import type { SessionState } from './state.ts';

/** What was waited for: the analysis of a large text, or the end of a hold. */
export interface Answer {
  readonly analysis: Analysis | null;
  readonly outcome:
    | null
    | {
        readonly kind: 'held';
        readonly approvalId: string | null;
        readonly holdMs: number;
        readonly end: HoldOutcome;
      }
    | { readonly kind: 'fault'; readonly error: unknown };
}

/** What becomes of a message: null forwards it as it is. */
export type Verdict =
  | null
  | { readonly kind: 'replace'; readonly bytes: Buffer }
  /** The server breaks off at the message's header, in its own words. */
  | { readonly kind: 'break' }
  /** `ahead` are bytes of ours that are sent to the server before the wait. */
  | { readonly kind: 'wait'; readonly until: Promise<Answer>; readonly ahead?: Buffer | null };

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

/** What policy says, or what has come of it where the statement was held. */
export function rule(
  state: SessionState,
  holds: HoldDesk,
  analysis: Analysis,
  text: string | null,
  parameters: number,
  answer: Answer | null,
  read: Analysis,
): Ruling {
  const decision = state.decide(analysis);
  const end = answer?.outcome?.kind === 'held' ? answer.outcome : null;
  switch (decision.action) {
    case 'allow':
    case 'snapshot':
      return { kind: 'run', decision, approvalId: end?.approvalId ?? null, holdMs: end?.holdMs ?? 0 };
    case 'block':
      return {
        kind: 'refuse',
        decision,
        error: blockedError(decision, analysis),
        approvalId: null,
        holdMs: 0,
      };
    case 'hold': {
      if (end === null)
        return { kind: 'wait', until: holds.hold(analysis, decision, text, parameters, read) };
      const { approvalId, holdMs } = end;
      if (end.end.kind === 'approved') return { kind: 'run', decision, approvalId, holdMs };
      return {
        kind: 'refuse',
        decision,
        error: holdEndedError(end.end, decision, approvalId),
        approvalId,
        holdMs,
      };
    }
    default:
      return unreachable(decision);
  }
}
