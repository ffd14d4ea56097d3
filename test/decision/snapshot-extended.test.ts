import { beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf, statusOf } from '../support/raw-client.ts';
import { type ExtendedByTest, extendedByTest } from './extended-by-test.ts';
import { typesOf } from './snapshots-taken.ts';

describe.each([18, 15] as const)('a statement of the extended protocol on PostgreSQL %i', (version) => {
  const under = extendedByTest(version);
  const { asDirectly } = under;
  let { taken, client, direct }: ExtendedByTest = under;
  beforeEach(() => {
    ({ taken, client, direct } = under);
  });

  it('is captured with its parameters, and its client reads what it would read directly', async () => {
    await asDirectly(
      fe.parse('', 'delete from precious where id < $1 returning id, note'),
      fe.bind({ parameters: ['4'] }),
      fe.describe('P'),
      fe.execute(),
      fe.sync(),
    );
    const [snapshot] = await taken.all();
    expect(snapshot).toMatchObject({
      statement: { text: 'delete from precious where id < $1 returning id, note', parameters: 1 },
      tables: [{ name: 'precious', before: { rows: 3 }, after: null }],
    });
    const [event] = await taken.fixture.auditEvents((e) => e['snapshot'] === snapshot!.id, 1);
    expect(event).toMatchObject({ rows: 3, end: 'completed', transaction_status: 'I', protocol: 'extended' });
  });

  it('is captured with parameters in binary', async () => {
    await asDirectly(
      fe.parse('s', 'update precious set note = $2 where id = $1'),
      fe.bind({ statement: 's', parameterFormats: [1, 0], parameters: [fe.int32(7), 'seven'] }),
      fe.execute(),
      fe.sync(),
    );
    expect(await taken.all()).toMatchObject([{ tables: [{ before: { rows: 1 }, after: { rows: 1 } }] }]);
  });

  it('is captured each time that it is executed anew, with and without a Describe, whole and bit by bit', async () => {
    client.write(
      fe.parse('s', 'delete from precious where id = any ($1::int[])'),
      fe.describe('S', 's'),
      fe.flush(),
    );
    expect(typesOf(await client.until('n'))).toBe('1tn');
    const again = (ids: string) =>
      Buffer.concat([fe.bind({ statement: 's', parameters: [ids] }), fe.execute(), fe.sync()]);
    client.write(again('{1,2}'));
    expect(typesOf(await client.untilReady())).toBe('2CZ');
    await client.writeSplit(again('{3}'), [1]);
    expect(typesOf(await client.untilReady())).toBe('2CZ');
    client.write(again('{4}'), again('{5}'), again('{99}'));
    for (let i = 0; i < 3; i++) expect(typesOf(await client.untilReady())).toBe('2CZ');
    const rows = (await taken.all()).map(({ tables }) => tables[0]!.before!.rows);
    expect(rows).toEqual([2, 1, 1, 1]);
    expect(await taken.fixture.preciousRows()).toBe(5);
  });

  it('is captured in a block, and goes back with it', async () => {
    const run = () =>
      client.write(
        fe.parse('', `update precious set note = 'n' where id = $1`),
        fe.bind({ parameters: ['1'] }),
        fe.execute(),
        fe.sync(),
      );
    await client.query('begin');
    run();
    const messages = await client.untilReady();
    expect(typesOf(messages)).toBe('12CZ');
    expect(statusOf(messages)).toBe('T');
    expect(await taken.all()).toHaveLength(1);
    await client.query('rollback');
    expect(await taken.fixture.postgres.sql('select note from precious where id = 1')).toEqual([['row 1']]);
  });

  it('is one of several in a segment, which are captured one after the other and committed together', async () => {
    const one = (sql: string) => Buffer.concat([fe.parse('', sql), fe.bind(), fe.execute()]);
    await asDirectly(
      one('select count(*) from precious'),
      one('delete from precious where id = 1'),
      one(`update precious set note = 'x' where id = 2`),
      one('select count(*) from precious'),
      one('delete from precious where id = 3 returning note'),
      fe.sync(),
    );
    expect((await taken.all()).map(({ statement }) => statement.operation)).toEqual([
      'delete',
      'update',
      'delete',
    ]);
  });

  it('is in a segment that begins and commits by itself', async () => {
    const one = (sql: string) => Buffer.concat([fe.parse('', sql), fe.bind(), fe.execute()]);
    await asDirectly(one('begin'), one('delete from precious where id = 1'), one('commit'), fe.sync());
    await asDirectly(one('begin'), one('delete from precious where id = 2'), one('rollback'), fe.sync());
    expect(await taken.fixture.preciousRows()).toBe(9);
  });

  it('gives some of its rows and then the others, and is captured once', async () => {
    client.write(
      fe.parse('', 'delete from precious where id < 4 returning id'),
      fe.bind(),
      fe.execute('', 1),
      fe.sync(),
    );
    const messages = await client.untilReady();
    expect(typesOf(messages)).toBe('12DsZ');
    expect(await taken.fixture.preciousRows()).toBe(7);
    await client.query('begin');
    client.write(
      fe.parse('', 'delete from precious where id < 6 returning id'),
      fe.bind({ portal: 'p' }),
      fe.execute('p', 1),
      fe.flush(),
    );
    expect(typesOf(await client.until('s'))).toBe('12Ds');
    client.write(fe.execute('p', 0), fe.sync());
    expect(typesOf(await client.untilReady())).toBe('DCZ');
    await client.query('commit');
    expect((await taken.all()).map(({ tables }) => tables[0]!.before!.rows)).toEqual([3, 2]);
  });

  it('is an upsert, a MERGE or a TRUNCATE', async () => {
    const run = async (sql: string, parameters: string[] = []) => {
      client.write(fe.parse('', sql), fe.bind({ parameters }), fe.execute(), fe.sync());
      const messages = await client.untilReady();
      expect(errorsOf(messages)).toEqual([]);
      return typesOf(messages);
    };
    expect(
      await run(`insert into precious values ($1, $2) on conflict (id) do update set note = excluded.note`, [
        '3',
        'new',
      ]),
    ).toBe('12CZ');
    expect(
      await run(
        `merge into precious p using (values ($1::int)) v(id) on p.id = v.id when matched then delete`,
        ['4'],
      ),
    ).toBe('12CZ');
    expect(await run('truncate precious')).toBe('12CZ');
    expect((await taken.all()).map(({ tables }) => tables[0]!.before!.rows)).toEqual([1, 1, 9]);
    expect(await taken.fixture.preciousRows()).toBe(0);
  });

  it('has a Bind larger than is decided by its head', async () => {
    const large = 'x'.repeat(300_000);
    await asDirectly(
      fe.parse('', 'update precious set note = $2 where id = $1'),
      fe.bind({ parameters: ['1', large] }),
      fe.execute(),
      fe.sync(),
    );
    expect(await taken.all()).toHaveLength(1);
  });

  it('reads in a read-only transaction what it would read directly', async () => {
    for (const each of [client, direct]) await each.query('begin read only');
    for (const sql of [
      'delete from precious',
      'truncate precious',
      'explain analyze delete from precious',
      'copy (delete from precious returning id) to stdout',
      `insert into precious values (1, 'x') on conflict (id) do update set note = 'x'`,
      `merge into precious p using (select 1 as id) o on p.id = o.id when matched then delete`,
    ]) {
      for (const each of [client, direct]) await each.query('savepoint a');
      const [wanted] = errorsOf(await direct.query(sql));
      expect(errorsOf(await client.query(sql))).toMatchObject([{ C: wanted!['C'], M: wanted!['M'] }]);
      for (const each of [client, direct]) await each.query('rollback to a');
      client.write(fe.parse('', sql), fe.bind(), fe.execute(), fe.sync());
      expect(errorsOf(await client.untilReady())).toMatchObject([{ C: wanted!['C'], M: wanted!['M'] }]);
      for (const each of [client, direct]) await each.query('rollback to a');
    }
    await client.query('rollback');
  });
});
