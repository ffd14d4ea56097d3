/** What calls functions of a user's own: some only read, and others change something. */

/** Read by nobody but the functions that are looked at. */
const SETUP = `
create extension pg_trgm; create extension citext; create extension hstore; create extension ltree;
create extension intarray; create extension unaccent; create extension pgcrypto; create extension "uuid-ossp";
create extension cube; create extension earthdistance; create extension fuzzystrmatch; create extension tablefunc;
create extension dblink;
create schema app; create schema other;
create type app.place as (street text, city text);
create domain app.positive as int check (value > 0);
create table app.people (id int primary key, name text, home app.place);
insert into app.people select i, 'n' || i, row('s', 'c')::app.place from generate_series(1, 5) i;
create view app.names as select name from app.people;
create sequence app.numbers;
create function app.total(a int) returns int language sql stable as 'select count(*)::int + a from app.people';
create function app.twice(a int, b int default app.total(0)) returns int language sql as 'select app.total(a) + b';
create function app.kept(a int) returns int language sql stable return app.total(a) * 2;
create function app.atomic(a int) returns setof text language sql stable begin atomic select name from app.people where id > a; end;
create function app.looks(a int, out n int, out t text) language plpgsql as $$
declare r record; c cursor (k int) for select name from app.names where length(name) > k; p app.positive := 1;
  whole app.people%rowtype; one app.people.name%type; list int[] := array[1, 2];
begin
  select count(*) into n from app.people where id > a;
  for r in select * from app.people loop n := n + r.id; end loop;
  for r in c(0) loop t := r.name; end loop;
  for i in 1..2 loop list[i] := app.total(i); continue when i = 1; end loop;
  foreach n in array list loop null; end loop;
  if n > 3 then t := 'x'; elsif n = 2 then t := 'y'; else t := 'z'; end if;
  case n when 1 then t := 'a'; else t := coalesce(t, 'b'); end case;
  select * into whole from app.people limit 1;
  whole.name := 'q';
  perform app.total(1);
  raise debug 'seen %', n using hint = 'none';
  begin n := n / 1; exception when division_by_zero then n := 0; when others then raise; end;
  return;
end $$;
create function app.rows_of(a int) returns table (id int, name text) language plpgsql stable security definer
  set search_path = app, pg_temp as $$ begin return query select p.id, p.name from people p where p.id > a; return; end $$;
create function app.each() returns setof int language plpgsql as $$ begin for i in 1..3 loop return next i; end loop; end $$;
create function app.next_number() returns bigint language sql as $$ select nextval('app.numbers') $$;
create function app.again(a int) returns int language plpgsql as $$ begin if a = 0 then return 0; end if; return app.again(a - 1); end $$;
create function app.any_of(a anyelement) returns anyelement language sql immutable as 'select a';
create function full_name(p app.people) returns text language sql stable as $$ select p.name || ' ' || (p.home).city $$;
create function app.tenant(a int) returns text language sql as $$ select set_config('app.tenant', a::text, false) $$;
create function app.wider(int, int) returns int language sql immutable as 'select $1 + $2';
create aggregate app.sum_of(int) (sfunc = app.wider, stype = int, initcond = '0');
create operator app.<+> (leftarg = int, rightarg = int, function = app.wider);
create type app.span as range (subtype = int);
`;

