import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Parser } from '../../src/sql/parsing/parser.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { BY_KEYS_ALONE, BY_KEYS_FIRST, judge, type Meanwhile } from './exactness.ts';

/** What triggers update and delete in other tables is kept as it was, and as it is: compared with COPY, row by row. */

const ORDERS = `
  create table orders (id int primary key, total int not null default 0, note text);
  create table lines (id int primary key, order_id int references orders, price int);
  insert into orders select i, 0, repeat(md5(i::text), 1000) from generate_series(1, 20) i;
  insert into lines select i, 1 + i % 10, i from generate_series(1, 60) i;
  update orders o set total = (select coalesce(sum(price), 0) from lines where order_id = o.id)`;

const func = (name: string, body: string) =>
  `create function ${name}() returns trigger language plpgsql as $$ begin ${body} return null; end $$`;

const trigger = (when: string, table: string, body: string, each = 'row') => `
  ${func('act', body)}; create trigger act ${when} on ${table} for each ${each} execute function act()`;

const TOTALS = trigger(
  'after insert or update or delete',
  'lines',
  `if tg_op <> 'INSERT' then update x.orders set total = total - old.price where id = old.order_id; end if;
   if tg_op <> 'DELETE' then update x.orders set total = total + new.price where id = new.order_id; end if;`,
);

/** An upsert as it was written before there was ON CONFLICT: by an INSERT that is taken back where the row has come. */
const LOOP = `
  create table counters (k int primary key, n int); ${trigger(
    'after delete',
    'lines',
    `loop
       update x.counters set n = n + 1 where k = old.order_id; exit when found;
       begin insert into x.counters values (old.order_id, 1); exit; exception when unique_violation then end;
     end loop;`,
  )}`;

interface Example {
  readonly name: string;
  readonly setup: string;
  readonly first?: string;
  readonly statement: string;
}

const EXAMPLES: readonly Example[] = [
  { name: 'a total, once', setup: TOTALS, statement: 'delete from lines where id = 3' },
  { name: 'a total, once for each line', setup: TOTALS, statement: 'delete from lines where id > 7' },
  { name: 'two totals for each line', setup: TOTALS, statement: 'update lines set order_id = order_id + 1' },
  {
    name: 'a total that the transaction has changed before',
    setup: TOTALS,
    first: `update orders set total = total + 1 where id < 5; insert into orders values (30); update lines set order_id = 30 where id < 4`,
    statement: 'delete from lines where id < 20',
  },
  {
    name: 'a total that a savepoint has changed before',
    setup: TOTALS,
    first: `savepoint a; update orders set total = 1; release a; savepoint b; update orders set total = 2; rollback to b`,
    statement: 'delete from lines where order_id = 3',
  },
  {
    name: 'a row that is deleted, with what a foreign key takes along',
    setup: `create table parts (order_id int references orders on delete cascade); insert into parts select i % 20 + 1 from generate_series(1, 40) i;
      alter table lines drop constraint lines_order_id_fkey;
      ${trigger('after delete', 'lines', 'delete from x.orders where id = old.order_id;')}`,
    statement: 'delete from lines where id < 9',
  },
  {
    name: 'a history whose last row ends, and goes on with another',
    setup: `create table history (line int, price int, ended boolean not null default false);
      create unique index on history (line) where not ended; insert into history select id, price from lines;
      ${trigger('after update', 'lines', 'update x.history set ended = true where line = old.id and not ended; insert into x.history values (new.id, new.price);')}`,
    statement: 'update lines set price = price + 1 where id < 9',
  },
  {
    name: 'a table without a key, whose rows are the same',
    setup: `create table marks (n int); insert into marks select 1 from generate_series(1, 5);
      ${trigger('after delete', 'lines', 'update x.marks set n = n + 1;')}`,
    statement: 'delete from lines where id < 4',
  },
  {
    name: 'a row that comes and goes',
    setup: trigger(
      'after delete',
      'lines',
      'insert into x.orders values (99); delete from x.orders where id = 99;',
    ),
    statement: 'delete from lines where id < 4',
  },
  {
    name: 'a partition, and one to which the row moves',
    setup: `create table parted (k int, n int) partition by list (k);
      create table one partition of parted for values in (1); create table two partition of parted for values in (2);
      insert into parted values (1, 0), (2, 0); ${trigger('after delete', 'lines', 'update x.parted set k = 3 - k, n = n + 1;')}`,
    statement: 'delete from lines where id < 4',
  },
  {
    name: 'a row that moves to another partition',
    setup: `create table parted (k int, n int, primary key (k)) partition by list (k);
      create table one partition of parted for values in (1); create table two partition of parted for values in (2);
      insert into parted values (1, 0); ${trigger('after delete', 'lines', 'update x.parted set k = 3 - k;')}`,
    statement: 'delete from lines where id = 4',
  },
  {
    name: 'what is done in a block with EXCEPTION',
    setup: LOOP,
    statement: 'delete from lines where id < 30',
  },
  {
    name: 'a row that no key tells, and what a block with EXCEPTION takes back',
    setup: trigger(
      'after delete',
      'lines',
      `update x.orders set total = 1 where id = 20;
       begin insert into x.orders values (20, 0); exception when unique_violation then update x.orders set total = 2 where id = 20; end;`,
    ),
    statement: 'delete from lines where id = 3',
  },
  {
    name: 'what a block with EXCEPTION takes back',
    setup: `${trigger(
      'after delete',
      'lines',
      `update x.orders set total = 0 where id = old.order_id;
      begin update x.orders set total = 5 where id > 5; perform 1 / (old.id % 2); exception when division_by_zero then end;`,
    )}`,
    statement: 'delete from lines where id < 12',
  },
  {
    name: 'a row that has been locked before',
    setup: TOTALS,
    first: 'select from orders where id < 4 for update; insert into lines values (90, 5, 1)',
    statement: 'delete from lines where order_id < 8',
  },
  {
    name: 'rows that foreign keys lock',
    setup: `create table calls (order_id int references orders);
      ${trigger('after delete', 'lines', `insert into x.calls values (old.order_id), (15); update x.orders set note = 'x' where id = old.order_id and id < 4;`)}`,
    statement: 'delete from lines where order_id < 8',
  },
  {
    name: 'what a TRUNCATE has changed elsewhere',
    setup: trigger(
      'before truncate',
      'lines',
      'update x.orders set total = 0 where total > 100;',
      'statement',
    ),
    statement: 'truncate lines',
  },
  {
    name: 'what an upsert has changed elsewhere',
    setup: TOTALS,
    statement:
      'insert into lines values (1, 1, 5), (100, 2, 6) on conflict (id) do update set price = excluded.price',
  },
];

