import { beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf, statusOf } from '../support/raw-client.ts';
import { type TakenByTest, takenByTest } from './taken-by-test.ts';

const TABLE = `
  drop table if exists t, whole, a cascade; drop sequence if exists s;
  create table t (id int primary key, v int, gone boolean not null default false);
  insert into t select i, i % 2 from generate_series(1, 6) i`;

const trigger = (timing: string, body: string) => `
  create or replace function act() returns trigger language plpgsql as $act$ begin ${body} end $act$;
  create trigger act ${timing} on t for each row when (pg_trigger_depth() = 0) execute function act()`;

describe.each([18, 15] as const)('triggers, and wholes without parts, of PostgreSQL %i', (version) => {
  const under = takenByTest(version);
  let { taken, client }: TakenByTest = under;
  beforeEach(async () => {
    ({ taken, client } = under);
    await taken.fixture.postgres.sql(TABLE);
  });

  it('marks rows instead of deleting them, and both are captured', async () => {
    const { postgres } = taken.fixture;
    await postgres.sql(trigger('before delete', 'update t set gone = true where id = old.id; return null;'));
    expect(errorsOf(await client.query('delete from t where id <= 2'))).toEqual([]);
    expect(await taken.all()).toMatchObject([{ tables: [{ before: { rows: 2 }, after: { rows: 2 } }] }]);
    expect(await postgres.sql('select count(*) from t where gone')).toEqual([['2']]);
  });

  it('keeps rows as they are, and is told that it will do so again', async () => {
    await taken.fixture.postgres.sql(
      'create trigger z before update on t for each row execute function suppress_redundant_updates_trigger()',
    );
    expect(errorsOf(await client.query('update t set v = 1'))).toMatchObject([{ C: 'HF002' }]);
    expect(await taken.all()).toEqual([]);
    expect(errorsOf(await client.query('update t set v = 1 where v = 0'))).toEqual([]);
  });

  it('changes other rows of the table, and is told why it may fail again', async () => {
    await taken.fixture.postgres.sql(
      trigger('after update', 'update t set v = 9 where id = old.id + 1; return null;'),
    );
    const failed = await client.query('update t set v = 7 where id = 1');
    expect(errorsOf(failed)).toMatchObject([{ C: '40001', H: expect.stringContaining('triggers') }]);
  });

  describe('that add rows to another table, as those of audits and outboxes do', () => {
    const extended = async (sql: string) => {
      client.write(fe.parse('', sql), fe.bind({}), fe.execute(), fe.sync());
      return await client.untilReady();
    };
    const noted = () => taken.fixture.postgres.sql('select count(*) from log');
    beforeEach(async () => {
      await taken.fixture.postgres.sql(`drop table if exists log; create table log (id serial, what text);
        ${trigger('after update or delete', 'insert into log (what) values (tg_op); return null;')}`);
    });

    it.each([
      ['a Query', (sql: string) => client.query(sql)],
      ['a Query of several statements', (sql: string) => client.query(`select 1; ${sql}; select 2`)],
      ['the extended protocol', (sql: string) => extended(sql)],
      [
        'a transaction',
        async (sql: string) => {
          await client.query('begin');
          const answers = await extended(sql);
          return [...answers, ...(await client.query('commit'))];
        },
      ],
    ])('the statement is captured, by %s, and the manifest names them', async (_, send) => {
      for (const sql of ['update t set v = 5 where id <= 2', 'delete from t where id <= 2'])
        expect(errorsOf(await send(sql))).toEqual([]);
      const added = [{ schema: 'public', name: 'log', rows: 2 }];
      expect(await taken.all()).toMatchObject([{ added }, { added }]);
      expect(await noted()).toEqual([['4']]);
    });

    it('what one of them changes there is captured as well', async () => {
      await taken.fixture.postgres.sql(
        `insert into log (what) values ('first'); ${trigger('after update', `update log set what = 'x'; return null;`)}`.replace(
          'create trigger act',
          'create trigger act2',
        ),
      );
      expect(errorsOf(await client.query('update t set v = 5 where id <= 2'))).toEqual([]);
      const log = { name: 'log', cause: { kind: 'code' }, before: { rows: 1 }, after: { rows: 1 } };
      expect(await taken.all()).toMatchObject([{ tables: [{ name: 't' }, log] }]);
    });
  });

  it('carries a key on to a table of which there are no partitions, and to one beside it', async () => {
    await taken.fixture.postgres.sql(`
      create table a (id int references t on update cascade, n int);
      create table whole (other text, id int references t on update cascade) partition by list (id);
      alter table a add foreign key (n) references t on update cascade; insert into a values (1, 1)`);
    expect(errorsOf(await client.query('update t set id = 10 where id = 1'))).toEqual([]);
    expect(await taken.all()).toHaveLength(1);
  });

  it('calls no function of the name of a known one before it is known that it may answer differently', async () => {
    await taken.fixture.postgres.sql(`drop schema if exists mine cascade; create schema mine; create sequence s;
      create function mine.abs(int) returns int language plpgsql as $$ begin perform nextval('public.s'); return $1; end $$;
      create function mine.same(int, int) returns bool language plpgsql as $$ begin perform nextval('public.s'); return $1 < $2; end $$;
      create operator mine.< (function = mine.same, leftarg = int, rightarg = int)`);
    for (const change of ['update t set v = 3 where abs(id) = 1', 'update t set v = 3 where id < 2']) {
      for (const path of ['public', 'mine, pg_catalog, public']) {
        await client.query(`set search_path = ${path}`);
        const refused = path === 'public' ? [] : [{ C: 'HF002' }];
        expect(errorsOf(await client.query(change))).toMatchObject(refused);
        expect(errorsOf(await client.query(change))).toMatchObject(refused);
      }
    }
    expect(await taken.fixture.postgres.sql('select is_called from s')).toEqual([['f']]);
  });

  it('empties a table of which there are no partitions, and its sequence can be put back', async () => {
    await taken.fixture.postgres.sql(
      `create table whole (id serial, k int) partition by list (k); select nextval('whole_id_seq')`,
    );
    expect(errorsOf(await client.query('delete from whole'))).toEqual([]);
    expect(errorsOf(await client.query('truncate whole restart identity'))).toEqual([]);
    expect(statusOf(await client.query('select 1'))).toBe('I');
    expect(await taken.all()).toMatchObject([{ sequences: [{ last_value: '1', is_called: true }] }]);
  });
});
