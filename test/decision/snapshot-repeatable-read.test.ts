import { beforeEach, describe, expect, it } from 'vitest';
import { errorsOf, statusOf } from '../support/raw-client.ts';
import { type TakenByTest, takenByTest } from './taken-by-test.ts';

/** A transaction reads the catalog by its old snapshot, while the server writes the tables as they are by now. */
describe.each([18, 15] as const)(
  'what others alter since a REPEATABLE READ began on PostgreSQL %i',
  (version) => {
    const under = takenByTest(version);
    let { taken, client }: TakenByTest = under;
    beforeEach(async () => {
      ({ taken, client } = under);
      await taken.fixture.postgres.sql(`drop table if exists whole, part, t cascade;
      create table t (id int primary key, v text, twice int generated always as (id * 2) stored);
      insert into t values (1, 'a'), (2, 'b');
      create table whole (id int) partition by list (id); create table part (id int); insert into part values (7)`);
    });

    it.each([
      ['a column that is added', `alter table t add kept text default 'kept'`, `update t set kept = 'lost'`],
      [
        'a column that is computed no longer',
        'alter table t alter twice drop expression',
        'update t set twice = 0',
      ],
      ['a column that is dropped', 'alter table t drop v', 'delete from t'],
      ['a column of another name', 'alter table t rename v to w', `delete from t where w = 'a'`],
      ['a column of another type', 'alter table t alter v type varchar', `update t set v = 'lost'`],
      [
        'a partition that is attached',
        'alter table whole attach partition part default',
        'delete from whole',
      ],
    ])('%s makes the statement fail with 40001, and by itself it runs', async (_, alter, change) => {
      await client.query('begin isolation level repeatable read');
      await client.query('select 1');
      await taken.fixture.postgres.sql(alter);
      const failed = await client.query(change);
      expect(errorsOf(failed)).toMatchObject([{ C: '40001' }]);
      expect(statusOf(failed)).toBe('E');
      await client.query('rollback');
      expect(await taken.all()).toEqual([]);
      expect(errorsOf(await client.query(change))).toEqual([]);
      expect(await taken.all()).toHaveLength(1);
    });

    it.each(['repeatable read', 'serializable'])(
      'a TRUNCATE has no exact plan in %s, since it takes rows that its transaction does not see',
      async (isolation) => {
        await client.query(`begin isolation level ${isolation}`);
        await client.query('select 1');
        await taken.fixture.postgres.sql(`insert into t values (3, 'c')`);
        const refused = await client.query('truncate t');
        expect(errorsOf(refused)).toMatchObject([{ D: expect.stringContaining('an earlier moment') }]);
        await client.query('rollback');
        expect(await taken.all()).toEqual([]);
        await client.query(`set default_transaction_isolation = '${isolation}'`);
        expect(errorsOf(await client.query('truncate t'))).toHaveLength(1);
        await client.query('reset default_transaction_isolation');
        expect(errorsOf(await client.query('truncate t'))).toEqual([]);
        expect(await taken.all()).toHaveLength(1);
      },
    );

    it('is seen where it was altered before, or by a transaction that was rolled back', async () => {
      const { postgres } = taken.fixture;
      await postgres.sql(`alter table t add kept text default 'kept'`);
      await client.query('begin isolation level serializable');
      await client.query('select 1');
      await postgres.sql('begin; alter table t add lost int; rollback');
      expect(errorsOf(await client.query(`update t set kept = 'other'`))).toEqual([]);
      expect(errorsOf(await client.query('alter table t add own int'))).toEqual([]);
      expect(errorsOf(await client.query('delete from t'))).toEqual([]);
      expect(statusOf(await client.query('commit'))).toBe('I');
      expect(await taken.all()).toHaveLength(2);
    });
  },
);
