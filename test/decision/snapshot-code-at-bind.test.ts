import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { EVERY_CHANGE, SnapshotsTaken, typesOf } from './snapshots-taken.ts';

/** As a parameter is read and a statement is planned, the server runs code: that of a domain's check, ahead of its Execute. */
describe.each([15, 18] as const)('code that runs at a Bind, on PostgreSQL %i', (version) => {
  let taken: SnapshotsTaken;
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
    taken.clear();
    await other.rows(`drop table if exists kept, spare; drop domain if exists words; drop function if exists taking;
      create table spare as select 1 as id;
      create function taking(text) returns boolean language plpgsql as
        $$ begin if $1 = 'take' then delete from spare; end if; return true; end $$;
      create domain words as text check (taking(value));
      create table kept (id int primary key, note text, own words); insert into kept values (1, 'first', 'own')`);
  });

  it.each([
    ['a parameter is cast to a domain', 'update kept set note = $1::words where id = $2'],
    ['a parameter is of a domain', 'update kept set own = $1 where id = $2'],
  ])('takes nothing along that is not captured where %s', async (_, sql) => {
    const client = await taken.fixture.client();
    client.write(fe.parse('s', sql), fe.sync());
    await client.untilReady();
    const run = async (note: string) => {
      client.write(fe.bind({ statement: 's', parameters: [note, '1'] }), fe.execute(), fe.sync());
      return await client.untilReady();
    };
    for (const note of ['one', 'two']) expect(typesOf(await run(note))).toBe('2CZ');
    expect(await taken.all()).toHaveLength(2);
    const refused = await run('take');
    expect([errorsOf(refused), statusOf(refused)]).toMatchObject([[{ C: 'HF002' }], 'I']);
    expect(await other.rows('select id from spare')).toEqual([['1']]);
    expect(typesOf(await run('three'))).toBe('2CZ');
    for (const begin of ['begin', 'begin isolation level repeatable read']) {
      await client.query(begin);
      expect(errorsOf(await run('take'))).toMatchObject([{ C: 'HF002' }]);
      await client.query('rollback');
    }
    expect(await other.rows('select id from spare')).toEqual([['1']]);
    await client.terminate();
  });
});
