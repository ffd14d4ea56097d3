import { afterAll, beforeAll, beforeEach } from 'vitest';
import type { RawClient } from '../support/raw-client.ts';
import { SnapshotsTaken } from './snapshots-taken.ts';

/** A gateway that takes snapshots, of which there are none yet, and a client of it. */
export interface TakenByTest {
  readonly taken: SnapshotsTaken;
  readonly client: RawClient;
}

/** Has them for each test of the block that it is called in. */
export function takenByTest(version: 15 | 18, parameters: Record<string, string> = {}): TakenByTest {
  const under = {} as { -readonly [K in keyof TakenByTest]: TakenByTest[K] };
  beforeAll(async () => {
    under.taken = await SnapshotsTaken.start(version);
  });
  afterAll(async () => {
    await under.taken?.fixture.stop();
  });
  beforeEach(async () => {
    await under.taken.reset();
    const client = await under.taken.fixture.client(parameters);
    under.client = client;
    return () => client.terminate();
  });
  return under;
}
