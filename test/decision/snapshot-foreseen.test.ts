import { beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { eventually } from '../support/process-facts.ts';
import { cancel, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { type KeptRows, keptRows } from './kept-rows.ts';
import { typesOf } from './snapshots-taken.ts';

const TABLE = `
create table kept (id int primary key, note text, extra int default 7);
insert into kept select i, 'row ' || i from generate_series(1, 20) i`;

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
    const kept = keptRows(version, TABLE);
    const { sent } = kept;
    let { taken, client, other }: KeptRows = kept;

    beforeEach(async () => {
      ({ taken, client, other } = kept);
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
      const missing = [{ C: '42P01', M: 'relation "kept" does not exist', P: '8' }];
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

    it('is made anew where a view has the name that takes an UPDATE and no DELETE', async () => {
      await other.rows(`alter table kept rename to was; create view kept as select distinct id, note from was;
        create function write() returns trigger language plpgsql as
          $$ begin update was set note = new.note where id = new.id; return new; end $$;
        create trigger write instead of update on kept for each row execute function write()`);
      // It has no exact plan, and fails in no words of ours.
      expect(errorsOf(await sent(...bound('3')))).toMatchObject([{ C: 'HF002' }]);
      await other.rows('drop view kept; drop function write; alter table was rename to kept');
      expect(errorsOf(await sent(...bound('3')))).toEqual([]);
    });

    it.each([
      ['a lock that is not had in time', `set lock_timeout = '150ms'`, '55P03'],
      ['its time', `set statement_timeout = '150ms'`, '57014'],
      ['a cancel', 'set lock_timeout = 0', '57014'],
    ])('fails for %s at its Execute, and not before', async (what, setting, code) => {
      await client.rows(setting);
      expect(errorsOf(await sent(...bound('2')))).toEqual([]);
      await other.rows('begin; select from kept where id = 3 for update');
      const [bind, ...rest] = bound('3');
      const run = sent(bind!, fe.describe('P'), ...rest);
      if (what === 'a cancel') {
        await taken.fixture.postgres.sql('select pg_sleep(0.2)');
        await cancel(taken.fixture.gateway.port, client.processId, client.secretKey);
      }
      const messages = await run;
      expect(typesOf(messages)).toBe('2nEZ');
      expect(errorsOf(messages)).toMatchObject([{ C: code }]);
      expect(statusOf(messages)).toBe('I');
      await other.rows('rollback');
      expect(errorsOf(await sent(...bound('3')))).toEqual([]);
      await client.rows('reset lock_timeout; reset statement_timeout');
    });

    it('fails in a failed transaction as it would directly', async () => {
      await client.query('begin');
      await client.query('select 1/0');
      const messages = await sent(fe.bind({ statement: 'one', parameters: ['1'] }), fe.execute(), fe.sync());
      expect(errorsOf(messages)).toMatchObject([{ C: '08P01' }]);
      expect(errorsOf(await sent(...bound('3')))).toMatchObject([{ C: '25P02' }]);
    });

    it('does not rest on the lock of its table where no tag counts the rows', async () => {
      const text = `copy (update kept set note = 'new' where id = 3 returning id) to stdout`;
      const run = () => sent(fe.parse('', text), fe.bind(), fe.execute(), fe.sync());
      expect(errorsOf(await run())).toEqual([]);
      taken.clear();
      await other.rows('begin; select from kept where id = 3 for update');
      const running = run();
      await taken.fixture.postgres.sql('select pg_sleep(0.3)');
      await taken.fixture.postgres.sql(
        `create table child () inherits (kept); insert into child values (3, 'of a child')`,
      );
      await other.rows('rollback');
      expect(errorsOf(await running)).toMatchObject([{ C: '40001' }]);
      expect(await other.rows('select note from child')).toEqual([['of a child']]);
      expect(await taken.all()).toEqual([]);
      expect(errorsOf(await run())).toEqual([]);
      expect((await taken.all())[0]!.tables.map(({ name }) => name).sort()).toEqual(['child', 'kept']);
    });

    it('is made anew where a child has gone, and another table without one has the name', async () => {
      await other.rows(`create table child () inherits (kept); insert into child values (3, 'of a child')`);
      for (const id of ['3', '4']) {
        expect(errorsOf(await client.query(`update kept set note = 'new' where id = ${id}`))).toEqual([]);
        expect(errorsOf(await sent(...bound(id)))).toEqual([]);
      }
      await other.rows(`drop table kept cascade; create table kept (id int primary key, note text);
        insert into kept select i, 'row ' || i from generate_series(1, 20) i`);
      taken.clear();
      expect(errorsOf(await client.query(`update kept set note = 'new' where id = 3`))).toEqual([]);
      await expectSnapshot(['id', 'note']);
      expect(errorsOf(await sent(...bound('3')))).toEqual([]);
    });

    it('is made anew where its role has become a member of one that may read the table', async () => {
      await other.rows(`drop role if exists writer, reader; create role writer login; create role reader;
        grant update on kept to writer; grant select on kept to reader`);
      const writer = await taken.fixture.client({ user: 'writer' });
      const write = async () => errorsOf(await writer.query(`update kept set note = 'new'`));
      expect(await write()).toMatchObject([{ C: 'HF002' }]);
      await other.rows('grant reader to writer');
      expect(await write()).toEqual([]);
      await other.rows('revoke reader from writer');
      expect(await write()).toMatchObject([{ C: 'HF002' }]);
      await writer.terminate();
      await other.rows('drop owned by writer, reader; drop role writer, reader');
    });

    describe('of a TRUNCATE that starts the sequences of its table anew', () => {
      const TRUNCATE = 'truncate counted restart identity';
      const next = async (sequence: string) => (await other.rows(`select nextval('${sequence}')`))[0]![0];

      /** What is taken back leaves the catalog as it was, and so the plan. */
      async function takenBack(by = client) {
        for (const each of ['begin', TRUNCATE, 'rollback'])
          expect(errorsOf(await by.query(each))).toEqual([]);
        await eventually('the snapshot of what was taken back', async () => {
          const [snapshot] = await taken.all();
          return snapshot === undefined || (await taken.isRolledBack(snapshot)) ? null : 'it is not marked';
        });
        taken.clear();
      }
      async function sequencesKept() {
        const [snapshot] = await taken.all();
        return snapshot!.sequences!.map(({ name, last_value }) => [name, last_value]);
      }

      beforeEach(async () => {
        await other.rows(`drop table if exists counted; create table counted (id int primary key, n int); create sequence s1 owned by counted.id;
          insert into counted values (1, 1), (2, 2)`);
      });

      it('is made anew where others have given it one more, which an undo puts back', async () => {
        await takenBack();
        await other.rows(`create sequence s2 owned by counted.n; select setval('s2', 77)`);
        expect(errorsOf(await client.query(TRUNCATE))).toEqual([]);
        expect(await sequencesKept()).toEqual([
          ['s1', '1'],
          ['s2', '77'],
        ]);
        expect(await next('s2')).toBe('1');
        expect(await taken.undone()).toMatchObject({ kind: 'done' });
        expect(await next('s2')).toBe('78');
        expect(await other.rows('select id from counted order by id')).toEqual([['1'], ['2']]);
      });

      it.each([
        ['has another name', 'alter sequence s1 rename to s3', ['s3', '1']],
        ['belongs to another column', `alter sequence s1 owned by counted.n`, ['s1', '1']],
      ])('is made anew where one %s', async (_, change, kept) => {
        await takenBack();
        await other.rows(change);
        expect(errorsOf(await client.query(TRUNCATE))).toEqual([]);
        expect(await sequencesKept()).toEqual([kept]);
      });

      it('is made anew where one has gone, or belongs to the table no more', async () => {
        await other.rows('create sequence s2 owned by counted.n');
        await takenBack();
        await other.rows('drop sequence s2');
        await takenBack();
        await other.rows('alter sequence s1 owned by none');
        expect(errorsOf(await client.query(TRUNCATE))).toEqual([]);
        expect((await taken.all())[0]!.sequences).toBe(undefined);
        await other.rows('drop sequence s1');
      });

      it('is made anew where its role has been granted one that it could not read, by itself or by a role', async () => {
        await other.rows(`drop role if exists emptier, reader; create role emptier login; create role reader;
          create sequence s2 owned by counted.n; alter table counted owner to emptier;
          revoke select on sequence s2 from emptier`);
        const emptier = await taken.fixture.client({ user: 'emptier' });
        const refused = [{ C: 'HF002', D: expect.stringContaining('may not read the sequence s2') }];
        const empty = async () => errorsOf(await emptier.query(TRUNCATE));
        expect([await empty(), await empty()]).toMatchObject([refused, refused]);
        await other.rows('grant select on sequence s2 to reader; grant reader to emptier');
        await takenBack(emptier);
        await other.rows('revoke reader from emptier');
        expect(await empty()).toMatchObject(refused);
        await other.rows('grant select on sequence s2 to emptier');
        expect(await empty()).toEqual([]);
        await emptier.terminate();
        await other.rows('drop table counted; drop owned by emptier, reader; drop role emptier, reader');
      });
    });

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
