import { type HiddenConnection, HiddenQueryError } from '../../catalog/connection.ts';
import { plainQuery } from '../../snapshot/capture.ts';
import { HiddenQueryEnded } from './hidden-exchange.ts';

/** Has the transaction fail that a statement is a part of, so that it is taken back with it. */
export async function failTransaction(connection: HiddenConnection): Promise<void> {
  try {
    await connection.run(plainQuery('holdfast takes a statement back'), () => {});
  } catch (error) {
    if (error instanceof HiddenQueryError) return;
    // Another query of ours has made it fail already.
    if (error instanceof HiddenQueryEnded && error.why === 'discarded') return;
    throw error;
  }
  throw new Error('the transaction could not be made to fail');
}
