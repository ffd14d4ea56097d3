import type { AuditEntry } from '../../../audit/event.ts';
import { nowMs } from '../../../base/clock.ts';
import { type HiddenConnection, HiddenQueryError } from '../../../catalog/connection.ts';
import type { Decision } from '../../../policy/decision.ts';
import { plainQuery } from '../../../snapshot/capture.ts';
import type { Analysis } from '../../../sql/effects.ts';
import type { WriteSlice } from '../../../sql/slices/slice.ts';
import {
  type ErrorFields,
  encodeErrorResponse,
  encodeMessage,
  encodeReadyForQuery,
  rowsOfCommandTag,
} from '../../../wire/backend.ts';
import { Backend, Frontend } from '../../../wire/message-type.ts';
import { HiddenQueryEnded } from '../../hidden/hidden-exchange.ts';
import type { HiddenQueries } from '../../hidden/hidden-queries.ts';
import { planRequest } from '../../known/prepared-text.ts';
import { doneOtherwise, statementsSent } from '../../known/session-effects.ts';
import { NOT_ASCII, utf8Of } from '../../known/text-encoding.ts';
import { type Reply, ReplyKind } from '../../replies.ts';
import { type Capturing, noted, wantsSnapshot } from '../../ruling/noted.ts';
import { auditFailedError, noPlanError, splitReadOtherwiseError } from '../../ruling/refusal.ts';
import { heldBackSince, refusedByRestraint } from '../../ruling/restrained.ts';
import type { SnapshotServices } from '../../services.ts';
import type { SessionState } from '../../state.ts';
import { isDrop, SEVERAL } from '../capturable.ts';
import {
  type CaptureOutcome,
  canceled,
  captureRead,
  captureRows,
  type Done,
  failure,
  withoutPlan,
} from '../capture-run.ts';
import { dropInstead } from '../drop-run.ts';
import type { Lossless } from '../lossless.ts';
import { tagsTold } from '../takes-nothing.ts';
import { PlainPart } from './plain-part.ts';
import { rehearse } from './split-rehearsal.ts';
import {
  type BlockKind,
  blockOf,
  callingOnes,
  decideAlone,
  type Part,
  partsOf,
  problemOf,
  toldOnes,
  verbOf,
} from './split-text.ts';

export interface SplitRun {
  readonly state: SessionState;
  readonly services: SnapshotServices;
  readonly hidden: HiddenQueries;
  readonly connection: HiddenConnection;
  /** The client's text as it was sent. */
  readonly text: Buffer;
  readonly parts: readonly Part[];
  readonly block: BlockKind;
  /** Of the whole, with the decision that was made of it. */
  readonly entry: AuditEntry;
  readonly decision: Decision;
  readonly gaveUp: () => boolean;
  /** It can no longer be given up. */
  readonly committing: () => void;
}

/** For a Query of several statements, each of which is captured by itself. */
export async function captureSeveral(
  given: Omit<SplitRun, 'connection' | 'parts' | 'block'> & {
    /** Those that may run only where they are proved to be of temporary tables alone. */
    readonly temporary?: ReadonlyMap<number, Analysis>;
  },
): Promise<CaptureOutcome> {
  const { state, entry, decision, text, hidden } = given;
  const { analysis } = entry;
  const tags = [...new Set(toldOnes(state, analysis).flatMap(tagsTold))];
  try {
    const why = await state.called.askTold(hidden.ending('sync'), tags);
    if (why !== null) return planless(decision, why);
  } catch (error) {
    return failure(error, decision, analysis);
  }
  for (const single of callingOnes(state, analysis)) {
    try {
      const why = await state.called.ask(hidden.ending('sync'), single);
      if (why !== null) return planless(decision, why);
    } catch (error) {
      return failure(error, decision, analysis);
    }
  }
  const problem = problemOf(state, analysis);
  if (problem !== null) return planless(decision, problem);
  const block = blockOf(analysis, state.transactionStatus);
  if (block === null) return planless(decision, `${SEVERAL}, which begin or end transactions`);
  const byBytes =
    state.textFacts.encoding !== 'utf8' || state.parameters.get('server_encoding') === 'SQL_ASCII';
  const parts = partsOf(analysis, text, byBytes, (single) => decideAlone(state, single), given.temporary);
  if (parts === null) return planless(decision, `${SEVERAL}, which is too long`);
  return await runSplit({ ...given, connection: hidden.ending('sync'), parts, block });
}

