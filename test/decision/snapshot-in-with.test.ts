import { describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { type BackendMessage, columnsOf, errorsOf } from '../support/raw-client.ts';
import { keptRows } from './kept-rows.ts';

/** Queries that write in their WITH, the rows that they give, and the numbers of those that they change. */
const QUERIES: readonly [string, (string | null)[][], readonly number[]][] = [
  [
    "with u as (update kept set note = 'new' where id = 3 returning id, note) select * from u",
    [['3', 'new']],
    [3],
  ],
  ['with d as (delete from kept where id in (4, 5) returning 1) select count(*) from d', [['2']], [4, 5]],
  ['with d as (delete from kept where id = 6) select 1', [['1']], [6]],
  [
    "with u as (update kept set note = 'new' where id < 3) select note from kept where id = 1",
    [['row 1']],
    [1, 2],
  ],
  [
    `with c as materialized (select id from kept where id > 6 order by id limit 2 for update skip locked),
       u as (update kept set amount = amount + 100 from c where c.id = kept.id returning kept.amount),
       r as (select sum(amount) s from u) select s from r`,
    [['215']],
    [7, 8],
  ],
  [
    `with i as (insert into kept values (9, 'more', 9), (30, 'more', 30) on conflict (id) do update set note = excluded.note
       returning id) select id from i order by id`,
    [['9'], ['30']],
    [9, 30],
  ],
  ['with kept as (delete from kept where id = 10 returning id) select * from kept', [['10']], [10]],
];

const rowsOf = (messages: readonly BackendMessage[]) => messages.filter((m) => m.type === 'D').map(columnsOf);

describe.each([15, 18] as const)('a query that writes in its WITH, on PostgreSQL %i', (version) => {
  const kept = keptRows(version);
  const all = () => kept.other.rows('select * from kept order by id');
  const changed = (before: (string | null)[][], after: (string | null)[][]) => {
    const rest = (rows: (string | null)[][], others: (string | null)[][]) =>
      rows.filter((row) => !others.some((other) => String(other) === String(row))).map(([id]) => Number(id));
    return [...new Set([...rest(before, after), ...rest(after, before)])].toSorted((a, b) => a - b);
  };

  it.each(
    QUERIES.flatMap(([sql, rows, ids]) =>
      (['by itself', 'bound', 'in a block'] as const).map((how) => [how, sql, rows, ids] as const),
    ),
  )('%s is captured and can be undone: %s', async (how, sql, rows, ids) => {
    const before = await all();
    kept.taken.clear();
    if (how === 'in a block') await kept.client.rows("begin; insert into kept values (40, 'mine', 40)");
    const messages =
      how === 'bound'
        ? await kept.sent(fe.parse('', sql), fe.bind(), fe.describe('P'), fe.execute(), fe.sync())
        : await kept.client.query(sql);
    expect(errorsOf(messages)).toEqual([]);
    expect(rowsOf(messages)).toEqual(rows);
    if (how === 'in a block') await kept.client.rows('delete from kept where id = 40; commit');
    expect(changed(before, await all())).toEqual(ids);
    const manifests = await kept.taken.all();
    expect(manifests.length).toBe(how === 'in a block' ? 2 : 1);
    expect(await kept.taken.undone(manifests[0])).toMatchObject({ kind: 'done' });
    expect(await all()).toEqual(before);
  });

  it('gives its rows in parts, and is taken back where what stands around it fails', async () => {
    kept.taken.clear();
    const before = await all();
    const sql =
      'with u as (update kept set amount = amount + 100 where id < 4 returning id) select id from u order by id';
    const parts = await kept.sent(
      fe.parse('', sql),
      fe.bind(),
      fe.execute('', 1),
      fe.execute('', 0),
      fe.sync(),
    );
    expect(parts.map((m) => m.type).join('')).toBe('12DsDDCZ');
    expect(await kept.taken.undone()).toMatchObject({ kind: 'done' });
    const failing = 'with u as (delete from kept where id < 4 returning id) select 1 / (id - 3) from u';
    expect(errorsOf(await kept.client.query(failing))).toMatchObject([{ C: '22012' }]);
    expect(await all()).toEqual(before);
  });

  it('names what a trigger adds elsewhere, and is refused where it changes more', async () => {
    await kept.other.rows(`create table aside (id int);
      create function noted() returns trigger language plpgsql as
        $$ begin insert into aside values (old.id); return new; end $$;
      create trigger noted after update on kept for each row execute function noted();
      create function louder() returns int language plpgsql as
        $$ begin update kept set note = 'louder' where id = 20; return 1; end $$`);
    kept.taken.clear();
    const before = await all();
    const sql = "with u as (update kept set note = 'new' where id < 3 returning id) select count(*) from u";
    expect(await kept.client.rows(sql)).toEqual([['2']]);
    expect((await kept.taken.all()).at(-1)).toMatchObject({ added: [{ name: 'aside', rows: 2 }] });
    expect(await kept.taken.undone()).toMatchObject({ kind: 'done' });
    const more = "with u as (update kept set note = 'new' where id < 3 returning id) select louder() from u";
    expect(errorsOf(await kept.client.query(more))).toMatchObject([{ C: '40001' }]);
    expect(await all()).toEqual(before);
  });

  it.each([
    'with d as (delete from kept where id < 3 returning *) insert into aside select id, note from d',
    'with d as (delete from kept where id < 3 returning *) insert into aside select id, note from d returning id',
    "with u as (update kept set note = 'gone' where id < 3 returning *) insert into aside (id) select id from u",
  ])('names what it inserts besides, which stays at an undo: %s', async (sql) => {
    await kept.other.rows('create table aside (id int, note text)');
    const bound = [fe.parse('', sql), fe.bind(), fe.execute(), fe.sync()];
    for (const send of [() => kept.client.query(sql), () => kept.sent(...bound)]) {
      kept.taken.clear();
      const before = await all();
      expect(errorsOf(await send())).toEqual([]);
      const [manifest] = await kept.taken.all();
      expect(manifest).toMatchObject({ added: [{ name: 'aside', rows: 2 }] });
      expect(await kept.taken.undone()).toMatchObject({ kind: 'done' });
      expect(await all()).toEqual(before);
    }
    expect(await kept.other.rows('select count(*) from aside')).toEqual([['4']]);
  });

  it.each([
    ['what it deletes from', '', 'kept'],
    [
      'a partition',
      'create table was (like kept) partition by range (id); create table aside partition of was default',
      'aside',
    ],
    ['a partitioned table', 'create table aside (like kept) partition by range (id)', 'aside'],
    ['a view', 'create schema ahead; create view ahead.seen as select * from kept', 'ahead.seen'],
    [
      'a table whose trigger runs code',
      `create table aside (like kept); create function noted() returns trigger language plpgsql as $$ begin return new; end $$;
       create trigger noted before insert on aside for each row execute function noted()`,
      'aside',
    ],
  ])('has no exact plan where it inserts into %s', async (_, setup, into) => {
    if (setup !== '') await kept.other.rows(setup);
    const before = await all();
    const sql = `with d as (delete from kept where id = 3 returning *) insert into ${into} select id + 100, note, amount + 100 from d`;
    const [error] = errorsOf(await kept.client.query(sql));
    expect(error).toMatchObject({ C: 'HF002', D: expect.stringContaining('because it inserts into') });
    expect(await all()).toEqual(before);
  });
});
