import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf, type RawClient } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

const POLICY = `
mode: protect
hold: { mode: auto, grant_for: 10m }
rules:
  - { name: all asks, match: { application: [agent], operation: [select, insert, do, declare cursor, drop schema, drop table, drop owned, grant role] }, action: hold, snapshot: off, hold: { mode: ticket } }
  - { name: waits, match: { application: [waits] , risk: [high, critical] }, action: hold, hold: { mode: live } }
`;

/** Code that harms nobody, until it is replaced; `beside` has nothing to do with any statement here. */
const HARMLESS = `
create function "dotted.name"() returns int language plpgsql as $$ begin return 1; end $$;
create function below() returns int language plpgsql as $$ begin return 1; end $$;
create function atomic_one() returns int begin atomic select below(); end;
create function called() returns int language plpgsql as $$ begin return 1; end $$;
create function calling() returns int language plpgsql as $$ begin return CALLED(); end $$;
create function adding(int, int) returns int language plpgsql as $$ begin return 1; end $$;
create aggregate total(int) (sfunc = adding, stype = int, initcond = '0');
create function joined(int, int) returns int language plpgsql as $$ begin return 1; end $$;
create operator @@@ (leftarg = int, rightarg = int, function = joined);
create function checking(int) returns bool language plpgsql as $$ begin return true; end $$;
create domain checked as int check (checking(value));
create type pair as (a int, b int);
create function casting(pair) returns int language plpgsql as $$ begin return 1; end $$;
create cast (pair as int) with function casting(pair);
create function noted(precious) returns int language plpgsql as $$ begin return 1; end $$;
create function beside() returns int language plpgsql as $$ begin return 1; end $$;
`;

/** Code that runs a prepared statement, in the catalog or as it is sent, and what comes to it. */
const RUNNERS: readonly (readonly [string, string, string])[] = [
  [
    'in a function',
    `create or replace function run_q() returns int language plpgsql as $$ begin execute 'execute q'; return 1; end $$`,
    'select run_q()',
  ],
  [
    'in a function of SQL',
    `create or replace function run_plain_q() returns void language sql as 'execute q'`,
    'select run_plain_q()',
  ],
  [
    'in a function that another calls, by a name that is put together',
    `create or replace function run_below() returns int language plpgsql as $$ begin execute 'exec' || 'ute q'; return 1; end $$;
     create or replace function run_above() returns int language plpgsql as $$ begin return run_below(); end $$`,
    'select run_above()',
  ],
  [
    'in a trigger',
    `create or replace function run_q_by_trigger() returns trigger language plpgsql as $$ begin execute 'execute q'; return new; end $$;
     drop table if exists triggering; create table triggering (id int); grant all on triggering to public;
     create trigger runs before insert on triggering for each row execute function run_q_by_trigger()`,
    'insert into triggering values (1)',
  ],
  [
    'in a policy behind a view',
    `create or replace function run_q_by_policy() returns bool language plpgsql as $$ begin execute 'execute q'; return true; end $$;
     drop table if exists guarded cascade; create table guarded (id int); create view over_guarded as select * from guarded;
     alter table guarded enable row level security; create policy runs on guarded using (run_q_by_policy())`,
    'select * from over_guarded',
  ],
  [
    'as a function is told, beside a DO',
    'create or replace function run_text(t text) returns int language plpgsql as $$ begin execute t; return 1; end $$',
    "do $$ begin end $$; select run_text('exec' || 'ute q')",
  ],
  ['in a DO that puts its name together', 'select 1', "do $$ begin execute 'EXEC' || 'UTE q'; end $$"],
  ['in a DO whose text is continued', 'select 1', "do 'begin exe'\n'cute ''exec'' || ''ute q''; end'"],
  [
    'in a DO whose text is hidden',
    'select 1',
    "do U&'begin !0065xecute ''exec'' || ''ute q''; end' uescape '!'",
  ],
];

