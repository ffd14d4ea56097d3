import { withinMs } from '../../base/deadline.ts';
import { HiddenQueryEnded } from '../hidden/hidden-exchange.ts';
import type { SessionState } from '../state.ts';

/** The client has given up waiting. */
export class StoringCanceled extends Error {}

/** What takes longer than the limit, than the connection, or than the client waits, is given up, and what it may leave behind is taken away once it has ended. */
export async function storedInTime<T>(
  state: SessionState,
  storing: Promise<T>,
  abort: () => void,
): Promise<T> {
  const { patienceMs } = state.services.snapshots!;
  const takeAway = () => void storing.catch(() => {}).then(abort);
  const late = () => {
    takeAway();
    return new Error(`it was not stored within ${patienceMs} ms`);
  };
  // Without the server nothing is going to be committed, and a stop does not wait for a storage that hangs.
  const { promise: givenUp, reject } = Promise.withResolvers<never>();
  const giveUp = () => reject(new HiddenQueryEnded('lost'));
  state.whenLost.add(giveUp);
  // The server has nothing under way that it could cancel.
  const cancel = () => {
    takeAway();
    reject(new StoringCanceled('canceled by the client'));
  };
  state.cancelsStoring = cancel;
  try {
    return await withinMs(patienceMs, Promise.race([storing, givenUp]), late);
  } finally {
    state.whenLost.delete(giveUp);
    state.cancelsStoring = null;
  }
}
