import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Manifest } from '../../src/snapshot/manifest.ts';
import {
  type BackendMessage,
  describeMessage,
  errorsOf,
  RawClient,
  statusOf,
} from '../support/raw-client.ts';
import { EVERY_CHANGE, SnapshotsTaken } from './snapshots-taken.ts';

/** What two databases have alike: one is behind the gateway, the other is asked directly. */
const TABLES = `
drop schema if exists s cascade; create schema s; set search_path = s;
drop schema if exists holdfast_trash cascade;
create table item (id int primary key, note text);
insert into item select i, 'note ' || i from generate_series(1, 20) i;
create table part (id int primary key, item int references item on delete cascade);
insert into part select i, i from generate_series(1, 10) i;
create table late (id int primary key, other int references late deferrable initially deferred);
create table log (said text);
create table "Größe" ("Höhe" int);
insert into "Größe" values (1), (2);
create view small as select id, note from item where id < 5;
create function speak(what text) returns int language plpgsql as
  $f$ begin raise notice 'says %', what; return 1; end $f$;
create function change_strings() returns text language sql as
  $f$ select set_config('standard_conforming_strings', 'off', false) $f$;
`;

/** Texts of several statements of which one at least is captured, and how many snapshots there are afterwards. */
const TEXTS: readonly (readonly [sql: string, snapshots: number])[] = [
  ['delete from item where id = 1; delete from item where id = 2', 2],
  ['select 1; delete from item where id = 1; select 2, note from item where id < 4', 1],
  ['select 1; select 2; update item set note = upper(note) where id < 3 returning id, note; select 3;', 1],
  [
    "insert into item values (30, $$a;b$$), (31, 'c''; --'); delete from item where id > 29 returning note",
    1,
  ],
  [';; delete from item where id = 1 ;; ; -- a comment; and more\n select 2;;', 1],
  ['/* first; */ delete from part; /* second /* nested; */ */ delete from item where id > 15;', 2],
  [
    "select speak('one'); delete from item where id = 3; select speak('two'); do $$ begin raise notice 'three'; end $$",
    1,
  ],
  ["truncate item cascade; insert into item values (1, 'new'); select * from item", 1],
  ['create temp table gone on commit drop as select 1 as a; delete from gone; select * from gone', 0],
  [
    'create table made (id int); insert into made values (1), (2); delete from made where id = 1; drop table made',
    2,
  ],
  [
    'alter table item add column more int default 7; update item set more = 8 where id = 1; select * from item where id < 3',
    1,
  ],
  ['delete from small where id = 2; select count(*) from item', 1],
  [
    'declare c cursor for select id from item order by id; fetch 2 from c; delete from item where id = 9; fetch 2 from c; close c',
    1,
  ],
  ['set statement_timeout = 12345; delete from item where id = 4; show statement_timeout', 1],
  [
    "select set_config('app.tenant', '5', true); delete from item where id = current_setting('app.tenant')::int; select note from item where id < 7",
    1,
  ],
  [
    "set local app.tenant = '5'; delete from item where id = 4; select current_setting('app.tenant'); set app.other = 'b'; show app.other",
    1,
  ],
  ["set app.tenant = 'a'; delete from item where id = 4; select 1 / 0", 1],
  ['lock table item in share mode; delete from item where id = 4', 1],
  [
    'copy (select id from item order by id limit 3) to stdout; delete from item where id = 4; copy item to stdout',
    1,
  ],
  ['delete from item where id = 400; delete from item where id = 500', 0],
  ['explain (costs off) delete from item; delete from item where id = 1', 1],
  ['merge into item using (values (1), (2)) v(id) on item.id = v.id when matched then delete; select 1', 1],
  [
    "insert into item values (1, 'x') on conflict (id) do update set note = excluded.note; delete from item where id = 2",
    2,
  ],
  ['drop table part; delete from item where id = 1; create table part (a int)', 2],
  ['drop view small; drop table part, late; delete from item where id = 1', 3],
  ['drop table if exists nothing; delete from item where id = 1', 1],
  ['delete from "Größe" where "Höhe" = 1; select \'ä\' as "ü", * from "Größe"', 1],
  [
    'delete from item where id = 1; update item set note = null where id = 1; update item set note = null where id = 2',
    2,
  ],
  ["grant select on item to public; comment on table item is 'a;b'; delete from item where id = 7", 1],
  ["notify nobody, 'item'; listen me; delete from item where id = 1; unlisten me", 1],
  [
    "set default_tablespace = ''; set idle_in_transaction_session_timeout = 0; set default_table_access_method = heap; delete from item where id = 1",
    1,
  ],
  // As migrations do.
  ['drop view small; alter table item drop column note; insert into item values (40); select * from item', 2],
  [
    'delete from part where id < 9; alter table part drop column item, add column more int default 2, add constraint c check (more > 1); select * from part order by id',
    2,
  ],
  ['alter table part add column more int, drop column item; select nothing from part', 1],
  // Errors, in each place.
  ['select 1/0; delete from item where id = 1', 0],
  ['delete from item where id = 1; select 1/0; delete from item where id = 2', 1],
  ['select 1; delete from item where nothing = 1', 0],
  ['delete from item where id = 1; select nothing from item; select 2', 1],
  ["select 'äöü€𝄞'; delete from item where id = 1; select 'ß', nothing from item", 1],
  ["select 'äöü€𝄞'; delete from item where id = 1; delete from item where 'ß' = nothing", 1],
  ["delete from item where id = 1; delete from item where id = 'x'", 1],
  ['delete from item where id = 1; delete from item where id = 2/0', 1],
  ['delete from item where id = 1; delete from missing where id = 1', 1],
  ["delete from item where id = 1; insert into item values (2, 'twice')", 1],
  ['delete from item where id = 1; insert into part values (77, 1)', 1],
  ['drop table item; delete from part', 0],
  ['delete from part; drop table item', 1],
  ['delete from part; drop table item cascade; select 1', 2],
  ['delete from item where id = 1; insert into late values (1, 2)', 1],
  ['insert into late values (1, 2); delete from item where id = 1', 1],
  ['delete from item where id = 1; create index concurrently on item (note)', 1],
  ['delete from item where id = 1; do $$ begin perform nothing; end $$', 1],
  ['delete from item where id = 1; do $$ begin commit; end $$', 1],
];

