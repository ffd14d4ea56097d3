import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { Parser } from '../../src/sql/parsing/parser.ts';
import { dropColumns } from '../../src/trash/drop-columns.ts';
import type { MoveOutcome } from '../../src/trash/move.ts';
import { purgeDropped } from '../../src/trash/purge.ts';
import { restoreDropped } from '../../src/trash/restore.ts';
import { onHidden } from '../../src/trash/session.ts';
import { HiddenClient } from '../support/hidden-client.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { restoreAndKeep } from './alter-judge.ts';
import { messageOf, really } from './as-dropped.ts';
import { difference, dumpDatabase } from './catalog-dump.ts';
import { readingOf } from './reading.ts';

describe.each([18, 15] as const)('a dropped column on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let parser: Parser;
  let client: RawClient;
  let databases = 0;
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql('create role app login; create role reader');
    parser = await Parser.create();
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  async function open(setup: string): Promise<void> {
    await client?.terminate();
    const database = `d${++databases}`;
    await postgres.sql(`create database ${database} owner app`);
    client = await RawClient.open(postgres.port, { database, user: 'app' });
    await client.rows(setup);
  }

  async function drop(sql: string): Promise<MoveOutcome> {
    const reading = readingOf(parser, sql);
    if (reading.kind !== 'drop columns') throw new Error(JSON.stringify(reading));
    await client.rows('begin');
    const outcome = await dropColumns(new HiddenClient(client), {
      text: sql,
      drop: reading.drop,
      id: newId('snap'),
    });
    await client.rows(outcome.kind === 'refused' ? 'rollback' : 'commit');
    return outcome;
  }

  /** Columns by their names, since one that comes back is the last. */
  const unnumbered = (lines: readonly string[]) =>
    lines
      .filter((line) => !line.startsWith('row of'))
      .map((line) => line.replace(/^\((column,[^,]+),\d+,/, '($1,').replace(/USING btree|\{[\d,]*\}/g, ''))
      .sort();

  it.each([
    [
      'with all that it has',
      `create table "T x" (id int primary key, "C c" varchar(9) collate "C" not null default 'd' check ("C c" <> ''), n numeric, unique ("C c", n));
       insert into "T x" select g, 'v' || g, g / 3.0 from generate_series(1, 500) g; create index "I i" on "T x" (lower("C c")) where n > 2; comment on index "I i" is 'i';
       comment on column "T x"."C c" is 'c'; grant select ("C c") on "T x" to reader with grant option; alter table "T x" alter "C c" set storage external, alter "C c" set compression pglz, alter "C c" set statistics 7, alter "C c" set (n_distinct = -0.5)`,
      'alter table "T x" drop column "C c", drop "n"',
      'select id, "C c", n from "T x" order by 1',
    ],
    [
      'that is computed, and one that refers to others',
      `create table o (id int primary key); insert into o values (1), (2); create table t (a int, b int, primary key (a, b), g int generated always as (a * 2) stored, o int references o on delete cascade, x int);
       insert into t (a, b, o) values (1, 1, 1), (1, 2, 2), (2, 1, null)`,
      'alter table t drop column g, drop column o, drop column if exists nothing',
      'select a, b, g, o from t order by 1, 2',
    ],
    [
      'in a unique key, where another key stays',
      `create table t (id int primary key, u text not null unique); insert into t select g, g::text from generate_series(1, 9) g`,
      'alter table t drop column id',
      'select id, u from t order by 1',
    ],
  ])('%s comes back with its values', async (_, setup, sql, rows) => {
    await open(setup);
    const before = await dumpDatabase(client);
    const values = await client.rows(rows);
    const outcome = await drop(sql);
    if (outcome.kind !== 'moved') throw new Error(JSON.stringify(outcome));
    const moved = await dumpDatabase(client);
    expect(await restoreDropped(onHidden(new HiddenClient(client)), outcome.moved)).toMatchObject({
      kind: 'restored',
    });
    expect(await client.rows(rows)).toEqual(values);
    expect(difference(unnumbered(before), unnumbered(await dumpDatabase(client)))).toEqual([]);
    expect(
      await client.rows(`select count(*) from pg_class where relnamespace = 'holdfast_trash'::regnamespace`),
    ).toEqual([['0']]);
    const real = await really(client, sql);
    expect({ tag: outcome.tag, notices: outcome.notices.map(messageOf) }).toEqual(real);
    expect(difference(unnumbered(await dumpDatabase(client)), unnumbered(moved))).toEqual([]);
  });

  it('goes again where its undo is undone, and comes back once more with what it has by then', async () => {
    await open(
      `create table t (id int primary key, c text default 'd' check (c <> ''), n int); insert into t select g, 'v' || g, g from generate_series(1, 9) g; create index i on t (c); create table r (t int references t)`,
    );
    const outcome = await drop('alter table t drop column c');
    if (outcome.kind !== 'moved') throw new Error(JSON.stringify(outcome));
    const dropped = await dumpDatabase(client);
    const once = await restoreAndKeep(client, outcome.moved);
    const back = await dumpDatabase(client);
    const undone = await restoreAndKeep(client, once);
    expect(difference(dropped, await dumpDatabase(client))).toEqual([]);
    await restoreAndKeep(client, undone);
    expect(difference(unnumbered(back), unnumbered(await dumpDatabase(client)))).toEqual([]);
    await client.rows(`update t set c = 'new' where id = 3`);
    expect(await client.rows('select c from t where id < 4 order by id')).toEqual([['v1'], ['v2'], ['new']]);
  });

  it('comes back to the rows that it is of, and to no others, or not at all', async () => {
    await open(
      `create table k (id int primary key, who text, v text not null); insert into k values (1, 'ann', 'of ann'), (2, 'bob', 'of bob'), (3, 'eve', 'of eve')`,
    );
    const outcome = await drop('alter table k drop column v');
    if (outcome.kind !== 'moved') throw new Error(JSON.stringify(outcome));
    const session = onHidden(new HiddenClient(client));
    const copy = `select v from holdfast_trash."${outcome.moved.objects[0]!.trash_name}" order by id`;
    const refused = async (...changes: readonly string[]): Promise<string> => {
      for (const sql of changes) await client.rows(sql);
      const before = await dumpDatabase(client);
      const restored = await restoreDropped(session, outcome.moved);
      expect(difference(before, await dumpDatabase(client))).toEqual([]);
      expect(await client.rows(copy)).toEqual([['of ann'], ['of bob'], ['of eve']]);
      return restored.kind === 'conflict' ? restored.conflicts.map(({ reason }) => reason).join() : 'done';
    };
    const said = await refused(
      'delete from k where id = 2',
      'update k set id = 100 where id = 1',
      `insert into k values (2, 'zoe')`,
    );
    expect(said).toContain('(1) is gone');
    expect(said).toContain('(2) has changed or is another');
    expect(said).not.toContain('(3)');
    expect(await refused('update k set id = 1 where id = 100')).not.toContain('(1)');
    expect(
      await refused(`update k set who = 'bob' where id = 2`, `insert into k values (4, 'new')`),
    ).toContain('null values');
    await client.rows('delete from k where id = 4');
    expect(
      await refused(`create rule r as on update to k do also insert into k values (9, 'nine')`),
    ).toContain('rule');
    await client.rows('drop rule r on k');
    expect(await refused('alter table k rename to was', 'create table k (like was including all)')).toContain(
      'another table has its name',
    );
    await client.rows('drop table k; alter table was rename to k');
    expect(await restoreDropped(session, outcome.moved)).toMatchObject({ kind: 'restored' });
    expect(await client.rows('select * from k order by id')).toEqual([
      ['1', 'ann', 'of ann'],
      ['2', 'bob', 'of bob'],
      ['3', 'eve', 'of eve'],
    ]);
  });

  it.each([
    [
      'skip',
      [
        ['2', 'zoe', null],
        ['3', 'eve', 'of eve'],
        ['100', 'ann', null],
      ],
    ],
    [
      'overwrite',
      [
        ['2', 'zoe', 'of bob'],
        ['3', 'eve', 'of eve'],
        ['100', 'ann', null],
      ],
    ],
  ] as const)('leaves in the trash what is over where conflicts are to be %s', async (onConflict, rows) => {
    await open(
      `create table k (id int primary key, who text, v text); insert into k values (1, 'ann', 'of ann'), (2, 'bob', 'of bob'), (3, 'eve', 'of eve')`,
    );
    const outcome = await drop('alter table k drop column v');
    if (outcome.kind !== 'moved') throw new Error(JSON.stringify(outcome));
    const session = onHidden(new HiddenClient(client));
    await client.rows(
      `delete from k where id = 2; update k set id = 100 where id = 1; insert into k values (2, 'zoe')`,
    );
    const copy = outcome.moved.objects[0]!.trash_name;
    const restored = await restoreDropped(session, outcome.moved, { onConflict });
    expect(restored).toMatchObject({
      kind: 'restored',
      lacking: [{ what: 'column public.k.v', reason: expect.stringContaining(copy) }],
    });
    expect(await client.rows('select * from k order by id')).toEqual(rows);
    const copied = await client.rows(`select v from holdfast_trash."${copy}" order by id`);
    // What was placed is no longer there, so that it is not placed again.
    expect(copied).toEqual(onConflict === 'skip' ? [['of ann'], ['of bob']] : [['of ann']]);
  });

  it('leaves nothing in the trash where every row of it was found, whatever else has changed', async () => {
    await open(
      `create table k (id int primary key, who text, v text); insert into k values (1, 'ann', 'of ann')`,
    );
    const outcome = await drop('alter table k drop column v');
    if (outcome.kind !== 'moved') throw new Error(JSON.stringify(outcome));
    await client.rows(`update k set who = 'anna'`);
    const session = onHidden(new HiddenClient(client));
    expect(await restoreDropped(session, outcome.moved)).toMatchObject({ kind: 'conflict' });
    expect(await restoreDropped(session, outcome.moved, { onConflict: 'overwrite' })).toMatchObject({
      kind: 'restored',
      lacking: [],
    });
    expect(await client.rows('select * from k')).toEqual([['1', 'anna', 'of ann']]);
  });

  it('comes back without its triggers, each of which is as before, and not to rows put in since', async () => {
    await open(
      `create table t (id int primary key, seen int default 0, v text); insert into t (id, v) select g, 'v' || g from generate_series(1, 10) g;
       create function tf() returns trigger language plpgsql as 'begin new.seen := new.seen + 1; new.v := null; return new; end';
       create trigger a before update on t for each row execute function tf(); create trigger "B b" before update on t for each row execute function tf();
       create trigger c before update on t for each row execute function tf(); alter table t enable always trigger "B b"; alter table t disable trigger c`,
    );
    const states = `select tgname, tgenabled from pg_trigger where tgrelid = 't'::regclass order by 1`;
    const before = await client.rows(states);
    const outcome = await drop('alter table t drop column v');
    if (outcome.kind !== 'moved') throw new Error(JSON.stringify(outcome));
    await client.rows('insert into t values (11)');
    expect(await restoreDropped(onHidden(new HiddenClient(client)), outcome.moved)).toMatchObject({
      kind: 'restored',
    });
    expect(await client.rows('select count(v), count(*), max(seen) from t')).toEqual([['10', '11', '0']]);
    expect(await client.rows(states)).toEqual(before);
  });

  it('stands in the trash for nobody but its owner, whatever rights are given by default', async () => {
    await open(
      `create table t (id int primary key, v text); insert into t values (1, 'secret'); alter default privileges grant all on tables to public, reader`,
    );
    const outcome = await drop('alter table t drop column v');
    if (outcome.kind !== 'moved') throw new Error(JSON.stringify(outcome));
    const [copy] = await client.rows(
      `select relacl::text from pg_class where relname = '${outcome.moved.objects[0]!.trash_name}'`,
    );
    expect(copy![0]).toMatch(/^\{app=rm?\/app\}$/);
  });

  it('is neither brought back from another table of the name of its copy, nor purged of that', async () => {
    await open(`create table a (id int primary key, b text); insert into a values (1, 'was')`);
    const outcome = await drop('alter table a drop column b');
    if (outcome.kind !== 'moved') throw new Error(outcome.kind);
    const { moved } = outcome;
    const copy = `holdfast_trash."${moved.objects[0]!.trash_name}"`;
    await client.rows(`alter table ${copy} rename to kept; create table ${copy} (like holdfast_trash.kept);
      insert into ${copy} values (1, 'forged')`);
    const session = onHidden(new HiddenClient(client));
    const dropped = { id: moved.objects[0]!.trash_name.slice(0, 25), objects: moved.objects };
    expect(await restoreDropped(session, moved)).toMatchObject({
      kind: 'conflict',
      conflicts: [{ reason: 'what has the name of the copy is another table' }],
    });
    expect(await purgeDropped(session, dropped)).toEqual({ objects: 0, kept: null });
    expect(await client.rows(`select b from ${copy}`)).toEqual([['forged']]);
    await client.rows(`drop table ${copy}; alter table holdfast_trash.kept rename to ${copy.split('.')[1]}`);
    expect(await restoreDropped(session, moved)).toMatchObject({ kind: 'restored' });
    expect(await client.rows('select b from a')).toEqual([['was']]);
  });

  it('is not dropped where its table is too large to be copied', async () => {
    await open('create table t (id int primary key, v text); insert into t values (1)');
    const limits: { trashCopyBytes: number } = LIMITS;
    const bytes = limits.trashCopyBytes;
    limits.trashCopyBytes = 10_000;
    try {
      expect(await drop('alter table t drop column v')).toMatchObject({
        kind: 'none',
        reason: expect.stringMatching(/takes \d+ bytes, and is copied up to 10000/),
      });
    } finally {
      limits.trashCopyBytes = bytes;
    }
    expect(await client.rows('select v from t')).toEqual([[null]]);
  });

  it.each([
    ['create table t (v text)', 'no key'],
    ['create table t (id int primary key, v serial)', 'sequence'],
    ['create table t (id int primary key, v int generated always as identity)', 'sequence'],
    ['create table t (id int primary key, v int); create view w as select v from t', 'view public.w'],
    [
      'create table t (id int primary key, v int unique); create table r (v int references t (v))',
      'r_v_fkey',
    ],
    ['create table t (id int primary key, v int); create table u (r t)', 'column r of table'],
    ['create table t (id int primary key, v int); create table u (r t[])', 'column r of table'],
    ['create table t (id int primary key, v int); create type c as (r t)', 'column r of composite type'],
    ['create table t (id int primary key, v int); create domain d as t', 'type'],
    [
      'create table t (id int primary key, v int); create materialized view m as select t from t',
      'view public.m',
    ],
    ['create table t (id int primary key, v int) partition by range (id)', 'partition'],
    ['create table t (id int primary key, v int); create table c () inherits (t)', 'children'],
  ])('is not dropped where it would not come back: %s', async (setup, reason) => {
    await open(setup);
    const before = await dumpDatabase(client);
    expect(await drop('alter table t drop column v cascade')).toMatchObject({
      kind: 'none',
      reason: expect.stringContaining(reason),
    });
    expect(difference(before, await dumpDatabase(client))).toEqual([]);
  });

  it.each([
    ['alter table t drop column nothing', 'refused'],
    ['alter table nothing drop column v', 'refused'],
    ['alter table if exists nothing drop column v', 'harmless'],
    ['alter table t drop column if exists nothing', 'harmless'],
  ])('that is not there: %s', async (sql, kind) => {
    await open('create table t (id int primary key, v text)');
    expect((await drop(sql)).kind).toBe(kind);
  });
});
