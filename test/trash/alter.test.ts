import { beforeAll, describe, expect, it } from 'vitest';
import type { RawClient } from '../support/raw-client.ts';
import { restoreAndKeep } from './alter-judge.ts';
import { altering } from './altering.ts';
import { messageOf, really } from './as-dropped.ts';
import { difference, dumpDatabase } from './catalog-dump.ts';

describe.each([18, 15] as const)('what an ALTER TABLE changes, on PostgreSQL %i', (version) => {
  const under = altering(version);
  const { open, alter, restore } = under;
  let client: RawClient;
  beforeAll(() => {
    ({ client } = under);
  });

  /** Each costs a good part of a second, and most are the same to both. */
  const thinned = <T>(examples: readonly T[]) => examples.filter((_, i) => version === 18 || i % 3 === 0);

  const PARTED = `create table p (id int, k text, v int check (v > 0), constraint "P k" primary key (id, k)) partition by range (id);
    create table p1 partition of p for values from (1) to (10); create table p2 (k text not null, id int not null, v int constraint p_v_check check (v > 0), constraint mine primary key (id, k));
    alter table p attach partition p2 for values from (10) to (20); insert into p select g, g::text, g from generate_series(1, 19) g`;
  const KEYED = `create table o (id int constraint "o k" primary key with (fillfactor = 70), u text constraint uq unique deferrable initially deferred, ch int constraint "c 1" check (ch > 0));
    create table r (id int primary key, o int constraint "r o" references o on delete cascade deferrable, x int references r);
    comment on constraint "o k" on o is 'the key'; comment on index "o k" is 'its index'; comment on constraint "r o" on r is 'who'; alter table o cluster on "o k";
    alter table o replica identity using index "o k"; insert into o values (1, 'a', 1), (2, 'b', 2); insert into r values (1, 1, null), (2, 2, 1)`;

  it.each(
    thinned([
      [
        'a default',
        `create table "T t" (id int, "C" text default 'a' || 'b')`,
        'alter table "T t" alter "C" drop default',
      ],
      [
        'a default, by another',
        `create table t (id serial, c text)`,
        'alter table t alter id set default 5, alter c set default now()',
      ],
      [
        'a default of a tree',
        `create table t (id int default 1); create table c (id int default 2) inherits (t); create table g () inherits (c)`,
        'alter table t alter id drop default',
      ],
      [
        'a default of a parent alone',
        `create table t (id int default 1); create table c () inherits (t)`,
        'alter table only t alter id set default 3',
      ],
      [
        'that there is a value',
        'create table t (id int not null, k int primary key)',
        'alter table t alter id drop not null',
      ],
      ['that there is a value, in partitions', PARTED, 'alter table p alter v set not null'],
      [
        'an identity',
        'create table t (id int generated always as identity (start 7 increment 3 cache 5), v int); insert into t (v) values (1), (2); comment on sequence t_id_seq is $$s$$',
        'alter table t alter id drop identity',
      ],
      ['a check', KEYED, 'alter table o drop constraint "c 1"'],
      [
        'a check that was never tried',
        'create table t (a int); insert into t values (1); alter table t add constraint c check (a > 5) not valid no inherit',
        'alter table t drop constraint c',
      ],
      ['a key', KEYED, 'alter table o drop constraint uq'],
      ['a key, and what refers to it', KEYED, 'alter table o drop constraint "o k" cascade'],
      ['a foreign key', KEYED, 'alter table r drop constraint "r o", drop constraint if exists nothing'],
      ['a foreign key to itself', KEYED, 'alter table r drop constraint r_x_fkey, drop constraint "r o"'],
      [
        'a key with its settings',
        `create table t (a int, b int, c int, constraint k primary key (a) include (b)); create unique index u on t (b) where b > 1; alter table t cluster on k`,
        'alter table t drop constraint k',
      ],
      [
        'an exclusion',
        'create table t (a int4range, constraint x exclude using gist (a with &&) where (not isempty(a)))',
        'alter table t drop constraint x',
      ],
      [
        'a check by another of its name',
        'create table t (a int constraint c check (a > 0)); insert into t values (5)',
        'alter table t drop constraint c, add constraint c check (a > 1), add constraint d check (a < 9)',
      ],
      [
        'a check of a tree',
        'create table t (a int constraint c check (a > 0)); create table c () inherits (t); create table g () inherits (c)',
        'alter table t drop constraint c',
      ],
      ['the key of a partitioned table', PARTED, 'alter table p drop constraint "P k"'],
      ['the check of a partitioned table', PARTED, 'alter table p drop constraint p_v_check'],
      [
        'a foreign key of a partitioned table',
        `${PARTED}; create table o (id int primary key); insert into o select generate_series(1, 19); alter table p1 add constraint mine foreign key (id) references o; alter table p add constraint fk foreign key (id) references o`,
        'alter table p drop constraint fk',
      ],
      [
        'a foreign key to a partitioned table',
        `${PARTED}; create table r (a int, b text, constraint fk foreign key (a, b) references p); insert into r values (1, '1'), (15, '15')`,
        'alter table r drop constraint fk',
      ],
      [
        'the key of a partitioned table that is referred to',
        `${PARTED}; create table r (a int, b text, constraint fk foreign key (a, b) references p); insert into r values (1, '1'), (15, '15')`,
        'alter table p drop constraint "P k" cascade',
      ],
      [
        'the state of a trigger',
        `create table t (a int); create function f() returns trigger language plpgsql as 'begin return new; end'; create trigger "G g" before insert on t for each row execute function f(); create rule r as on delete to t do nothing`,
        'alter table t disable trigger "G g", disable rule r',
      ],
      [
        'row security',
        'create table t (a int); alter table t enable row level security; create policy y on t using (a > 0)',
        'alter table t disable row level security, force row level security',
      ],
      [
        'settings',
        `create table t (a text, b int) with (fillfactor = 50, toast.autovacuum_enabled = off); alter table t alter a set storage external, alter a set statistics 7, alter a set (n_distinct = 5)`,
        'alter table t reset (fillfactor), set (autovacuum_enabled = off), alter a set storage plain, alter a set statistics 9, alter a reset (n_distinct), alter a set (n_distinct_inherited = 3), replica identity full',
      ],
      [
        'a partition',
        `${PARTED}; create function f() returns trigger language plpgsql as 'begin return new; end'; create trigger g after insert on p for each row execute function f(); create index i on p (v); alter table p2 disable trigger g`,
        'alter table p detach partition p2',
      ],
      [
        'the default partition',
        `${PARTED}; create table pd partition of p default; insert into p values (50, 'x', 1)`,
        'alter table p detach partition pd',
      ],
      [
        'a partition that has partitions',
        `${PARTED}; create table p3 partition of p for values from (20) to (40) partition by range (id); create table "P 31" partition of p3 for values from (20) to (30)`,
        'alter table p detach partition p3',
      ],
      [
        'a type',
        `create table "T t" (id int primary key, "C c" text collate "C" not null default '7' check ("C c" <> ''), n numeric); insert into "T t" select g, g || '.5', g / 3.0 from generate_series(1, 50) g;
      create index "I i" on "T t" ("C c" text_pattern_ops) where n > 2; comment on index "I i" is 'i'; comment on column "T t"."C c" is 'c'; grant select ("C c") on "T t" to reader; alter table "T t" alter "C c" set storage external, alter "C c" set statistics 9;
      create statistics s on "C c", n from "T t"; alter table "T t" cluster on "T t_pkey"`,
        `alter table "T t" alter "C c" type varchar(3) using left("C c", 3), alter n type int`,
      ],
      [
        'a type, by an expression',
        `create table t (id int primary key, v int unique default 3, s text); insert into t select g, g, 'x' || g from generate_series(1, 20) g; alter table t alter v set not null`,
        `alter table t alter v drop default, alter v type text using 'v' || v, alter s type int using length(s)`,
      ],
      [
        'values of the same type',
        'create table t (id int primary key, v int); insert into t select g, g from generate_series(1, 9) g',
        'alter table t alter v type int using v * 2',
      ],
      ['the type of a key that others refer to', KEYED, 'alter table o alter id type bigint'],
      [
        'the type of a foreign key and a default',
        KEYED,
        `alter table r alter o type bigint, alter o set default 1, drop constraint r_x_fkey`,
      ],
      [
        'the length of a type',
        `create table t (a varchar(10) default 'x', b numeric(5, 1)) ; insert into t values ('abc', 12.5); create table c () inherits (t); insert into c values ('d', 1.5)`,
        'alter table t alter a type text, alter b type numeric(9, 1)',
      ],
      [
        'a type in a partitioned table',
        PARTED,
        'alter table p alter v type text using v::text, drop constraint p_v_check',
      ],
      [
        'the type of an identity',
        'create table t (id int generated by default as identity primary key, v int); insert into t (v) values (1), (2)',
        'alter table t alter id type bigint',
      ],
    ]),
  )('comes back: %s', async (_, setup, sql) => {
    await open(setup);
    const before = await dumpDatabase(client);
    const outcome = await alter(sql);
    if (outcome.kind !== 'moved') throw new Error(JSON.stringify(outcome));
    const altered = await dumpDatabase(client);
    expect(difference(before, altered)).not.toEqual([]);
    expect(await restore(outcome)).toMatchObject({ kind: 'restored', lacking: [] });
    expect(difference(before, await dumpDatabase(client))).toEqual([]);
    const real = await really(client, sql);
    expect({ tag: outcome.tag, notices: outcome.notices.map(messageOf) }).toEqual(real);
    expect(difference(altered, await dumpDatabase(client))).toEqual([]);
  });

  it.each(
    thinned([
      [
        'fail',
        'insert into t values (9, 900, null)',
        [
          ['1', '10'],
          ['2', '20'],
          ['3', '30'],
          ['9', '900'],
        ],
      ],
      ['fail', 'insert into t values (9, 900000, null)', 'out of range'],
      ['fail', 'update t set v = 21 where id = 2', '(2) has changed'],
      ['fail', 'delete from t where id = 2', '(2) is gone'],
      [
        'skip',
        'update t set v = 21 where id = 2; delete from t where id = 3',
        [
          ['1', '10'],
          ['2', '21'],
        ],
      ],
      [
        'overwrite',
        `update t set v = 21, s = 'x' where id = 2; delete from t where id = 3`,
        [
          ['1', '10'],
          ['2', '20'],
        ],
      ],
    ] as const),
  )('%s where rows of another type have changed: %s', async (onConflict, change, expected) => {
    await open(
      `create table t (id int primary key, v smallint, s text); insert into t values (1, 10, null), (2, 20, ''), (3, 30, 'c')`,
    );
    const outcome = await alter('alter table t alter v type numeric');
    await client.rows(change);
    const restored = await restore(outcome, onConflict);
    if (typeof expected === 'string') {
      expect(JSON.stringify(restored)).toContain(expected);
      expect(restored.kind).toBe('conflict');
      return;
    }
    expect(await client.rows('select id, v from t order by 1')).toEqual(expected);
    const left = await client.rows(
      `select count(*) from pg_class where relnamespace = 'holdfast_trash'::regnamespace`,
    );
    expect(left).toEqual([[onConflict === 'fail' ? '0' : '1']]);
    expect(restored).toMatchObject({
      kind: 'restored',
      lacking: onConflict === 'fail' ? [] : [{ reason: expect.stringContaining('are left in') }],
    });
  });

  // From, to, what is put in since, and whether it is the same when it has been of the old type.
  it.each(
    thinned([
      ['numeric(10,2)', 'numeric', '1.23999', false],
      ['numeric(10,2)', 'numeric', '1.230', false],
      ['numeric(10,2)', 'numeric', '7', true],
      ['timestamp(0)', 'timestamp', '2026-01-01 10:00:00.6', false],
      ['timestamp(0)', 'timestamp', '2026-01-01 10:00:00', true],
      ['varchar(3)', 'text', 'abc ', false],
      ['varchar(3)', 'text', 'abc', true],
      ['int', 'numeric', '2.6', false],
      ['int', 'numeric', '2.0', false],
      ['int', 'numeric', '900', true],
      ['numeric', 'float8', '-0', false],
      ['numeric', 'float8', '0.30000000000000004', false],
      ['numeric', 'float8', 'NaN', true],
      ['float4', 'float8', '0.1', false],
      ['date', 'timestamp', '2026-01-01 10:00', false],
      ['int', 'numeric[] using array[v]', '{1.5}', false],
    ] as const),
  )('of %s to %s, %s does not become another value silently', async (from, to, value, same) => {
    await open(`create table t (id int primary key, v ${from}); insert into t values (1, null)`);
    const outcome = await alter(`alter table t alter v type ${to}`);
    await client.rows(`insert into t values (9, '${value}')`);
    const before = await dumpDatabase(client);
    for (const mode of same ? (['fail'] as const) : (['fail', 'skip'] as const)) {
      const restored = await restore(outcome, mode);
      expect(restored.kind).toBe(same ? 'restored' : 'conflict');
      if (same) continue;
      expect(JSON.stringify(restored)).toMatch(/would become others|cannot become/);
      expect(difference(before, await dumpDatabase(client))).toEqual([]);
    }
    if (!same && !to.includes('[]')) expect((await restore(outcome, 'overwrite')).kind).toBe('restored');
  });

  // Seed 62 of the random ones.
  it('comes back with the foreign keys of others, and goes again with them', async () => {
    await open(KEYED);
    const before = await dumpDatabase(client);
    const outcome = await alter('alter table o drop constraint "o k" cascade');
    const altered = await dumpDatabase(client);
    if (outcome.kind !== 'moved') throw new Error(outcome.kind);
    const once = await restoreAndKeep(client, outcome.moved);
    expect(difference(before, await dumpDatabase(client))).toEqual([]);
    const twice = await restoreAndKeep(client, once);
    expect(difference(altered, await dumpDatabase(client))).toEqual([]);
    await restoreAndKeep(client, twice);
    expect(difference(before, await dumpDatabase(client))).toEqual([]);
  });

  it.each(['skip', 'overwrite'] as const)('rounds what has changed only to %s', async (mode) => {
    await open('create table t (id int primary key, v int); insert into t values (1, 1), (2, 2)');
    const outcome = await alter('alter table t alter v type numeric');
    await client.rows('update t set v = 2.6 where id = 2; insert into t values (3, 3.4)');
    const restored = await restore(outcome, mode);
    if (mode === 'skip') expect(JSON.stringify(restored)).toContain('(2), (3)');
    expect(await client.rows('select v from t order by id')).toEqual(
      mode === 'skip' ? [['1'], ['2.6'], ['3.4']] : [['1'], ['2'], ['3']],
    );
  });

  it.each(['numeric', 'numeric(10,2)'])(
    'does not take rows for none that a policy hides: %s',
    async (from) => {
      await open(`create table t (id int primary key, v ${from}); insert into t values (1, 1)`);
      const outcome = await alter(`alter table t alter v type ${from === 'numeric' ? 'float8' : 'numeric'}`);
      await client.rows('insert into t values (2, 2.345)');
      await client.rows('alter table t enable row level security, force row level security');
      for (const mode of ['fail', 'skip', 'overwrite'] as const) {
        const restored = await restore(outcome, mode);
        if (restored.kind === 'conflict') expect(JSON.stringify(restored)).toContain('row-level security');
        else expect(mode).toBe('overwrite');
        await client.rows('alter table t no force row level security');
        expect(await client.rows('select count(*) from t where v is not null')).toEqual([['2']]);
        await client.rows('alter table t force row level security');
      }
    },
  );

  it.each(
    thinned([
      ['alter table t alter a set default 7', 'the column a', 'insert into t values (3)'],
      ['alter table t rename to u', 'the table "public"."t"', 'select'],
      ['alter table t drop a', 'the column a', 'select'],
      ['insert into t values (-1)', 'the constraint c', 'delete from t where a < 0'],
    ]),
  )('does not come back where it is unsafe: %s', async (change, what, mended) => {
    await open('create table t (a int default 5 constraint c check (a > 0)); insert into t values (1)');
    const outcome = await alter('alter table t alter a drop default, drop constraint c');
    await client.rows(change);
    const before = await dumpDatabase(client);
    const refused = await restore(outcome);
    expect(JSON.stringify(refused)).toContain(JSON.stringify(what).slice(1, -1));
    expect(refused.kind).toBe('conflict');
    expect(difference(before, await dumpDatabase(client))).toEqual([]);
    await client.rows(mended);
    const again = await restore(outcome, 'overwrite');
    expect(again.kind).toBe(/rename|drop/.test(change) ? 'conflict' : 'restored');
  });

  it.each(
    thinned([
      [
        'create table t (a int constraint c check (a > 0)); create table u () inherits (t)',
        'alter table only t drop constraint c',
        'leaves the constraint c of "public"."u" to that table alone',
      ],
      // Seed 31026 of the random ones. It is a constraint from 18 on.
      [
        'create table t (a int not null, b int) partition by list (a); create table u partition of t for values in (1)',
        'alter table only t alter a drop not null, alter b set default 5',
        'leaves the constraint t_a_not_null of "public"."u" to that table alone',
      ],
      [
        'create table t (a int primary key, b int); create view v as select a, b from t group by a',
        'alter table t drop constraint t_pkey cascade',
        'view public.v',
      ],
      ['create table t (a int)', 'alter table t alter a type text', 'no key'],
      ['create table t (a int primary key)', 'alter table t alter a type text using a::text', 'no key'],
      [
        'create table t (a int primary key, b int); create table c () inherits (t)',
        'alter table t alter b type text',
        'children',
      ],
      [
        'create table t (a int primary key, b numeric(9, 4) generated always as (a / 3.0) stored)',
        'alter table t alter b type numeric(5, 1)',
        'computed',
      ],
      [PARTED, 'alter table p detach partition p2 concurrently', 'CONCURRENTLY'],
      ['create table t (a int)', 'alter table t alter a drop default, set unlogged', 'SetUnLogged'],
      [
        'create table t (a int, b int generated always as (a + 1) stored)',
        'alter table t alter b drop expression',
        'DropExpression',
      ],
      [
        'create table t (a int primary key, b int, c int)',
        'alter table t drop b, alter c type bigint',
        'changes the type of others',
      ],
      [
        'create table a (i int); create table b (i int); create table t () inherits (a, b)',
        'alter table t no inherit a',
        'several parents',
      ],
      ['create view t as select 1 as a', `alter table t alter a set default 2`, 'tables'],
    ]),
  )('is not changed where it would not come back: %s', async (setup, sql, reason) => {
    await open(setup);
    const before = await dumpDatabase(client);
    expect(await alter(sql)).toMatchObject({ kind: 'none', reason: expect.stringContaining(reason) });
    expect(difference(before, await dumpDatabase(client))).toEqual([]);
  });

  it.each(
    thinned([
      ['alter table nothing alter a drop default', 'refused'],
      ['alter table if exists nothing alter a drop default', 'harmless'],
      ['alter table t drop constraint nothing', 'refused'],
      ['alter table t drop constraint if exists nothing', 'harmless'],
      ['alter table t add column b int, add constraint c check (b > 0)', 'harmless'],
      ['alter table pg_class alter relname drop not null', 'refused'],
      ['alter table temp alter a drop default', 'harmless'],
    ]),
  )('has nothing that could be kept: %s', async (sql, kind) => {
    await open('create table t (a int); create temporary table if not exists temp (a int default 1)');
    expect((await alter(sql)).kind).toBe(kind);
  });
});