/** The same where the text has its own block, or the client one. */
const BLOCKS: readonly (readonly [before: string, sql: string, snapshots: number])[] = [
  ['', 'begin; delete from item where id = 1; commit', 1],
  [
    '',
    'begin isolation level repeatable read; delete from item where id = 1; show transaction_isolation; commit',
    1,
  ],
  ['', 'begin; delete from item where id = 1; rollback', 1],
  [
    '',
    'begin; delete from item where id = 1; savepoint a; delete from item; rollback to a; select count(*) from item; commit',
    2,
  ],
  ['', 'begin; delete from item where id = 1; select 1/0; commit', 1],
  ['', 'begin; delete from item where id = 1', 1],
  ['', 'begin; delete from item where id = 1; commit; begin; delete from item where id = 2; commit', 2],
  [
    '',
    'begin; delete from item where id = 1; rollback; begin; update item set note = upper(note) where id < 4; end',
    2,
  ],
  ['', 'begin; delete from item where id = 1; commit; begin; select 1/0; delete from item; commit', 1],
  ['', 'begin; delete from item where id = 1; commit; begin; drop view small; drop table part', 3],
  ['', 'begin; insert into late values (1, 2); commit; begin; delete from item where id = 1; commit', 0],
  ['begin', 'delete from item where id = 1; commit; begin; delete from item where id = 2', 2],
  ['', 'begin; drop view small; alter table item drop note, add other text; commit', 2],
  ['', 'begin; insert into late values (1, 2); delete from item where id = 1; commit', 1],
  ['begin', 'delete from item where id = 1; delete from item where id = 2', 2],
  ['begin', 'delete from item where id = 1; delete from item where id = 2; commit', 2],
  ['begin', 'delete from item where id = 1; select 1/0; commit', 1],
  [
    'begin',
    'savepoint a; delete from part; rollback to savepoint a; release a; delete from part where id = 1; end',
    2,
  ],
  ['begin', 'drop table part; drop view small; select 1', 2],
  ['begin', 'delete from part; drop table item; select 1', 1],
  ['begin; select 1/0', 'delete from item where id = 1; delete from item where id = 2', 0],
  ['begin isolation level serializable', 'delete from item where id = 1; select count(*) from item', 1],
];

/** What tells the same although its bytes cannot be: tables have other OIDs. */
function told(messages: readonly BackendMessage[]): string[] {
  return messages.map((message) => {
    if (message.type !== 'T') return describeMessage(message);
    const body = Buffer.from(message.body);
    let at = 2;
    for (let i = body.readUInt16BE(0); i > 0; i--) {
      at = body.indexOf(0, at) + 1;
      body.fill(0, at, at + 4);
      at += 18;
    }
    return `T ${body.toString('hex')}`;
  });
}

