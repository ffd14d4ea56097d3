import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { FlightProxy } from '../support/flight-proxy.ts';
import * as fe from '../support/frontend-messages.ts';
import { startGateway } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import { errorsOf, RawClient } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

/** What may change something by what it leads to, and has no snapshot, is refused here, where a user's would be held. */
const POLICY = `
mode: protect
without_plan: block
rules: [{ name: what makes it, match: { role: [postgres], application: [maker] }, action: allow }]
`;

/** All of it was there before the gateway, or was put there past it. */
const BASE = `
create table precious (id int primary key, note text);
insert into precious select i, 'row ' || i from generate_series(1, 10) i;
create table people (id int primary key, name text, city varchar(20));
insert into people select i, 'n' || i, 'c' from generate_series(1, 5) i;
create schema app;
create function app.wipe() returns int language plpgsql as $$ begin delete from public.precious; return 1; end $$;
create function app.total() returns int language sql stable as 'select count(*)::int from public.people';
create view plain as select p.id, lower(p.name) as name, p.city || '!' as city from people p where p.id > 0;
create view planer as select * from plain where id < 10;
create view counted as select id, app.total() as total from planer;
create table tenants (id int, tenant text);
insert into tenants values (1, 'a'), (2, 'b');
alter table tenants enable row level security;
create policy p on tenants using (tenant = coalesce(current_setting('app.tenant', true), tenant));
create function people_label(p people) returns text language sql stable as $$ select p.name || p.city $$;
create domain app.positive as int check (value > 0);
create table numbers (id int, n app.positive);
insert into numbers values (1, 1);
create function app.small(int) returns bool language plpgsql stable as
  $$ begin return not exists (select from public.people where id > 1000 + $1); end $$;
create domain app.size as int check (app.small(value));
create table sizes (n app.size, ns app.size[]);
insert into sizes values (1, '{1,2}');
create function app.tenant() returns text language sql stable as $$ select current_setting('app.tenant', true) $$;
create table owned (id int, tenant text);
insert into owned values (1, 'a'), (2, 'b');
alter table owned enable row level security;
create policy p on owned using (tenant = app.tenant());
create role reader; grant usage on schema app to public; grant all on all tables in schema public to public;
`;

