import { nowMs } from '../../../base/clock.ts';
import { HiddenQueryError, together } from '../../../catalog/connection.ts';
import { type Capture, plainQuery } from '../../../snapshot/capture.ts';
import { capturedColumns } from '../../../snapshot/capture-sql.ts';
import { COUNTS_OF_ONE, countsIn } from '../../../snapshot/counts.ts';
import { type ForeseenRow, foreseeOneRow } from '../../../snapshot/foresee.ts';
import type { CapturePlan, PlanRequest } from '../../../snapshot/plan.ts';
import { proveReturned, type Returned, runReturning } from '../../../snapshot/prove.ts';
import type { WriteSlice } from '../../../sql/slices/slice.ts';
import { HiddenQueryEnded } from '../../hidden/hidden-exchange.ts';
import { type Begun, beginCapture, mayBeginEarly } from '../begun-capture.ts';
import { type CaptureOutcome, type CaptureRun, factsOf } from '../capture-run.ts';
import type { Prepared } from '../prepared.ts';
import type { QueryRun } from '../query-run.ts';
import { StatementGate } from '../statement-gate.ts';
import { endsStatement } from './early-capture.ts';
import { isEarlyPaused, pauseEarly } from './early-pause.ts';

/**
 * Runs a Query that changes one row in the round trip in which the row is captured: in a transaction of the gateway's own,
 * behind the question whether the plan of last time is still true, which fails where it is not, and with it all that was
 * sent behind. The client's words are sent by a query of ours, with what gives back the row as it is by then, and the
 * client is told nothing before it is committed.
 *
 * Invariant: null leaves nothing done, no transaction open, and the client untold, so that it is captured as any other: what
 * the server refuses it with, or says besides, is told by the server itself. Where it throws, the transaction may be open.
 */
export async function runEarly(
  query: QueryRun,
  request: PlanRequest,
  utf8: Buffer,
): Promise<CaptureOutcome | null> {
  const { state, services, hidden, entry } = query;
  const connection = hidden.ending('sync');
  const { analysis } = entry;
  const run: CaptureRun = { ...query, connection, request, analysis, way: 'own', part: null };
  if (isEarlyPaused(state)) return null;
  const foreseen = foreseeOneRow(services.catalog, request);
  if (foreseen === null || !mayBeginEarly(run, foreseen.plan) || mayTouchSession(run)) return null;
  const sql = givingBack(utf8.toString('utf8'), request.slice, foreseen.plan);
  if (sql === null) return null;
  // It may have gone with the answer to what stood in front; from here on all is sent without a wait.
  if (state.serverIsGone) throw new HiddenQueryEnded('lost');
  const { begun, done } = send(run, foreseen, sql);
  const { writer, plan } = begun;
  let what: Awaited<typeof done>;
  try {
    what = await done;
    if (query.gaveUp()) throw new HiddenQueryEnded('given up');
    if (state.serverIsGone) throw new HiddenQueryEnded('lost');
  } catch (error) {
    void writer.abort();
    const isOver = error instanceof HiddenQueryError && endsStatement(error);
    if (isOver || error instanceof HiddenQueryEnded) throw error;
    pauseEarly(state);
    await connection.run(plainQuery('ROLLBACK'), () => {});
    return null;
  }
  // From here on the client's going does not matter any more.
  query.committing();
  state.closeSegment();
  const { capture, returned } = what;
  const gate = new StatementGate(state, preparedOf(run, begun, capture), entry);
  try {
    const proof = proveReturned(connection, plan, capture, returned, writer);
    return (await gate.hasRun(returned.tag, proof)) ? { kind: 'told' } : null;
  } catch (error) {
    // It may have been committed.
    state.fail(error);
    return { kind: 'told' };
  }
}

interface Sent {
  readonly begun: Begun;
  readonly done: Promise<{ readonly capture: Capture; readonly returned: Returned }>;
}

