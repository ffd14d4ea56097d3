import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { eventually } from '../support/process-facts.ts';
import { type BackendMessage, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { SnapshotsTaken, typesOf } from './snapshots-taken.ts';

const MANY = LIMITS.snapshotRowsLocked + 5_000;
/** Behind those that are locked before it is known that they are many. */
const LAST = MANY;

describe.each([15, 18] as const)('a statement that changes very many rows of PostgreSQL %i', (version) => {
  let taken: SnapshotsTaken;
  let client: RawClient;
  let other: RawClient;

  beforeAll(async () => {
    taken = await SnapshotsTaken.start(version);
    client = await taken.fixture.client({ application_name: 'many' });
    other = await RawClient.open(taken.fixture.postgres.port);
  });
  afterAll(async () => {
    await client?.terminate();
    await other?.terminate();
    await taken?.fixture.stop();
  });
  beforeEach(async () => {
    await other.rows('rollback');
    taken.clear();
    await other.rows(
      'drop table if exists child, many cascade; create table many (id int primary key, note text)',
    );
    await other.rows(`insert into many select i, 'row ' || i from generate_series(1, ${MANY}) i`);
  });

  const rowsLeft = async () => Number((await other.rows('select count(*) from many'))[0]![0]);
  const tagOf = (messages: readonly BackendMessage[]) =>
    messages
      .find(({ type }) => type === 'C')
      ?.body.toString('latin1')
      .replace('\0', '');

  /** How it stands while the statement waits for somebody else's lock. */
  const untilItWaits = async () =>
    await eventually('the statement waits', async () => {
      const waiting = await other.rows(
        `select count(*) from pg_stat_activity where application_name = 'many' and wait_event_type = 'Lock'`,
      );
      return waiting[0]![0] === '1' ? null : 'it does not';
    });

  /** What its transaction has locked of the table. */
  const lockModes = async () =>
    (
      await other.rows(
        `select l.mode from pg_locks l join pg_stat_activity a using (pid)
          where a.application_name = 'many' and l.relation = 'many'::regclass and l.locktype = 'relation' order by 1`,
      )
    ).map(([mode]) => mode);

  it('is captured whole, and locks none of them for it', async () => {
    await other.rows(`begin; select from many where id = ${LAST} for update`);
    const deleted = client.query('delete from many');
    await untilItWaits();
    expect(await lockModes()).toEqual(['AccessShareLock', 'RowExclusiveLock']);
    await other.rows('rollback');
    const messages = await deleted;
    expect(typesOf(messages)).toBe('CZ');
    expect(tagOf(messages)).toBe(`DELETE ${MANY}`);
    expect(statusOf(messages)).toBe('I');
    expect(await taken.all()).toMatchObject([{ tables: [{ before: { rows: MANY }, after: null }] }]);
    expect(await rowsLeft()).toBe(0);
  });

  it('leaves what others insert meanwhile, as it would have had it been faster', async () => {
    await other.rows(`begin; select from many where id = ${LAST} for update`);
    const deleted = client.query('delete from many where id > 0');
    await untilItWaits();
    await taken.fixture.postgres.sql(`insert into many values (${LAST + 1}, 'new')`);
    await other.rows('rollback');
    expect(tagOf(await deleted)).toBe(`DELETE ${MANY}`);
    expect(await taken.all()).toMatchObject([{ tables: [{ before: { rows: MANY } }] }]);
    expect(await rowsLeft()).toBe(1);
  });

  it.each([
    ['delete from many', 'changes', `update many set note = 'other' where id = ${LAST}`, MANY, 0],
    ['delete from many where id > 0', 'deletes', `delete from many where id = ${LAST}`, MANY - 1, 0],
    [
      `update many set note = 'mine'`,
      'changes',
      `update many set note = 'other' where id = ${LAST}`,
      MANY,
      MANY,
    ],
  ])(
    '%s begins anew where another %s a row meanwhile, and its client notices nothing',
    async (sql, _, change, rows, left) => {
      await other.rows(`begin; ${change}`);
      const changed = client.query(sql);
      await untilItWaits();
      await other.rows('commit');
      const messages = await changed;
      expect(errorsOf(messages)).toEqual([]);
      expect(typesOf(messages)).toBe('CZ');
      expect(tagOf(messages)).toMatch(new RegExp(` ${rows}$`));
      const [snapshot] = await taken.all();
      expect(snapshot).toMatchObject({ tables: [{ before: { rows } }] });
      expect(await rowsLeft()).toBe(left);
      const [event] = await taken.fixture.auditEvents((each) => each['snapshot'] === snapshot!.id, 1);
      expect(event).toMatchObject({ end: 'completed', sqlstate: null, rows });
    },
  );

  it('says what is wrong as it would directly, and is not run twice for it', async () => {
    await other.rows(`alter table many add check (note <> 'bad')`);
    const wanted = errorsOf(await other.query(`update many set note = 'bad'`));
    const messages = await client.query(`update many set note = 'bad'`);
    expect(errorsOf(messages)).toEqual(wanted);
    expect(statusOf(messages)).toBe('I');
    expect(await rowsLeft()).toBe(MANY);
  });

  it('reads as the client has asked for where that could be told', async () => {
    const sql = `delete from many where current_setting('transaction_isolation') = 'read committed'`;
    expect(tagOf(await client.query(sql))).toBe(`DELETE ${MANY}`);
  });

  it('looks at rows of other tables as they are by then', async () => {
    await other.rows(`create table child (id int references many);`);
    const changed = client.query('delete from many');
    expect(tagOf(await changed)).toBe(`DELETE ${MANY}`);
    expect(await taken.all()).toMatchObject([{ tables: [{ before: { rows: MANY } }] }]);
  });

  it('is captured whole in a transaction that the client has begun to read by one snapshot', async () => {
    await client.query('begin isolation level repeatable read');
    expect(tagOf(await client.query(`update many set note = 'n' where id > 0`))).toBe(`UPDATE ${MANY}`);
    await client.query('commit');
    expect(await taken.all()).toMatchObject([
      { tables: [{ before: { rows: MANY }, after: { rows: MANY } }] },
    ]);
  });
});
