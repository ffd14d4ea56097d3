import type { Random } from '../support/random.ts';

/** What both databases hold before every session. */
export const FIXTURE_SQL = `
create table fuzz_rows (id serial primary key, note text, amount numeric default 1.50, at date default '2020-02-29');
create table fuzz_log (id serial primary key, what text);
create function fuzz_notice(what text) returns text language plpgsql as
  $$ begin raise notice 'noticed %', what using hint = 'a hint'; return what; end $$;
create function fuzz_fail(what text) returns int language plpgsql as
  $$ begin raise exception 'failed %', what using errcode = 'P0042', detail = 'a detail'; end $$;
create procedure fuzz_commit() language plpgsql as
  $$ begin insert into fuzz_log(what) values ('before'); commit; insert into fuzz_log(what) values ('after'); end $$;
create procedure fuzz_write() language sql as $$ insert into fuzz_log(what) values ('called') $$;
create function fuzz_trigger() returns trigger language plpgsql as
  $$ begin insert into fuzz_log(what) values (tg_op); return null; end $$;
create trigger fuzz_watch after delete on fuzz_rows for each statement execute function fuzz_trigger();
create view fuzz_view as select id, note from fuzz_rows where id < 10;
create table fuzz_guarded (what text);
create function fuzz_guard() returns trigger language plpgsql as
  $$ begin raise exception 'nothing is copied here'; end $$;
create trigger fuzz_guard before insert on fuzz_guarded for each statement execute function fuzz_guard();
create schema fuzz_other;
create table fuzz_other.fuzz_rows (id int, other text);
grant all on all tables in schema public to public;
grant usage on all sequences in schema public to public;
`;

/** Puts a database back to where every session starts. */
export const RESET_SQL = `
set client_min_messages = error;
drop table if exists fuzz_scratch;
drop view if exists fuzz_scratch_view;
truncate fuzz_rows, fuzz_log, fuzz_other.fuzz_rows restart identity;
insert into fuzz_rows(note) select 'row ' || i from generate_series(1, 12) i;
`;

/** Ends sessions that an earlier script left behind, which REMAINS_SQL has shown by then. */
export const END_OTHERS_SQL = `
select pg_terminate_backend(pid, 5000) from pg_stat_activity
 where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
`;

/** What is left of a session in a database, compared after each: rows, tables, and the session itself. */
export const REMAINS_SQL = `
select (select string_agg(coalesce(wait_event, '') || ' ' || query, ';') from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'),
       (select string_agg(r::text, ';' order by id) from fuzz_rows r),
       (select string_agg(l::text, ';' order by id) from fuzz_log l),
       (select count(*) from pg_class where relname like 'fuzz_scratch%')
`;

const READS = [
  'select 1',
  'select 1 as one, 2 as two',
  'select id, note from fuzz_rows order by id limit 3',
  'select * from fuzz_rows order by id',
  'select * from fuzz_view order by id',
  'select count(*) from fuzz_rows',
  'values (1, null), (2, $q$text$q$)',
  "select array[1,2,null], numeric '12345.6789', timestamptz '2020-01-01 00:00:00+00', '\\xdead'::bytea, true",
  "select 'é ☃ 漢字' as snow",
  'select generate_series(1, 40)',
  'select null::int, null::text where false',
  'select',
  'show datestyle',
  'show search_path',
  "select current_setting('application_name'), current_user, session_user",
  'table fuzz_log',
  'explain (costs off) select * from fuzz_rows where id = 1',
  'with c as (select 1 as a) select a from c',
  'select pg_sleep(0.002)',
  "select 'a\\b'",
  "select e'a\\'b'",
  'select $body$ ; drop table nothing; $body$',
  'select /* a /* nested */ comment; */ 1 -- and the rest; of it',
] as const;