function planless(decision: Decision, reason: string): CaptureOutcome {
  return wantsSnapshot(decision) ? withoutPlan(decision, reason) : { kind: 'unplanned', reason };
}

/** What became of a part. */
type PartEnd =
  /** `tag` is what the client has not been told yet. */
  | { readonly kind: 'done'; readonly tag: string | null; readonly entry: AuditEntry | null }
  /** The client is yet to be told of the error, unless it is null. */
  | { readonly kind: 'failed'; readonly error: ErrorFields | null };

const NOT_WANTED = 'policy asks for none of it';

/**
 * Sends a Query of several statements as a Query for each of its parts, in the client's transaction, or in one that the
 * gateway begins and commits where the text alone would be one; and captures and proves each that is to be captured. All
 * that the server answers passes, but for the ReadyForQuery of all parts, in the place of which comes one of our own.
 *
 * Invariant: the client is told that the last statement has succeeded only after a transaction of ours is committed, and
 * behind an error nothing more is sent of the text.
 */
async function runSplit(run: SplitRun): Promise<CaptureOutcome> {
  const refused = await rehearse(run);
  if (refused !== null) return refused;
  const { state, connection, block } = run;
  if (run.gaveUp()) return canceled(run.decision);
  if (block === 'own') {
    try {
      await connection.run(plainQuery('BEGIN'), () => {});
    } catch (error) {
      return failure(error, run.decision, run.entry.analysis);
    }
  }
  try {
    await conclude(run, await runParts(run));
  } catch (error) {
    // The server takes back what is not committed; or is gone, and nobody knows.
    if (!(error instanceof HiddenQueryEnded))
      state.services.log.error({ err: error, session: state.identity.id }, 'failed to run a text in parts');
    state.upstream.destroy();
    state.releaseEnded('?');
  }
  return { kind: 'told' };
}

async function runParts(run: SplitRun): Promise<PartEnd> {
  const { state, parts, block } = run;
  const { encoding, standardConformingStrings } = state.textFacts;
  let end: PartEnd = { kind: 'done', tag: null, entry: null };
  for (const [index, part] of parts.entries()) {
    if (run.gaveUp()) throw new HiddenQueryEnded('given up');
    const now = state.textFacts;
    // The server has read a text whole before it runs any of it.
    if (now.encoding !== encoding || now.standardConformingStrings !== standardConformingStrings)
      return failed(state, entryOf(run, part, run.decision), splitReadOtherwiseError());
    const refused = refusedByRestraint(state, part.analysis);
    if (refused !== null) return failed(state, entryOf(run, part, refused.decision), refused.error);
    const keeps = block === 'own' && index === parts.length - 1;
    end = await runPart(run, part, keeps);
    if (end.kind === 'failed') break;
  }
  return end;
}

async function runPart(run: SplitRun, part: Part, keeps: boolean): Promise<PartEnd> {
  const { state } = run;
  const verb = verbOf(part.analysis.statements[0]!);
  if (part.lossless !== null) return await runLossless(run, part, part.lossless, keeps);
  if (part.decision === null) {
    if (verb === 'commit' && !(await state.services.audit.whenRecorded(run.entry.session)))
      return failed(state, entryOf(run, part, run.decision), auditFailedError());
    return await runPlain(run, part, keeps, entryOf(run, part, noted(run.decision, null, NOT_WANTED)));
  }
  const entry = entryOf(run, part, run.decision);
  const captured = await capture(run, part, part.decision, entry, keeps);
  switch (captured.kind) {
    case 'taken': {
      const { gate } = captured;
      const reply = sendPart(run, part, entry);
      reply.gate = gate;
      await gate.over;
      if (gate.ending?.kind === 'done') return { kind: 'done', tag: keeps ? gate.tag : null, entry };
      if (gate.ending?.kind === 'lost' || gate.ending === null) throw new HiddenQueryEnded('lost');
      return { kind: 'failed', error: null };
    }
    case 'without':
      return await runPlain(run, part, keeps, entryOf(run, part, noted(run.decision, null, captured.why)));
    case 'refused':
      return failed(state, entry, captured.error);
    case 'unplanned':
      return failed(state, entry, noPlanError(run.decision, captured.reason));
    case 'done':
      return done(run, part, entry, captured.done, keeps);
    case 'lost':
    case 'discarded':
    case 'recorded':
    case 'told':
      throw new HiddenQueryEnded('lost');
    default:
      return captured satisfies never;
  }
}