export const HARMLESS: readonly string[] = [
  'select app.total(1)',
  'select app.twice(1), app.twice(1, 2)',
  'select app.kept(1)',
  'select * from app.atomic(1)',
  'select * from app.looks(1)',
  'select (app.looks(1)).n',
  'select * from app.rows_of(1)',
  'select app.each()',
  'select app.next_number()',
  'select app.again(3)',
  'select app.any_of(1), app.any_of(null::text)',
  'select p.full_name, (p.home).city, (p).name from app.people p',
  // A function of that name takes two.
  'select app.total(1), p.wider from (select 1 as wider) p',
  'select app.sum_of(id) from app.people',
  'select app.sum_of(id) over (order by id) from app.people',
  'select 1 operator(app.<+>) 2',
  'select app.span(1, 2)',
  'select 3::app.positive, app.total(1)',
  'select app.tenant(5)',
  'select name from app.names where app.total(1) > 0',
  'insert into other values (app.total(1))',
  'explain analyze select app.total(1)',
  'explain select app.total(1)',
  'copy (select app.total(id) from app.people) to stdout',
  'create table app.made as select app.total(1)',
  'select app.total(1); select app.kept(2)',
  `select similarity('a', 'b'), 'abc' % 'abd', 'abc' <% 'abd', uuid_generate_v4(), crypt('x', gen_salt('bf', 4)),
     'a=>1'::hstore -> 'a', unaccent('x'), digest('x', 'sha256'), levenshtein('a', 'b'), 'a.b'::ltree @> 'a.b.c',
     earth_distance(ll_to_earth(1, 1), ll_to_earth(2, 2)), 'X'::citext = 'x', '{1,2}'::int[] @@ '1'::query_int,
     sort('{2,1}'::int[]), soundex('a'), cube(1, 2)`,
  // As pgjdbc asks for a table's primary key.
  `select result.attname, (result.keys).n from (select a.attname, information_schema._pg_expandarray(i.indkey) as keys
     from pg_catalog.pg_index i join pg_catalog.pg_attribute a on a.attrelid = i.indrelid) result
     where a_attnum is null or true limit 1`.replace('where a_attnum is null or true ', ''),
  // What takes nothing away.
  'begin; set local role postgres; lock precious; commit',
  `select set_config('role', 'postgres', false)`,
  // As pg_dump does.
  `select set_config(name, 'view, foreign-table', false) from pg_settings where name = 'restrict_nonsystem_relation_kind'`,
  'grant select on precious to public',
  'reindex table precious',
  // What the server refuses by itself.
  'select app.no_such_function(1)',
  // Nobody but a superuser can replace what these keep.
  'create table app.keyed (id uuid default uuid_generate_v4())',
  `begin; declare c cursor for select similarity(name, 'x') from app.people; fetch c; rollback`,
];