const WRITES = [
  "insert into fuzz_rows(note) values ('new')",
  "insert into fuzz_rows(note) values ('new') returning id, note",
  "insert into fuzz_rows(id, note) values (3, 'x') on conflict (id) do update set note = excluded.note",
  "update fuzz_rows set note = note || '!' where id = 2",
  'update fuzz_rows set amount = amount + 1 where id < 4 returning id',
  'delete from fuzz_rows where id = 5',
  'delete from fuzz_rows where id > 10 returning *',
  'delete from fuzz_rows',
  "with w as (insert into fuzz_log(what) values ('cte') returning id) select count(*) from w",
  'merge into fuzz_rows r using (values (1), (99)) v(k) on r.id = v.k when matched then update set note = $q$m$q$',
  'call fuzz_write()',
  'call fuzz_commit()',
  'truncate fuzz_log',
  'create table if not exists fuzz_scratch (a int, b text)',
  'create table fuzz_scratch as select 1 as a',
  'create temp table if not exists fuzz_temp (a int) on commit delete rows',
  'insert into fuzz_temp values (1), (2)',
  'alter table fuzz_scratch add column c int default 7',
  'drop table fuzz_scratch',
  'drop table if exists fuzz_scratch',
  'create view fuzz_scratch_view as select 1',
  'select 1 as a into temp fuzz_into',
  'vacuum fuzz_log',
  'analyze fuzz_rows',
  "do $$ begin insert into fuzz_log(what) values ('done'); end $$",
] as const;

const FAILURES = [
  'select 1/0',
  'selec 1',
  'select * from missing_table',
  "select 'unterminated",
  'select "unterminated',
  'select $$unterminated',
  '/* unterminated',
  'insert into fuzz_rows(id) values (1)',
  "select fuzz_fail('on purpose')",
  "select 'x'::int",
  'select * from fuzz_rows where',
  'select (((((1',
  'update fuzz_rows set missing = 1',
  'execute missing_statement',
  'fetch 1 from missing_cursor',
  'set no_such_setting = 1',
  'lock table missing_table',
  'select no_such_function(1)',
  "prepare transaction 'never allowed'",
  "rollback prepared 'none'",
  'savepoint',
] as const;

const NOTICES = [
  "select fuzz_notice('x')",
  "do $$ begin raise notice 'from do'; raise warning 'and a warning'; end $$",
  'drop table if exists missing_table',
  'create schema if not exists fuzz_other',
  "set client_min_messages = 'debug1'",
  'reset client_min_messages',
] as const;

const TRANSACTIONS = [
  'begin',
  'begin',
  'commit',
  'commit',
  'rollback',
  'rollback',
  'end',
  'start transaction isolation level serializable',
  'begin read only',
  'set transaction read write',
  'set transaction isolation level repeatable read',
  'commit and chain',
  'rollback and chain',
  'savepoint a',
  'savepoint b',
  'rollback to a',
  'rollback to savepoint b',
  'release a',
] as const;

const SETTINGS = [
  "set application_name = 'fuzz'",
  "set datestyle = 'German, DMY'",
  "set timezone = 'Europe/Berlin'",
  'set local timezone to utc',
  "set client_encoding = 'LATIN1'",
  "set client_encoding = 'SJIS'",
  "set client_encoding = 'UTF8'",
  'set names latin1',
  'set standard_conforming_strings = off',
  'set standard_conforming_strings = on',
  'set search_path = fuzz_other, public',
  'set search_path to default',
  "select set_config('search_path', 'fuzz_other', false)",
  "select set_config('application_name', 'by function', true)",
  'reset all',
  'set role fuzz_role',
  'reset role',
  'set role none',
  'set session authorization fuzz_role',
  'reset session authorization',
  'set extra_float_digits = 0',
  "set bytea_output = 'escape'",
  "set intervalstyle = 'iso_8601'",
  'set row_security = off',
  'discard all',
  'discard plans',
  'discard temp',
] as const;

