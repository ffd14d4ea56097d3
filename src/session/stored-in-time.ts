import { withinMs } from '../base/deadline.ts';
import { HiddenQueryEnded } from './hidden-exchange.ts';
import type { SessionState } from './state.ts';

/** What takes longer than the limit, or than the connection, is given up, and what it may leave behind is taken away once it has ended. */
export async function storedInTime<T>(
  state: SessionState,
  storing: Promise<T>,
  abort: () => void,
): Promise<T> {
  const { patienceMs } = state.services.snapshots!;
  const late = () => {
    void storing.catch(() => {}).then(abort);
    return new Error(`it was not stored within ${patienceMs} ms`);
  };
  // Without the server nothing is going to be committed, and a stop does not wait for a storage that hangs.
  const { promise: lost, reject } = Promise.withResolvers<never>();
  const giveUp = () => reject(new HiddenQueryEnded('lost'));
  state.whenLost.add(giveUp);
  try {
    return await withinMs(patienceMs, Promise.race([storing, lost]), late);
  } finally {
    state.whenLost.delete(giveUp);
  }
}