/** Functions that change something, and what calls them; `wipe` does the same to all rows. */
export const HARMFUL: readonly (readonly [what: string, setup: string, sql: string])[] = [
  ['deletes', '', 'select app.wipe()'],
  [
    'calls what deletes',
    'create function app.x() returns int language sql as $$ select app.wipe() $$',
    'select app.x()',
  ],
  ['says that it is immutable', '', 'select wipe_immutable()'],
  [
    'is named without its schema',
    'create function x() returns int language sql as $$ select app.wipe() $$',
    'select x()',
  ],
  [
    'is one of several of the name',
    `create function app.x(text) returns int language sql as 'select 1';
     create function app.x(int) returns int language sql as 'select app.wipe()'`,
    'select app.x(1)',
  ],
  [
    'is the value of an argument left out',
    'create function app.x(a int default app.wipe()) returns int language sql immutable as $$ select 1 $$',
    'select app.x()',
  ],
  [
    'fits better than one of PostgreSQL',
    'create function public.lower(app.people) returns int language sql as $$ select app.wipe() $$',
    'select app.total(1), lower(p) from app.people p',
  ],
  [
    'is the value that a variable begins with',
    'create function app.x() returns int language plpgsql as $$ declare p app.positive := app.wipe(); begin return 1; end $$',
    'select app.x()',
  ],
  [
    'is named in quotes in what a variable begins with',
    'create function app."X y"() returns int language sql as $$ select app.wipe() $$; create function app.x() returns int language plpgsql as $$ declare p app.positive := app."X y"(); begin return 1; end $$',
    'select app.x()',
  ],
  [
    'is an operator in what a variable begins with',
    `create operator public.!!! (rightarg = oid, function = lo_unlink); create function app.x() returns int language plpgsql as $$ declare p app.positive := !!! 4321::oid; begin return 1; end $$`,
    'select app.x()',
  ],
  [
    'is an operator of what an extension has, in what a variable begins with',
    `create domain app.name_like as text; create operator public.!!! (rightarg = text, function = dblink_exec); create function app.x() returns int language plpgsql as $$ declare p app.name_like :=!!!'delete from precious'::text; begin return 1; end $$`,
    'select app.x()',
  ],
  [
    'is an operator of a name that PostgreSQL has, of a function that it has',
    'create operator public.@ (rightarg = oid, function = lo_unlink)',
    'select app.total(1), @ 4321::oid',
  ],
  [
    'is one of PostgreSQL, an attribute in what a variable begins with',
    'create function app.x() returns int language plpgsql as $$ declare p app.positive := (4321::oid).lo_unlink; begin return 1; end $$',
    'select app.x()',
  ],
  [
    'is in a subscript that is assigned to',
    'create function app.x() returns int language plpgsql as $$ declare p int[]; begin p[app.wipe()] := 1; return 1; end $$',
    'select app.x()',
  ],
  [
    'is in the condition of an exit',
    'create function app.x() returns int language plpgsql as $$ begin loop exit when app.wipe() > 0; end loop; return 1; end $$',
    'select app.x()',
  ],
  [
    'is in a handler',
    `create function app.x() returns int language plpgsql as $$ begin perform 1 / 0; return 1; exception when others then return app.wipe(); end $$`,
    'select app.x()',
  ],
  [
    'is in a message',
    `create function app.x() returns int language plpgsql as $$ begin raise notice '%', app.wipe(); return 1; end $$`,
    'select app.x()',
  ],
  [
    'is in the query of a cursor',
    'create function app.x() returns int language plpgsql as $$ declare c cursor for select app.wipe(); r record; begin for r in c loop null; end loop; return 1; end $$',
    'select app.x()',
  ],
  [
    'runs text',
    `create function app.x(q text) returns int language plpgsql as $$ begin execute q; return 1; end $$`,
    `select app.x('delete from precious')`,
  ],
  [
    'returns the rows of text',
    `create function app.x() returns setof int language plpgsql as $$ begin return query execute 'delete from precious returning 1'; end $$`,
    'select app.x()',
  ],
  [
    'loops over text',
    `create function app.x() returns int language plpgsql as $$ declare r record; begin for r in execute 'delete from precious returning 1' loop null; end loop; return 1; end $$`,
    'select app.x()',
  ],
  [
    'has a block of its own',
    `create function app.x() returns int language plpgsql as $$ begin do 'begin delete from precious; end'; return 1; end $$`,
    'select app.x()',
  ],
  [
    'has rows as XML',
    `create function app.x() returns xml language sql as $$ select query_to_xml('select app.wipe()', true, true, '') $$`,
    'select app.x()',
  ],
  [
    'has a data-modifying WITH',
    'create function app.x() returns bigint language sql as $$ with d as (delete from precious returning 1) select count(*) from d $$',
    'select app.x()',
  ],
  [
    'updates',
    'create function app.x() returns int language sql as $$ update precious set note = null; select 1 $$',
    'select app.x()',
  ],
  [
    'inserts',
    'create function app.x() returns int language sql as $$ insert into other values (1) returning 1 $$',
    'select app.x()',
  ],
  [
    'drops',
    'create function app.x() returns int language plpgsql as $$ begin drop table precious; return 1; end $$',
    'select app.x()',
  ],
  [
    'is an operator',
    `create function app.op(int, int) returns int language sql as 'select app.wipe()'; create operator public.=== (leftarg = int, rightarg = int, function = app.op)`,
    'select 1 === 2',
  ],
  [
    'is an operator of a name that PostgreSQL has',
    `create function app.op(app.place, app.place) returns bool language sql as 'select app.wipe() > 0'; create operator public.= (leftarg = app.place, rightarg = app.place, function = app.op)`,
    'select app.total(1) from app.people where home = home',
  ],
  [
    'is a cast',
    `create function app.cast_it(app.place) returns int language sql as 'select app.wipe()'; create cast (app.place as int) with function app.cast_it(app.place) as implicit`,
    'select app.total(home) from app.people',
  ],
  [
    'checks a domain',
    `create function app.checks(int) returns bool language sql as 'select app.wipe() > 0'; create domain app.checked as int check (app.checks(value)); create function app.x(app.checked) returns int language sql as 'select 1'`,
    'select app.x(1)',
  ],
  [
    'is behind a view',
    'create view app.bad as select app.wipe() as n; create function app.x() returns int language sql as $$ select n from app.bad $$',
    'select app.x()',
  ],
  [
    'is behind a view of a view',
    'create view app.bad as select app.wipe() as n; create view app.worse as select * from app.bad',
    'select app.total(n) from app.worse',
  ],
  [
    'is in a policy',
    'alter table app.people enable row level security; create policy p on app.people using (app.wipe() > 0)',
    'select app.total(1)',
  ],
  [
    'is written as an attribute',
    'create function x(app.people) returns int language sql as $$ select app.wipe() $$',
    'select (p).x from app.people p',
  ],
  [
    'is written as a column',
    'create function x(app.people) returns int language sql as $$ select app.wipe() $$',
    'select app.total(1), p.x from app.people p',
  ],
  [
    'is an attribute of a number',
    'create function x(int) returns int language sql as $$ select app.wipe() $$',
    'select (5).x',
  ],
  [
    'is an attribute of an enumerated value',
    `create type app.mood as enum ('good'); create function x(app.mood) returns int language sql as $$ select app.wipe() $$`,
    `select ('good'::app.mood).x`,
  ],
  [
    'is an attribute of an array',
    'create function x(variadic int[]) returns int language sql as $$ select app.wipe() $$',
    'select (array[1, 2]).x',
  ],
  [
    'is an attribute of a range',
    'create function x(int4range) returns int language sql as $$ select app.wipe() $$',
    'select (int4range(1, 2)).x',
  ],
  [
    'is a column of what is no row',
    'create function x(int) returns int language sql as $$ select app.wipe() $$',
    'select app.total(1), g.x from generate_series(1, 1) g',
  ],
  [
    'makes an aggregate',
    `create function app.step(int, int) returns int language sql as 'select app.wipe()'; create aggregate app.bad_sum(int) (sfunc = app.step, stype = int)`,
    'select app.bad_sum(id) from app.people',
  ],
  [
    'ends an aggregate',
    `create function app.done(int) returns int language sql as 'select app.wipe()'; create aggregate app.bad_end(int) (sfunc = app.wider, stype = int, initcond = '0', finalfunc = app.done)`,
    'select app.bad_end(id) from app.people',
  ],
  [
    'moves an aggregate',
    `create function app.back(int, int) returns int language sql as 'select app.wipe()'; create aggregate app.bad_move(int) (sfunc = app.wider, stype = int, initcond = '0', msfunc = app.wider, minvfunc = app.back, mstype = int, minitcond = '0')`,
    'select app.bad_move(id) over (order by id rows 1 preceding) from app.people',
  ],
  [
    'measures a range',
    `create function app.measure(int, int) returns float8 language sql immutable as 'select app.wipe()::float8'; create type app.bad_span as range (subtype = int, subtype_diff = app.measure)`,
    'select app.bad_span(1, 2)',
  ],
  [
    'looks in another path',
    `create function other.aim() returns int language sql as 'select app.wipe()'; create function public.aim() returns int language sql as 'select 1'; create function app.x() returns int language plpgsql set search_path = other as $$ begin return aim(); end $$`,
    'select app.x()',
  ],
  [
    'sets another path',
    `create function other.aim() returns int language sql as 'select app.wipe()'; create function public.aim() returns int language sql as 'select 1'; create function app.x() returns int language plpgsql as $$ begin perform set_config('search_path', 'other', true); return aim(); end $$`,
    'select app.x()',
  ],
  [
    'hides what PostgreSQL has',
    `create function other.upper(text) returns text language sql as 'select app.wipe()::text'; create function app.x() returns text language sql set search_path = other, pg_catalog as $$ select upper('a') $$`,
    'select app.x()',
  ],
  [
    'is reached by a path set in front',
    `create function other.aim() returns int language sql as 'select app.wipe()'; create function public.aim() returns int language sql as 'select 1'; create function app.x() returns int language plpgsql as $$ begin return aim(); end $$`,
    `select set_config('search_path', 'other', true), app.x()`,
  ],
  [
    'runs with other settings',
    `create function app.x() returns int language sql set session_replication_role = replica as 'select 1'`,
    'select app.x()',
  ],
  [
    'runs SQL elsewhere',
    `create function app.x() returns text language sql as $$ select dblink_exec('host=nowhere', 'delete from precious') $$`,
    'select app.x()',
  ],
  [
    'runs text in an extension',
    '',
    `select * from crosstab('select app.wipe()::text, 1::text, 1::text') as c(a text, b text)`,
  ],
  [
    'is told what to call, in an extension',
    `create function app.calls_it(regprocedure) returns real language c stable as '$libdir/pg_trgm', 'show_limit'; alter extension pg_trgm add function app.calls_it(regprocedure)`,
    `select app.calls_it('app.wipe()')`,
  ],
  [
    'removes large objects',
    'create function app.x() returns int language sql as $$ select lo_unlink(1) $$',
    'select app.x()',
  ],
  [
    'sets a sequence',
    `create function app.x() returns bigint language sql as $$ select setval('app.numbers', 1) $$`,
    'select app.x()',
  ],
  [
    'ends other sessions',
    'create function app.x() returns bool language sql as $$ select pg_terminate_backend(1) $$',
    'select app.x()',
  ],
  [
    'keeps a cursor for later',
    `create function app.x() returns refcursor language plpgsql as $$ declare c refcursor; begin open c for select app.total(1); return c; end $$`,
    'select app.x()',
  ],
  [
    'is made by the text in front',
    '',
    'create function app.new() returns int language sql as $$ select app.wipe() $$; select app.new()',
  ],
  ['is called by what is kept', '', 'create view app.keeps as select app.total(1)'],
  ['is to be called at each insert', '', 'create table app.keeps (a int default app.total(1))'],
];

export const BASE = `${SETUP}
create table precious (id int primary key, note text); insert into precious select i, 'row' from generate_series(1, 10) i;
create table other (id int);
create function app.wipe() returns int language plpgsql as $$ begin delete from precious; return 1; end $$;
create function wipe_immutable() returns int language plpgsql immutable as $$ begin return app.wipe(); end $$;
`;