/** Reads by their texts, and what makes of each that it deletes rows. */
const WAYS: readonly (readonly [what: string, setup: string, sql: string])[] = [
  [
    'a column is a function of the row',
    'create function purge(p people) returns int language sql as $$ select app.wipe() $$',
    'select t.purge from people t',
  ],
  [
    'a column is a function of any value',
    'create function purge(anyelement) returns int language sql as $$ select app.wipe() $$',
    'select s.purge from (select 1 as a) s',
  ],
  [
    'a column is a function of what a function gives',
    'create function purge(int) returns int language sql as $$ select app.wipe() $$',
    'select g.purge from generate_series(1, 1) g',
  ],
  [
    'a column is a function of a function without a name',
    'create function purge(int) returns int language sql as $$ select app.wipe() $$',
    'select generate_series.purge from generate_series(1, 1)',
  ],
  [
    'a column is a function of the row that may leave arguments out',
    'create function purge(p people, n int default 1) returns int language sql as $$ select app.wipe() $$',
    'select people.purge from people',
  ],
  [
    'a column is a function of a parent of the table',
    `create table grown (age int) inherits (people); insert into grown values (9, 'n', 'c', 3);
     create function purge(p people) returns int language sql as $$ select app.wipe() $$`,
    'select t.purge from grown t',
  ],
  [
    'a column is a function of what rows are cast to',
    `create type app.brief as (id int);
     create function app.brief_of(p people) returns app.brief language sql immutable as $$ select row(p.id)::app.brief $$;
     create cast (people as app.brief) with function app.brief_of(people) as implicit;
     create function purge(b app.brief) returns int language sql as $$ select app.wipe() $$`,
    'select t.purge from people t',
  ],
  [
    'a column is an aggregate',
    `create function app.add(s int, p people) returns int language sql as $$ select app.wipe() $$;
     create aggregate purge(people) (sfunc = app.add, stype = int, initcond = '0')`,
    'select t.purge from people t',
  ],
  ['a view calls it', 'create view v as select app.wipe() as w', 'select * from v'],
  ['a view of another schema calls it', 'create view app.v as select app.wipe() as w', 'select w from app.v'],
  [
    'a view of a view calls it',
    'create view app.v as select app.wipe() as w; create view z as select 1 as a from app.v where w > 0',
    'select a from z',
  ],
  [
    'a view has it behind an operator',
    `create function app.eq(varchar, varchar) returns bool language sql as $$ select app.wipe() = 1 $$;
     create operator app.=== (leftarg = varchar, rightarg = varchar, function = app.eq);
     create view v as select * from people where city operator(app.===) city`,
    'select * from v',
  ],
  [
    'a policy of a table calls it',
    'create policy q on tenants using (app.wipe() = 1)',
    'set role reader; select * from tenants',
  ],
  [
    'a policy of a table below a view calls it',
    `create policy q on tenants using (app.wipe() = 1);
     create view v as select * from tenants; alter view v owner to reader`,
    'select * from v',
  ],
  [
    'a policy of a table that is copied calls it',
    'create policy q on tenants using (app.wipe() = 1)',
    'set role reader; copy tenants to stdout',
  ],
  [
    'an operator fits the types better',
    `create function app.eq(varchar, varchar) returns bool language sql as $$ select app.wipe() = 1 $$;
     create operator public.= (leftarg = varchar, rightarg = varchar, function = app.eq)`,
    'select * from people where city = city',
  ],
  [
    'a function fits the types better',
    'create function public.lower(varchar) returns text language plpgsql as $$ begin return app.wipe(); end $$',
    'select lower(city) from people',
  ],
  [
    'the check of a domain is named like a column',
    `create function app.fine(int) returns bool language sql as $$ select app.wipe() = 1 $$;
     create domain odd as int check (app.fine(value))`,
    'select g.odd from generate_series(1, 1) g',
  ],
  [
    'a cast is chosen without a word',
    `create type app.pair as (a int, b int);
     create function app.first(app.pair) returns int language sql as $$ select app.wipe() $$;
     create cast (app.pair as int) with function app.first(app.pair) as implicit;
     create table pairs (p app.pair); insert into pairs values (row(1, 2))`,
    'select abs(p) from pairs',
  ],
  [
    'a cast between types of PostgreSQL is chosen without a word',
    `create function app.is(text) returns bool language sql as $$ select app.wipe() = 1 $$;
     create cast (text as bool) with function app.is(text) as implicit`,
    'select 1 from people where name',
  ],
  [
    'values are compared by code',
    `create type app.pair as (a int, b int);
     create function app.compare(app.pair, app.pair) returns int language plpgsql as $$ begin return app.wipe(); end $$;
     create function app.less(app.pair, app.pair) returns bool language sql as $$ select app.wipe() = 1 $$;
     create operator app.<<< (leftarg = app.pair, rightarg = app.pair, function = app.less);
     create operator app.=== (leftarg = app.pair, rightarg = app.pair, function = app.less);
     create operator class app.ordered default for type app.pair using btree as
       operator 1 app.<<<, operator 3 app.===, function 1 app.compare(app.pair, app.pair);
     create table pairs (p app.pair); insert into pairs values (row(1, 2)), (row(2, 3))`,
    'select distinct p from pairs',
  ],
  [
    'it is planned by how far apart the ends of ranges are',
    `create function app.apart(float8, float8) returns float8 language plpgsql immutable as
       $$ begin perform app.wipe(); return $1 - $2; end $$;
     create type app.span as range (subtype = float8, subtype_diff = app.apart);
     create table spans (s app.span); insert into spans select app.span(i, i + 1) from generate_series(1, 500) i;
     analyze spans; insert into precious select i from generate_series(1, 10) i`,
    "select * from spans where s << '[100.5,200.5)'",
  ],
  [
    'a value is made of JSON for a column with a check',
    'create domain odd as int check (app.wipe() = 1); create table odds (n odd); insert into odds values (null); insert into precious select i from generate_series(1, 10) i',
    `select (json_populate_record(o, '{"n": 1}')).n from odds o`,
  ],
  [
    'a value is made by the function that reads it',
    'create domain odd as int check (app.wipe() = 1)',
    "select array_in('{1}', (select oid::text::oid from pg_type where typname = 'odd'), -1)",
  ],
];

