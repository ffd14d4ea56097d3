import { beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf, statusOf } from '../support/raw-client.ts';
import { typesOf } from './snapshots-taken.ts';
import { type TakenByTest, takenByTest } from './taken-by-test.ts';

const one = (sql: string) => Buffer.concat([fe.parse('', sql), fe.bind(), fe.execute()]);

describe.each([18, 15] as const)('ways of saying a DELETE or an UPDATE, on PostgreSQL %i', (version) => {
  const under = takenByTest(version);
  let { taken, client }: TakenByTest = under;
  beforeEach(() => {
    ({ taken, client } = under);
  });

  const rowsCaptured = async () =>
    (await taken.all()).map(({ tables }) => tables.reduce((sum, { before }) => sum + (before?.rows ?? 0), 0));

  describe('by a cursor', () => {
    const open = async (query: string) => {
      await client.query('begin');
      await client.query(`declare "C ""c" cursor for ${query}`);
      await client.query('fetch 3 from "C ""c"');
    };

    it.each([
      ['select * from precious', 'delete from precious where current of "C ""c"'],
      [
        'select * from precious order by id for update',
        'delete from precious where current of "C ""c" returning id',
      ],
      ['select id from precious p', `update precious as x set note = 'new' where current of "C ""c"`],
    ])('is captured by the row that the cursor of %s stands on', async (query, sql) => {
      await open(query);
      expect(errorsOf(await client.query(sql))).toEqual([]);
      expect(await rowsCaptured()).toEqual([1]);
      await client.query('fetch 2 from "C ""c"');
      client.write(one(sql), fe.sync());
      expect(errorsOf(await client.untilReady())).toEqual([]);
      expect(await rowsCaptured()).toEqual([1, 1]);
      expect(errorsOf(await client.query('commit'))).toEqual([]);
    });

    it('that stands on no row, or is not there, fails as it does directly', async () => {
      await client.query('begin');
      await client.query('declare c cursor for select * from precious');
      const off = await client.query('delete from precious where current of c');
      expect(errorsOf(off)).toMatchObject([{ C: '24000', M: 'cursor "c" is not positioned on a row' }]);
      expect(statusOf(off)).toBe('E');
      await client.query('rollback');
      const none = await client.query('delete from precious where current of c');
      expect(errorsOf(none)).toMatchObject([{ C: '34000' }]);
      expect(statusOf(none)).toBe('I');
    });

    it('in a text of several is captured where it stands by then', async () => {
      const messages = await client.query(
        'declare c cursor for select id from precious; fetch 1 from c; delete from precious where current of c; fetch 1 from c; delete from precious where current of c',
      );
      expect(errorsOf(messages)).toEqual([]);
      expect(await rowsCaptured()).toEqual([1, 1]);
      expect(await taken.fixture.preciousRows()).toBe(8);
    });

    it('leaves no trigger of an UPDATE to run for nothing', async () => {
      await taken.fixture.postgres.sql(`create or replace function noop() returns trigger language plpgsql as $$ begin return new; end $$;
        create trigger noop before update on precious execute function noop()`);
      await open('select * from precious');
      const messages = await client.query('delete from precious where current of "C ""c"');
      expect(errorsOf(messages)).toMatchObject([
        { C: 'HF002', D: expect.stringContaining('has triggers for it') },
      ]);
    });
  });

  it('inside EXPLAIN ANALYZE is captured', async () => {
    for (const options of ['analyze', '(analyze, costs off)', '(analyze true, verbose)']) {
      const messages = await client.query(`explain ${options} delete from precious where id = 1`);
      expect(errorsOf(messages)).toEqual([]);
      expect(typesOf(messages)).toMatch(/^TD+CZ$/);
    }
    expect(await rowsCaptured()).toEqual([1]);
    client.write(one('explain analyze update precious set note = null where id < 4'), fe.sync());
    expect(errorsOf(await client.untilReady())).toEqual([]);
    expect(await rowsCaptured()).toEqual([1, 2]);
  });

  it('inside COPY is captured', async () => {
    const messages = await client.query('copy (delete from precious where id < 3 returning *) to stdout');
    expect(errorsOf(messages)).toEqual([]);
    expect(typesOf(messages)).toBe('HddcCZ');
    expect(await rowsCaptured()).toEqual([2]);
    client.write(one("copy (update precious set note = 'x' where id = 5 returning id) to stdout"), fe.sync());
    expect(errorsOf(await client.untilReady())).toEqual([]);
    expect(await rowsCaptured()).toEqual([2, 1]);
  });

  it('in a pipeline is captured, each by itself', async () => {
    client.write(
      one('delete from precious where id = 1'),
      one('select count(*) from precious'),
      one("update precious set note = 'x' where id = 2"),
      one('delete from precious where id = 3'),
      fe.sync(),
    );
    const messages = await client.untilReady();
    expect(errorsOf(messages)).toEqual([]);
    expect(typesOf(messages)).toBe('12C12DC12C12CZ');
    expect(await rowsCaptured()).toEqual([1, 1, 1]);
  });

  describe('by PREPARE and EXECUTE', () => {
    it.each([
      ['(int) as delete from precious where id = $1', '(4)', [1]],
      ['(int, text) as update precious set note = $2 where id < $1', `(4, 'it''s')`, [3]],
      ['as delete from precious where id > 8', '', [2]],
      ['as delete from precious where id > $1', '(3 + 5)', [2]],
      [`(int, date) as delete from precious where id = $1 and $2 > '2020-01-01'`, `('7', '2021-02-03')`, [1]],
    ])('is captured: %s %s', async (prepared, given, rows) => {
      expect(errorsOf(await client.query(`prepare "P" ${prepared}`))).toEqual([]);
      expect(errorsOf(await client.query(`execute "P"${given}`))).toEqual([]);
      expect(await rowsCaptured()).toEqual(rows);
      client.write(one(`execute "P"${given}`), fe.sync());
      expect(errorsOf(await client.untilReady())).toEqual([]);
    });
  });
});
