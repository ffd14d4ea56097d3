import type { AuditEntry } from '../../audit/event.ts';
import { nowMs } from '../../base/clock.ts';
import { encodeMessage, encodeReadyForQuery, rowsOfCommandTag } from '../../wire/backend.ts';
import { encodeFlush } from '../../wire/frontend.ts';
import { Backend, Frontend } from '../../wire/message-type.ts';
import { doneOtherwise, statementsSent } from '../known/session-effects.ts';
import { ReplyKind } from '../replies.ts';
import { noted } from '../ruling/noted.ts';
import { NOTHING, poison } from '../ruling/poison.ts';
import { noPlanError } from '../ruling/refusal.ts';
import type { SessionState } from '../state.ts';
import type { Verdict } from '../verdict.ts';
import type { CaptureOutcome, Done } from './capture-run.ts';
import type { Captured } from './snapshot-desk.ts';

/** What was captured for a statement that the server would discard is not needed. */
export function giveBack(state: SessionState, captured: Captured): void {
  if (captured.kind === 'taken') captured.gate.discarded();
  if (captured.kind !== 'recorded') return;
  captured.entry.end = 'not-run';
  state.services.audit.finish(captured.entry);
}

/** With it the server tells at once how an Execute ended. */
const FLUSH = encodeFlush();

const OWED = {
  [Frontend.Query]: ReplyKind.Query,
  [Frontend.Execute]: ReplyKind.Execute,
  [Frontend.FunctionCall]: ReplyKind.FunctionCall,
} as const;

/** Sends what runs a statement whose rows were captured, or that goes on without; or refuses it. */
export function runCaptured(state: SessionState, type: keyof typeof OWED, captured: Captured): Verdict {
  const { entry } = captured;
  if (captured.kind === 'discarded') {
    // Between two segments the server discards nothing, so that this is a fault of ours; it runs nothing.
    if (type !== Frontend.Execute) throw new Error('a capture was discarded outside of a segment');
    return { kind: 'replace', bytes: NOTHING };
  }
  if (captured.kind === 'refused') {
    entry.decision = noted(entry.decision, null, captured.error['M'] ?? '');
    return poison(state, type, captured.error, entry);
  }
  if (captured.kind === 'unplanned') {
    const error = noPlanError(entry.decision, captured.reason);
    entry.decision = noted(entry.decision, null, captured.reason);
    return poison(state, type, error, entry);
  }
  if (captured.kind === 'done') return answerDone(state, captured.done, entry);
  if (captured.kind === 'told') return { kind: 'replace', bytes: NOTHING };
  if (captured.kind === 'lost') return answerLost(state, captured, entry);
  if (captured.kind === 'without') entry.decision = noted(entry.decision, null, captured.why);
  const isQuery = type === Frontend.Query;
  if (type !== Frontend.Execute) state.closeSegment();
  const reply = state.replies.push(OWED[type]);
  if (isQuery) {
    reply.analysis = entry.analysis;
    reply.decision = entry.decision;
  }
  const isBegun = captured.kind === 'recorded' || (captured.kind === 'without' && captured.begun === true);
  if (!isBegun) state.services.audit.begin(entry);
  statementsSent(state, entry.analysis, reply, entry.text, nowMs());
  if (captured.kind !== 'taken') {
    reply.audit = entry;
    return null;
  }
  reply.gate = captured.gate;
  // So that it is durable by the time that the statement has run.
  void state.services.audit.whenRecorded(entry.session);
  const { gate } = captured;
  if (type === Frontend.Execute && gate.endsAtSync) {
    state.gateAtSync = gate;
    return null;
  }
  return { kind: 'gate', until: gate.over, behind: isQuery ? null : FLUSH, sent: () => gate.sent() };
}

/** A Query that is not sent, because what it asks for has been done; nothing is under way that its answer could pass. */
function answerDone(state: SessionState, done: Done, entry: AuditEntry): Verdict {
  state.closeSegment();
  tellDone(state, done, entry, encodeReadyForQuery(state.transactionStatus));
  return { kind: 'replace', bytes: NOTHING };
}

/** Answers a statement that has been done otherwise, with `behind` after its tag. */
export function tellDone(
  state: SessionState,
  { tag, notices, snapshotId, why }: Done,
  entry: AuditEntry,
  behind: Buffer,
): void {
  doneOtherwise(state, entry.analysis);
  const complete = Buffer.from(`${tag}\0`, 'latin1');
  entry.end = 'completed';
  entry.rows = rowsOfCommandTag(complete, 0, complete.length);
  entry.decision = noted(entry.decision, snapshotId, why);
  entry.durationMs = nowMs() - entry.startedAtMs;
  entry.transactionStatus = state.transactionStatus;
  const told = notices.map((notice) => encodeMessage(Backend.NoticeResponse, notice));
  state.inject(Buffer.concat([...told, encodeMessage(Backend.CommandComplete, complete), behind]));
  state.services.audit.finish(entry);
  state.answered();
}

/** There is nobody left to answer, or to ask; the audit says so. */
export function answerLost(
  state: SessionState,
  { snapshotId, why }: Extract<CaptureOutcome, { kind: 'lost' }>,
  entry: AuditEntry,
): Verdict {
  entry.end = 'lost';
  entry.decision = noted(entry.decision, snapshotId, why);
  entry.durationMs = nowMs() - entry.startedAtMs;
  entry.transactionStatus = '?';
  state.services.audit.finish(entry);
  return { kind: 'replace', bytes: NOTHING };
}
