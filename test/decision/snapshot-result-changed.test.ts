import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { type BackendMessage, errorsOf, RawClient } from '../support/raw-client.ts';
import { EVERY_CHANGE, SnapshotsTaken, typesOf } from './snapshots-taken.ts';

/**
 * A prepared statement gives the columns that it gave when it was parsed, or fails, as its Bind does and a Describe of it. What
 * the client has bound may be wrong as well, of which the server says first.
 */
describe.each([15, 18] as const)('what gives other columns by now, on PostgreSQL %i', (version) => {
  let taken: SnapshotsTaken;
  let client: RawClient;
  let direct: RawClient;
  let other: RawClient;

  beforeAll(async () => {
    taken = await SnapshotsTaken.start(version, {}, EVERY_CHANGE);
    other = await RawClient.open(taken.fixture.postgres.port);
  });
  afterAll(async () => {
    await other?.terminate();
    await taken?.fixture.stop();
  });
  beforeEach(async () => {
    await other.rows('drop table if exists kept; create table kept (id int primary key, note text)');
    await other.rows(`insert into kept select i, 'row ' || i from generate_series(1, 20) i`);
    client = await taken.fixture.client();
    direct = await RawClient.open(taken.fixture.postgres.port);
    taken.clear();
    return async () => {
      await client.terminate();
      await direct.terminate();
    };
  });

  const ALL = 'update kept set note = $1 where id = $2 returning *';
  const bound = (...parameters: (string | null)[]) => [
    fe.bind({ portal: 'p', statement: 'all', parameters }),
    fe.describe('P', 'p'),
    fe.execute('p'),
  ];
  const simply = (sql: string) => [fe.parse('', sql), fe.bind(), fe.execute()];

  async function both(...messages: Buffer[]): Promise<BackendMessage[][]> {
    const answers: BackendMessage[][] = [];
    for (const each of [direct, client]) {
      each.write(Buffer.concat(messages));
      answers.push(await each.untilReady());
    }
    return answers;
  }

  const told = (messages: readonly BackendMessage[]) => [
    typesOf(messages),
    errorsOf(messages).map(({ C, M, W }) => [C, M, W]),
  ];

  const BOUND = [
    ['is of no such type', bound('new', 'no number'), '22P02'],
    ['is not all that it takes', bound('new'), '08P01'],
    ['is right', bound('new', '3'), '0A000'],
  ] as const;
  const PLACES = [
    ['by itself', [], []],
    ['in a block that has begun', [], simply('begin')],
    ['in a block of its segment', simply('begin'), []],
  ] as const;

  it.each(
    ['has run', 'has not run'].flatMap((ran) =>
      PLACES.flatMap(([where, front, before]) =>
        BOUND.map(([what, messages, code]) => [ran, where, what, front, before, messages, code] as const),
      ),
    ),
  )(
    'and %s is told by the server, %s, where its value %s',
    async (ran, _where, _what, front, before, messages, code) => {
      await both(fe.parse('all', ALL), fe.sync());
      if (ran === 'has run')
        for (const id of ['1', '2']) await both(...bound('old', id), fe.close('P', 'p'), fe.sync());
      await other.rows('alter table kept add column extra int');
      await both(...before, fe.sync());
      const [wanted, got] = await both(...front, ...messages, fe.sync());
      expect(told(got!)).toEqual(told(wanted!));
      expect(errorsOf(got!)).toMatchObject([{ C: code }]);
      expect(await other.rows(`select count(*) from kept where note = 'new'`)).toEqual([['0']]);
      const [, after] = await both(fe.query('rollback'));
      expect(typesOf(after!)).toMatch(/^N?CZ$/);
    },
  );

  it('goes by the types that it was parsed with, by each of its names', async () => {
    const sent = 'update kept set note = $1 where id = $2';
    const run = (statement: string, note: string, id: string) => [
      fe.bind({ statement, parameters: [note, id] }),
      fe.execute(),
      fe.sync(),
    ];
    const codes: string[][] = [];
    const bothTell = async (...messages: Buffer[]) => {
      const [wanted, got] = await both(...messages);
      expect(told(got!)).toEqual(told(wanted!));
      codes.push(errorsOf(got!).map(({ C }) => C!));
    };
    await bothTell(fe.parse('one', sent), fe.sync());
    for (const id of ['1', '2']) await bothTell(...run('one', 'text', id));
    await other.rows(
      `update kept set note = id; alter table kept alter column note type int using note::int`,
    );
    await bothTell(...run('one', '7', '3'));
    await bothTell(fe.parse('two', sent), ...run('two', '8', '3'));
    await bothTell(...run('two', 'text', '4'));
    await bothTell(...run('one', '9', '4'));
    await bothTell(fe.close('S', 'one'), fe.parse('one', sent), ...run('one', '10', '5'));
    await bothTell(...run('two', '11', '5'));
    expect(codes).toEqual([[], [], [], ['42804'], [], ['22P02'], ['42804'], [], []]);
    expect(await other.rows('select id, note from kept where id between 3 and 5 order by id')).toEqual([
      ['3', '8'],
      ['4', '4'],
      ['5', '11'],
    ]);
    expect((await taken.all()).length).toBe(5);
  });
});
