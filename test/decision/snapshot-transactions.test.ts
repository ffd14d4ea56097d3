import { beforeEach, describe, expect, it } from 'vitest';
import { openBlobStore } from '../../src/blobs/open.ts';
import { allDays, listSnapshots } from '../../src/snapshot/snapshots.ts';
import * as fe from '../support/frontend-messages.ts';
import { eventually } from '../support/process-facts.ts';
import { errorsOf, fieldsOf, statusOf } from '../support/raw-client.ts';
import { typesOf } from './snapshots-taken.ts';
import { type TakenByTest, takenByTest } from './taken-by-test.ts';

describe.each([18, 15] as const)('the transaction of a captured statement on PostgreSQL %i', (version) => {
  const under = takenByTest(version);
  let { taken, client }: TakenByTest = under;
  beforeEach(() => {
    ({ taken, client } = under);
  });

  const one = (sql: string) => Buffer.concat([fe.parse('', sql), fe.bind(), fe.execute()]);
  const remove = (id: number) => `delete from precious where id = ${id}`;

  /** Which snapshots there are, the oldest first, by the row that their statement removes. */
  async function fates(): Promise<string[]> {
    const store = openBlobStore({ kind: 'file', directory: taken.folder });
    const manifests = await taken.all();
    const out: string[] = [];
    for await (const { id, rolledBack } of listSnapshots(store, allDays(Date.now()))) {
      const text = manifests.find((each) => each.id === id)!.statement.text;
      out.unshift(`${text.split(' ').at(-1)} ${rolledBack ? 'rolled back' : 'stands'}`);
    }
    await store.close();
    return out;
  }

  const expectFates = async (...wanted: string[]) =>
    await eventually('the fates', async () => {
      const got = await fates();
      return JSON.stringify(got) === JSON.stringify(wanted) ? null : JSON.stringify(got);
    });

  it('is committed, and its snapshots stand', async () => {
    for (const sql of ['begin', remove(1), 'commit', remove(2)]) await client.query(sql);
    client.write(
      one(remove(3)),
      one(remove(4)),
      fe.sync(),
      one('begin'),
      one(remove(5)),
      one('end'),
      fe.sync(),
    );
    await client.untilReady();
    await client.untilReady();
    await expectFates('1 stands', '2 stands', '3 stands', '4 stands', '5 stands');
  });

  it('is rolled back, and its snapshots are marked', async () => {
    for (const sql of ['begin', remove(1), remove(2), 'rollback', remove(3)]) await client.query(sql);
    client.write(
      one('begin'),
      one(remove(4)),
      one('rollback'),
      fe.sync(),
      one(remove(5)),
      one('rollback'),
      fe.sync(),
    );
    await client.untilReady();
    await client.untilReady();
    await expectFates('1 rolled back', '2 rolled back', '3 stands', '4 rolled back', '5 rolled back');
    expect(await taken.fixture.preciousRows()).toBe(9);
  });

  it('fails, and its snapshots are marked', async () => {
    for (const sql of ['begin', remove(1), 'select 1/0', 'commit', remove(2)]) await client.query(sql);
    client.write(one(remove(3)), one('select 1/0'), fe.sync());
    await client.untilReady();
    await expectFates('1 rolled back', '2 stands', '3 rolled back');
    client.write(one(`copy (${remove(4)} returning id) to stdout`), one('select 1/0'), fe.sync());
    await client.untilReady();
    await expectFates('1 rolled back', '2 stands', '3 rolled back', 'stdout rolled back');
    expect(await taken.fixture.preciousRows()).toBe(9);
  });

  it('may have been committed by a procedure before the segment failed, and its snapshot is not marked', async () => {
    await taken.fixture.postgres.sql(`create or replace procedure committing() language plpgsql as $$ begin commit; end $$;
      create or replace procedure failing() language plpgsql as $$ begin commit; perform 1/0; end $$`);
    const inTurn = [`call committing()`, 'do $$ begin commit; end $$', 'call failing()'];
    for (const [i, sql] of inTurn.entries()) {
      client.write(one(remove(i + 1)), one(sql), one(remove(i + 5)), one('select 1/0'), fe.sync());
      expect(errorsOf(await client.untilReady())).toHaveLength(1);
    }
    // From PostgreSQL 17 on nothing in a segment may commit but its end.
    expect(await taken.fixture.preciousRows()).toBe(version === 15 ? 7 : 10);
    const later = version === 15 ? ['5 rolled back', '2 stands', '6 rolled back'] : ['2 stands'];
    await expectFates('1 stands', ...later, '3 stands');
    await taken.fixture.postgres.sql('drop procedure committing; drop procedure failing');
  });

  it('runs a DO in a block, which commits nothing, and its snapshot is marked', async () => {
    for (const sql of ['begin', remove(1), 'do $$ begin null; end $$', 'rollback']) await client.query(sql);
    client.write(
      one('begin'),
      one(remove(2)),
      fe.sync(),
      one('do $$ begin null; end $$'),
      one('rollback'),
      fe.sync(),
    );
    await client.untilReady();
    await client.untilReady();
    await expectFates('1 rolled back', '2 rolled back');
  });

  it('goes back to a savepoint, and the snapshots since are marked', async () => {
    for (const sql of [
      'begin',
      'savepoint a',
      remove(1),
      'savepoint b',
      remove(2),
      'savepoint c',
      remove(3),
      'release c',
      remove(4),
      'rollback to b',
      remove(5),
      'savepoint a',
      remove(6),
      'rollback to a',
      'commit',
    ])
      await client.query(sql);
    await expectFates(
      '1 stands',
      '2 rolled back',
      '3 rolled back',
      '4 rolled back',
      '5 stands',
      '6 rolled back',
    );
    expect(await taken.fixture.preciousRows()).toBe(8);
    for (const sql of ['begin', 'savepoint a', remove(7), 'select 1/0', 'rollback to a', remove(8), 'commit'])
      await client.query(sql);
    expect((await fates()).slice(-2)).toEqual(['7 rolled back', '8 stands']);
  });

  it('ends with its session, and its snapshots are marked', async () => {
    await client.query('begin');
    await client.query(remove(1));
    await client.terminate();
    await expectFates('1 rolled back');
    client = await taken.fixture.client();
    client.write(one(remove(2)), fe.flush());
    await client.until('C');
    client.destroy();
    await expectFates('1 rolled back', '2 rolled back');
    client = await taken.fixture.client();
  });

  it('is committed by the gateway, and the client is told what its triggers say', async () => {
    await taken.fixture.postgres.sql(`create table loud (id int);
      insert into loud values (1), (2);
      create function say() returns trigger language plpgsql as $$ begin raise notice 'said'; return null; end $$;
      create constraint trigger loud after delete on loud deferrable initially deferred for each row execute function say();`);
    const messages = await client.query('delete from loud where id = 1');
    const without = typesOf(messages);
    await taken.fixture.postgres.sql('drop table loud; drop function say()');
    // A trigger of the user's may write anywhere, so that a plan may refuse it; what it says is not lost otherwise.
    if (without !== 'EZ') {
      expect(without).toBe('NCZ');
      expect(fieldsOf(messages[0]!)).toMatchObject({ M: 'said' });
    }
  });

  it('is in another encoding than is understood, and is refused', async () => {
    await client.query(`set client_encoding to 'SJIS'`);
    expect(errorsOf(await client.query(remove(1)))).toMatchObject([{ C: 'HF002' }]);
    client.write(one(remove(1)), fe.sync());
    expect(errorsOf(await client.untilReady())).toMatchObject([{ C: 'HF002' }]);
    await client.query('reset client_encoding');
    expect(typesOf(await client.query(remove(2)))).toBe('CZ');
    expect(await taken.all()).toMatchObject([{ server: { encoding: 'UTF8' } }]);
  });

  it('comes with what is not captured one by one, and is refused with what to do', async () => {
    const messages = await client.query(`${remove(1)}; discard plans`);
    expect(errorsOf(messages)).toMatchObject([{ C: 'HF002', H: expect.stringContaining('by itself') }]);
    expect(statusOf(messages)).toBe('I');
    expect(await taken.fixture.preciousRows()).toBe(10);
  });

  it('changes more than was captured, and is refused, unless its rule lets it run without', async () => {
    await taken.fixture.postgres.sql(`create table written (id int); insert into written values (0);
      create function writes() returns trigger language plpgsql as $$ begin truncate written; return old; end $$;
      create trigger writes after delete on precious for each row execute function writes()`);
    try {
      expect(errorsOf(await client.query(remove(1)))).toMatchObject([{ C: 'HF002' }]);
      client.write(one(remove(1)), fe.sync());
      expect(errorsOf(await client.untilReady())).toMatchObject([{ C: 'HF002' }]);
      expect(await taken.fixture.preciousRows()).toBe(10);
      const careless = await taken.fixture.client({ application_name: 'careless' });
      expect(typesOf(await careless.query(remove(1)))).toBe('CZ');
      careless.write(one(remove(2)), fe.sync());
      expect(typesOf(await careless.untilReady())).toBe('12CZ');
      expect(await taken.fixture.preciousRows()).toBe(8);
      await careless.terminate();
    } finally {
      await taken.fixture.postgres.sql('drop table precious, written cascade; drop function writes');
    }
  });
});
