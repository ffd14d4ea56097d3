import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { eventually } from '../support/process-facts.ts';
import { type BackendMessage, cancel, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { EVERY_CHANGE, SnapshotsTaken, typesOf } from './snapshots-taken.ts';

/**
 * What is prepared, has run before and comes whole: its row is captured before it is known that the plan is still true, and
 * in a transaction of the client its Sync is sent with it. `snapshot-flights.test.ts` counts what that saves.
 */
describe.each([15, 18] as const)('a prepared statement that has run before, on PostgreSQL %i', (version) => {
  let taken: SnapshotsTaken;
  let client: RawClient;
  let direct: RawClient;
  let other: RawClient;

  beforeAll(async () => {
    taken = await SnapshotsTaken.start(version, {}, EVERY_CHANGE);
    other = await RawClient.open(taken.fixture.postgres.port);
    const { user } = (await roleOf(other)) as { user: string };
    await other.rows(`create role limited; grant limited to ${user}`);
  });
  afterAll(async () => {
    await other?.terminate();
    await taken?.fixture.stop();
  });
  beforeEach(async () => {
    await client?.terminate();
    await direct?.terminate();
    await other.rows('rollback');
    await refill();
    client = await taken.fixture.client();
    direct = await RawClient.open(taken.fixture.postgres.port);
    for (const each of [client, direct]) {
      expect(errorsOf(await send(each, fe.parse('one', UPDATE), fe.sync()))).toEqual([]);
      expect(errorsOf(await send(each, ...bound('1'), fe.sync()))).toEqual([]);
    }
    await refill();
    expect(errorsOf(await send(client, ...bound('1'), fe.sync()))).toEqual([]);
    await refill();
    taken.clear();
  });

  const UPDATE = 'update kept set note = $1 where id = $2';
  const ROWS = `insert into kept select i, 'row ' || i from generate_series(1, 20) i`;
  const bound = (id: string, note = 'new') => [
    fe.bind({ statement: 'one', parameters: [note, id] }),
    fe.describe('P'),
    fe.execute(),
  ];

  const TELLING = 'update kept set note = $1 where id = $2 returning id';
  const told = (id: string, formats: 0 | 1) => [
    fe.bind({ statement: 'told', parameters: ['new', id], resultFormats: formats === 0 ? [0] : [1, 1] }),
    fe.execute(),
  ];

  async function roleOf(session: RawClient) {
    return { user: (await session.rows('select current_user'))[0]![0] };
  }

  async function refill(): Promise<void> {
    await other.rows(`set client_min_messages = error; drop table if exists child, grand`);
    await other.rows(
      'create table if not exists kept (id int primary key, note text check (note <> $$bad$$))',
    );
    await other.rows(`alter table kept drop column if exists extra; delete from kept`);
    await other.rows(ROWS);
  }

  async function send(to: RawClient, ...messages: Buffer[]): Promise<BackendMessage[]> {
    to.write(Buffer.concat(messages));
    return await to.untilReady();
  }

  /** The same to the server itself and through the gateway, answer for answer, whatever it is that each is to find. */
  async function bothWays(...segments: Buffer[][]): Promise<BackendMessage[]> {
    const answers: BackendMessage[][] = [];
    for (const each of [direct, client]) {
      await refill();
      each.write(Buffer.concat(segments.flat()));
      const got: BackendMessage[] = [];
      for (const _ of segments) got.push(...(await each.untilReady()));
      answers.push(got);
    }
    const [wanted, got] = answers as [BackendMessage[], BackendMessage[]];
    expect(typesOf(got)).toBe(typesOf(wanted));
    expect(got.map(saidBy)).toEqual(wanted.map(saidBy));
    return got;
  }

  /** But for the place in the server's own source. */
  const saidBy = ({ type, body }: BackendMessage) => {
    const text = body.toString('latin1');
    return type === 'E' ? text.replace(/\0[FLR][^\0]*/g, '') : text;
  };

  const notes = async (ids: string) =>
    (await other.rows(`select note from kept where id in (${ids}) order by id`)).map(([note]) => note);

  async function untilWaiting(): Promise<void> {
    await eventually('the wait', async () => {
      const waits = `select count(*) from pg_stat_activity where wait_event_type = 'Lock'`;
      return (await taken.fixture.postgres.sql(waits))[0]![0] === '1' ? null : 'nobody waits';
    });
  }

  /** What there is of it is one row of each image, which was that of its number before. */
  async function expectRows(...ids: string[]): Promise<void> {
    await expectNotes(...ids.map((id) => `row ${id}`));
  }

  async function expectNotes(...before: string[]): Promise<void> {
    const tables = (await taken.all()).map((snapshot) => snapshot.tables[0]!);
    expect(tables).toMatchObject(before.map(() => ({ before: { rows: 1 }, after: { rows: 1 } })));
    // A note is the last column, so that none of them is the beginning of another's.
    const rows = await Promise.all(tables.map((table) => taken.rowsOf(table.before)));
    expect(rows.flat()).toEqual(before.map((note) => expect.stringMatching(new RegExp(`${note}$`))));
  }

  describe('by itself', () => {
    it('is answered as the server answers it, one by one and several in one go', async () => {
      await bothWays([...bound('2'), fe.sync()], [...bound('3'), fe.sync()], [...bound('99'), fe.sync()]);
      await expectRows('2', '3');
      await bothWays([...bound('4'), ...bound('5'), fe.sync()], [...bound('6'), fe.sync()]);
      await expectRows('2', '3', '4', '5', '6');
    });

    it('fails as it fails directly by what is bound, and by what is written', async () => {
      const many = fe.bind({ statement: 'one', parameters: ['new', '2', '3'] });
      for (const bind of [
        fe.bind({ statement: 'one', parameters: ['new', 'no number'] }),
        fe.bind({ statement: 'one', parameters: ['\xff', '2'].map((each) => Buffer.from(each, 'latin1')) }),
        fe.bind({ statement: 'one', parameterFormats: [0, 1], parameters: ['new', Buffer.of(1)] }),
        many,
      ]) {
        const messages = await bothWays([bind, fe.describe('P'), fe.execute(), fe.sync()]);
        expect(typesOf(messages)).toBe('EZ');
        await bothWays([...bound('7'), fe.sync()]);
      }
      expect(typesOf(await bothWays([...bound('2', 'bad'), fe.sync()]))).toBe('2nEZ');
      for (const each of [direct, client]) await send(each, fe.parse('told', TELLING), fe.sync());
      await bothWays([...told('2', 0), fe.sync()], [...told('3', 0), fe.sync()]);
      // That is what is wrong with it only once its row has been captured.
      expect(typesOf(await bothWays([...told('4', 1), fe.sync()]))).toBe('EZ');
      taken.clear();
      await bothWays([...bound('7'), fe.sync()]);
      await expectRows('7');
      const [event] = await taken.fixture.auditEvents(
        (each) => each['end'] === 'not-run' && each['sql'] === TELLING,
        1,
      );
      expect(event).toMatchObject({ transaction_status: 'I', snapshot: 'not yet taken' });
    });

    it('is what its text is when that comes again with other types', async () => {
      const typed = (types: number[], id: Buffer | string) => [
        fe.parse('', UPDATE, types),
        fe.bind({ parameterFormats: [0, 1], parameters: ['new', id] }),
        fe.describe('P'),
        fe.execute(),
        fe.sync(),
      ];
      await bothWays(typed([25, 23], fe.int32(2)), typed([25, 23], fe.int32(3)));
      const long = Buffer.concat([fe.int32(0), fe.int32(4)]);
      await bothWays(typed([25, 20], long), typed([25, 20], Buffer.concat([fe.int32(0), fe.int32(5)])));
      expect(await notes('2, 3, 4, 5')).toEqual(['row 2', 'row 3', 'new', 'new']);
      await expectRows('2', '3', '4', '5');
    });

    it('runs nothing behind a Parse that fails', async () => {
      const segment = [fe.parse('two', 'nonsense'), ...bound('2'), fe.sync()];
      expect(typesOf(await bothWays(segment, [...bound('3'), fe.sync()]))).toBe('EZ2nCZ');
      await expectRows('3');
    });

    it('has what others wrote to the row while it waited for it', async () => {
      await other.rows(`begin; update kept set note = 'theirs' where id = 2`);
      const run = send(client, ...bound('2'), fe.sync());
      await untilWaiting();
      await other.rows('commit');
      expect(errorsOf(await run)).toEqual([]);
      expect((await taken.images())[0]!.before).toEqual([expect.stringContaining('theirs')]);
    });

    it('changes nothing of a row that others take out of its reach while it waits', async () => {
      await other.rows(`begin; update kept set id = 102 where id = 2`);
      const run = send(client, ...bound('2'), fe.sync());
      await untilWaiting();
      await other.rows('commit');
      const messages = await run;
      expect(errorsOf(messages)).toEqual([]);
      expect(messages.find(({ type }) => type === 'C')!.body.toString()).toBe('UPDATE 0\0');
      expect(await taken.all()).toEqual([]);
    });

    it('is cancelled while it waits for the row, and leaves its session as it was', async () => {
      await other.rows(`begin; update kept set note = 'theirs' where id = 2`);
      const run = send(client, ...bound('2'), fe.sync());
      await untilWaiting();
      await cancel(taken.fixture.gateway.port, client.processId, client.secretKey);
      const messages = await run;
      expect(errorsOf(messages)).toMatchObject([{ C: '57014' }]);
      expect(statusOf(messages)).toBe('I');
      await other.rows('rollback');
      expect(await notes('2')).toEqual(['row 2']);
      await bothWays([...bound('3'), fe.sync()]);
      await expectRows('3');
    });

    it('gives up a row that is locked for longer than it waits', async () => {
      await client.rows(`set lock_timeout = '50ms'`);
      await send(client, ...bound('1'), fe.sync());
      await other.rows(`begin; update kept set note = 'theirs' where id = 2`);
      expect(errorsOf(await send(client, ...bound('2'), fe.sync()))).toMatchObject([{ C: '55P03' }]);
      await other.rows('rollback');
      expect(await notes('2')).toEqual(['row 2']);
      expect(errorsOf(await send(client, ...bound('2'), fe.sync()))).toEqual([]);
    });

    it('runs by another role, and with its rights', async () => {
      await other.rows('revoke all on kept from limited; grant select on kept to limited');
      await client.rows('set role limited');
      const run = async (id: string) => errorsOf(await send(client, ...bound(id), fe.sync()));
      const refused = [{ C: 'HF002', D: expect.stringMatching(/privilege|may not/) }];
      expect(await run('2')).toMatchObject(refused);
      await other.rows('grant update, delete on kept to limited');
      expect([await run('2'), await run('3')]).toEqual([[], []]);
      await other.rows('revoke update on kept from limited');
      expect(await run('4')).toMatchObject(refused);
      await client.rows('reset role');
      expect([await run('5'), await run('6')]).toEqual([[], []]);
      await expectRows('2', '3', '5', '6');
    });

    it('takes along what has come to follow it', async () => {
      await other.rows('create table child (kept int references kept on update cascade on delete cascade)');
      await send(client, fe.parse('gone', 'delete from kept where id = $1'), fe.sync());
      const gone = (id: string) => [
        fe.bind({ statement: 'gone', parameters: [id] }),
        fe.execute(),
        fe.sync(),
      ];
      await other.rows('insert into child values (2), (3), (4), (4)');
      for (const id of ['2', '3']) expect(errorsOf(await send(client, ...gone(id)))).toEqual([]);
      await other.rows('create table grand (kept int references kept on delete cascade)');
      await other.rows('insert into grand values (4)');
      expect(errorsOf(await send(client, ...gone('4')))).toEqual([]);
      const rows = (await taken.all()).map(({ tables }) =>
        tables.map(({ name, before }) => [name, before!.rows]).sort(),
      );
      expect(rows).toEqual([
        [
          ['child', 1],
          ['kept', 1],
        ],
        [
          ['child', 1],
          ['kept', 1],
        ],
        [
          ['child', 2],
          ['grand', 1],
          ['kept', 1],
        ],
      ]);
    });

    it('leaves no row locked that it was wrong about', async () => {
      await other.rows('alter table kept rename to was');
      await other.rows('create table kept (id int primary key, note text)');
      await other.rows('begin; select id from was where id = 2 for update nowait');
      expect(errorsOf(await send(client, ...bound('2'), fe.sync()))).toEqual([]);
      await other.rows('rollback; drop table kept; alter table was rename to kept');
    });

    it('is told what others notify of while it is planned anew', async () => {
      await client.rows('listen news');
      await send(client, ...bound('1'), fe.sync());
      await other.rows(`alter table kept add column extra int default 1; notify news, 'altered'`);
      const messages = await send(client, ...bound('2'), fe.sync());
      expect(typesOf(messages).replace('A', '')).toBe('2nCZ');
    });

    it('is captured when its Execute comes later, and its row with what is written until then', async () => {
      client.write(fe.bind({ statement: 'one', parameters: ['new', '2'] }), fe.flush());
      await client.until('2');
      await other.rows(`update kept set note = 'theirs' where id = 2`);
      expect(errorsOf(await send(client, fe.execute(), fe.sync()))).toEqual([]);
      await expectNotes('theirs');
    });
  });

  describe('in a transaction of the client', () => {
    const BEGIN = [fe.query('begin')];
    const COMMIT = [fe.query('commit')];

    it('is answered as the server answers it, one by one and several in one go', async () => {
      const read = [fe.parse('', 'select note from kept where id = 2'), fe.bind(), fe.execute(), fe.sync()];
      const run = (...ids: string[]) => [...ids.flatMap((id) => bound(id)), fe.sync()];
      await bothWays(BEGIN, run('2'), read, run('3'), COMMIT, run('4'));
      await expectRows('2', '3', '4');
      await bothWays(BEGIN, run('2', '3'), run('5'), [fe.query('rollback')]);
      expect(await notes('2, 3, 5')).toEqual(['row 2', 'row 3', 'row 5']);
      await eventually('the marks', async () => {
        const marks = await Promise.all((await taken.all()).map((each) => taken.isRolledBack(each)));
        return marks.join() === 'false,false,false,true,true,true' ? null : marks.join();
      });
    });

    it('fails as it fails directly, by what is bound and by what is written, and its transaction with it', async () => {
      const failing = [
        [fe.bind({ statement: 'one', parameters: ['new', 'no number'] }), fe.execute(), fe.sync()],
        [...told('2', 1), fe.sync()],
        [...bound('2', 'bad'), fe.sync()],
      ];
      for (const each of [direct, client]) await send(each, fe.parse('told', TELLING), fe.sync());
      for (const segment of failing) {
        const messages = await bothWays(BEGIN, segment, [...bound('3'), fe.sync()], COMMIT);
        expect(errorsOf(messages)).toHaveLength(2);
        expect(messages.filter(({ type }) => type === 'Z').map(({ body }) => body.toString())).toEqual([
          'T',
          'E',
          'E',
          'I',
        ]);
      }
      expect(await taken.all()).toEqual([]);
      const events = await taken.fixture.auditEvents((event) => event['transaction_status'] === 'E', 3);
      expect(events.map((event) => event['end'])).not.toContain('lost');
    });

    it('fails in a transaction that has failed, whether or not it gives rows', async () => {
      for (const each of [direct, client]) await send(each, fe.parse('told', TELLING), fe.sync());
      const failed = [fe.query('begin'), fe.query('select 1 / 0')];
      const segments = [[...bound('2'), fe.sync()], [...told('3', 0), fe.sync()], [fe.query('rollback')]];
      const messages = await bothWays(...failed.map((each) => [each]), ...segments);
      expect(errorsOf(messages)).toMatchObject([{ C: '22012' }, { C: '25P02' }, { C: '25P02' }]);
    });

    it('goes back to a savepoint that was set in front of it', async () => {
      await bothWays(
        BEGIN,
        [...bound('2'), fe.sync()],
        [fe.query('savepoint s')],
        [...bound('3', 'bad'), fe.sync()],
        [fe.query('rollback to s')],
        [...bound('4'), fe.sync()],
        COMMIT,
      );
      await expectRows('2', '4');
      expect(await notes('2, 3, 4')).toEqual(['new', 'row 3', 'new']);
    });

    it('commits with the COMMIT in its own segment, before it and behind it', async () => {
      const text = (sql: string) => [fe.parse('', sql), fe.bind(), fe.execute()];
      await bothWays(
        [...text('begin'), ...bound('2'), fe.sync()],
        [...bound('3'), ...text('commit'), fe.sync()],
      );
      expect(await notes('2, 3')).toEqual(['new', 'new']);
      await bothWays([...text('begin'), fe.sync()], [...text('commit'), ...bound('4'), fe.sync()]);
      expect(await notes('4')).toEqual(['new']);
      await expectRows('2', '3', '4');
    });

    it('waits with its Sync where a Query has made a block of an open segment', async () => {
      const text = (sql: string) => [fe.parse('', sql), fe.bind(), fe.execute()];
      await bothWays([...text('select 1'), fe.query('select 2')], [...bound('2'), fe.sync()]);
      expect(await notes('2')).toEqual(['new']);
      await expectRows('2');
    });

    it('gives some of its rows and then the others', async () => {
      const all = `update kept set note = 'new' where id < $1 returning id`;
      const some = [
        fe.bind({ portal: 'p', statement: 'all', parameters: ['4'] }),
        fe.execute('p', 2),
        fe.sync(),
      ];
      for (const each of [client, direct]) await send(each, fe.parse('all', all), fe.sync());
      await bothWays(BEGIN, some, [fe.execute('p', 0), fe.sync()], COMMIT);
      expect(await taken.all()).toMatchObject([{ tables: [{ before: { rows: 3 } }] }]);
    });

    it('fails with its transaction where it changes what was not captured', async () => {
      await client.query('begin');
      await send(client, fe.parse('many', `update kept set note = $1 where id < $2`), fe.sync());
      const many = [fe.bind({ statement: 'many', parameters: ['new', '4'] }), fe.execute(), fe.sync()];
      // It is looked at behind the last lock, and so has what the capture has not.
      await other.rows(`begin; update kept set note = 'theirs' where id = 3`);
      const run = send(client, ...many);
      await untilWaiting();
      await other.rows(`insert into kept values (0, 'came later'); commit`);
      const messages = await run;
      expect(errorsOf(messages)).toMatchObject([{ C: '40001' }]);
      expect([typesOf(messages), statusOf(messages)]).toEqual(['2EZ', 'E']);
      expect(statusOf(await client.query('commit'))).toBe('I');
      expect(await notes('0, 1, 3')).toEqual(['came later', 'row 1', 'theirs']);
      expect(await taken.all()).toEqual([]);
    });

    it('is cancelled while it runs, and its transaction fails', async () => {
      await client.rows('begin; create temp table slow (id int) on commit drop');
      const slow = 'update kept set note = (select count(*)::text from pg_sleep(60)) where id = $1';
      await send(client, fe.parse('slow', slow), fe.sync());
      const run = send(client, fe.bind({ statement: 'slow', parameters: ['2'] }), fe.execute(), fe.sync());
      await eventually('the statement', async () => {
        const sleeps = `select count(*) from pg_stat_activity where wait_event = 'PgSleep'`;
        return (await taken.fixture.postgres.sql(sleeps))[0]![0] === '1' ? null : 'it does not run';
      });
      await cancel(taken.fixture.gateway.port, client.processId, client.secretKey);
      const messages = await run;
      expect(errorsOf(messages)).toMatchObject([{ C: '57014' }]);
      expect([typesOf(messages), statusOf(messages)]).toEqual(['2EZ', 'E']);
      await client.query('rollback');
      expect(await taken.all()).toEqual([]);
      await bothWays([...bound('3'), fe.sync()]);
    });

    it('ends with its session where the server ends that, and is recorded', async () => {
      await client.rows('begin');
      const slow = 'update kept set note = (select count(*)::text from pg_sleep(60)) where id = $1';
      await send(client, fe.parse('slow', slow), fe.sync());
      client.write(fe.bind({ statement: 'slow', parameters: ['2'] }), fe.execute(), fe.sync());
      const sleeps = `from pg_stat_activity where wait_event = 'PgSleep'`;
      await eventually('the statement', async () => {
        const rows = await taken.fixture.postgres.sql(`select pg_terminate_backend(pid) ${sleeps}`);
        return rows.length === 1 ? null : 'it does not run';
      });
      expect(errorsOf(await client.untilEnd())).toMatchObject([{ C: '57P01' }]);
      const [event] = await taken.fixture.auditEvents((each) => each['sqlstate'] === '57P01', 1);
      expect(event).toMatchObject({ sql: slow, end: 'failed', transaction_status: null });
      expect(await taken.all()).toEqual([]);
      client = await taken.fixture.client();
    });
  });
});
