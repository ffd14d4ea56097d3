import { HiddenQueryError, together } from '../../../catalog/connection.ts';
import { COUNTS_OF_ONE, countsIn } from '../../../snapshot/counts.ts';
import { type ForeseenRow, foreseeOneRow } from '../../../snapshot/foresee.ts';
import { HiddenQueryEnded } from '../../hidden/hidden-exchange.ts';
import type { HiddenQueries } from '../../hidden/hidden-queries.ts';
import { OwnTransaction } from '../../hidden/own-transaction.ts';
import { parametersOf } from '../../known/bound-parameters.ts';
import { typesOf } from '../../known/parameter-types.ts';
import { driftError } from '../../ruling/refusal.ts';
import type { SessionState } from '../../state.ts';
import { type Begun, beginCapture, locksTarget, lockTarget, mayBeForeseen } from '../begun-capture.ts';
import type { BoundText } from '../bind-plan.ts';
import type { CaptureRun } from '../capture-run.ts';
import { type AheadOfExecute, aheadOfExecute } from '../comes-next.ts';
import type { BoundPortal } from '../snapshot-desk.ts';
import { endsStatement, inSegment, toldParameters } from './early-capture.ts';
import { isEarlyPaused, pauseEarly } from './early-pause.ts';

/**
 * Captures the row of what is bound and changes one, inside the client's transaction, in the round trip in which the server
 * is asked whether the plan of last time is still true. The question fails where it is not, in a savepoint that holds no more
 * than it and what locks the table, as for a Query (begun-in-block.ts). Behind that the Bind is sent, with the Describe of its
 * portal, and the capture behind both: so that the client reads from the server itself what stands in front of an error
 * that the capture ends with, such as that of a lock.
 *
 * Invariant: null leaves the transaction as it was, with no savepoint, and the Bind unsent. Once the savepoint is released the
 * Bind is sent, and answered by the server. Where it throws what the server says, the transaction has failed as it would have by
 * the statement; or it stands, with the Bind unsent, which would have failed so.
 */
export async function beginBoundInBlock(
  state: SessionState,
  hidden: HiddenQueries,
  bound: BoundText,
): Promise<BoundPortal | null> {
  const { name, portal, decision, text, sent, slice, asked, bind } = bound;
  const ahead = aheadOfExecute(state.putBy());
  // Where it is taken back a Sync of ours is sent, which ends no transaction that the client has begun.
  if (ahead === null || !state.isInBlock || portal.approvalId !== null || !locksTarget(slice)) return null;
  if (isEarlyPaused(state)) return null;
  const services = state.services.snapshots!;
  const foreseen = foreseeOneRow(services.catalog, asked);
  const parameters = foreseen === null ? null : toldParameters(state, bound, foreseen.plan);
  if (foreseen === null || parameters === null) return null;
  const plan = { ...foreseen.plan, parameters };
  const request = { ...asked, parameters };
  const connection = hidden.ending('flush');
  const run = inSegment({ ...bound, state, services, hidden, connection, request });
  if (!mayBeForeseen(run, plan)) return null;
  if (state.serverIsGone) throw new HiddenQueryEnded('lost');

  const aloneIn = state.executedIn === state.segment ? -1 : state.segment;
  const { begun, told } = send(run, bound, { plan, sure: foreseen.sure }, ahead);
  const types = await told;
  if (types === null) return null;
  const isTyped =
    types.length === plan.parameters.types.length && types.every((t, i) => t === parameters.types[i]);
  await untilCaptured(state, begun, isTyped);
  const found = { name, portal, decision, text, sent, counted: null, aloneIn, ends: null };
  const sentAhead = ahead.behind;
  if (isTyped) return { ...found, request, plan, begun, sentAhead };
  // What was captured may be another row.
  state.dropEarly();
  const now = { ...asked, parameters: parametersOf(bind, types) ?? parameters };
  return { ...found, request: now, plan: null, begun: null, sentAhead };
}

interface Sent {
  readonly begun: Begun;
  /** The types of its parameters; null where the plan is not true, and all is taken back. */
  readonly told: Promise<readonly number[] | null>;
}

/** All of it at once, up to the capture. */
function send(
  run: CaptureRun,
  { statement, portal, goesAhead }: BoundText,
  { plan, sure }: ForeseenRow,
  ahead: AheadOfExecute,
): Sent {
  const { state, hidden, connection, request, entry } = run;
  const savepoint = OwnTransaction.of(state, hidden, connection);
  let stands = false;
  const set = savepoint.begin(entry).then(() => {
    stands = true;
  });
  const describing =
    plan.parameters.types.length > 0 ? typesOf(hidden, portal.statement, statement, 'flush') : NO_TYPES;
  const locking = lockTarget(hidden, request.slice, plan);
  const asking = sure.ask(connection, COUNTS_OF_ONE, KEPT).then((columns) => countsIn(plan, columns));
  const kept = savepoint.keep().then((unkept) => {
    if (unkept !== null) throw new HiddenQueryError(unkept.kind === 'refused' ? unkept.error : {});
    stands = false;
  });
  goesAhead(ahead.behind.length > 0);
  hidden.passOn(ahead.bytes);
  state.dropEarly();
  const begun = beginCapture(run, plan, false, asking);
  state.early = begun;
  const steps = [set, describing, locking, asking, kept].map((step) => async () => await step);
  const told = together<unknown>(connection, steps).then(
    async () => await describing,
    async (error: unknown) => {
      state.dropEarly();
      await Promise.allSettled([set, kept]);
      return await takenBack(state, hidden, error, stands);
    },
  );
  return { begun, told };
}

/** Null where it is only the plan that is not true. What ends the wait for its table ends the Bind, which would wait as well. */
async function takenBack(
  state: SessionState,
  hidden: HiddenQueries,
  error: unknown,
  stands: boolean,
): Promise<null> {
  if (error instanceof HiddenQueryEnded) throw error;
  // It is not known whether the Bind has been sent.
  if (!(error instanceof HiddenQueryError)) state.fail(error);
  if (!(error instanceof HiddenQueryError) || !stands) throw error;
  pauseEarly(state);
  await hidden.takeBack();
  await OwnTransaction.of(state, hidden, hidden.ending('sync')).takeBack();
  if (endsStatement(error)) throw error;
  return null;
}

/** What the server refuses the capture with has failed the transaction; what the storage does is for its Execute to say. */
async function untilCaptured(state: SessionState, { capture }: Begun, isTyped: boolean): Promise<void> {
  const why = await capture.then(
    () => null,
    (error: unknown) => error,
  );
  if (!(why instanceof HiddenQueryError || why instanceof HiddenQueryEnded)) return;
  state.dropEarly();
  if (isTyped || why instanceof HiddenQueryEnded) throw why;
  throw new HiddenQueryError(driftError('the types of its parameters are others than they were', false));
}

const NO_TYPES: Promise<readonly number[]> = Promise.resolve([]);

/** Nothing is sent behind it that takes the unnamed statement away. */
const KEPT = { kept: true } as const;