const WIPES = 'language plpgsql as $$ begin delete from precious; return 1; end $$';
const WIPES_BOOL = 'language plpgsql as $$ begin delete from precious; return true; end $$';

const REPLACED: readonly (readonly [string, string, string])[] = [
  [
    'a function with a dot in its name',
    'select "dotted.name"()',
    `create or replace function "dotted.name"() returns int ${WIPES}`,
  ],
  [
    'what a function runs whose body the catalog knows',
    'select atomic_one()',
    `create or replace function below() returns int ${WIPES}`,
  ],
  [
    'what a function runs whose body is a string',
    'select calling()',
    `create or replace function called() returns int ${WIPES}`,
  ],
  [
    'what a DO calls',
    'do $$ begin perform Called(); end $$',
    `create or replace function called() returns int ${WIPES} --`,
  ],
  [
    'what an aggregate adds with',
    'select total(1)',
    `create or replace function adding(int, int) returns int ${WIPES}`,
  ],
  [
    'the function of an operator',
    'select 1 @@@ 2',
    `create or replace function joined(int, int) returns int ${WIPES}`,
  ],
  [
    'the check of a domain that it casts to',
    'insert into other values ((1::checked)::int)',
    `create or replace function checking(int) returns bool ${WIPES_BOOL}`,
  ],
  [
    'the function of a cast',
    'insert into other values (row(1, 2)::pair::int)',
    `create or replace function casting(pair) returns int ${WIPES}`,
  ],
  [
    'a function that is written as a column',
    'select p.noted from precious p',
    `create or replace function noted(precious) returns int ${WIPES}`,
  ],
  [
    'an operator that another comes to stand for',
    "insert into other select id from precious where note = 'row 1'::varchar",
    `create function same(text, varchar) returns bool ${WIPES_BOOL};
     create operator public.= (leftarg = text, rightarg = varchar, function = same)`,
  ],
  [
    'a function of PostgreSQL itself',
    "select lpad('a', 2)",
    `create or replace function pg_catalog.lpad(text, int) returns text language plpgsql immutable strict as
       $$ begin delete from public.precious; return ''; end $$`,
  ],
];

