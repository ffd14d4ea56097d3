import { HiddenQueryError } from '../../catalog/connection.ts';
import { onHidden } from '../../trash/session.ts';
import { HiddenQueryEnded } from '../hidden/hidden-exchange.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { untilQuiet } from '../hidden/segment-fits.ts';
import { APPENDS, type Called, type LargeObjectWrite } from '../known/large-object-call.ts';
import type { SessionState } from '../state.ts';
import type { Answer } from '../verdict.ts';

/**
 * As what a write to a large object is decided: the server is asked where it would begin, and where the object ends.
 * Outside of a transaction nothing is open that could be written to, and in a failed one nothing runs.
 */
export async function readByItsEnd(
  state: SessionState,
  hidden: HiddenQueries,
  { analysis }: Called,
  write: LargeObjectWrite,
): Promise<Answer> {
  // What stands in front of the message is sent by then.
  await Promise.resolve();
  if (state.replies.segmentOpen || state.inImplicitBlock) return { analysis, outcome: null };
  await untilQuiet(state);
  if (!state.owesNothing() || state.copyingIn || state.fatal) return { analysis, outcome: null };
  if (state.transactionStatus !== 'T') return { analysis: APPENDS, outcome: null };
  try {
    const [row] = await onHidden(hidden.ending('sync')).query(sqlOf(write.descriptor));
    const begins = write.length ?? BigInt(row![0]!);
    return { analysis: begins >= BigInt(row![1]!) ? APPENDS : analysis, outcome: null };
  } catch (error) {
    await state.untilHiddenOver();
    if (error instanceof HiddenQueryEnded) return { analysis, outcome: null };
    if (!(error instanceof HiddenQueryError)) throw error;
    // With the same the server would refuse the call, and fail the transaction.
    return { analysis: null, outcome: { kind: 'ended', error: error.fields } };
  }
}

/** Where the descriptor stands, and the end, behind which it stands where it stood. Each is computed once, and in order. */
const sqlOf = (descriptor: number) => `
SELECT s.stands, s.size, pg_catalog.lo_lseek64(${descriptor}, s.stands, 0)
  FROM (SELECT t.stands, pg_catalog.lo_lseek64(${descriptor}, 0, 2) AS size
          FROM (SELECT pg_catalog.lo_tell64(${descriptor}) AS stands OFFSET 0) t OFFSET 0) s`;
