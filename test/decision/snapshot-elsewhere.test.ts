import { beforeEach, describe, expect, it } from 'vitest';
import type { Manifest } from '../../src/snapshot/manifest.ts';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf, statusOf } from '../support/raw-client.ts';
import { type TakenByTest, takenByTest } from './taken-by-test.ts';

const TABLES = `
  drop table if exists lines, orders, seen cascade;
  create table orders (id int primary key, total int not null);
  create table lines (id int primary key, order_id int references orders, price int not null);
  insert into orders select i, 0 from generate_series(1, 3) i;
  insert into lines select i, 1 + i % 3, i from generate_series(1, 90) i;
  update orders o set total = (select sum(price) from lines where order_id = o.id)`;

const trigger = (update: string) => `
  create or replace function add_up() returns trigger language plpgsql as $$ begin
    if tg_op <> 'INSERT' then ${update.replaceAll('$1', '-old.price').replaceAll('$2', 'old.order_id')} end if;
    if tg_op <> 'DELETE' then ${update.replaceAll('$1', 'new.price').replaceAll('$2', 'new.order_id')} end if;
    return null; end $$;
  create trigger add_up after insert or update or delete on lines for each row execute function add_up()`;

const NAMED = trigger('update orders set total = total + $1 where id = $2;');
/** Which table it changes is only known when it has. */
const UNNAMED = trigger(
  `execute format('up%s orders set total = total + %s where id = %s', 'date', $1, $2);`,
);