/** What is proved as it runs; where that fails, all that ran in front of it is taken back. */
async function runLossless(run: SplitRun, part: Part, lossless: Lossless, keeps: boolean): Promise<PartEnd> {
  const { state, hidden } = run;
  const entry = entryOf(run, part, state.decide(part.analysis));
  const outcome = await lossless.run(state, hidden, entry);
  switch (outcome?.kind) {
    case 'done':
      return done(run, part, entry, outcome.done, keeps);
    case 'refused':
      return failed(state, entry, outcome.error);
    case undefined:
      return failed(state, entry, noPlanError(run.decision, NOT_TEMPORARY));
    default:
      throw new HiddenQueryEnded('lost');
  }
}

const NOT_TEMPORARY = 'what it names is no temporary table of the session by the time that it runs';

/** Takes the rows of a part, in the transaction that is open. */
async function capture(
  run: SplitRun,
  part: Part,
  decision: Capturing,
  entry: AuditEntry,
  keeps: boolean,
): Promise<CaptureOutcome> {
  const { state, services, hidden, connection, gaveUp } = run;
  const { analysis, text } = part;
  const common = { state, services, hidden, text, entry, analysis, decision, gaveUp };
  if (isDrop(analysis)) return await dropInstead(common);
  const utf8 = utf8Of(state, text);
  const slice: WriteSlice =
    utf8 === null ? { kind: 'inexact', reason: NOT_ASCII } : await services.slice(utf8);
  if (slice.kind === 'inexact')
    return decision.snapshot === 'best_effort'
      ? { kind: 'without', why: slice.reason }
      : { kind: 'unplanned', reason: slice.reason };
  const request = planRequest(state, slice);
  try {
    const uncounted = await state.called.askUncounted(connection, analysis);
    if (uncounted !== null) return { kind: 'unplanned', reason: uncounted };
    const rows = { ...common, connection, request, way: 'block', part: { keepsTag: keeps } } as const;
    return await captureRead(hidden, padded(part), () => captureRows(rows, null));
  } catch (error) {
    if (error instanceof HiddenQueryEnded) throw error;
    return failure(error, decision, analysis);
  }
}

async function runPlain(run: SplitRun, part: Part, keeps: boolean, entry: AuditEntry): Promise<PartEnd> {
  const plain = new PlainPart(part.end, keeps);
  const reply = sendPart(run, part, entry);
  reply.audit = entry;
  reply.part = plain;
  const end = await plain.over;
  if (end === 'lost') throw new HiddenQueryEnded('lost');
  if (end.failed) return { kind: 'failed', error: null };
  return { kind: 'done', tag: plain.keptTag, entry: plain.lastEntry };
}

/** Sends a part; what it does to the session is followed as it is of any Query. */
function sendPart({ state, entry: { analysis: whole } }: SplitRun, part: Part, entry: AuditEntry): Reply {
  state.closeSegment();
  const reply = state.replies.push(ReplyKind.Query);
  reply.analysis = whole;
  reply.statementsDone = part.first;
  reply.decision = entry.decision;
  state.services.audit.begin(entry);
  statementsSent(state, part.analysis, reply, null, nowMs());
  state.upstream.write(encodeMessage(Frontend.Query, Buffer.concat([padded(part), ZERO])));
  return reply;
}

const ZERO = Buffer.alloc(1);

