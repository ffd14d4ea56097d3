import { randomBytes } from 'node:crypto';
import { LIMITS } from '../../base/limits.ts';
import { type HiddenConnection, HiddenQueryError } from '../../catalog/connection.ts';
import { textColumns } from '../../catalog/row.ts';
import { plainQuery } from '../../snapshot/capture.ts';
import type { SessionState } from '../state.ts';
import { leave } from './own-transaction.ts';

/** A name that nobody else can have taken, because nobody can guess it. */
const SAVEPOINT = `holdfast_${randomBytes(12).toString('hex')}`;

/** By a time limit, or a cancel. */
const CANCELED = '57014';

const timeOut = (value: string) =>
  plainQuery(`SELECT pg_catalog.set_config('statement_timeout', '${value}', true)`);
const OURS = timeOut(`${LIMITS.previewTotalMs}ms`);

/**
 * Asks in front of a statement of the client's, with a time limit of ours where the client's is too short, and so that the
 * transaction is afterwards as it was, also where the server refuses to tell: then it rejects. Only inside a segment of the
 * client's, which cannot be taken back, an error is one of the segment's.
 */
export async function askBeside(
  state: SessionState,
  connection: HiddenConnection,
  isCanceled: () => boolean,
  ask: () => Promise<void>,
): Promise<void> {
  if (state.replies.segmentOpen) {
    let before = '';
    await connection.run(plainQuery('SHOW statement_timeout'), (row) => {
      before = textColumns(row)[0] ?? '';
    });
    if (before === '0') return await ask();
    await connection.run(OURS, () => {});
    await ask();
    await connection.run(timeOut(before), () => {});
    return;
  }
  if (state.transactionStatus === 'I') {
    try {
      return await ask();
    } catch (error) {
      const wasLimited = error instanceof HiddenQueryError && error.sqlstate === CANCELED && !isCanceled();
      if (!wasLimited) throw error;
    }
    await within(state, 'BEGIN ISOLATION LEVEL READ COMMITTED', ['ROLLBACK'], connection, ask);
  } else {
    const back = [`ROLLBACK TO SAVEPOINT ${SAVEPOINT}`, `RELEASE SAVEPOINT ${SAVEPOINT}`];
    await within(state, `SAVEPOINT ${SAVEPOINT}`, back, connection, ask);
  }
}

async function within(
  state: SessionState,
  begin: string,
  end: readonly string[],
  connection: HiddenConnection,
  ask: () => Promise<void>,
): Promise<void> {
  try {
    await Promise.all([connection.run(plainQuery(begin), () => {}), connection.run(OURS, () => {}), ask()]);
  } finally {
    await leave(state, connection, end);
  }
}