const CONTENTS = `select 'item', i::text from s.item i union all select 'part', p::text from s.part p
  union all select 'late', l::text from s.late l union all select 'size', g::text from s."Größe" g order by 1, 2`;

describe.each([18, 15] as const)('a Query of several statements, on PostgreSQL %i', (version) => {
  let taken: SnapshotsTaken;
  let through: RawClient;
  let direct: RawClient;
  beforeAll(async () => {
    taken = await SnapshotsTaken.start(version, {}, EVERY_CHANGE);
    await taken.fixture.postgres.sql('create database direct');
  });
  afterAll(async () => {
    await taken?.fixture.stop();
  });
  beforeEach(async () => {
    await taken.reset();
    const { postgres } = taken.fixture;
    await postgres.sql(TABLES);
    await postgres.sql(TABLES, 'direct');
    const settings = { options: '-c lock_timeout=10s' };
    through = await taken.fixture.client(settings);
    direct = await RawClient.open(postgres.port, { ...settings, database: 'direct' });
    for (const client of [through, direct]) await client.rows('set search_path = s');
    return async () => {
      await through.terminate();
      await direct.terminate();
    };
  });

  async function both(before: string, sql: string): Promise<Manifest[]> {
    if (before !== '') for (const client of [through, direct]) await client.query(before);
    const expected = await direct.query(sql);
    expect(told(await through.query(sql))).toEqual(told(expected));
    const manifests = await taken.all();
    const contents = async (client: RawClient) => {
      const messages = await client.query(CONTENTS);
      return [...told(messages), statusOf(messages)];
    };
    expect(await contents(through)).toEqual(await contents(direct));
    for (const client of [through, direct]) await client.query('rollback');
    expect(await contents(through)).toEqual(await contents(direct));
    return manifests;
  }

  // Of the older server only every other one, because each takes a while.
  it.each(TEXTS.filter((_, i) => version === 18 || i % 2 === 1))(
    'is answered as it is directly: %s',
    async (sql, snapshots) => {
      expect(await both('', sql)).toHaveLength(snapshots);
    },
  );

  it.each(BLOCKS.filter((_, i) => version === 18 || i % 2 === 0))(
    'is answered as it is directly in a block: %s %s',
    async (before, sql, snapshots) => {
      expect(await both(before, sql)).toHaveLength(snapshots);
    },
  );

  // Which no text of several is, but there is no better place to compare them.
  it.each([
    'delete from item where nothing = 1',
    'delete from missing where id = 1',
    "update item set note = nowhere('ß')",
    "delete from item where 'ß☃' = note and id = 'x'",
    'update item set id = note',
    'truncate missing',
    `truncate item, "it's \\ missing"`,
    'truncate item, small, missing',
    'truncate only s.missing cascade',
    'truncate missing.item restart identity',
  ])('alone fails as it does directly, with its place: %s', async (sql) => {
    expect(await both('', sql)).toEqual([]);
    expect(await both('begin', sql)).toEqual([]);
    expect(await both('begin read only', sql)).toEqual([]);
  });

  it('alone fails where it may not empty a table that is there, whatever is not', async () => {
    for (const sql of ['truncate item, missing', 'truncate missing, item', 'truncate only item, s.missing']) {
      expect(await both('set role pg_read_all_data', sql)).toEqual([]);
      expect(await both('begin', sql)).toEqual([]);
    }
    for (const client of [through, direct]) await client.query('reset role');
    expect(await both('begin read only', 'truncate late')).toEqual([]);
  });

  it('tells a client that looks into what the server does nothing of what is asked besides', async () => {
    for (const level of ['debug1', 'debug2', 'debug5']) {
      await through.query(`set client_min_messages = ${level}`);
      const sent = [
        `update item set note = 'n' where id = 1`,
        'delete from part where item = 2; delete from item where id = 2; drop table if exists late',
        'create table late (id int)',
      ];
      for (const each of sent) {
        const messages = await through.query(each);
        expect(errorsOf(messages)).toEqual([]);
        expect(messages.filter(({ body }) => body.includes('__holdfast'))).toEqual([]);
      }
    }
  });

  it('runs nothing of what stands behind a statement that changes how text is read', async () => {
    const messages = await through.query(
      `delete from item where id = 1; select change_strings(); delete from item where note = '\\'`,
    );
    expect(told(messages).at(-2)).toContain('has changed how the text is read');
    expect(statusOf(messages)).toBe('I');
    expect(await through.rows('select count(*) from s.item')).toEqual([['20']]);
  });
});