/** The same where the check of a domain runs as soon as the server reads a literal. */
const LITERALS: readonly (readonly [what: string, setup: string, sql: string])[] = [
  ['an array', 'create table odds (n odd[])', "select * from odds where n = '{1}'"],
  [
    'an element of an array',
    "create table odds (n odd[]); insert into odds values ('{}')",
    "select array_append(n, '1') from odds",
  ],
  [
    'a range',
    'create type odd_range as range (subtype = odd); create table odds (n odd_range)',
    "select * from odds where n && '[1,2]'",
  ],
  [
    'a composite type',
    'create type pair as (a int, n odd); create table odds (p pair)',
    "select coalesce(p, '(1,2)') from odds",
  ],
  ['a row of a table', 'create table odds (n odd)', "select '(1)'::odds"],
  ['an array of such rows', 'create table odds (n odd)', "select '{(1)}'::odds[]"],
];

const PASSES: readonly string[] = [
  'select p.id, p.name from people p',
  'select * from plain, planer where plain.id = planer.id',
  'select c.total, c.id from counted c',
  'select * from tenants',
  'set role reader; select * from tenants; reset role',
  "set app.tenant = 'b'; select * from owned",
  "begin; set local app.tenant = 'b'; select * from owned; select * from counted; commit",
  'set search_path = app, public; select * from owned; set search_path = public',
  'select p.people_label from people p',
  'select n.n, n.id from numbers n',
  "select array_append(s.ns, '3'), s.ns = '{1}' from sizes s",
  `select (jsonb_populate_record(s, '{"n": 1}')).n from sizes s`,
  'select g.n from generate_series(1, 2) g (n)',
  'begin isolation level repeatable read; select * from people; select p.name from people p; commit',
  'select count(*) from people p where p.city = p.name',
  'begin; declare c cursor for select p.id from plain p; fetch c; commit',
  'copy people to stdout',
  'copy (select * from plain) to stdout',
  'select 1',
  'select version()',
  'select c.relname from pg_class c limit 1',
  'create temp table if not exists made as select * from plain',
];

/** Where `people` has such a function, `v` and `app.w` call one, and `planned` one that runs as it is planned. */
const TEXTS: readonly string[] = [
  'with c as (select p.purge from people p) select * from c',
  'select (select p.purge from people p limit 1)',
  'select exists (select from v)',
  'select 1 from people p where p.purge = 1',
  'select 1 union all select w from v',
  'table v',
  'values ((select w from v))',
  'explain analyze select p.purge from people p',
  'explain select * from planned',
  'copy (select p.purge from people p) to stdout',
  'copy (select * from v) to stdout',
  'insert into precious select 11, p.purge::text from people p',
  'create table made as select p.purge from people p',
  'create materialized view made as select * from v',
  'select * into made from v',
  'select 1 from people join v on true',
  'select 1 from people, lateral (select people.purge) x',
  `select (p.purge)::text, p.name from public.people as p (purged, name)`,
  'select 1; select * from v',
  'create view made as select * from v; select * from made',
  'alter view v rename to moved; select * from moved',
  'alter table v set schema app; select * from app.v',
  'alter schema app rename to moved; select * from moved.w',
  'create function made(int) returns int language sql as $$ delete from precious returning 1 $$; select g.made from generate_series(1, 1) g',
];

const REFUSED = 'it may change tables';