/** Trees of comments with keys of many types; what is counted has no foreign key to them. */
const counting = (types: string, key: string, where: string, more = '') => `
  create table counted (${types}, n int not null default 0, ${key}); ${more}
  ${trigger(
    'after insert or update or delete',
    'lines',
    `if tg_op <> 'INSERT' then update x.counted c set n = n - 1 where ${where.replaceAll('$1', 'old')}; end if;
    if tg_op <> 'DELETE' then update x.counted c set n = n + 1 where ${where.replaceAll('$1', 'new')}; end if;`,
  )}`;

/** Each row once, and by a value of the statement's own rows. */
const BY_KEYS: readonly Example[] = [
  { name: 'a total', setup: TOTALS, statement: 'delete from lines where id = 3' },
  { name: 'totals of several rows', setup: TOTALS, statement: 'delete from lines where id in (3, 4, 5)' },
  {
    name: 'the total that a row comes to, which was not captured with it',
    setup: TOTALS,
    statement: 'update lines set order_id = 17 where id = 3',
  },
  {
    name: 'the total of a row that an upsert adds',
    setup: TOTALS,
    statement:
      'insert into lines values (100, 12, 5), (101, 13, 6) on conflict (id) do update set price = excluded.price',
  },
  {
    name: 'a total that the transaction has changed before',
    setup: TOTALS,
    first: `update orders set total = total + 1; insert into orders values (30); update lines set order_id = 30 where id in (3, 50);
      savepoint a; update orders set total = 9 where id = 30; release a; delete from lines where id = 50`,
    statement: 'update lines set order_id = 31 - order_id where id = 3',
  },
  {
    name: 'numbers of another type',
    setup: counting(
      'k bigint, small smallint',
      'primary key (k), unique (small)',
      'small = $1.order_id',
      'insert into counted select 1000 + i, i from generate_series(1, 20) i;',
    ),
    statement: 'delete from lines where id = 3',
  },
  {
    name: 'keys that are texts, and UUIDs',
    setup: `alter table lines add u uuid default md5('a')::uuid, add t varchar(20) default E'\\"{ä}, NULL';
      ${counting('u uuid, t text', 'primary key (t), unique (u)', 't = $1.t or u = $1.u', `insert into counted values (md5('b')::uuid, E'\\"{ä}, NULL'), (md5('a')::uuid, 'other'), (null, '');`)}`,
    statement: 'delete from lines where id = 3',
  },
  {
    name: 'keys of several columns, of which two find the same row',
    setup: counting(
      'tenant int, k int',
      'primary key (tenant, k), unique (k, tenant)',
      '(tenant, k) = (7, $1.order_id)',
      `insert into counted select 7, i from generate_series(1, 20) i; alter table lines add tenant int default 7;`,
    ),
    statement: 'update lines set order_id = 15 where id in (3)',
  },
  {
    name: 'rows that are deleted, and put there',
    setup: `alter table lines drop constraint lines_order_id_fkey; ${trigger('after update', 'lines', 'delete from x.orders where id = old.order_id; insert into x.orders values (new.order_id + 0, 5);')}`,
    statement: 'update lines set order_id = 100 + id where id in (3, 4)',
  },
  {
    name: 'a partition',
    setup: `create table parted (k int primary key, n int) partition by list (k);
      create table one partition of parted for values in (1, 2, 3, 4, 5); create table two partition of parted default;
      insert into parted select i, 0 from generate_series(1, 20) i; ${trigger('after delete', 'lines', 'update x.parted set n = n + 1 where k = old.order_id;')}`,
    statement: 'delete from lines where id in (3, 15, 4)',
  },
];

