import { type HiddenConnection, HiddenQueryError, together } from '../../../catalog/connection.ts';
import { COUNTS_OF_ONE, countsIn } from '../../../snapshot/counts.ts';
import { foreseeOneRow, rowLeft } from '../../../snapshot/foresee.ts';
import type { CapturePlan } from '../../../snapshot/plan.ts';
import { proveReturned, runAndLook } from '../../../snapshot/prove.ts';
import { encodeMessage } from '../../../wire/backend.ts';
import { Backend, Frontend } from '../../../wire/message-type.ts';
import { failTransaction } from '../../hidden/fail-transaction.ts';
import { HiddenQueryEnded } from '../../hidden/hidden-exchange.ts';
import type { HiddenQueries } from '../../hidden/hidden-queries.ts';
import { isAsciiName } from '../../known/names.ts';
import { typesOf } from '../../known/parameter-types.ts';
import { countedOf } from '../../ruling/counted-rows.ts';
import type { SessionState } from '../../state.ts';
import { beginCapture, lockTarget, mayBeginEarly } from '../begun-capture.ts';
import type { BoundText } from '../bind-plan.ts';
import type { CaptureOutcome, CaptureRun } from '../capture-run.ts';
import { runsAloneUpToSync } from '../comes-next.ts';
import type { BoundPortal } from '../snapshot-desk.ts';
import { StatementGate } from '../statement-gate.ts';
import { endsStatement, guessedParameters } from './early-capture.ts';
import { isEarlyPaused, pauseEarly } from './early-pause.ts';
import { mayTouchSession, preparedOf } from './early-run.ts';

/** What was done early is given up, and the server has forgotten it. */
export const TAKEN_BACK = Symbol('taken back');

type Run = BoundPortal | CaptureOutcome | typeof TAKEN_BACK;

/**
 * Runs a statement of one row that is bound, in the round trip in which its row is captured, where the client has sent
 * all that is done with it up to its Sync, which commits it. In front of both stands the question whether the plan of last
 * time is still true, which fails where it is not, and with it all behind. It is run by a portal of ours, and the client is told
 * what it would have been once the snapshot is durable; its Sync has not been sent until then.
 *
 * Invariant: null leaves nothing done. What is taken back has been made to fail before a Sync of ours ended it, and the
 * client is untold, so that it is captured as any other: what the server refuses it with, or says besides, is told by the
 * server itself. Where that is not certain the session ends.
 */
