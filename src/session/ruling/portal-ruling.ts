import { nowMs } from '../../base/clock.ts';
import { Frontend } from '../../wire/message-type.ts';
import type { HoldDesk } from '../holding/hold.ts';
import { sentBefore } from '../holding/sent.ts';
import type { Portal } from '../known/names.ts';
import { NO_PORTAL, UNKNOWN_PORTAL } from '../known/opaque.ts';
import { resolveExecute } from '../known/session-effects.ts';
import { currentAnalysis, executesUnsettled, hasComeToCall, isAsDecided } from '../known/understanding.ts';
import { newEntry } from '../new-entry.ts';
import type { SessionState } from '../state.ts';
import type { Answer, Verdict } from '../verdict.ts';
import { settle, waitForAnalysis } from '../waits.ts';
import { poison } from './poison.ts';
import { ruleUncaptured } from './ruling.ts';

/** What an Execute runs by what was decided, or what becomes of its message instead. */
export type RuledPortal = Portal | Exclude<Verdict, null>;

/** A portal that the gateway has not seen bound. */
export function ruleUnknownPortal(state: SessionState, holds: HoldDesk, answer: Answer | null): RuledPortal {
  const ruling = ruleUncaptured(state, holds, UNKNOWN_PORTAL, null, 0, answer, UNKNOWN_PORTAL);
  if (ruling.kind === 'wait') return ruling;
  if (ruling.kind === 'refuse') {
    const entry = newEntry(state, 'extended', UNKNOWN_PORTAL, null, 0, ruling, nowMs());
    return poison(state, Frontend.Execute, ruling.error, entry);
  }
  return { ...NO_PORTAL, ...ruling };
}

/**
 * The portal if it runs what was decided at its Bind, or with a decision of what it has come to mean since; `hasMoved`
 * where something has run since of which an approval does not know.
 */
export function ruleAgain(
  state: SessionState,
  holds: HoldDesk,
  portal: Portal,
  hasMoved: boolean,
  answer: Answer | null,
): RuledPortal {
  if (!hasMoved && !hasComeToCall(state, portal) && isAsDecided(state, portal)) return portal;
  const read = answer?.analysis ?? currentAnalysis(state, portal.statement);
  if (read instanceof Promise) return waitForAnalysis(state, read);
  if (read.touchesSession && executesUnsettled(state, read)) return settle(state, read);
  const resolved = read.touchesSession ? resolveExecute(state, read) : read;
  const analysis = state.reads.understood(resolved, nowMs());
  const text = analysis.redacted === null ? portal.statement.text : null;
  const { parameters } = portal;
  const sent = sentBefore(portal.statement, hasMoved);
  const ruling = ruleUncaptured(state, holds, analysis, text, parameters, answer, read, sent);
  if (ruling.kind === 'wait') return ruling;
  if (ruling.kind === 'refuse') {
    const entry = newEntry(state, 'extended', analysis, text, parameters, ruling, nowMs());
    return poison(state, Frontend.Execute, ruling.error, entry);
  }
  return { ...portal, read, resolved, analysis, ...ruling, plainBy: null };
}