/** Other rows than the values tell, or one of them more than once. */
const BEYOND_KEYS: readonly Example[] = [
  { name: 'a row twice', setup: TOTALS, statement: 'delete from lines where order_id = 3' },
  {
    name: 'another row as well, as often as it may have been the same',
    setup: trigger(
      'after delete',
      'lines',
      'update x.orders set total = 0 where id = case when old.id = 3 then 20 else old.order_id end;',
    ),
    statement: 'delete from lines where order_id = 4',
  },
  {
    name: 'a row that comes, and one that goes again',
    setup: trigger(
      'after delete',
      'lines',
      'insert into x.orders values (old.id + 1000); delete from x.orders where id = old.id + 1000; update x.orders set total = 1 where id = old.order_id;',
    ),
    statement: 'delete from lines where id = 3',
  },
  {
    name: 'a row that gets another key',
    setup: `alter table lines drop constraint lines_order_id_fkey; ${trigger('after delete', 'lines', 'update x.orders set id = id + 1000 where id = old.order_id;')}`,
    statement: 'delete from lines where id = 3',
  },
  {
    name: 'what a savepoint of its own has taken back',
    setup: trigger(
      'after delete',
      'lines',
      `begin update x.orders set total = 5 where id = old.order_id; perform 1 / 0; exception when division_by_zero then end;
      update x.orders set total = 6 where id = old.order_id;`,
    ),
    statement: 'delete from lines where id = 3',
  },
];

