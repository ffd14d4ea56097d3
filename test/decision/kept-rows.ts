import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { type BackendMessage, RawClient } from '../support/raw-client.ts';
import type { Between } from './fixture.ts';
import { EVERY_CHANGE, SnapshotsTaken } from './snapshots-taken.ts';

/** A gateway that takes a snapshot of every change, with a client of it, and one past it. */
export interface KeptRows {
  readonly taken: SnapshotsTaken;
  readonly client: RawClient;
  readonly other: RawClient;
  /** The note and the amount of the row with that number, as others see it. */
  row(id: number): Promise<(string | null)[] | undefined>;
  /** What the gateway answers to messages that are sent together, the last of which is a Sync. */
  sent(...messages: Buffer[]): Promise<BackendMessage[]>;
}

const TABLE = `
create table kept (id int primary key, note text not null, amount int unique check (amount < 1000));
insert into kept select i, 'row ' || i, i from generate_series(1, 20) i`;

/** What tests make and need not remove. */
const LEFT = `drop table if exists kept, was, aside, spare cascade; drop schema if exists ahead cascade;
  drop function if exists noted(), louder() cascade`;

/** Has them, with the table `kept` made anew, for each test of the block that it is called in. */
export function keptRows(
  version: 15 | 18,
  table = TABLE,
  between?: (to: number) => Promise<Between>,
): KeptRows {
  const kept = {
    row: async (id) => (await kept.other.rows(`select note, amount from kept where id = ${id}`))[0],
    sent: async (...messages) => {
      kept.client.write(Buffer.concat(messages));
      return await kept.client.untilReady();
    },
  } as { -readonly [K in keyof KeptRows]: KeptRows[K] };
  beforeAll(async () => {
    kept.taken = await SnapshotsTaken.start(version, {}, EVERY_CHANGE, between);
    kept.other = await RawClient.open(kept.taken.fixture.postgres.port);
  });
  afterAll(async () => {
    await kept.other?.terminate();
    await kept.taken?.fixture.stop();
  });
  beforeEach(async () => {
    await kept.other.rows(`${LEFT}; ${table}`);
    kept.client = await kept.taken.fixture.client();
  });
  afterEach(async () => {
    await kept.client.terminate();
  });
  return kept;
}
