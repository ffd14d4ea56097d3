import { describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import {
  type BackendMessage,
  describeAll,
  errorsOf,
  type RawClient,
  statusOf,
} from '../support/raw-client.ts';
import { besideDirect } from './beside-direct.ts';
import { heldId } from './fixture.ts';

const POLICY = `
mode: protect
hold: { mode: live }
rules:
  - { name: makes, match: { application: [maker], role: [postgres] }, action: allow }
`;

/** A permanent table stands behind the name of a temporary one, and others refer to both. */
const SETUP = `drop schema if exists app cascade; create schema app; create table app.orders (id int primary key, v text);
  insert into app.orders select i, 'row ' || i from generate_series(1, 10) i;
  create table app.lines (id int, of int references app.orders); insert into app.lines values (1, 1);
  create or replace function public.wipe() returns trigger language plpgsql as 'begin delete from app.lines; return old; end';
  create or replace function public.wipes(a int) returns int language plpgsql as 'begin delete from app.lines; return a; end';
  create or replace function public.quietly(a int) returns int immutable language plpgsql as 'begin return public.wipes(a); end'`;

const STAGE = `create temp table staging (id int primary key, v text, w serial);
  create temp table parts (id int, of int references staging);
  create temp view shown as select * from parts; create temp sequence counter; create index by_v on staging (v)`;
const ROWS = "insert into staging select i, 'x' from generate_series(1, 5) i";

const STATEMENTS = [
  'delete from staging',
  "update staging set v = upper(v) || '!'",
  'delete from staging where true',
  'delete from pg_temp.staging',
  'truncate parts, staging restart identity',
  'truncate staging cascade',
  'drop table parts cascade',
  'drop table if exists pg_temp.nope, staging cascade',
  'drop view shown',
  'drop view if exists shown, nope',
  'drop sequence counter',
  'drop index by_v',
  'alter table staging drop column v',
  'alter table staging drop column if exists v cascade',
  'alter table staging drop constraint staging_pkey cascade',
  'alter table only pg_temp.staging drop column w',
  'drop table staging',
  'truncate staging',
];

/** Where in the server's source an error comes from, and the OIDs of tables. */
const APART = /,?"[FLR]":"[^"]*"|(?<=^T )[0-9a-f]+/gm;
const shown = (messages: readonly BackendMessage[]) => describeAll(messages).replaceAll(APART, '');
const run = (sql: string) =>
  Buffer.concat([fe.parse('', sql), fe.bind(), fe.describe('P'), fe.execute(), fe.sync()]);

