import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { openBlobStore } from '../../src/blobs/open.ts';
import { fromManifest } from '../../src/snapshot/manifest.ts';
import { readRows } from '../../src/snapshot/row-file-reader.ts';
import { eventually } from '../support/process-facts.ts';
import { type BackendMessage, cancel, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
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

  const storedRows = async () => {
    const store = openBlobStore({ kind: 'file', directory: taken.folder });
    const [manifest] = await taken.all();
    const stored: Buffer[] = [];
    for await (const row of readRows(store, fromManifest(manifest!.tables[0]!.before!)))
      stored.push(Buffer.from(row));
    await store.close();
    return stored;
  };

  it.each([
    'delete from many',
    'delete from many m where m.id > 0',
    'truncate many',
    'update many set note = null',
  ])('is kept as the server would copy it: %s', async (sql) => {
    await other.rows(
      `insert into many values (0, null), (-1, repeat('long', 100000)) on conflict do nothing`,
    );
    const expected = (await other.rows(`select id, note from many order by id`)).map(([id, note]) => [
      id,
      note,
    ]);
    expect(errorsOf(await client.query(sql))).toEqual([]);
    const rows = (await storedRows()).map((row) => {
      const length = row.readInt32BE(10);
      return [String(row.readInt32BE(6)), length < 0 ? null : row.toString('utf8', 14, 14 + length)];
    });
    rows.sort((a, b) => Number(a[0]) - Number(b[0]));
    const kept = sql.includes('m.id > 0') ? expected.filter(([id]) => Number(id) > 0) : expected;
    expect(rows).toEqual(kept);
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

  it('begins anew where its client is notified of something meanwhile, too', async () => {
    const listening = await taken.fixture.client({ application_name: 'many' });
    await listening.rows('listen told');
    await other.rows(`begin; update many set note = 'other' where id = ${LAST}`);
    const changed = listening.query('delete from many');
    await untilItWaits();
    await taken.fixture.postgres.sql('notify told');
    await other.rows('commit');
    const messages = await changed;
    expect(errorsOf(messages)).toEqual([]);
    expect(typesOf(messages)).toBe('ACZ');
    expect(await rowsLeft()).toBe(0);
    await listening.terminate();
  });

  it.each([
    [
      'a new column',
      `alter table many add column c text default 'kept'; alter table many alter column c drop default`,
      MANY,
    ],
    ['another type', 'alter table many alter column id type bigint', MANY],
    ['other rows', `truncate many; insert into many select i, 'new' from generate_series(1, 100) i`, 100],
  ])('sees %s that others give the table before it begins anew', async (_, change, rows) => {
    const altering = await RawClient.open(taken.fixture.postgres.port);
    await other.rows('begin; select from many where id = 10000 for update');
    const deleted = client.query('delete from many where id > 0');
    await untilItWaits();
    const altered = altering.query(`begin; ${change}; select pg_sleep(0.5); commit`);
    await eventually('the change waits', async () => {
      const waiting = await other.rows(
        `select count(*) from pg_locks where not granted and locktype = 'relation'`,
      );
      return waiting[0]![0] === '1' ? null : 'it does not';
    });
    await other.rows('rollback');
    const messages = await deleted;
    await altered;
    await altering.terminate();
    expect(tagOf(messages)).toBe(`DELETE ${rows}`);
    expect(await rowsLeft()).toBe(0);
    const [snapshot] = await taken.all();
    expect(snapshot).toMatchObject({ tables: [{ before: { rows } }] });
    const columns = snapshot!.tables[0]!.columns.map(({ name }) => name);
    expect(columns).toEqual(change.includes('add column') ? ['id', 'note', 'c'] : ['id', 'note']);
  });

  it('can be cancelled while others have the table that it is to begin anew with', async () => {
    const locking = await RawClient.open(taken.fixture.postgres.port);
    await other.rows('begin; select from many where id = 10000 for update');
    const deleted = client.query('delete from many where id > 0');
    await untilItWaits();
    const locked = locking.query('begin; lock table many');
    await eventually('the lock is asked for', async () => {
      const waiting = await other.rows(
        `select count(*) from pg_locks where not granted and locktype = 'relation'`,
      );
      return waiting[0]![0] === '1' ? null : 'it is not';
    });
    await other.rows('rollback');
    await locked;
    await untilItWaits();
    await cancel(taken.fixture.gateway.port, client.processId, client.secretKey);
    expect(errorsOf(await deleted)).toMatchObject([{ C: '57014' }]);
    await locking.query('rollback');
    await locking.terminate();
    expect(await rowsLeft()).toBe(MANY);
    expect(await taken.all()).toEqual([]);
  });

  it.each(['read uncommitted', 'read committed'])(
    'locks its rows in a transaction that is %s',
    async (level) => {
      await client.query(`begin isolation level ${level}`);
      await other.rows(`begin; select from many where id = 2 for update`);
      const deleted = client.query('delete from many where id < 4');
      await untilItWaits();
      const locked = await taken.fixture.postgres.sql(
        'select id from many where id < 4 for update skip locked',
      );
      expect(locked).not.toContainEqual(['1']);
      await other.rows(`update many set note = 'newer' where id = 2; commit`);
      expect(tagOf(await deleted)).toBe('DELETE 3');
      await client.query('rollback');
    },
  );

  it('is captured of a role that may change some columns alone', async () => {
    await other.rows(
      'drop role if exists narrow; create role narrow login; grant select, update (note) on many to narrow',
    );
    const narrow = await taken.fixture.client({ user: 'narrow' });
    expect(tagOf(await narrow.query(`update many set note = 'x' where id > 0`))).toBe(`UPDATE ${MANY}`);
    await narrow.terminate();
    expect(await taken.all()).toMatchObject([{ tables: [{ before: { rows: MANY } }] }]);
    await other.rows('revoke all on many from narrow; drop role narrow');
  });

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