export async function runBound(
  state: SessionState,
  hidden: HiddenQueries,
  bound: BoundText,
): Promise<Run | null> {
  const { name, portal, decision, text, sent, slice, asked, bind } = bound;
  const ahead = runsAloneUpToSync(state.putBy());
  if (ahead === null || !mayRunEarly(bound) || isEarlyPaused(state)) return null;
  const services = state.services.snapshots!;
  const foreseen = foreseeOneRow(services.catalog, asked);
  const parameters = guessedParameters(state, bound);
  if (foreseen === null || parameters === null) return null;
  const plan: CapturePlan = { ...foreseen.plan, parameters };
  const left = rowLeft(slice, plan);
  if (left === null && plan.operation !== 'delete') return null;
  const connection = hidden.ending('flush');
  const entry = { ...bound.entry, decision: portal.decision };
  const request = { ...asked, parameters };
  const { analysis } = entry;
  const way = 'segment';
  const gaveUp = () => state.client.socket.destroyed;
  const run: CaptureRun = {
    ...bound,
    state,
    services,
    hidden,
    connection,
    request,
    entry,
    analysis,
    way,
    part: null,
    gaveUp,
  };
  if (!mayBeginEarly(run, plan) || mayTouchSession(run)) return null;
  if (state.serverIsGone) throw new HiddenQueryEnded('lost');

  // No Sync of ours ends the segment from here on, unless it has been made to fail.
  state.executedIn = state.segment;
  const describing =
    parameters.types.length > 0 ? typesOf(hidden, portal.statement, bound.statement, 'flush') : NO_TYPES;
  const locking = lockTarget(hidden, slice, plan);
  const asking = foreseen.sure
    .ask(connection, COUNTS_OF_ONE, KEPT)
    .then((columns) => countsIn(plan, columns));
  const begun = beginCapture(run, plan, false, asking);
  const { writer } = begun;
  let isNoticed = false;
  const notice = () => {
    isNoticed = true;
  };
  const running = runAndLook(connection, plan, () => hidden.runBound(bind, notice), left, writer);
  try {
    await together<unknown>(
      connection,
      [describing, locking, asking, begun.capture, running].map((step) => async () => await step),
    );
    const types = await describing;
    if (isNoticed) throw new Error('the server has something to say to the client');
    if (!(await locking)) throw new Error('its table was not locked ahead');
    if (!types.every((oid, i) => oid === parameters.types[i])) throw new Error('its types are others');
    if (gaveUp()) throw new HiddenQueryEnded('given up');
    if (state.serverIsGone) throw new HiddenQueryEnded('lost');
  } catch (error) {
    void writer.abort();
    if (error instanceof HiddenQueryEnded) throw error;
    pauseEarly(state);
    await takeBack(state, hidden, connection);
    if (!(error instanceof HiddenQueryError && endsStatement(error))) return TAKEN_BACK;
    // What ends the wait for its table ends the Bind, which would wait as well.
    const isOfBind = await begun.capture.then(
      () => false,
      (why: unknown) => why instanceof HiddenQueryEnded,
    );
    if (isOfBind) throw error;
    return {
      name,
      portal,
      decision,
      text,
      sent,
      request,
      plan,
      begun: null,
      counted: null,
      aloneIn: -1,
      ends: error,
    };
  }
  const { audit } = state.services;
  audit.begin(entry);
  const returned = await running;
  const gate = new StatementGate(state, preparedOf(run, begun, await begun.capture), entry);
  const proof = proveReturned(connection, plan, await begun.capture, returned, writer);
  if (!(await gate.hasRun(returned.tag, proof, frontOf(ahead)))) {
    // Its Execute is recorded by itself.
    audit.withdraw(entry);
    pauseEarly(state);
    await takeBack(state, hidden, connection);
    return TAKEN_BACK;
  }
  if (gate.ending?.kind === 'done') state.answeredAhead = [...ahead];
  return { kind: 'told' };
}

/** As far as its words say: it gives no rows, and takes no number of a sequence, which would take another where it runs again. */
function mayRunEarly({ text, bind, portal }: BoundText): boolean {
  const words = text.toString('latin1');
  if (!WRITES.test(words) || NOT_RUN_TWICE.test(words)) return false;
  return portal.approvalId === null && countedOf(portal.decision) === null && isAsciiName(bind.statement);
}

/** What stands inside COPY or EXPLAIN gives rows as well. */
const WRITES = /^\s*(?:update|delete)\s/i;
const NOT_RUN_TWICE = /returning|default/i;

/** What the client is told in front of the tag. */
function frontOf(ahead: readonly number[]): Buffer {
  const bound = encodeMessage(Backend.BindComplete, NOTHING);
  if (!ahead.includes(Frontend.Describe)) return bound;
  return Buffer.concat([bound, encodeMessage(Backend.NoData, NOTHING)]);
}

/** The Sync of ours would commit what has run. */
async function takeBack(
  state: SessionState,
  hidden: HiddenQueries,
  connection: HiddenConnection,
): Promise<void> {
  try {
    await state.untilHiddenOver();
    if (!state.discarding) await failTransaction(connection);
    await hidden.takeBack();
  } catch (error) {
    if (!(error instanceof HiddenQueryEnded)) state.fail(error);
    throw error;
  }
}

const NOTHING = Buffer.alloc(0);
const NO_TYPES: Promise<readonly number[]> = Promise.resolve([]);

/** Nothing is sent behind it that takes the unnamed statement away. */
const KEPT = { kept: true } as const;
