import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { type BackendMessage, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { EVERY_CHANGE, SnapshotsTaken } from './snapshots-taken.ts';

/** What others do between two statements of one text, the second of which is captured by the plan of the first. */
const CHANGES = [
  ['a column is added', `alter table kept add column c text default 'more'`, ['id', 'note', 'extra', 'c']],
  ['a column is dropped', 'alter table kept drop column extra', ['id', 'note']],
  ['a column is renamed', 'alter table kept rename column extra to other', ['id', 'note', 'other']],
  ['a column gets another type', 'alter table kept alter column extra type text', ['id', 'note', 'extra']],
  [
    'another table has its name',
    `alter table kept rename to was; create table kept (note text, id int primary key);
     insert into kept select 'row ' || i, i from generate_series(1, 20) i`,
    ['note', 'id'],
  ],
  [
    'a trigger changes what is written',
    `create function louder() returns trigger language plpgsql as $$ begin new.note := upper(new.note); return new; end $$;
     create trigger louder before update on kept for each row execute function louder()`,
    ['id', 'note', 'extra'],
  ],
] as const;

describe.each([15, 18] as const)(
  'a plan of last time that is no longer true, on PostgreSQL %i',
  (version) => {
    let taken: SnapshotsTaken;
    let client: RawClient;
    let other: RawClient;

    beforeAll(async () => {
      taken = await SnapshotsTaken.start(version, {}, EVERY_CHANGE);
      client = await taken.fixture.client();
      other = await RawClient.open(taken.fixture.postgres.port);
      await other.rows('create table kept (id int)');
    });
    afterAll(async () => {
      await client?.terminate();
      await other?.terminate();
      await taken?.fixture.stop();
    });
    beforeEach(async () => {
      await client.query('rollback');
      await other.rows('drop table if exists kept, was cascade; drop function if exists louder()');
      await other.rows('create table kept (id int primary key, note text, extra int default 7)');
      await other.rows(`insert into kept select i, 'row ' || i from generate_series(1, 20) i`);
      await sent(fe.parse('', UPDATE), fe.close('S', 'one'), fe.parse('one', UPDATE), fe.sync());
      // So that there is one.
      await client.rows(`update kept set note = 'new' where id = 1`);
      expect(errorsOf(await sent(...bound('2')))).toEqual([]);
      taken.clear();
    });

    const UPDATE = 'update kept set note = $1 where id = $2';
    const bound = (id: string) => [
      fe.bind({ statement: 'one', parameters: ['new', id] }),
      fe.execute(),
      fe.sync(),
    ];

    async function sent(...messages: Buffer[]): Promise<BackendMessage[]> {
      client.write(Buffer.concat(messages));
      return await client.untilReady();
    }

    /** The row of that number as its one snapshot has it, by the columns that it has now. */
    async function expectSnapshot(columns: readonly string[]) {
      const snapshots = await taken.all();
      expect(snapshots).toHaveLength(1);
      const [table] = snapshots[0]!.tables;
      expect(table).toMatchObject({ before: { rows: 1 }, after: { rows: 1 } });
      expect(table!.columns.map(({ name }) => name)).toEqual(columns);
      expect(String((await other.rows(`select note from kept where id = 3`))[0]![0]).toLowerCase()).toBe(
        'new',
      );
    }

    it.each(CHANGES)('is made anew for a Query when %s', async (_, change, columns) => {
      await other.rows(change);
      expect(errorsOf(await client.query(`update kept set note = 'new' where id = 3`))).toEqual([]);
      await expectSnapshot(columns);
    });

    it.each(CHANGES)('is made anew in a transaction of the client when %s', async (_, change, columns) => {
      await other.rows(change);
      await client.query('begin');
      expect(errorsOf(await client.query(`update kept set note = 'new' where id = 3`))).toEqual([]);
      expect(statusOf(await client.query('commit'))).toBe('I');
      await expectSnapshot(columns);
    });

    it.each(CHANGES)('is made anew for what is prepared when %s', async (_, change, columns) => {
      await other.rows(change);
      expect(errorsOf(await sent(...bound('3')))).toEqual([]);
      await expectSnapshot(columns);
    });

    it('fails as the statement does when the table is gone', async () => {
      await other.rows('drop table kept');
      const missing = [{ C: '42P01', M: 'relation "kept" does not exist' }];
      expect(errorsOf(await client.query(`update kept set note = 'new' where id = 3`))).toMatchObject(
        missing,
      );
      const messages = await sent(...bound('3'));
      expect(errorsOf(messages)).toMatchObject(missing);
      expect(statusOf(messages)).toBe('I');
      expect(await client.rows('select 1')).toEqual([['1']]);
      expect(await taken.all()).toEqual([]);
    });

    it.each(['a Query', 'what is prepared'])(
      'keeps others from altering the table from %s on',
      async (what) => {
        await other.rows('begin; select from kept where id = 3 for update');
        const run =
          what === 'a Query'
            ? client.query(`update kept set note = 'new' where id = 3`)
            : sent(...bound('3'));
        const altering = await RawClient.open(taken.fixture.postgres.port);
        await taken.fixture.postgres.sql('select pg_sleep(0.3)');
        const altered = altering.rows(`alter table kept add column c text default 'more'`);
        await taken.fixture.postgres.sql('select pg_sleep(0.3)');
        await other.rows('rollback');
        expect(errorsOf(await run)).toEqual([]);
        await altered;
        await expectSnapshot(['id', 'note', 'extra']);
        await altering.terminate();
      },
    );

    it.each([
      ['a Query', (id: string) => [fe.query(`delete from t where id = ${id}`)]],
      [
        'what is prepared',
        (id: string) => [
          fe.parse('', 'delete from t where id = $1'),
          fe.bind({ parameters: [id] }),
          fe.execute(),
          fe.sync(),
        ],
      ],
    ])(
      'waits for no table that follows the one of the same name on the path of another, by %s',
      async (_, remove) => {
        for (const schema of ['mine', 'theirs'])
          await other.rows(`drop schema if exists ${schema} cascade; create schema ${schema};
          create table ${schema}.t (id int primary key);
          create table ${schema}.child (id int references ${schema}.t on delete cascade);
          insert into ${schema}.t select generate_series(1, 9); insert into ${schema}.child select id from ${schema}.t`);
        for (const way of ['of the start', 'set by a function']) {
          const [mine, theirs] = [
            await taken.fixture.client(way === 'of the start' ? { search_path: 'mine' } : {}),
            await taken.fixture.client(way === 'of the start' ? { search_path: 'theirs' } : {}),
          ];
          if (way !== 'of the start') {
            await mine.rows(`select set_config('search_path', lower('MINE'), false)`);
            await theirs.rows(`select set_config('search_path', lower('THEIRS'), false)`);
          }
          const run = async (each: RawClient, id: number) => {
            each.write(Buffer.concat(remove(String(id))));
            return errorsOf(await each.untilReady());
          };
          const first = way === 'of the start' ? 1 : 5;
          expect([await run(mine, first), await run(theirs, first)]).toEqual([[], []]);
          expect([await run(mine, first + 1), await run(theirs, first + 1)]).toEqual([[], []]);
          await other.rows('begin; lock theirs.child');
          expect(await run(mine, first + 2)).toEqual([]);
          await other.rows('rollback');
          const ids = `select string_agg(id::text, '' order by id) from`;
          const left = await other.rows(`${ids} mine.child union all ${ids} theirs.child`);
          expect(left).toEqual(first === 1 ? [['456789'], ['3456789']] : [['489'], ['34789']]);
          await mine.terminate();
          await theirs.terminate();
        }
      },
    );
  },
);