describe.each([18, 15] as const)('what triggers change in other tables, of PostgreSQL %i', (version) => {
  const under = takenByTest(version);
  let { taken, client }: TakenByTest = under;
  beforeEach(async () => {
    ({ taken, client } = under);
    await taken.fixture.postgres.sql(TABLES);
  });

  const extended = (sql: string) => [fe.parse('', sql), fe.bind(), fe.execute(), fe.sync()];
  const send = async (...messages: readonly Buffer[]) => {
    client.write(...messages);
    return await client.untilReady();
  };
  const inBlock = async (...messages: readonly Buffer[]) => {
    expect(errorsOf(await client.query('begin'))).toEqual([]);
    const errors = errorsOf(await send(...messages));
    return [...errors, ...errorsOf(await client.query('commit'))];
  };
  const WAYS: readonly (readonly [string, (sql: string) => Promise<Record<string, string>[]>])[] = [
    ['a Query', async (sql) => errorsOf(await client.query(sql))],
    [
      'a Query of several statements',
      async (sql) => errorsOf(await client.query(`select 1; ${sql}; select 2`)),
    ],
    ['an Execute', async (sql) => errorsOf(await send(...extended(sql)))],
    [
      'an Execute behind others',
      async (sql) => errorsOf(await send(...extended('select 1').slice(0, 3), ...extended(sql))),
    ],
    ['a Query in a transaction', (sql) => inBlock(fe.query(sql))],
    ['an Execute in a transaction', (sql) => inBlock(...extended(sql))],
  ];
  const sql = 'delete from lines where id <= 6';
  const kept = (rows: number) => [
    { name: 'lines', cause: { kind: 'target' } },
    { name: 'orders', cause: { kind: 'code' }, before: { rows }, after: { rows } },
  ];

  it.each(WAYS)('is captured, by %s', async (_, run) => {
    await taken.fixture.postgres.sql(NAMED);
    expect(await run(sql)).toEqual([]);
    expect(await run('update lines set order_id = 1 where id in (9, 10)')).toEqual([]);
    expect(await taken.all()).toMatchObject([{ tables: kept(3) }, { tables: kept(2) }]);
    expect(await client.query('select from pg_cursors')).toHaveLength(3);
  });

  /** So many that its rows are looked for by their keys, of which nothing else tells than the setting that has had them. */
  const MANY = 'insert into orders select i, 0 from generate_series(1001, 12000) i; analyze orders';
  const byKeys = async () =>
    (await client.rows(`select current_setting('holdfast.int8', true) is not null`))[0]![0] === 't';

  it.each(WAYS)('is captured by its keys where there are many rows, by %s', async (_, run) => {
    await taken.fixture.postgres.sql(`${NAMED}; ${MANY}`);
    expect(await byKeys()).toBe(false);
    expect(await run('delete from lines where id in (3, 4)')).toEqual([]);
    expect(await run('update lines set order_id = 1100 where id = 6')).toEqual([]);
    expect(await run(sql)).toEqual([]);
    expect(await byKeys()).toBe(true);
    expect(await taken.all()).toMatchObject([{ tables: kept(2) }, { tables: kept(2) }, { tables: kept(3) }]);
    expect(await client.query('select from pg_cursors')).toHaveLength(3);
  });

  it.each(WAYS)(
    'is captured where only its run tells the table, by %s, once that is known',
    async (way, run) => {
      await taken.fixture.postgres.sql(UNNAMED);
      const mayRunAgain = way === 'a Query' || way === 'an Execute';
      const again = { C: 'HF002', H: expect.stringContaining('Run the transaction again') };
      expect(await run(sql)).toMatchObject(mayRunAgain ? [] : [again]);
      if (!mayRunAgain) expect(await run(sql)).toEqual([]);
      expect(await taken.all()).toMatchObject([{ tables: kept(3) }]);
      expect(statusOf(await client.query('rollback'))).toBe('I');
    },
  );

  it('is refused where it cannot be kept, with the reason', async () => {
    await taken.fixture.postgres.sql(`${NAMED}; alter table orders add column n int;
      alter function add_up() security definer; drop role if exists clerk; create role clerk login;
      grant select, update, delete on lines to clerk`);
    const clerk = await taken.fixture.client({ user: 'clerk' });
    const refused = {
      C: 'HF002',
      D: expect.stringContaining('public.orders as well, and this role may not read it'),
    };
    for (let times = 0; times < 2; times++) expect(errorsOf(await clerk.query(sql))).toMatchObject([refused]);
    await clerk.terminate();
    await taken.fixture.postgres.sql('drop owned by clerk; drop role clerk');
    expect(await taken.all()).toEqual([]);
  });

  it('leaves no cursor behind where a statement goes on without a snapshot', async () => {
    await taken.fixture.postgres.sql(`${NAMED}; create table seen ();
      create or replace function empty() returns trigger language plpgsql as $$ begin truncate seen; return null; end $$;
      create trigger empty after delete on lines execute function empty()`);
    const careless = await taken.fixture.client({ application_name: 'careless' });
    await careless.query('begin');
    expect(errorsOf(await careless.query(sql))).toEqual([]);
    expect(await careless.rows('select name from pg_cursors where name <> $$$$')).toEqual([]);
    await careless.query('commit');
    await careless.terminate();
    expect(await taken.all()).toEqual([]);
  });

  /** The images of one row, from first to last, each with what it was before. */
  function chained(snapshots: readonly (readonly [before: string, after: string])[], from: string): string {
    let total = from;
    const left = [...snapshots];
    for (;;) {
      const next = left.findIndex(([before]) => before === total);
      if (next < 0) break;
      total = left.splice(next, 1)[0]![1];
    }
    expect(left).toEqual([]);
    return total;
  }

  it.each([
    ['', ''],
    [', found by their keys', MANY],
  ])('misses nothing that others have done to the same rows meanwhile%s', async (_, many) => {
    await taken.fixture.postgres.sql(`${NAMED}; ${many}`);
    const before = await taken.fixture.postgres.sql('select total from orders where id = 1');
    const clients = await Promise.all([1, 2, 3, 4].map(() => taken.fixture.client({})));
    await Promise.all(
      clients.map(async (each, i) => {
        for (let id = 3 + 3 * i; id <= 90; id += 12)
          expect(errorsOf(await each.query(`delete from lines where id = ${id}`))).toEqual([]);
        await each.terminate();
      }),
    );
    const after = await taken.fixture.postgres.sql('select total from orders where id = 1');
    const snapshots = await taken.all();
    const totals = await Promise.all(snapshots.map(async (each) => await totalsOf(each)));
    expect(snapshots).toHaveLength(30);
    expect(chained(totals, before[0]![0]!)).toBe(after[0]![0]);
  });

  async function totalsOf({ tables }: Manifest): Promise<[string, string]> {
    const orders = tables.find(({ name }) => name === 'orders')!;
    const total = async (file: typeof orders.before) => {
      const [row] = await taken.rowsOf(file);
      return String(Buffer.from(row!, 'latin1').readInt32BE(row!.length - 4));
    };
    return [await total(orders.before), await total(orders.after)];
  }
});