describe.each([18, 15] as const)('code that a read runs without a word, on PostgreSQL %i', (version) => {
  let fixture: DecisionFixture;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(POLICY, { HOLDFAST_SNAPSHOTS_TAKEN: 'on' }, version);
    await fixture.postgres.sql('create database base');
    await fixture.postgres.sql(BASE, 'base');
  });
  afterAll(async () => {
    await fixture?.stop();
  });

  const sql = async (text: string, database: string) => await fixture.postgres.sql(text, database);
  const left = async (database: string) =>
    Number((await sql('select count(*) from precious', database))[0]![0]);
  const why = (messages: Awaited<ReturnType<RawClient['query']>>) =>
    errorsOf(messages).map(({ D, M }) => D ?? M ?? '');

  let made = 0;
  async function database(setup: string): Promise<string> {
    const name = `made${made++}`;
    await fixture.postgres.sql(`create database ${name} template base`);
    if (setup !== '') await sql(setup, name);
    return name;
  }

  it.each(WAYS)('is refused where %s', async (_, setup, text) => {
    const name = await database(setup);
    const client = await fixture.client({ database: name });
    const [last, ...before] = text.split('; ').toReversed();
    for (const each of before) await client.query(each);
    expect(why(await client.query(last!))).toEqual([expect.stringContaining(REFUSED)]);
    client.write(fe.parse('', last!), fe.bind(), fe.execute(), fe.sync());
    expect(why(await client.untilReady())).toEqual([expect.stringContaining(REFUSED)]);
    await client.terminate();
    expect(await left(name)).toBe(10);
    // Without the gateway it would have.
    await fixture.postgres.sql(text, name).catch(() => {});
    expect(await left(name)).toBe(0);
  });

  it.each(LITERALS)('is refused where a literal is read as %s', async (_, setup, text) => {
    const name = await database(`create domain odd as int check (app.wipe() = 1); ${setup}`);
    const client = await fixture.client({ database: name });
    expect(why(await client.query(text))).toEqual([expect.stringContaining(REFUSED)]);
    await client.terminate();
    expect(await left(name)).toBe(10);
    await fixture.postgres.sql(text, name);
    expect(await left(name)).toBe(0);
  });

  it('is refused where a view calls what is dangerous of PostgreSQL', async () => {
    const name = await database('select lo_create(4711); create view v as select lo_unlink(4711)');
    const client = await fixture.client({ database: name });
    expect(why(await client.query('select * from v'))).toEqual([expect.stringContaining(REFUSED)]);
    await client.terminate();
  });

  describe('and what only reads', () => {
    let client: RawClient;
    let name: string;
    beforeAll(async () => {
      name = await database('');
    });
    beforeEach(async () => {
      client = await fixture.client({ database: name });
      return () => client.terminate();
    });

    it.each(version === 18 ? PASSES : PASSES.slice(0, 6))('passes: %s', async (text) => {
      expect(why(await client.query(text))).toEqual([]);
      if (text.includes(';')) return;
      client.write(fe.parse('', text), fe.bind(), fe.execute(), fe.sync());
      expect(why(await client.untilReady())).toEqual([]);
    });
  });

  describe('however it comes', () => {
    let client: RawClient;
    let name: string;
    const READS = 'select p.purge from people p';
    beforeAll(async () => {
      name = await database(`
        create function purge(p people) returns int language sql as 'select app.wipe()';
        create view v as select app.wipe() as w;
        create view app.w as select w from v;
        create function early() returns int immutable language plpgsql as $$ begin return app.wipe(); end $$;
        create view planned as select early() as w`);
    });
    beforeEach(async () => {
      client = await fixture.client({ database: name });
      return () => client.terminate();
    });
    const passes = async (text: string) => expect(why(await client.query(text))).toEqual([]);

    it.each(version === 18 ? TEXTS : TEXTS.slice(0, 4))('is refused: %s', async (text) => {
      expect(why(await client.query(text))).toEqual([expect.any(String)]);
      expect(await left(name)).toBe(10);
      // Without the gateway it would have deleted them.
      const direct = await RawClient.open(fixture.postgres.port, { database: name });
      onTestFinished(() => direct.destroy());
      await direct.query('begin');
      expect(why(await direct.query(text))).toEqual([]);
      expect(await direct.rows('select from precious where id <= 10')).toEqual([]);
      await direct.query('rollback');
    });

    it('is refused in a cursor, a prepared statement, a pipeline and a transaction', async () => {
      await passes('begin');
      expect(why(await client.query(`declare c cursor for ${READS}`))).toEqual([expect.any(String)]);
      await passes('rollback');
      await passes(`prepare s as ${READS}`);
      expect(why(await client.query('execute s'))).toEqual([expect.stringContaining(REFUSED)]);
      client.write(fe.parse('', 'select 1'), fe.bind(), fe.execute());
      client.write(fe.parse('', READS), fe.bind(), fe.execute(), fe.sync());
      expect(why(await client.untilReady())).toEqual([expect.stringContaining(REFUSED)]);
      await passes('begin isolation level repeatable read');
      expect(why(await client.query(READS))).toEqual([expect.any(String)]);
      await passes('rollback');
      expect(await left(name)).toBe(10);
    });

    it('is refused where another session has made it since, or has replaced what was harmless', async () => {
      const maker = await fixture.client({ database: name, application_name: 'maker' });
      const made = async (text: string) => expect(why(await maker.query(text))).toEqual([]);
      const refused = async (text: string) =>
        expect(why(await client.query(text))).toEqual([expect.any(String)]);
      await made('create view fresh as select 1 as w');
      await made('create function fine() returns int language sql as $$ select 1 $$');
      await made('create view finely as select fine()');
      await passes('select * from fresh');
      await passes('select * from finely');
      await passes('begin isolation level repeatable read');
      await passes('select * from people');
      await made('create view latest as select app.wipe() as w');
      await made('create or replace view fresh as select app.wipe() as w');
      await refused('select * from latest');
      await passes('rollback');
      await refused('select * from latest');
      await refused('select * from fresh');
      client.write(fe.parse('s', 'select * from finely'), fe.query('begin'));
      await client.untilReady();
      client.write(fe.bind({ portal: 'p', statement: 's' }), fe.sync());
      expect(why(await client.untilReady())).toEqual([]);
      await made('create or replace function fine() returns int language sql as $$ select app.wipe() $$');
      client.write(fe.execute('p'), fe.sync());
      expect(why(await client.untilReady())).toEqual([expect.any(String)]);
      await passes('rollback');
      await passes('begin');
      await passes('create view own as select 1');
      await passes('select * from own');
      await passes('rollback');
      await maker.terminate();
      expect(await left(name)).toBe(10);
    });

    it('passes in a transaction that reads by an old snapshot, as a dump does, by what that shows', async () => {
      await sql(
        `create function app.mine(t text) returns bool language sql stable as $$ select t = 'a' $$;
         create table mine (t text); alter table mine enable row level security;
         create policy p on mine using (app.mine(t)); insert into mine values ('a')`,
        name,
      );
      const begins = 'begin isolation level repeatable read';
      await fixture.postgres.sql('select 1', name);
      const maker = await fixture.client({ database: name, application_name: 'maker' });
      // Nothing that was learnt before counts.
      const forget = async () => await maker.query('create or replace view forgotten as select 1');
      await passes(`${begins}, read only`);
      await passes('select 1 from pg_class limit 1');
      await forget();
      await passes('copy mine to stdout');
      expect(why(await client.query('commit; copy mine to stdout'))).toEqual([expect.any(String)]);
      await passes('rollback');
      await passes(begins);
      await passes('select 1 from pg_class limit 1');
      await forget();
      await passes('copy mine to stdout');
      await passes('rollback');
      await maker.terminate();
    });

    it('is told by the server where its transaction has failed', async () => {
      await passes('begin');
      await client.query('select 1 / 0');
      expect(errorsOf(await client.query(READS)).map(({ C }) => C)).toEqual(['25P02']);
      await passes('rollback');
    });
  });
});

