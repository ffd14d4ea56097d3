import { HiddenQueryError, together } from '../../../catalog/connection.ts';
import { COUNTS_OF_ONE, countsIn } from '../../../snapshot/counts.ts';
import { foreseeOneRow } from '../../../snapshot/foresee.ts';
import { HiddenQueryEnded } from '../../hidden/hidden-exchange.ts';
import { OwnTransaction } from '../../hidden/own-transaction.ts';
import { type Begun, beginCapture, mayBeForeseen } from '../begun-capture.ts';
import type { CaptureRun } from '../capture-run.ts';
import { endsStatement } from './early-capture.ts';
import { isEarlyPaused, pauseEarly } from './early-pause.ts';

/**
 * Captures the row of a Query that changes one, inside the client's transaction, in the round trip in which the server is
 * asked whether the plan of last time is still true. The question fails where it is not, in a savepoint that holds no more
 * than it and the reading of the client's words, which locks the table as the statement does, so that what has been said
 * stays true behind it. Nothing in the savepoint changes or locks a row, so that it takes no number of a transaction; and the
 * capture stands behind it, in the transaction itself.
 *
 * Invariant: null leaves the transaction as it was, with no savepoint and nothing done. Where it throws, the transaction
 * has failed, as it would have by the statement.
 */
export async function beginInBlock(run: CaptureRun): Promise<Begun | null> {
  const { state, services, hidden, connection, request, entry, text } = run;
  if (state.transactionStatus !== 'T' || isEarlyPaused(state)) return null;
  const foreseen = foreseeOneRow(services.catalog, request);
  if (foreseen === null || !mayBeForeseen(run, foreseen.plan)) return null;
  const { plan, sure } = foreseen;
  const savepoint = OwnTransaction.of(state, hidden, connection);
  let stands = false;
  const set = savepoint.begin(entry).then(() => {
    stands = true;
  });
  const read = hidden.parse(text).then(({ error }) => {
    if (error !== null) throw error;
  });
  const asked = sure.ask(connection, COUNTS_OF_ONE).then((columns) => countsIn(plan, columns));
  const kept = savepoint.keep().then((unkept) => {
    if (unkept !== null) throw new HiddenQueryError(unkept.kind === 'refused' ? unkept.error : {});
    stands = false;
  });
  const begun = beginCapture(run, plan, false, asked);
  try {
    await together<unknown>(
      connection,
      [set, read, asked, kept].map((step) => async () => await step),
    );
    return begun;
  } catch (error) {
    void begun.writer.abort();
    await Promise.allSettled([set, kept]);
    if (error instanceof HiddenQueryEnded || !stands) throw error;
    pauseEarly(state);
    await savepoint.takeBack();
    if (error instanceof HiddenQueryError && endsStatement(error)) throw error;
    return null;
  }
}