/** As far behind its beginning as in the client's text, so that places in errors are those of that text. */
function padded({ text, offset }: Part): Buffer {
  return Buffer.concat([Buffer.alloc(offset, ' '), text]);
}

function entryOf({ entry }: SplitRun, part: Part, decision: AuditEntry['decision']): AuditEntry {
  return { ...entry, decision, statementIndex: part.first, startedAtMs: nowMs(), openId: -1 };
}

/** A statement that was refused before it was sent. */
function failed(state: SessionState, entry: AuditEntry, error: ErrorFields): PartEnd {
  entry.end = entry.decision.action === 'block' ? 'blocked' : 'failed';
  entry.sqlstate = error['C'] ?? null;
  entry.decision = noted(entry.decision, null, error['M'] ?? '');
  entry.durationMs = nowMs() - entry.startedAtMs;
  state.ended.push(entry);
  return { kind: 'failed', error };
}

/** A statement that was done otherwise, and never sent. */
function done(
  run: SplitRun,
  part: Part,
  entry: AuditEntry,
  { tag, notices, snapshotId, why }: Done,
  keeps: boolean,
): PartEnd {
  const { state } = run;
  doneOtherwise(state, part.analysis);
  const complete = completeOf(tag);
  entry.end = 'completed';
  entry.rows = rowsOfCommandTag(complete, 0, complete.length);
  entry.decision = noted(entry.decision, snapshotId, why);
  entry.durationMs = nowMs() - entry.startedAtMs;
  state.ended.push(entry);
  const told = notices.map((notice) => encodeMessage(Backend.NoticeResponse, notice));
  if (!keeps) told.push(encodeMessage(Backend.CommandComplete, complete));
  if (told.length > 0) state.inject(Buffer.concat(told));
  return { kind: 'done', tag: keeps ? tag : null, entry };
}

function completeOf(tag: string): Buffer {
  return Buffer.from(`${tag}\0`, 'latin1');
}

/** Ends the transaction where it is ours, and tells the client what it has not been told. */
async function conclude(run: SplitRun, end: PartEnd): Promise<void> {
  const { state, block } = run;
  let last = end;
  if (last.kind === 'done' && block === 'own') {
    const error = await commit(run);
    if (error !== null) {
      if (last.entry !== null) {
        last.entry.end = 'failed';
        last.entry.sqlstate = error['C'] ?? null;
        if (run.entry.decision.action === 'block') last.entry.decision = run.entry.decision;
      }
      last = { kind: 'failed', error };
    }
  } else if (last.kind === 'failed') await takeBack(run);
  const told: Buffer[] = [];
  if (last.kind === 'failed' && last.error !== null)
    told.push(encodeErrorResponse(last.error, state.clientEncoding));
  if (last.kind === 'done' && last.tag !== null)
    told.push(encodeMessage(Backend.CommandComplete, completeOf(last.tag)));
  told.push(encodeReadyForQuery(state.transactionStatus));
  state.inject(Buffer.concat(told));
  state.releaseEnded(state.transactionStatus);
  state.answered();
}

/** Null where it is committed. */
async function commit(run: SplitRun): Promise<ErrorFields | null> {
  const { state, hidden, entry } = run;
  run.committing();
  const isRecorded = await state.services.audit.whenRecorded(entry.session);
  const refused = isRecorded ? heldBackSince(state, entry) : auditFailedError();
  if (refused !== null) {
    await takeBack(run);
    return refused;
  }
  try {
    await hidden.commit();
    return null;
  } catch (error) {
    if (error instanceof HiddenQueryError) return error.fields;
    throw error;
  }
}

/** Leaves the transaction as an error leaves it. */
async function takeBack({ state, connection, block }: SplitRun): Promise<void> {
  if (block === 'own') {
    if (state.transactionStatus === 'I') return;
    state.fates.failedOnce();
    await connection.run(plainQuery('ROLLBACK'), () => {});
    return;
  }
  if (state.transactionStatus !== 'T') return;
  try {
    await connection.run(plainQuery('holdfast takes a statement back'), () => {});
  } catch (error) {
    if (!(error instanceof HiddenQueryError)) throw error;
  }
}
