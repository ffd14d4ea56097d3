import { Frontend } from '../wire/message-type.ts';
import { noted } from './noted.ts';
import { poison } from './poison.ts';
import { ReplyKind } from './replies.ts';
import { applySessionEffects } from './session-effects.ts';
import type { Captured } from './snapshot-desk.ts';
import type { SessionState } from './state.ts';
import type { Verdict } from './verdict.ts';

/** Sends a Query whose rows were captured, or that goes on without; or refuses it. */
export function runCaptured(state: SessionState, captured: Captured): Verdict {
  const { entry } = captured;
  if (captured.kind === 'refused') {
    entry.decision = noted(entry.decision, null, captured.error['M'] ?? '');
    return poison(state, Frontend.Query, captured.error, entry);
  }
  if (captured.kind === 'without') entry.decision = noted(entry.decision, null, captured.why);
  state.closeSegment();
  const reply = state.replies.push(ReplyKind.Query);
  reply.analysis = entry.analysis;
  reply.decision = entry.decision;
  state.services.audit.begin(entry);
  if (entry.analysis.touchesSession) applySessionEffects(state, entry.analysis, reply);
  if (captured.kind === 'without') {
    reply.audit = entry;
    return null;
  }
  reply.gate = captured.gate;
  return { kind: 'gate', until: captured.gate.over };
}
