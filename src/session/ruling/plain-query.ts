import type { Decision } from '../../policy/decision.ts';
import type { Analysis } from '../../sql/effects.ts';
import type { ShapePieces } from '../../sql/recent/shape-pieces.ts';
import { writesTables } from '../code/written-tables.ts';
import { followsOther } from '../known/session-effects.ts';
import type { SessionState } from '../state.ts';
import type { SessionPolicy } from './bound-policy.ts';
import { isCalm, isLetThrough } from './plain-portal.ts';

/**
 * What was decided of a Query once, and would be again of every text of its shape, as of a plain portal: policy lets it
 * through, and nothing has to be looked up, captured, counted, approved or recorded first. What changes by the moment is
 * looked at each time, and named here.
 */
export interface PlainQuery {
  readonly policy: SessionPolicy;
  readonly analysis: Analysis;
  /** As a ruling has these. */
  readonly decision: Decision;
  readonly approvalId: null;
  readonly holdMs: 0;
  /** It has to be known of the tables that it writes what code they run. */
  readonly writes: boolean;
  /** Reading may lead to code that its text does not show. */
  readonly mayLeadToCode: boolean;
  /** What it does to the transaction, or runs of what was sent before, is to be followed. */
  readonly isFollowed: boolean;
  /** It changes nothing and ends nothing. */
  readonly onlyReads: boolean;
}

/** Sessions of so many policies share what was decided of a shape. */
const POLICIES_MAX = 4;

/** What was decided of texts of that shape by the policy of the session; null where that is not known. */
export function plainQueryOf(state: SessionState, { notes }: ShapePieces): PlainQuery | null {
  const known = notes.decided as readonly PlainQuery[] | null;
  if (known === null) return null;
  const policy = state.policy.inForce;
  for (let i = 0; i < known.length; i++)
    if (known[i]!.policy === policy) return isCalm(state) ? known[i]! : null;
  return null;
}

/** Keeps what has just been decided of a text of that shape at its first sight, if all of them are to be decided alike. */
export function keepPlainQuery(
  state: SessionState,
  shape: ShapePieces,
  analysis: Analysis,
  decision: Decision,
  mayLeadToCode: boolean,
): void {
  const { status, statements, touchesSession, redacted } = analysis;
  if (status !== 'parsed' || statements.length !== 1 || touchesSession || redacted !== null) return;
  if (!state.takesQueries || !isCalm(state) || !isLetThrough(state, decision)) return;
  const plain: PlainQuery = {
    policy: state.policy.inForce,
    analysis,
    decision,
    approvalId: null,
    holdMs: 0,
    writes: writesTables(analysis),
    mayLeadToCode,
    isFollowed: followsOther(statements[0]!),
    onlyReads: analysis.risk === 'safe' && decision.action === 'allow' && statements[0]!.session.length === 0,
  };
  const others = ((shape.notes.decided as readonly PlainQuery[] | null) ?? []).filter(
    ({ policy }) => policy !== plain.policy,
  );
  shape.notes.decided = [plain, ...others.slice(0, POLICIES_MAX - 1)];
}

/** Whether nothing stands against the message that comes next, of whatever kind, but what a COPY may have swallowed. */
export function isAtEase(state: SessionState): boolean {
  if (state.discarding || state.copyingIn || state.copyDoubt !== 'none' || state.gateAtSync !== null)
    return false;
  return state.deferred === null && state.answeredAhead.length === 0 && !state.inDoubt;
}

/** Whether nothing is under way either with which a Query may mean something else than by itself. */
export function isAtRest(state: SessionState): boolean {
  const { replies } = state;
  return replies.length === 0 && !replies.segmentOpen && state.bound === null && isAtEase(state);
}