describe.each([15, 18] as const)(
  'what has been approved runs only as long as it is as it was, on PostgreSQL %i:',
  (version) => {
    let fixture: DecisionFixture;
    beforeAll(async () => {
      fixture = await DecisionFixture.start(POLICY, {}, version);
      await fixture.postgres.sql(HARMLESS);
    });
    afterAll(async () => await fixture?.stop());

    const ticketOf = async (client: RawClient, text: string): Promise<{ id: string; why: string }> => {
      client.write(fe.query(text));
      const errors = errorsOf(await client.untilReady());
      expect(errors).toMatchObject([{ C: 'HF001' }]);
      return { id: JSON.parse(errors[0]!['D']!).approval_id, why: errors[0]!['M']! };
    };

    it.each(REPLACED)('%s', async (_, text, replacement) => {
      const client = await fixture.client({ application_name: 'agent' });
      const { id } = await ticketOf(client, text);
      await fixture.resolve(id, 'approve');
      await fixture.postgres.sql(replacement);
      const again = await ticketOf(client, text);
      expect(again.id).not.toBe(id);
      expect(again.why).toMatch(/a table or function that it names has been altered/);
      expect(await fixture.preciousRows()).toBe(10);
      await client.terminate();
    });

    it.each([
      ['DROP SCHEMA', 'drop schema scratch cascade', 'create table scratch.important (id int)'],
      ['CASCADE', 'drop table based cascade', 'create view over_based as select * from based'],
      ['DROP OWNED', 'drop owned by lowly', 'alter table given owner to lowly'],
      ['GRANT of a role', 'grant grp to lowly', 'grant pg_write_all_data to grp'],
    ])('and takes along, or hands on, no more than it would have: %s', async (_, text, change) => {
      await fixture.postgres.sql(`drop role if exists lowly, grp; create role lowly; create role grp;
      create schema if not exists scratch; drop table if exists based, given; create table based (id int); create table given (id int)`);
      const client = await fixture.client({ application_name: 'agent' });
      const { id } = await ticketOf(client, text);
      await fixture.resolve(id, 'approve');
      await fixture.postgres.sql(change);
      const again = await ticketOf(client, text);
      expect(again.id).not.toBe(id);
      await fixture.resolve(again.id, 'approve');
      await fixture.postgres.sql('create temporary table passing (id int)');
      expect(errorsOf(await client.query(text))).toEqual([]);
      await fixture.postgres.sql('drop owned by lowly, grp; drop role lowly, grp');
      await client.terminate();
    });

    it.each([
      ['ticket', 'select below()'],
      ['live', 'select below()'],
      // Safe as far as its text tells.
      ['ticket', 'select * from looked_at'],
      ['ticket', 'select * from precious'],
    ])(
      'and no cursor is approved, whose query runs when it is fetched, by a hold that is %s: %s',
      async (mode, query) => {
        await fixture.postgres.sql('create or replace view looked_at as select below() as id');
        const client = await fixture.client({ application_name: mode === 'live' ? 'waits' : 'agent' });
        await client.query('begin');
        const errors = errorsOf(await client.query(`declare c cursor for ${query}`));
        expect(errors).toMatchObject([{ C: '42501', H: expect.stringContaining('Send the query itself') }]);
        expect(errors[0]!['D']).toMatch(/runs only when its cursor is fetched/);
        await client.terminate();
      },
    );

    it('prepared statements that code may run by an EXECUTE in a string', async () => {
      const text = "do ' begin execute ''execute q''; end '";
      const preparing = async (...prepared: string[]): Promise<RawClient> => {
        const client = await fixture.client({ application_name: 'agent' });
        for (const each of prepared) expect(errorsOf(await client.query(each))).toEqual([]);
        return client;
      };
      const harmless = await preparing('prepare q as select 1', "prepare p as select '''' as password");
      const { id } = await ticketOf(harmless, text);
      expect((await fixture.approval(id))['statement']).toContain(
        `${text}\n\n-- EXECUTE "p" may be run by its code:\nprepare p as`,
      );
      await fixture.resolve(id, 'approve');
      const other = await preparing(
        'prepare q as delete from precious',
        "prepare p as select '''' as password",
      );
      expect((await ticketOf(other, text)).id).not.toBe(id);
      expect(await fixture.preciousRows()).toBe(10);
      expect(errorsOf(await harmless.query(text))).toEqual([]);
      // The server tells that no other has come to be.
      expect((await ticketOf(harmless, text)).id).not.toBe(id);
      for (const client of [harmless, other]) await client.terminate();
    });

    it.each(RUNNERS)('prepared statements that code may run, %s', async (_, code, text) => {
      await fixture.postgres.sql(code);
      const preparing = async (q: string): Promise<RawClient> => {
        const client = await fixture.client({ application_name: 'agent' });
        expect(errorsOf(await client.query(`prepare q as ${q}`))).toEqual([]);
        return client;
      };
      const harmless = await preparing('select 1');
      const { id } = await ticketOf(harmless, text);
      expect((await fixture.approval(id))['statement']).toContain(
        '-- EXECUTE "q" may be run by its code:\nprepare q as select 1',
      );
      await fixture.resolve(id, 'approve');
      const other = await preparing('delete from precious');
      expect((await ticketOf(other, text)).id).not.toBe(id);
      expect(await fixture.preciousRows()).toBe(10);
      expect(errorsOf(await harmless.query(text))).toEqual([]);
      for (const client of [harmless, other]) await client.terminate();
    });

    it('prepared statements that C may run as it is told', async () => {
      await fixture.postgres.sql(`create or replace function told(text) returns text language c stable
        as '$libdir/dict_snowball', 'dsnowball_init'`);
      const client = await fixture.client({ application_name: 'agent' });
      await client.query('prepare q as select 1');
      const { id } = await ticketOf(client, "select told('execute q')");
      expect((await fixture.approval(id))['statement']).toContain('-- EXECUTE "q" may be run by its code');
      await client.terminate();
    });

    it('what is prepared with its own text and was read by other settings', async () => {
      await fixture.postgres.sql(RUNNERS[0]![1]);
      const client = await fixture.client({ application_name: 'agent' });
      const text = "select run_q() where '02/03/2026'::date is not null";
      client.write(fe.query("set datestyle = 'DMY'"), fe.parse('q', text), fe.sync());
      await client.untilReady();
      await client.untilReady();
      await client.query("set datestyle = 'MDY'");
      expect(errorsOf(await client.query(text))).toMatchObject([
        { C: '42501', D: expect.stringContaining('settings that their literals were read by') },
      ]);
      await client.terminate();
    });

    it('no setting that is read by a name of which nobody can tell, beside one that is', async () => {
      const client = await fixture.client({ application_name: 'agent' });
      const hidden = 'U&"current\\005Fsetting"';
      const text = `select current_setting('a.b', true), ${hidden}('x.' || 'y', true)`;
      expect(errorsOf(await client.query(text))).toMatchObject([{ C: '42501' }]);
      await client.terminate();
    });

    it('prepared statements that come by a Parse between its Bind and its Execute', async () => {
      await fixture.postgres.sql(RUNNERS[0]![1]);
      const client = await fixture.client({ application_name: 'agent' });
      client.write(fe.parse('q', 'select 1'), fe.sync());
      await client.untilReady();
      const bound = [fe.parse('', 'select run_q()'), fe.bind({ portal: 'p' })];
      client.write(...bound, fe.execute('p'), fe.sync());
      const [error] = errorsOf(await client.untilReady());
      const id = JSON.parse(error!['D']!).approval_id;
      expect((await fixture.approval(id))['statement']).toContain('"q" may be run by its code:\nselect 1');
      await fixture.resolve(id, 'approve');
      const exchanged = [fe.close('S', 'q'), fe.parse('q', 'delete from precious')];
      client.write(...bound, ...exchanged, fe.execute('p'), fe.sync());
      expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '42501' }]);
      expect(await fixture.preciousRows()).toBe(10);
      await client.terminate();
    });

    it('nothing that code has prepared unseen', async () => {
      await fixture.postgres.sql(RUNNERS[0]![1]);
      const client = await fixture.client({ application_name: 'agent' });
      const text = "do $$ begin execute 'prepare q as delete from precious'; end $$";
      await fixture.resolve((await ticketOf(client, text)).id, 'approve');
      expect(errorsOf(await client.query(text))).toEqual([]);
      expect(errorsOf(await client.query('select run_q()'))).toMatchObject([
        { C: '42501', D: expect.stringContaining('prepared statements of the session') },
      ]);
      expect(await fixture.preciousRows()).toBe(10);
      await client.terminate();
    });

    it('and none where no code runs what a string says', async () => {
      const client = await fixture.client({ application_name: 'agent' });
      await client.query('prepare q as select 1');
      for (const text of [
        'do $$ begin perform 1; end $$',
        'select calling()',
        'insert into other select 7',
      ]) {
        const { id } = await ticketOf(client, text);
        expect((await fixture.approval(id))['statement']).toBe(text);
      }
      await client.terminate();
    });

    it('and is not held again because of what it has nothing to do with', async () => {
      const client = await fixture.client({ application_name: 'agent' });
      const { id } = await ticketOf(client, 'insert into other select 7');
      await fixture.resolve(id, 'approve');
      await fixture.postgres.sql(`
      create or replace function beside() returns int language sql as 'select 2';
      create table beside_it (id serial primary key, note text); create view over_it as select * from beside_it;
      analyze precious`);
      expect(errorsOf(await client.query('insert into other select 7'))).toEqual([]);
      await client.terminate();
    });
  },
);
