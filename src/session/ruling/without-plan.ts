import type { AuditEntry } from '../../audit/event.ts';
import type { HoldDesk } from '../holding/hold.ts';
import type { Sent } from '../holding/sent.ts';
import type { Portal } from '../known/names.ts';
import type { SessionState } from '../state.ts';
import type { Answer } from '../verdict.ts';
import { noted, wantsSnapshot } from './noted.ts';
import { type Ruling, rule } from './ruling.ts';

/**
 * What runs by a portal and turns out to have no plan only now is decided again, and its event says so. `why` is null
 * where whoever has approved it has been told the reason.
 */
export function ruleWithoutPlan(
  state: SessionState,
  holds: HoldDesk,
  portal: Portal,
  entry: AuditEntry,
  answer: Answer | null,
  why: string | null,
  sent: Sent | null,
): Ruling {
  const { analysis, statement, parameters, read } = portal;
  const text = analysis.redacted === null ? statement.text : null;
  const ruling = rule(state, holds, analysis, text, parameters, answer, read, why, sent);
  if (ruling.kind === 'wait') return ruling;
  const { decision } = ruling;
  entry.decision = wantsSnapshot(decision) ? noted(decision, null, why ?? '') : decision;
  entry.approvalId = ruling.approvalId ?? entry.approvalId;
  entry.holdMs += ruling.holdMs;
  return ruling;
}