const PREPARED = [
  'prepare s1 as select 1 as from_sql',
  'prepare s1 as select * from fuzz_rows order by id',
  'prepare S2(int) as select $1 + 1',
  'prepare "S2" as select 22',
  'prepare s3 as delete from fuzz_rows where id = 7',
  'execute s1',
  'execute s2(4)',
  'execute "S2"',
  'execute s3',
  'explain (costs off) execute s1',
  'deallocate s1',
  'deallocate prepare s2',
  'deallocate all',
  "do $$ begin execute 'prepare s1 as select 5 as hidden'; end $$",
  'create temp table from_execute as execute s1',
  'declare p1 cursor for select generate_series(1, 30)',
  'declare c1 scroll cursor for select id from fuzz_rows order by id',
  'declare c2 cursor with hold for select id from fuzz_rows order by id',
  'fetch 2 from c1',
  'fetch backward 1 from c1',
  'fetch 3 from p1',
  'fetch all from c2',
  'move 1 in c1',
  'close c1',
  'close all',
] as const;

const NOTIFICATIONS = [
  'listen fuzz',
  'listen "Fuzz"',
  "notify fuzz, 'payload'",
  "select pg_notify('fuzz', 'by function')",
  'unlisten fuzz',
  'unlisten *',
] as const;

const NOTHING = ['', ';', ';;', ' ', '-- nothing', '/* nothing */', '\n\t'] as const;

const COPIES_OUT = [
  'copy fuzz_rows to stdout',
  'copy (select id, note from fuzz_rows order by id) to stdout (format csv, header)',
  'copy (select generate_series(1, 500)) to stdout (format binary)',
  'copy (select 1/(3-i) from generate_series(1, 9) i) to stdout',
  'copy missing_table to stdout',
] as const;

export const COPIES_IN = [
  'copy fuzz_rows(note) from stdin',
  'copy fuzz_log(what) from stdin (format csv)',
  'copy fuzz_rows(id, note) from stdin',
  'copy fuzz_temp from stdin',
  // These begin to copy in and fail before they read anything.
  'copy fuzz_view(id, note) from stdin',
  'copy fuzz_guarded from stdin',
] as const;

/** A single statement of any kind but COPY FROM STDIN, which changes what the client may say next. */
export function statement(random: Random): string {
  const pool = random.weighted<readonly string[]>([
    [10, READS],
    [8, WRITES],
    [6, FAILURES],
    [3, NOTICES],
    [7, TRANSACTIONS],
    [5, SETTINGS],
    [6, PREPARED],
    [2, NOTIFICATIONS],
    [1, NOTHING],
    [3, COPIES_OUT],
  ]);
  const sql = random.pick(pool);
  if (random.chance(0.05)) return sql.toUpperCase();
  if (random.chance(0.05)) return `/* traceparent='00-abc' */ ${sql}`;
  if (random.chance(0.05)) return `${sql} ;`;
  return sql;
}

/** The text of a simple Query: most often one statement. */
export function queryText(random: Random): string {
  if (!random.chance(0.3)) return statement(random);
  return Array.from({ length: random.between(2, 4) }, () => statement(random)).join('; ');
}

/** Statements with parameters, and as many values as they take. */
export const PARAMETRISED: readonly (readonly [sql: string, types: readonly number[], values: number])[] = [
  ['select $1::int + 1', [23], 1],
  ['select $1', [25], 1],
  ['select $1, $2', [], 2],
  ['select id, note, amount, at from fuzz_rows where id > $1 order by id', [23], 1],
  ['insert into fuzz_rows(note) values ($1) returning id', [25], 1],
  ['update fuzz_rows set note = $2 where id = $1', [23, 25], 2],
  ['delete from fuzz_rows where id = $1', [23], 1],
  ['select generate_series(1, $1)', [23], 1],
  ['select length($1::text), $1', [25], 1],
  ['select 10 / $1', [23], 1],
  ['select $1::bytea', [17], 1],
  ['select fuzz_notice($1)', [25], 1],
  ["select set_config('application_name', $1, false)", [25], 1],
];
