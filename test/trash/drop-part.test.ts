import { beforeAll, describe, expect, it } from 'vitest';
import { errorsOf } from '../support/raw-client.ts';
import { restoreAndKeep } from './alter-judge.ts';
import { type Altering, altering } from './altering.ts';
import { messageOf, really } from './as-dropped.ts';
import { difference, dumpDatabase } from './catalog-dump.ts';

describe.each([18, 15] as const)('a dropped part of a table, on PostgreSQL %i', (version) => {
  const under = altering(version);
  const { open, restore, alter: drop } = under;
  let { client, postgres }: Altering = under;
  beforeAll(() => {
    ({ client, postgres } = under);
  });

  const NOTICED = `create function noticed() returns trigger language plpgsql as 'begin return new; end'`;
  const TABLE = `create table "T t" (id int primary key, "a b" text, c int);
    insert into "T t" select g, g::text, g from generate_series(1, 50) g;
    create index "by a" on "T t" ("a b" desc nulls last) include (c) where c > 3;
    create unique index once on "T t" ((lower("a b"))) with (fillfactor = 70); ${NOTICED}`;
  const TRIGGER = `${TABLE}; create trigger "T r" before insert or update of "a b" on "T t"
    for each row when (new.c > 1) execute function noticed('x', '1''2')`;
  const PARTED = `create table p (id int, k int) partition by range (id);
    create table p1 partition of p for values from (1) to (10);
    create table p2 partition of p for values from (10) to (20); insert into p select g, g from generate_series(1, 19) g;
    ${NOTICED}; create trigger every after insert on p for each row execute function noticed(); create index on p1 (k)`;
  const REFERRED = `create table o (id int); create unique index u on o (id); create table r (o int references o (id))`;

  it.each([
    ['an index', TABLE, 'drop index "by a"'],
    ['an index by its schema', TABLE, 'drop index if exists public.once cascade'],
    [
      'an index with all that it may have',
      `${TABLE}; comment on index once is 'the ''one'; alter index once alter column 1 set statistics 300;
       alter table "T t" cluster on once`,
      'DROP INDEX /* now */ once;',
    ],
    [
      'an index that tells rows apart',
      'create table t (id int not null); create unique index u on t (id); alter table t replica identity using index u',
      'drop index u',
    ],
    [
      'an index in front of others of its name',
      `create schema other; create table other.t (id int); create index i on other.t (id);
       create table t (id int); create index i on t (id)`,
      'drop index i',
    ],
    ['an index that a foreign key rests on', REFERRED, 'drop index u cascade'],
    ['an index of a partition', PARTED, 'drop index p1_k_idx'],
    ['a trigger', TRIGGER, 'drop trigger "T r" on "T t"'],
    [
      'a trigger with all that it may have',
      `${TRIGGER}; comment on trigger "T r" on "T t" is 'why'; alter table "T t" enable always trigger "T r"`,
      'drop trigger if exists "T r" on public."T t" restrict',
    ],
    [
      'a trigger that is disabled',
      `${TRIGGER}; alter table "T t" disable trigger "T r"`,
      'drop trigger "T r" on "T t"',
    ],
    [
      'a constraint trigger',
      `${TABLE}; create constraint trigger late after insert on "T t" deferrable initially deferred
         for each row execute function noticed()`,
      'drop trigger late on "T t"',
    ],
    [
      'a trigger of statements',
      `${TABLE}; create trigger s after delete on "T t" referencing old table as gone
         for each statement execute function noticed()`,
      'drop trigger s on "T t"',
    ],
    [
      'a trigger of a partitioned table',
      `${PARTED}; alter table p1 disable trigger every`,
      'drop trigger every on p',
    ],
    [
      'a rule',
      `${TABLE}; create rule "R u" as on delete to "T t" where old.c > 100 do instead nothing;
       comment on rule "R u" on "T t" is 'so'`,
      'drop rule "R u" on "T t"',
    ],
    [
      'a rule that is disabled',
      `${TABLE}; create rule r as on insert to "T t" do also notify told; alter table "T t" disable rule r`,
      'drop rule r on "T t"',
    ],
    [
      'a policy',
      `${TABLE}; create policy "P p" on "T t" as restrictive for update to current_user, pg_monitor
         using (c > 1 and "a b" <> 'x') with check (c < 100);
       alter table "T t" enable row level security; comment on policy "P p" on "T t" is 'for whom'`,
      'drop policy if exists "P p" on public."T t"',
    ],
    ['a policy for all', `${TABLE}; create policy p on "T t" using (c > 1)`, 'drop policy p on "T t"'],
    [
      'a policy that only adds',
      `${TABLE}; create policy p on "T t" for insert with check (true)`,
      'drop policy p on "T t"',
    ],
  ])('comes back, and goes again: %s', async (_, setup, sql) => {
    await open(setup);
    const before = await dumpDatabase(client);
    const outcome = await drop(sql);
    if (outcome.kind !== 'moved') throw new Error(JSON.stringify(outcome));
    const dropped = await dumpDatabase(client);
    expect(difference(before, dropped)).not.toEqual([]);
    const once = await restoreAndKeep(client, outcome.moved);
    expect(difference(before, await dumpDatabase(client))).toEqual([]);
    const twice = await restoreAndKeep(client, once);
    expect(difference(dropped, await dumpDatabase(client))).toEqual([]);
    await restoreAndKeep(client, twice);
    expect(difference(before, await dumpDatabase(client))).toEqual([]);
    const real = await really(client, sql);
    expect({ tag: outcome.tag, notices: outcome.notices.map(messageOf) }).toEqual(real);
    expect(difference(dropped, await dumpDatabase(client))).toEqual([]);
  });

  it('comes back with the extension that takes it along', async () => {
    await open(TRIGGER);
    const depends = 'select count(*) from pg_depend where deptype = $$x$$';
    await postgres.sql('alter index public.once depends on extension plpgsql', 'd');
    await postgres.sql('alter trigger "T r" on public."T t" depends on extension plpgsql', 'd');
    for (const sql of ['drop index once', 'drop trigger "T r" on "T t"']) {
      const outcome = await drop(sql);
      if (outcome.kind !== 'moved') throw new Error(JSON.stringify(outcome));
      expect(await client.rows(depends)).toEqual([['1']]);
      await restoreAndKeep(client, outcome.moved);
      expect(await client.rows(depends)).toEqual([['2']]);
    }
  });

  it.each([
    [
      'that of a partitioned table',
      `${PARTED}; create index whole on p (k)`,
      'drop index whole',
      'partitioned table',
    ],
    ['one of several', TABLE, 'drop index "by a", once', 'one by one'],
    ['dropped without waiting', TABLE, 'drop index concurrently once', 'CONCURRENTLY'],
    [
      'that of a view',
      `${NOTICED}; create view v as select 1 as a;
       create trigger r instead of insert on v for each row execute function noticed()`,
      'drop trigger r on v',
      'done to tables',
    ],
  ])('has no undo, and stays, where it is %s', async (_, setup, sql, why) => {
    await open(setup);
    const before = await dumpDatabase(client);
    expect(await drop(sql)).toMatchObject({ kind: 'none', reason: expect.stringContaining(why) });
    expect(difference(before, await dumpDatabase(client))).toEqual([]);
  });

  it.each([
    ['is not there', TABLE, 'drop index nope'],
    ['is not there on the table', TABLE, 'drop trigger nope on "T t"'],
    ['is a table', TABLE, 'drop index "T t"'],
    ['is that of a key', TABLE, 'drop index "T t_pkey"'],
    ['is a part of another', `${PARTED}; create index whole on p (k)`, 'drop index p2_k_idx'],
    ['is that of a whole', PARTED, 'drop trigger every on p1'],
    ['is what others depend on', REFERRED, 'drop index u'],
  ])('is refused by the server where it %s', async (_, setup, sql) => {
    await open(setup);
    const outcome = await drop(sql);
    if (outcome.kind !== 'refused') throw new Error(JSON.stringify(outcome));
    expect(outcome.error.message).toEqual(errorsOf(await client.query(sql))[0]?.['M']);
  });

  it.each([
    ['an index', 'drop index "by a"', 'create index "by a" on "T t" (c)'],
    [
      'a trigger',
      'drop trigger "T r" on "T t"',
      'create trigger "T r" after delete on "T t" execute function noticed()',
    ],
  ])('is not undone over what has its name by then: %s', async (_, sql, since) => {
    await open(TRIGGER);
    const outcome = await drop(sql);
    if (outcome.kind !== 'moved') throw new Error(JSON.stringify(outcome));
    await client.rows(since);
    await client.rows('begin');
    expect(await restore(outcome)).toMatchObject({
      kind: 'conflict',
    });
    await client.rows('rollback');
  });
});