describe.each([18, 15] as const)('a statement on temporary tables alone, on PostgreSQL %i', (version) => {
  const under = besideDirect(POLICY, version, SETUP);

  async function both(sql: string): Promise<void> {
    for (const client of [under.direct, under.client]) expect(errorsOf(await client.query(sql))).toEqual([]);
  }

  /** What a client is told by the gateway is what the server says, and nobody is asked. */
  async function alike(message: Buffer, readies = 1): Promise<string> {
    const said: string[] = [];
    for (const client of [under.direct, under.client]) {
      client.write(message);
      let all: BackendMessage[] = [];
      for (let i = 0; i < readies; i++) all = [...all, ...(await client.untilReady())];
      said.push(shown(all));
    }
    expect(said[1]).toBe(said[0]);
    return said[1]!;
  }

  const orders = async () => (await under.direct.rows('select count(*) from app.orders'))[0]![0];

  async function isHeld(message: Buffer, client: RawClient = under.client): Promise<void> {
    client.write(message);
    await under.fixture.resolve(await heldId(client), 'deny');
    expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '42501' }]);
    expect([await orders(), await under.direct.rows('select count(*) from app.lines')]).toEqual([
      '10',
      [['1']],
    ]);
  }

  it.each(STATEMENTS)('runs at once, and is answered as by the server: %s', async (sql) => {
    await both(STAGE);
    await both(ROWS);
    await both('begin');
    await alike(fe.query(sql));
    await alike(fe.query('rollback'));
    await alike(run('begin'));
    await alike(run(sql));
    await alike(run('rollback'));
    await alike(fe.query('select count(*), min(v), max(v) from staging'));
    await alike(run(sql));
    await alike(fe.query('select * from staging order by id'));
    await both('discard temp');
    await both(STAGE);
    await both(ROWS);
    await alike(fe.query(sql));
    await alike(fe.query('select * from staging order by id'));
  });

  it('runs as a named statement again and again, and a BEGIN in front of it', async () => {
    await both(STAGE);
    await alike(Buffer.concat([fe.parse('d', 'delete from staging'), fe.sync()]));
    for (let i = 0; i < 2; i++) {
      await both(ROWS);
      await alike(Buffer.concat([fe.bind({ statement: 'd' }), fe.execute(), fe.close('P', ''), fe.sync()]));
    }
    await both(ROWS);
    const begun = [fe.parse('', 'begin'), fe.bind(), fe.execute()];
    await alike(
      Buffer.concat([...begun, fe.bind({ statement: 'd', portal: 'p' }), fe.execute('p'), fe.sync()]),
    );
    expect(statusOf(await under.client.query('select 1'))).toBe('T');
    await alike(fe.query('commit'));
    await alike(fe.query('select * from staging'));
  });

  it.each([
    ['update staging set v = $1', ['é']],
    ['update staging set v = v || $1, w = w + $2::int', ['!', '3']],
    ['delete from staging where v is distinct from $1', [null]],
    ['update staging set w = $1', ['none']],
    ['delete from staging where $1', ['t']],
  ])('runs with parameters: %s', async (sql, parameters) => {
    const bound = [fe.bind({ statement: 's', parameters }), fe.describe('P'), fe.execute(), fe.sync()];
    await both(STAGE);
    await both(ROWS);
    await alike(Buffer.concat([fe.parse('s', sql), ...bound]));
    await alike(fe.query('select * from staging order by id'));
    await alike(run('begin'));
    await alike(Buffer.concat(bound));
    await alike(run('rollback'));
    await alike(Buffer.concat([fe.bind({ statement: 's' }), fe.execute(), fe.sync()]));
    await alike(fe.query('select * from staging order by id'));
  });

  it('is held where a parameter is of a type whose checks run code', async () => {
    const { client } = under;
    await client.rows(STAGE);
    await client.rows(ROWS);
    await client.rows('set application_name = maker');
    await client.rows('create domain pg_temp.own as int check (public.quietly(value) > 0)');
    await client.rows('reset application_name');
    await under.direct.rows('delete from app.lines; insert into app.lines values (1, 1)');
    const bound = [fe.bind({ parameters: ['1'] }), fe.execute(), fe.sync()];
    await isHeld(Buffer.concat([fe.parse('', 'update staging set w = $1::pg_temp.own'), ...bound]));
    await isHeld(Buffer.concat([fe.parse('', 'update app.orders set v = $1'), ...bound]));
  });

  it('is recorded as what it is', async () => {
    await under.client.rows('create temp table recorded (a int)');
    await under.client.rows('delete from recorded');
    const [event] = await under.fixture.auditEvents(({ sql }) => sql === 'delete from recorded', 1);
    expect(event).toMatchObject({ action: 'allow', rule: 'default:low', risk: 'low', end: 'completed' });
  });

  it.each([
    'delete from app.orders',
    'truncate app.lines',
    'drop table app.lines',
    'alter table app.orders drop column v',
    'delete from orders',
  ])('is held as ever where it is of another: %s', async (sql) => {
    await under.client.rows('set search_path = app');
    await under.client.rows('create temp table lines (id int)');
    await isHeld(fe.query(sql));
    await isHeld(run(sql));
  });

  it('is of the table that the server finds, whichever stands in front', async () => {
    const { client } = under;
    await client.rows('set search_path = app');
    await client.rows('create temp table orders (id int)');
    await client.rows('insert into orders values (1)');
    expect(errorsOf(await client.query('delete from orders'))).toEqual([]);
    await client.rows('set search_path = app, pg_temp');
    await isHeld(fe.query('delete from orders'));
    await isHeld(run('drop table orders'));
    await client.rows('set search_path = app');
    expect(errorsOf(await client.query('drop table orders'))).toEqual([]);
    await isHeld(fe.query('drop table orders'));
    expect(await orders()).toBe('10');
  });

  it('is held behind a rollback that takes the temporary table away, a rename, a move and a DISCARD', async () => {
    const { client } = under;
    await client.rows('set search_path = app');
    await client.rows('begin; savepoint a; create temp table orders (id int)');
    expect(errorsOf(await client.query('delete from orders'))).toEqual([]);
    await client.rows('rollback to a');
    client.write(fe.query('delete from orders'));
    await under.fixture.resolve(await heldId(client), 'deny');
    await client.untilReady();
    await client.query('rollback');
    for (const gone of ['alter table orders rename to others', 'discard temp', 'drop table orders']) {
      await client.rows('create temp table orders (id int)');
      expect(errorsOf(await client.query(gone))).toEqual([]);
      await isHeld(fe.query('delete from orders'));
      await isHeld(run('truncate orders'));
      await client.rows('discard temp');
    }
    await client.rows('begin; create temp table orders (id int) on commit drop');
    expect(errorsOf(await client.query('truncate orders'))).toEqual([]);
    await client.rows('commit');
    await isHeld(run('delete from orders'));
  });

  it('is held where it was prepared when its name stood for another', async () => {
    const { client } = under;
    await client.rows('set search_path = app');
    await client.rows('create temp table mine (a int)');
    client.write(fe.parse('d', 'delete from orders'), fe.parse('e', 'delete from mine'), fe.sync());
    await client.untilReady();
    await client.rows('create temp table orders (id int)');
    const again = (name: string) => Buffer.concat([fe.bind({ statement: name }), fe.execute(), fe.sync()]);
    await isHeld(again('d'));
    client.write(again('e'));
    expect(errorsOf(await client.untilReady())).toEqual([]);
    // What has just been parsed is of what stands in front by now, and nothing else is.
    client.write(fe.parse('f', 'delete from orders'), again('f'));
    expect(errorsOf(await client.untilReady())).toEqual([]);
    await isHeld(Buffer.concat([fe.parse('g', 'delete from orders'), again('d')]));
  });

  it.each([
    [
      'a trigger',
      'create trigger g after delete on staging for each row execute function public.wipe()',
      'delete from staging',
    ],
    ['a rule', 'create rule r as on delete to staging do also delete from app.lines', 'delete from staging'],
    ['a function', '', 'update staging set id = public.wipes(id)'],
    ['an index', 'create index i on staging (public.quietly(id))', "update staging set v = 'y'"],
    [
      'the key by which it is parted',
      `create temp table whole (id int, v text) partition by range (public.quietly(id));
       create temp table part partition of whole for values from (0) to (9); insert into whole values (1)`,
      "update part set v = 'y'",
    ],
    [
      'a domain',
      'create domain pg_temp.d as int check (public.quietly(value) > 0); alter table staging add z pg_temp.d',
      'update staging set z = 1',
    ],
    ['a view', 'create temp view o as select * from app.orders', 'delete from o'],
    ['a WITH', '', 'with d as (delete from app.lines) delete from staging'],
    ['rows that it gives', '', 'delete from staging returning *'],
    ['a column of another table', 'create table app.typed (id int, x staging)', 'drop table staging cascade'],
    [
      'a function that reads it',
      'create function app.reads() returns bigint begin atomic select count(*) from staging; end',
      'drop table staging cascade',
    ],
    ['another type', '', 'alter table staging alter v type text using public.wipes(1)::text'],
    ['two tables', '', 'truncate staging, app.lines'],
    ['two that it drops', '', 'drop table staging, app.lines'],
  ])('is held where it may reach others by %s', async (_, makes, sql) => {
    const { client } = under;
    await client.rows(STAGE);
    await client.rows(ROWS);
    await client.rows('set application_name = maker');
    if (makes !== '') await client.rows(makes);
    await client.rows('reset application_name');
    await under.direct.rows('delete from app.lines; insert into app.lines values (1, 1)');
    await isHeld(fe.query(sql));
    if (sql.startsWith('drop table staging cascade')) {
      // It is seen as it runs, and taken back; sent again it is held.
      client.write(run(sql));
      expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '40001' }]);
    }
    await isHeld(run(sql));
  });

  it('is decided by what it calls', async () => {
    const { client } = under;
    await client.rows(STAGE);
    await client.rows(ROWS);
    await isHeld(fe.query("update staging set v = setval('counter', 9)::text"));
    await isHeld(run('update staging set v = pg_stat_reset()::text'));
    for (const message of [fe.query, run]) {
      client.write(message("update staging set v = pg_read_file('PG_VERSION')"));
      expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '42501' }]);
    }
    expect(await client.rows('select count(distinct v) from staging')).toEqual([['1']]);
  });

  it('is held where an event trigger would be told of it', async () => {
    await under.client.rows(STAGE);
    await under.direct.rows(`create function app.told() returns event_trigger language plpgsql as 'begin delete from app.lines; end';
      create event trigger told on ddl_command_start execute function app.told()`);
    try {
      await isHeld(fe.query('drop table parts'));
      expect(errorsOf(await under.client.query('delete from parts'))).toEqual([]);
    } finally {
      await under.direct.rows('drop event trigger told');
    }
  });

  it('is refused by the server at once where nothing is there of the name', async () => {
    const missing = [
      'delete from nope',
      'delete from nowhere.nope',
      'update nope set a = 1',
      'truncate nope',
      'truncate app.lines, nope',
      'drop table nope',
      'drop table pg_temp.nope',
      'drop view nope',
      'drop sequence nowhere.nope',
      'drop index nope',
      'alter table nope drop column a',
      'drop trigger nope on nope',
    ].filter((sql) => !sql.includes('app.lines'));
    for (const sql of missing) {
      await alike(fe.query(sql));
      await alike(run(sql));
      await both('begin');
      await alike(fe.query(sql));
      await alike(fe.query('rollback'));
    }
  });
});
