import { describe, expect, it } from 'vitest';
import { OPERATIONS } from '../../src/policy/operations.ts';
import { AnalysisCache } from '../../src/sql/cache.ts';

/** One of each kind of command, so that what the analysis calls them can be named in a policy. */
const COMMANDS = `
select 1 | values (1) | table a | select 1 into b | with d as (delete from a returning *) select * from d
insert into a values (1) | insert into a values (1) on conflict (id) do update set x = 1 | update a set x = 1
delete from a | merge into a using b on a.id = b.id when matched then delete | truncate a | lock a
copy a from stdin | copy a to stdout | copy a from '/f' | copy a to '/f' | copy a from program 'x' | copy a to program 'x'
call p() | do 'begin end' | prepare x as select 1 | execute x | deallocate x | explain select 1 | explain analyze delete from a
begin | start transaction | commit | rollback | savepoint s | release s | rollback to s | prepare transaction 'x'
commit prepared 'x' | rollback prepared 'x' | set a.b = 1 | reset all | show all | set role a | set session authorization a
set transaction read only | set constraints all deferred | discard all | listen a | notify a | unlisten a
declare c cursor for select 1 | fetch c | move c | close c | vacuum a | analyze a | cluster a | reindex table a | checkpoint
load 'x' | comment on table a is 'x' | security label on table a is 'x' | grant select on a to b | revoke select on a from b
grant a to b | revoke a from b | drop owned by a | reassign owned by a to b | alter system set x = 1
alter default privileges grant select on tables to a | create table a (id int) | create table a as select 1
create materialized view a as select 1 | refresh materialized view a | create view a as select 1 | create index on a (x)
create sequence a | alter sequence a restart | create schema a | create extension a | create domain a as int
create type a as enum ('x') | alter type a add value 'y' | create function f() returns int language sql as 'select 1'
create procedure p() language sql as 'select 1' | alter function f() volatile | create trigger t before insert on a execute function f()
create rule r as on insert to a do nothing | create policy p on a | alter policy p on a to b | create role a | alter role a login
drop role a | create database a | alter database a set x = 1 | drop database a | alter table a add x int | alter table a drop x
alter table a rename to b | alter table a rename x to y | alter table a set schema b | alter table a owner to b | alter view a rename to b
drop table a | drop view a | drop index a | drop sequence a | drop schema a | drop function f() | drop procedure p() | drop type a
drop trigger t on a | drop rule r on a | drop policy p on a | drop extension a | drop domain a | drop materialized view a
create statistics s on x, y from a | alter statistics s set statistics 1 | drop statistics s | create aggregate m (int) (sfunc = f, stype = int)
create operator === (function = f, leftarg = int, rightarg = int) | create cast (a as b) without function | create collation a from "C"
create publication p | alter publication p add table a | create subscription s connection 'x' publication p | drop subscription s
create server s foreign data wrapper f | create user mapping for a server s | create foreign table t (id int) server s
import foreign schema a from server s into b | create foreign data wrapper f | create event trigger e on ddl_command_end execute function f()
alter event trigger e disable | create language l | create tablespace t location '/x' | drop tablespace t | alter tablespace t rename to u
create conversion c for 'a' to 'b' from f | create text search configuration c (copy = simple) | create access method m type index handler h
create transform for int language l (from sql with function f(internal)) | alter large object 1 owner to a | alter table all in tablespace a set tablespace b
alter table a enable row level security | alter table a disable trigger all | alter operator === (int, int) owner to a
`;

describe('every operation that the analysis yields', () => {
  const cache = new AnalysisCache();
  const commands = COMMANDS.split(/\n|\|/)
    .map((sql) => sql.trim())
    .filter((sql) => sql !== '');

  it.each(commands)('can be named in a policy: %s', async (sql) => {
    const { status, problem, statements } = await cache.analyzeText(sql);
    expect({ status, problem }).toEqual({ status: 'parsed', problem: '' });
    for (const operation of statements.flatMap(({ operations }) => operations)) {
      expect(OPERATIONS).toContain(operation);
    }
  });
});