describe.each([15, 18] as const)('on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let client: RawClient;
  let other: RawClient;
  let parser: Parser;

  beforeAll(async () => {
    postgres = await startPostgres({ version });
    [client, other] = [await RawClient.open(postgres.port), await RawClient.open(postgres.port)];
    parser = await Parser.create();
    await other.rows('set search_path = x');
  });
  afterAll(async () => {
    for (const each of [client, other]) each?.destroy();
    await postgres?.stop();
  });
  beforeEach(async () => {
    await client.rows(`drop schema if exists x cascade; create schema x; set search_path = x; ${ORDERS}`);
  });

  async function judged(
    statement: string,
    isolation = 'read committed',
    first = '',
    meanwhile: Meanwhile = {},
  ) {
    await client.rows(`begin isolation level ${isolation}; ${first}`);
    try {
      return await judge(client, parser, { sql: statement, parameters: [] }, meanwhile);
    } finally {
      await client.query('rollback');
    }
  }

  describe.each(['read committed', 'repeatable read'])('%s', (isolation) => {
    it.each(EXAMPLES.map((example) => [example.name, example] as const))('%s', async (_, example) => {
      await client.rows(example.setup);
      const verdict = await judged(example.statement, isolation, example.first);
      const none = example.statement.startsWith('truncate') && isolation === 'repeatable read';
      expect(verdict).toMatchObject({ kind: none ? 'none' : 'exact' });
      const byKeys = await judged(example.statement, isolation, example.first, { sizes: BY_KEYS_FIRST });
      expect(byKeys).toMatchObject({ kind: none ? 'none' : 'exact' });
    });

    it.each(BY_KEYS.map((example) => [example.name, example] as const))(
      'by keys alone: %s',
      async (_, example) => {
        await client.rows(example.setup);
        const sizes = BY_KEYS_ALONE;
        const verdict = await judged(example.statement, isolation, example.first, { sizes });
        expect(verdict).toMatchObject({ kind: 'exact' });
      },
    );

    it.each(BEYOND_KEYS.map((example) => [example.name, example] as const))(
      'by keys alone nothing is called proved: %s',
      async (_, example) => {
        await client.rows(example.setup);
        const sizes = BY_KEYS_ALONE;
        const verdict = await judged(example.statement, isolation, example.first, { sizes });
        const reason = expect.stringContaining('the table is too large to be searched');
        expect(verdict).toMatchObject({ kind: 'drift', exceeds: true, reason });
      },
    );
  });

  describe('beside others', () => {
    /** What another session does between the capture and the statement, the second time. */
    const between = (sql: string): Meanwhile => {
      let times = 0;
      return { afterCapture: async () => void (++times === 2 && (await other.rows(sql))) };
    };
    const all = 'delete from lines where id < 40';

    it.each(['for key share', 'for share of o'])('rows that others lock %s are captured', async (lock) => {
      // A block with EXCEPTION has a number of its own, so that this transaction is in the multixact twice.
      await client.rows(
        trigger(
          'after delete',
          'lines',
          `update x.orders set total = total - old.price where id = old.order_id and id <> 7;
           begin update x.orders set total = total - 1 where id = old.order_id and id <> 7; exception when others then end;`,
        ),
      );
      const rows = lock === 'for key share' ? '' : 'where id = 7';
      await other.rows(`begin; select from orders o ${rows} ${lock}`);
      const verdict = await judged(all).finally(() => other.rows('rollback'));
      expect(verdict).toMatchObject({ kind: 'exact' });
    });

    it('a row that others have changed in between is missing, and nothing is called proved', async () => {
      await client.rows(TOTALS);
      const race = between('update orders set total = 1000 where id = 3');
      expect(await judged(all, 'read committed', '', race)).toMatchObject({ kind: 'drift' });
      const key = between('update orders set total = 1000 where id = 3');
      expect(await judged('delete from lines where id = 2', 'read committed', '', key)).toMatchObject({
        kind: 'drift',
      });
    });

    it('so it is where rows are found by keys alone, which is told from rows that no key finds', async () => {
      await client.rows(TOTALS);
      const meanwhile = { ...between('update orders set total = 1000 where id = 3'), sizes: BY_KEYS_ALONE };
      const verdict = await judged('delete from lines where id = 2', 'read committed', '', meanwhile);
      const overtaken = new Map([[expect.any(Number), [['3']]]]);
      expect(verdict).toMatchObject({ kind: 'drift', overtaken });
    });

    it('so it is while a third holds the row, so that a multixact has ended it', async () => {
      await client.rows(TOTALS);
      const third = await RawClient.open(postgres.port);
      await third.rows('begin; select from x.orders for key share');
      const race = between('update orders set total = 1000 where id = 3');
      const verdict = await judged('delete from lines where id = 2', 'read committed', '', race).finally(() =>
        third.destroy(),
      );
      expect(verdict).toMatchObject({ kind: 'drift' });
    });

    it('so it is of a row that others have put there, which an INSERT that is taken back has met', async () => {
      await client.rows(`${LOOP}; insert into counters values (9, 0)`);
      const watcher = await RawClient.open(postgres.port);
      const waits = async () =>
        (
          await watcher.rows(
            'select from pg_locks where not granted and pid = any (select pid from pg_stat_activity)',
          )
        ).length > 0;
      let committed: Promise<void> | null = null;
      const commitOnceMet = async () => {
        while (!(await waits())) await new Promise((resolve) => setTimeout(resolve, 5));
        await other.rows('commit');
      };
      let times = 0;
      const afterCapture = async () => {
        if (++times < 2) return;
        await other.rows('begin; insert into counters values (3, 7)');
        committed = commitOnceMet();
      };
      const verdict = await judged('delete from lines where id in (2, 8)', 'read committed', '', {
        afterCapture,
      });
      await committed;
      watcher.destroy();
      expect(verdict).toMatchObject({ kind: 'drift' });
      expect(await client.rows('select * from counters order by k')).toEqual([
        ['3', '7'],
        ['9', '0'],
      ]);
    });
  });
});
