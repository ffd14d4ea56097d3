import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf, type RawClient } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

const POLICY = `
mode: protect
hold: { mode: auto, grant_for: 10m }
rules:
  - { name: all asks, match: { application: [agent], operation: [select, insert, do] }, action: hold, hold: { mode: ticket } }
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
