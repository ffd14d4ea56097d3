import { HiddenQueryError } from '../../catalog/connection.ts';
import { plainQuery } from '../../snapshot/capture.ts';
import type { PlanRequest } from '../../snapshot/plan.ts';
import type { WriteSlice } from '../../sql/slices/slice.ts';
import { encodeFlush } from '../../wire/frontend.ts';
import { mayBeTold, runsCalledCode, runsToldCode } from '../code/called-code-run.ts';
import { leave } from '../hidden/own-transaction.ts';
import { mayEndSegment, untilQuiet } from '../hidden/segment-fits.ts';
import { planRequest } from '../known/prepared-text.ts';
import { NOT_ASCII, utf8Of } from '../known/text-encoding.ts';
import { isDrop, problemOfOne } from './capturable.ts';
import {
  type CaptureOutcome,
  type CaptureRun,
  captureRead,
  captureRows,
  failure,
  refusedInDoubt,
  unlessGivenUp,
  withoutPlan,
} from './capture-run.ts';
import { dropInstead } from './drop-run.ts';
import { beginInBlock } from './early/begun-in-block.ts';
import { runEarly } from './early/early-run.ts';
import { captureSeveral } from './split/split-run.ts';
import { mayRollBack } from './split/split-text.ts';

const FLUSH = encodeFlush();

/** A Query whose rows are to be captured. */
export interface QueryRun
  extends Pick<CaptureRun, 'state' | 'services' | 'hidden' | 'text' | 'entry' | 'decision' | 'gaveUp'> {
  /** It can no longer be given up. */
  readonly committing: () => void;
}

/** Waits until the Query can be sent, and captures each of its statements in its own way. */
export async function captureQuery(run: QueryRun): Promise<CaptureOutcome> {
  const { state, hidden, entry, decision } = run;
  if (state.inImplicitBlock) return withoutPlan(decision, 'it follows an Execute that no Sync has ended');
  // Where nothing in it has run, it is ended as the server would end it behind the Query.
  if (state.replies.segmentOpen && mayEndSegment(state, true) && !state.copyingIn) {
    // What stands in front of it is sent by then.
    await Promise.resolve();
    state.upstream.write(FLUSH);
    await untilQuiet(state);
    await hidden.leaveSegment(true);
  }
  // What is owed to the messages of an open segment may not come before its Sync.
  if (state.replies.segmentOpen) return withoutPlan(decision, 'it follows messages that no Sync has ended');
  await untilQuiet(state);
  // The server takes it for a part of the COPY, and breaks off.
  if (state.copyingIn) return { kind: 'discarded' };
  if (!state.owesNothing()) return refusedInDoubt(decision);
  const { analysis } = entry;
  // What the server is going to refuse by itself loses nothing, unless a ROLLBACK comes before it.
  if (state.transactionStatus === 'E' && analysis.status === 'parsed' && !mayRollBack(analysis))
    return { kind: 'without', why: 'its transaction had failed' };
  if (mayBeTold(state, analysis, decision)) {
    try {
      return await runsToldCode(state, hidden.ending('sync'), analysis, decision);
    } catch (error) {
      return failure(error, decision, analysis);
    }
  }
  if (analysis.status === 'parsed' && analysis.statements.length > 1) return await captureSeveral(run);
  if (isDrop(analysis)) return await dropInstead({ ...run, analysis });
  if (!state.called.isToAsk(analysis)) return await captureOne(run);
  try {
    return await runsCalledCode(state, hidden.ending('sync'), analysis, decision);
  } catch (error) {
    return failure(error, decision, analysis);
  }
}

/** Of one statement, in the transaction that the client has open or in one of the gateway's own. */
async function captureOne(query: QueryRun): Promise<CaptureOutcome> {
  const { state, services, hidden, text, entry, decision } = query;
  const { analysis } = entry;
  const problem = problemOfOne(state, analysis);
  const utf8 = utf8Of(state, text);
  const reason = problem ?? (utf8 === null ? NOT_ASCII : null);
  const slice: WriteSlice = reason === null ? await services.slice(utf8!) : { kind: 'inexact', reason };
  if (slice.kind === 'inexact') return withoutPlan(decision, slice.reason);
  const connection = hidden.ending('sync');
  try {
    const uncounted = await state.called.askUncounted(connection, analysis);
    if (uncounted !== null) return withoutPlan(decision, uncounted);
  } catch (error) {
    return failure(error, decision, analysis);
  }
  const opened = state.transactionStatus === 'I';
  const way = opened ? 'own' : 'block';
  const request = planRequest(state, slice);
  const ran = opened ? await ranEarly(query, request, utf8!) : null;
  if (ran !== null) return ran;
  // What is asked next is sent along with it.
  const begun = opened ? connection.run(plainQuery('BEGIN'), () => {}) : Promise.resolve(null);
  begun.catch(() => {});
  let outcome: CaptureOutcome;
  try {
    const readAhead = READ_WITH_ITS_TARGET.test(text.toString('latin1', 0, 64));
    const run = { ...query, connection, request, analysis, way, part: null, readAhead } as const;
    const early = opened || !readAhead ? null : await beginInBlock(run);
    outcome =
      early === null
        ? await captureRead(hidden, text, () => captureRows(run, null))
        : await captureRows(run, early.plan, early);
    await begun.catch((error: unknown) => {
      // It has run what follows each by itself, such as where a cancel has met the BEGIN.
      if (outcome.kind === 'taken') outcome.gate.discarded();
      throw error;
    });
  } catch (error) {
    outcome = failure(error, decision, analysis);
    // What the client does not read back would go all the same.
    if (opened && error instanceof HiddenQueryError && error.sqlstate === UNTRANSLATABLE)
      outcome = withoutPlan(decision, 'a text in its rows cannot be said in the encoding of the client');
  }
  outcome = unlessGivenUp(state, outcome, entry, decision, query.gaveUp());
  if (opened && outcome.kind !== 'taken') await leave(state, connection, ['ROLLBACK']);
  return outcome;
}

/** Null where it is to be captured first, as nothing has been done. */
async function ranEarly(query: QueryRun, request: PlanRequest, utf8: Buffer): Promise<CaptureOutcome | null> {
  const { state, hidden, entry, decision } = query;
  try {
    const outcome = await runEarly(query, request, utf8);
    // It may be decided anew by now, as another statement of the audit.
    if (outcome === null) state.services.audit.withdraw(entry);
    return outcome;
  } catch (error) {
    const failed = failure(error, decision, entry.analysis);
    const outcome = unlessGivenUp(state, failed, entry, decision, query.gaveUp());
    await leave(state, hidden.ending('sync'), ['ROLLBACK']);
    return outcome;
  }
}

/** Of these the server looks up the target as it reads them, and locks it. */
const READ_WITH_ITS_TARGET = /^\s*(?:update|delete)\s/i;

/** SQLSTATE of a character that an encoding does not have. */
const UNTRANSLATABLE = '22P05';
