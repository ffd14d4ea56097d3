/** Reads that run code of a user's own without a word, and those that do not. */

/** All of it was there before the gateway, or was put there past it. */
export const BASE = `
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
export const WAYS: readonly (readonly [what: string, setup: string, sql: string])[] = [
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
export const LITERALS: readonly (readonly [what: string, setup: string, sql: string])[] = [
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

export const PASSES: readonly string[] = [
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
export const TEXTS: readonly string[] = [
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
