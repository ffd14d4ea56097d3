import { describe, expect, it } from 'vitest';
import { MAY_TAKE, TAKES_NOTHING, takesNothing } from '../../../src/session/capturing/takes-nothing.ts';
import { AnalysisCache } from '../../../src/sql/cache.ts';

const cache = new AnalysisCache();

describe('what is high and takes nothing away', () => {
  it.each([
    'set role a',
    'set local role a',
    `select set_config('role', 'a', true), set_config('search_path', 'a', true), set_config('request.jwt', 'x', true)`,
    'grant select on a to b',
    'grant a to b',
    'create role a',
    'lock a',
    'vacuum full a',
    'cluster a',
    'reindex table a',
    'refresh materialized view a',
    'create policy p on a using (x > 1)',
    'set role a; grant select on a to b; select 1',
  ])('goes on: %s', async (sql) => {
    expect(takesNothing(await cache.analyzeText(sql), true)).toBe(true);
  });

  it.each([
    'alter table a rename to b',
    'alter table a rename column b to c',
    'alter table a rename constraint b to c',
    'alter table a set schema b',
    'alter index a rename to b',
    'alter sequence a rename to b',
    'alter view a rename to b',
    'alter view a rename column b to c',
    'alter type a rename to b',
    'alter type a rename attribute b to c',
    'alter domain a rename constraint b to c',
    'alter schema a rename to b',
    'alter trigger a on b rename to c',
    'alter table a rename to b; alter table c rename to a',
  ])('goes on where policy does not go by names: %s', async (sql) => {
    const analysis = await cache.analyzeText(sql);
    expect([takesNothing(analysis, false), takesNothing(analysis, true)]).toEqual([true, false]);
  });

  it.each([
    'revoke select on a from b',
    'alter role a login',
    'alter default privileges grant select on tables to a',
    'create or replace view a as select 1',
    `create or replace function f() returns int language sql as 'select 1'`,
    'create trigger t before insert on a execute function f()',
    'create policy p on a using (f(x))',
    `create policy p on a using (setval('s', 1) = x)`,
    'update a set x = 1 where id = 1',
    `select setval('s', 1)`,
    `select set_config('role', 'a', true), setval('s', 1)`,
    'set role a; update a set x = 1 where id = 1',
    'do $$ begin end $$',
    'alter function f() rename to lower',
    'alter function f() set schema a',
    'alter table all in tablespace a set tablespace b',
    'alter role a rename to b',
    'alter database a rename to b',
    'alter table a owner to b',
    'alter extension a set schema b',
    'alter table a rename to b; update b set c = 1 where d = 2',
    'set role a; drop table a',
    'grant select on a to b; revoke select on a from b',
  ])('is captured or held: %s', async (sql) => {
    expect(takesNothing(await cache.analyzeText(sql), false)).toBe(false);
  });

  it.each(HIGH())('is on one of two lists: %s', async (sql) => {
    const { risk, statements } = await cache.analyzeText(sql);
    expect(risk).toBe('high');
    for (const operation of statements.flatMap(({ operations }) => operations))
      expect([TAKES_NOTHING.has(operation), MAY_TAKE.has(operation)]).toContain(true);
  });

  it('has no operation on both lists', () => {
    expect([...TAKES_NOTHING].filter((operation) => MAY_TAKE.has(operation))).toEqual([]);
  });
});

/** One of every operation that the grammar's rules call high. */
function HIGH(): readonly string[] {
  return `
alter index a rename to b | alter view a rename to b | alter table a rename to b | alter function f() set schema x
alter type a owner to b | alter schema a owner to b | alter function f() depends on extension e
security label on table a is 'x' | create operator === (function = f, leftarg = int, rightarg = int)
create aggregate lower (int) (sfunc = f, stype = int) | grant select on a to b | revoke select on a from b
reindex table a | alter domain a set not null | alter collation a refresh version | alter tablespace a set (seq_page_cost = 1)
alter table all in tablespace a set tablespace b | create server s foreign data wrapper f | alter server s options (set x 'y')
create user mapping for a server s | alter user mapping for a server s options (set x 'y')
import foreign schema a from server s into b | alter default privileges grant select on tables to a
reassign owned by a to b | alter operator === (int, int) set (restrict = none) | create conversion c for 'a' to 'b' from f
create cast (a as b) without function | create transform for int language l (from sql with function f(internal))
alter text search dictionary d (x = 1) | alter text search configuration c add mapping for x with y
alter database a with connection limit 5 | cluster a | refresh materialized view a | create publication p
alter publication p add table a | insert into a values (1) on conflict (id) do update set x = 1
delete from a where id = 1 | update a set x = 1 where id = 1 | create or replace procedure p() language sql as 'select 1'
create or replace function f() returns int language sql as 'select 1' | alter function f() volatile
alter event trigger e enable | grant a to b | revoke a from b | create role a | alter role a login
alter role a set work_mem = 1 | alter database a set work_mem = 1 | vacuum full a | rollback prepared 'x' | lock a
do 'begin end' | call p() | alter table a add unique (x) | alter table a owner to b | create or replace view a as select 1
alter sequence a restart | create trigger t before insert on a execute function f() | create policy p on a
alter policy p on a to b | set role a | select setval('s', 1)
merge into a using b on a.id = b.id when matched and a.x = 1 then delete`
    .split(/\n|\|/)
    .map((sql) => sql.trim())
    .filter((sql) => sql !== '');
}