/** All of it at once, with one Sync behind it. */
function send(run: CaptureRun, { plan, sure }: ForeseenRow, sql: string): Sent {
  const { state, hidden, connection, entry } = run;
  const { audit } = state.services;
  audit.begin(entry);
  // So that it is durable by the time that the statement has run.
  void audit.whenRecorded(entry.session);
  // A Query takes away the unnamed statement.
  hidden.forgetUnnamed();
  const began = connection.run(plainQuery('BEGIN'), () => {});
  const { syncs } = hidden;
  // Locks the table as the statement does, so that what is asked next stays true.
  const { statement, read } = hidden.prepare(sql);
  const asked = sure.ask(connection, COUNTS_OF_ONE, KEPT).then((columns) => countsIn(plan, columns));
  const begun = beginCapture(run, plan, false, asked);
  const query = { ...plainQuery(sql), statement, resultFormats: formatsOf(plan) };
  let isNoticed = false;
  const notice = () => {
    isNoticed = true;
  };
  let ran: Promise<Returned>;
  // With a Sync of its own it would be run whatever has failed before.
  if (hidden.sharesSync(syncs)) ran = runReturning(connection, plan, query, begun.writer, notice);
  else {
    hidden.forget(statement);
    ran = Promise.reject(new Error('it would not have shared the Sync'));
  }
  const steps = [began, readAsItShould(read), asked, begun.capture, ran];
  const done = together<unknown>(
    connection,
    steps.map((step) => async () => await step),
  ).then(async () => {
    if (isNoticed) throw new Error('the server has something to say to the client');
    return { capture: await begun.capture, returned: await ran };
  });
  return { begun, done };
}

async function readAsItShould(
  reading: Promise<{ readonly error: HiddenQueryError | null; readonly warned: boolean }>,
) {
  const { error, warned } = await reading;
  if (error !== null) throw error;
  if (warned) throw new Error('the server has something to say to the client');
}

export function preparedOf(run: CaptureRun, begun: Begun, capture: Capture): Prepared {
  const { hidden, connection, decision } = run;
  const { id, createdAtMs, plan, writer, folder } = begun;
  const required = decision.snapshot === 'required';
  const facts: NonNullable<Prepared['snapshot']>['facts'] = (server) => factsOf(id, createdAtMs, run, server);
  const snapshot = { plan, capture, writer, folder, facts, required };
  return {
    snapshot,
    seen: null,
    way: run.way,
    hidden,
    connection,
    part: null,
    again: null,
    sharesSnapshot: false,
  };
}

/** Whether more comes of it, as it is sent, than of a write that runs no code: see statementsSent. */
export function mayTouchSession({ state, analysis }: CaptureRun): boolean {
  if (analysis.touchesSession || state.settings.mayBePutBack || state.literalsTouched) return true;
  return state.written.codeOf(analysis, nowMs()) !== 'none';
}

const formatsOf = ({ operation, sources }: CapturePlan): readonly (0 | 1)[] =>
  operation === 'update' ? sources[0]!.resultFormats : [];

/**
 * What a text may hold that leaves it open where its words end, or gives something back itself, or has values to come, or
 * takes one from a sequence, which would take another where it is run once more.
 */
const NOT_EXTENDED = /--|\/\*|returning|default|\$/i;

/** What every PostgreSQL takes for blanks, and the end of a statement; before 16 a vertical tab was none. */
const BEHIND = /[ \t\n\r\f;]+$/;

/** The client's words with what gives back the row as it is captured; what is deleted is gone. */
function givingBack(text: string, slice: WriteSlice, { operation, sources }: CapturePlan): string | null {
  if (NOT_EXTENDED.test(text) || slice.kind !== 'rows') return null;
  const words = text.replace(BEHIND, '');
  if (operation === 'delete') return words;
  const { reference } = slice.target;
  // PostgreSQL 18 has rows of these names.
  if (/^(?:old|new)$/i.test(reference)) return null;
  return `${words} RETURNING ${capturedColumns(reference, sources[0]!.columns)}`;
}

/** Nothing is sent behind it that takes the unnamed statement away. */
const KEPT = { kept: true } as const;