describe('a plain read', () => {
  const READS = [
    'select * from people',
    'select p.id, lower(p.name) from people p where p.id = 1',
    'table plain',
  ];

  it('costs no round trip of its own but one a minute, and none where policy asks nothing', async () => {
    const postgres = await startPostgres();
    await postgres.sql(BASE);
    const proxy = await FlightProxy.start(postgres.port);
    let made = 0;
    const cost = async (client: RawClient, text: string): Promise<number> => {
      proxy.reset();
      expect(errorsOf(await client.query(text))).toEqual([]);
      return proxy.flights;
    };
    try {
      for (const [policy, taken] of [
        [POLICY, 'on'],
        [POLICY, 'off'],
        ['mode: monitor', 'on'],
        ['mode: protect\ndefaults: { high: block }', 'off'],
      ] as const) {
        const environment = { HOLDFAST_SNAPSHOTS_TAKEN: taken };
        const gateway = await startGateway({ upstreamPort: proxy.port, policy, environment });
        try {
          const client = await RawClient.open(gateway.port);
          for (const text of ['select 1', 'select version()', 'select count(*) from pg_class'])
            expect(await cost(client, text)).toBe(1);
          const first = [];
          for (const text of READS) first.push(await cost(client, text));
          const asks = taken === 'on' ? policy === POLICY : policy !== POLICY;
          // Of the second nothing is asked, and of a view once what it is.
          expect(first).toEqual(asks ? [2, 1, 2] : [1, 1, 1]);
          for (const text of READS) expect(await cost(client, text)).toBe(1);
          await client.terminate();
          const other = await RawClient.open(gateway.port);
          for (const text of READS) expect(await cost(other, text)).toBe(1);
          await other.terminate();
          for (const level of ['repeatable read', 'serializable']) {
            // What was learnt before counts no more.
            const maker = await RawClient.open(gateway.port);
            await cost(maker, `create view fresh${made++} as select 1`);
            await maker.terminate();
            const one = await RawClient.open(gateway.port);
            await one.query(`begin isolation level ${level}`);
            expect(await cost(one, READS[0]!)).toBe(asks ? 4 : 1);
            for (const text of READS) expect(await cost(one, text)).toBe(1);
            await one.terminate();
          }
        } finally {
          await gateway.stop();
        }
      }
    } finally {
      await proxy.stop();
      await postgres.stop();
    }
  });
});
