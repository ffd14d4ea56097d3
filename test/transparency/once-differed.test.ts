import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { type Middle, startMiddle } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { DatabasePair } from './differential.ts';
import type { Packets, Step } from './script.ts';

/** Sessions in which the gateway once was not what PostgreSQL is. */

const PAUSE: Step = { kind: 'pause' };
const send = (what: string, bytes: Buffer): Step => ({ kind: 'send', what, bytes });
const sync = send('Sync', fe.sync());
const data = (text: string) => send(`CopyData ${text}`, fe.copyData(text));
const copyDone = send('CopyDone', fe.copyDone());
const copyFail = send('CopyFail', fe.copyFail('the client gave up'));
const query = (text: string) => send(`Query ${text}`, fe.query(text));
const execute = (text: string): Step[] => [
  send(`Parse ${text}`, fe.parse('', text)),
  send('Bind', fe.bind()),
  send('Execute', fe.execute()),
];

const GOOD = 'copy fuzz_rows(note) from stdin';
/** Both begin to copy in and fail before they read anything. */
const VIEW = 'copy fuzz_view(id, note) from stdin';
const GUARDED = 'copy fuzz_guarded from stdin';
const NUMBERS = 'copy fuzz_rows(id) from stdin';

const SESSIONS: Readonly<Record<string, readonly Step[]>> = {
  // Found as seed 302421 of the fuzzer.
  'a function call after a COPY that failed behind a Sync': [
    ...[...execute(GOOD), sync, PAUSE, data('a\n'), copyFail, sync],
    send('FunctionCall upper(null)', fe.functionCall(871, [null])),
    ...[...execute('select 1'), sync],
  ],
  'a Query in the segment of a COPY that failed behind a Sync': [
    ...[
      ...execute(GOOD),
      sync,
      PAUSE,
      copyFail,
      query("insert into fuzz_log(what) values ('not run')"),
      sync,
    ],
  ],
  'a statement in the segment of a COPY that failed behind a Sync': [
    ...[
      ...execute(GOOD),
      sync,
      PAUSE,
      copyFail,
      PAUSE,
      ...execute('select 1'),
      sync,
      ...execute('select 2'),
      sync,
    ],
  ],
  'all of that at once': [...execute(GOOD), sync, copyFail, ...execute('select 1'), sync, query('select 2')],
  'a statement in the segment of a COPY that is done': [
    ...[...execute(GOOD), sync, data('a\n'), copyDone, ...execute('select 1'), sync, query('select 2')],
  ],
  'a COPY that fails at its data between two Syncs': [
    ...[
      ...execute(NUMBERS),
      sync,
      data('x\n'),
      sync,
      data('1\n'),
      sync,
      copyDone,
      ...execute('select 1'),
      sync,
    ],
  ],
  'a COPY into a view, which fails in front of the Sync': [
    ...[...execute(VIEW), sync, PAUSE, ...execute('select 1'), sync],
  ],
  'a COPY that a trigger refuses, with all of its data behind a Sync': [
    ...[...execute(GUARDED), sync, data('a\n'), copyDone, sync, ...execute('select 1'), sync],
  ],
  'a COPY that a trigger refuses, and a statement in its segment': [
    ...[...execute(GUARDED), sync, data('a\n'), copyDone, ...execute('select 1'), sync, query('select 2')],
  ],
  'a COPY that a trigger refuses, and statements at once behind it': [
    ...[...execute(GUARDED), sync, ...execute('select 1'), sync, query('select 2')],
  ],
};

describe('a session that once differed', () => {
  let postgres: TestPostgres;
  let middle: Middle;
  let pair: DatabasePair;

  beforeAll(async () => {
    postgres = await startPostgres({ version: 15 });
    middle = await startMiddle({ upstreamPort: postgres.port });
    pair = await DatabasePair.create(postgres, middle.port, 'known', 8_000);
  });
  afterAll(async () => {
    pair?.close();
    await middle?.stop();
    await postgres?.stop();
  });

  for (const packets of ['together', 'by-message', 'odd'] as const satisfies Packets[]) {
    it.each(Object.entries(SESSIONS))(`does so no more, ${packets}: %s`, async (_, steps) => {
      const { difference } = await pair.compare({
        seed: 1,
        startup: {},
        packets,
        steps,
        closing: 'in-order',
      });
      expect(difference).toBeNull();
    });
  }
});
