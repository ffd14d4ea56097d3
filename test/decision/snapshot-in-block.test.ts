import { beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { cancel, errorsOf, statusOf } from '../support/raw-client.ts';
import { type KeptRows, keptRows } from './kept-rows.ts';
import { typesOf } from './snapshots-taken.ts';

/** A Query that changes one row in the client's transaction is captured as its plan is asked for, behind a savepoint. */
describe.each([15, 18] as const)('one row that is captured in a transaction, on PostgreSQL %i', (version) => {
  const kept = keptRows(version);
  const { row } = kept;
  let { taken, client, other }: KeptRows = kept;

  beforeEach(async () => {
    ({ taken, client, other } = kept);
    // So that there is a plan.
    await client.rows(`update kept set note = 'new' where id = 1`);
    await client.query('begin');
    await client.rows(`update kept set note = 'earlier' where id = 2`);
    taken.clear();
  });

  const late = `update kept set note = 'late' where id = 3`;

  async function committed(): Promise<void> {
    expect(typesOf(await client.query('commit'))).toBe('CZ');
    expect(await row(2)).toEqual(['earlier', '2']);
  }

  it.each([
    [late, 'CZ'],
    [`  UPDATE public.kept k SET note = 'late' WHERE 3 = k.id AND note = 'row 3' ; \n`, 'CZ'],
    [`update kept set note = 'late' where id = 3 -- and so on`, 'CZ'],
    [`update kept set note = 'late' where id = 3 returning id`, 'TDCZ'],
  ])('keeps the row before it and after it: %s', async (sql, answered) => {
    const messages = await client.query(sql);
    expect([typesOf(messages), statusOf(messages)]).toEqual([answered, 'T']);
    await committed();
    expect(await row(3)).toEqual(['late', '3']);
    const [{ before, after }] = (await taken.images()) as [{ before: string[]; after: string[] }];
    expect([before.length, after.length]).toEqual([1, 1]);
    expect([before[0], after[0]]).toEqual([
      expect.stringContaining('row 3'),
      expect.stringContaining('late'),
    ]);
  });

  it('keeps each version of a row that is changed more than once, and nothing of what is not there', async () => {
    for (const note of ['a first', 'a second'])
      await client.query(`update kept set note = '${note}' where id = 3`);
    await client.query('delete from kept where id = 3');
    const none = await client.query('delete from kept where id = 3');
    expect(none[0]!.body.toString('latin1')).toBe('DELETE 0\0');
    await committed();
    expect(await taken.images()).toMatchObject([
      { before: [expect.stringContaining('row 3')], after: [expect.stringContaining('a first')] },
      { before: [expect.stringContaining('a first')], after: [expect.stringContaining('a second')] },
      { before: [expect.stringContaining('a second')], after: [] },
    ]);
  });

  it('takes no number of a transaction but that of the client', async () => {
    const [[own]] = (await client.rows('select pg_current_xact_id()')) as [[string]];
    for (let id = 3; id < 10; id++) await client.query(`update kept set note = 'late' where id = ${id}`);
    const made = await client.rows(`select distinct xmin::text from kept where note = 'late'`);
    expect(made).toEqual([[own]]);
    expect(await other.rows('select pg_current_xact_id()')).toEqual([[String(Number(own) + 1)]]);
  });

  it('is undone as any other', async () => {
    await client.query(late);
    await committed();
    expect(await taken.undone()).toMatchObject({ kind: 'done' });
    expect(await row(3)).toEqual(['row 3', '3']);
  });

  it.each([
    ['another row has the value', `update kept set amount = 7 where id = 3`],
    ['a check forbids it', `update kept set amount = 1000 where id = 3`],
    ['a value is missing', `update kept set note = null where id = 3`],
    ['it divides by zero', `update kept set amount = 1 / (amount - 3) where id = 3`],
    ['a column is not there', `update kept set note = 'x', missing = 1 where id = 3`],
    ['a parameter is not given', `update kept set note = $1 where id = 3`],
    ['its value is of another type', `update kept set note = 'x' where id = 'three'`],
    ['its condition fails', `update kept set note = 'x' where id = 3 and 1 / (amount - 3) = 1`],
  ])('fails as it would directly where %s, and leaves the savepoints of the client', async (_, sql) => {
    await other.query('begin');
    const directly = await other.query(sql);
    await other.query('rollback');
    for (const name of ['mine', 'holdfast_own']) await client.query(`savepoint ${name}`);
    const messages = await client.query(sql);
    expect(errorsOf(messages)).toEqual(errorsOf(directly));
    expect([errorsOf(messages).length, statusOf(messages)]).toEqual([1, 'E']);
    expect(errorsOf(await client.query('select 1'))).toMatchObject([{ C: '25P02' }]);
    for (const name of ['holdfast_own', 'mine'])
      expect(statusOf(await client.query(`rollback to ${name}`))).toBe('T');
    expect(typesOf(await client.query(late))).toBe('CZ');
    await committed();
    expect(await row(3)).toEqual(['late', '3']);
    expect(await taken.images()).toMatchObject([{ before: [expect.stringContaining('row 3')] }]);
  });

  it.each([
    ['has a column more', `alter table kept add column more int default 7`],
    ['has another type', `alter table kept alter amount type bigint`],
    [
      'has gone, and another has its name',
      `alter table kept rename to aside; create table kept as select * from aside`,
    ],
    ['has a child', `create table aside () inherits (kept)`],
    [
      'has more rows by a child',
      `create table aside () inherits (kept); insert into aside select id, note, 900 from kept where id = 3`,
    ],
    [
      'may be another by another key',
      `alter table kept drop constraint kept_pkey; insert into kept values (3, 'row 3', 903)`,
    ],
  ])('is planned for anew where its table %s since', async (_, ddl) => {
    // What the transaction has locked cannot be altered.
    await client.query('commit');
    await client.query('begin');
    await other.rows(ddl);
    const [[count]] = (await other.rows('select count(*) from kept where id = 3')) as [[string]];
    const messages = await client.query(late);
    expect([typesOf(messages), statusOf(messages)]).toEqual(['CZ', 'T']);
    expect(messages[0]!.body.toString('latin1')).toBe(`UPDATE ${count}\0`);
    await client.query('commit');
    expect(await other.rows('select distinct note from kept where id = 3')).toEqual([['late']]);
    const columns = await other.rows(
      `select attname from pg_attribute where attrelid = 'kept'::regclass and attnum > 0 order by attnum`,
    );
    const [manifest] = await taken.all();
    expect(manifest!.tables[0]!.columns.map(({ name }) => [name])).toEqual(columns);
    const rows = (await taken.all()).flatMap(({ tables }) => tables.map(({ before }) => before?.rows ?? 0));
    expect(rows.reduce((sum: number, each) => sum + Number(each), 0)).toBe(Number(count));
  });

  it('runs no code that another session has given its table since, before that is planned for', async () => {
    await client.query('commit');
    await client.query('begin');
    await other.rows(`drop table if exists spare; create table spare as select 1 as id;
      create or replace function noted() returns trigger language plpgsql as
        $$ begin truncate spare; return new; end $$;
      create trigger noted before update on kept for each row execute function noted()`);
    const messages = await client.query(late);
    expect([errorsOf(messages).length, statusOf(messages)]).toEqual([1, 'E']);
    await client.query('commit');
    expect(await other.rows('select id from spare')).toEqual([['1']]);
    expect(await row(3)).toEqual(['row 3', '3']);
    await other.rows('drop function noted() cascade');
  });

  it('is another table by its name where one has come in front of it on the path', async () => {
    await other.rows('create schema ahead');
    await client.rows('commit; set search_path = ahead, public');
    await client.rows(`begin; update kept set note = 'new' where id = 1`);
    taken.clear();
    await other.rows(`create table ahead.kept (like public.kept including all);
      insert into ahead.kept select id, 'ahead', amount from public.kept`);
    expect(typesOf(await client.query(late))).toBe('CZ');
    await client.query('commit');
    expect(await row(3)).toEqual(['row 3', '3']);
    expect(await other.rows('select note from ahead.kept where id = 3')).toEqual([['late']]);
    expect((await taken.images()).map(({ before }) => before)).toEqual([[expect.stringContaining('ahead')]]);
  });

  it('goes by what the transaction itself has altered, and keeps that', async () => {
    await client.rows(`alter table kept add column more text default 'more'`);
    expect(typesOf(await client.query(late))).toBe('CZ');
    await committed();
    expect(await other.rows('select note, more from kept where id = 3')).toEqual([['late', 'more']]);
    expect((await taken.images())[0]!.before).toEqual([expect.stringContaining('more')]);
  });

  it.each(['repeatable read', 'serializable'])('is captured in a transaction that is %s', async (level) => {
    await client.query('rollback');
    for (let i = 0; i < 3; i++) {
      const begun = await client.query(`begin isolation level ${level}`);
      expect(statusOf(begun)).toBe('T');
      await client.query('select 1');
      if (i === 2) await other.rows('alter table kept add column more int default 7');
      const messages = await client.query(`update kept set note = 'late' where id = ${i + 3}`);
      // Whoever reads by an old snapshot may be refused.
      const ends = errorsOf(messages).length === 0 ? 'T' : 'E';
      expect(statusOf(messages)).toBe(ends);
      if (i < 2) expect(ends).toBe('T');
      await client.query('commit');
      const [note] = (await row(i + 3))!;
      expect(note).toBe(ends === 'T' ? 'late' : `row ${i + 3}`);
      expect((await taken.all()).length).toBe(ends === 'T' ? i + 1 : i);
    }
    await client.rows('begin; update kept set note = note where id = 9');
    expect(typesOf(await client.query(`update kept set note = 'late' where id = 8`))).toBe('CZ');
    await client.query('commit');
    expect((await row(8))![0]).toBe('late');
  });

  it('keeps what others have made of the row while it waited for them', async () => {
    await other.rows(`begin; update kept set note = 'theirs' where id = 3`);
    const run = client.query(`update kept set note = note || ' and ours' where id = 3`);
    await taken.fixture.postgres.sql('select pg_sleep(0.2)');
    await other.rows('commit');
    expect(typesOf(await run)).toBe('CZ');
    await committed();
    expect((await row(3))![0]).toBe('theirs and ours');
    expect((await taken.images())[0]!.before[0]).toContain('theirs');
  });

  it.each([
    ['for a row', 'select from kept where id = 3 for update'],
    ['for its table', 'lock table kept in share row exclusive mode'],
  ])('ends where it is cancelled as it waits %s, or has waited too long', async (_, blocking) => {
    await client.query('commit');
    for (const sql of ['begin', 'savepoint mine']) await client.query(sql);
    await other.rows(`begin; ${blocking}`);
    const run = client.query(late);
    await taken.fixture.postgres.sql('select pg_sleep(0.2)');
    await cancel(taken.fixture.gateway.port, client.processId, client.secretKey);
    const canceled = await run;
    expect([errorsOf(canceled), statusOf(canceled)]).toMatchObject([[{ C: '57014' }], 'E']);
    expect(statusOf(await client.query('rollback to mine'))).toBe('T');
    await client.rows(`set lock_timeout = '50ms'`);
    const timed = await client.query(late);
    expect([errorsOf(timed), statusOf(timed)]).toMatchObject([[{ C: '55P03' }], 'E']);
    expect(statusOf(await client.query('rollback to mine'))).toBe('T');
    await other.rows('rollback');
    expect(typesOf(await client.query(late))).toBe('CZ');
    await client.query('commit');
    expect(await row(3)).toEqual(['late', '3']);
  });

  it('tells the client that the server has gone', async () => {
    await other.rows('begin; select from kept where id = 3 for update');
    const run = client.query(late).catch((error: unknown) => error);
    await taken.fixture.postgres.sql('select pg_sleep(0.2)');
    await other.rows(`select pg_terminate_backend(${client.processId})`);
    await run;
    await client.untilClosed();
    await other.rows('rollback');
    expect(await row(3)).toEqual(['row 3', '3']);
    expect(await row(2)).toEqual(['row 2', '2']);
  });

  it.each([
    ['where it is captured at once', 'select 1'],
    ['where it is planned for anew', 'set local extra_float_digits = 0'],
  ])('leaves what the client has open, %s: cursors, statements, portals and settings', async (_, first) => {
    await client.query('declare c cursor for select id from kept order by id');
    await client.query('fetch c');
    await client.query(`set local work_mem = '1MB'`);
    await client.query(first);
    const [[digits]] = (await client.rows('show extra_float_digits')) as [[string]];
    client.write(
      fe.parse('mine', 'select id from kept order by id'),
      fe.bind({ portal: 'held', statement: 'mine' }),
      fe.execute('held', 1),
      fe.sync(),
    );
    expect(typesOf(await client.untilReady())).toBe('12DsZ');
    expect(typesOf(await client.query(late))).toBe('CZ');
    expect(await client.rows('fetch c')).toEqual([['2']]);
    expect(await client.rows('show work_mem')).toEqual([['1MB']]);
    expect(await client.rows('show extra_float_digits')).toEqual([[digits]]);
    await client.query(late);
    client.write(fe.bind({ statement: 'mine' }), fe.execute('', 1), fe.sync());
    expect(typesOf(await client.untilReady())).toBe('2DsZ');
    await committed();
    expect((await taken.all()).length).toBe(2);
  });

  it('is refused as it would be directly in a transaction that can only read', async () => {
    const both = [client, other];
    const refused: unknown[] = [];
    for (const each of both) {
      await each.query('rollback');
      await each.query('begin read only');
      const messages = await each.query(late);
      refused.push(errorsOf(messages), statusOf(messages));
      await each.query('rollback');
    }
    expect(refused.slice(0, 2)).toEqual(refused.slice(2));
    expect(refused[1]).toBe('E');
  });

  it('is marked where it is taken back, to a savepoint or as a whole', async () => {
    await client.query('savepoint mine');
    await client.query(late);
    await client.query('rollback to mine');
    await client.query(`update kept set note = 'late' where id = 4`);
    await committed();
    const [first, second] = await taken.all();
    expect([await taken.isRolledBack(first!), await taken.isRolledBack(second!)]).toEqual([true, false]);
    expect([await row(3), await row(4)]).toEqual([
      ['row 3', '3'],
      ['late', '4'],
    ]);
  });

  it('is taken back where it cannot be stored', async () => {
    await taken.whileUnstorable(async () => {
      await client.query('savepoint mine');
      const messages = await client.query(late);
      expect([errorsOf(messages), statusOf(messages)]).toMatchObject([[{ C: 'HF002' }], 'E']);
    });
    await client.query('rollback to mine');
    expect(typesOf(await client.query(`update kept set note = 'late' where id = 4`))).toBe('CZ');
    await committed();
    expect([await row(3), await row(4)]).toEqual([
      ['row 3', '3'],
      ['late', '4'],
    ]);
  });
});
