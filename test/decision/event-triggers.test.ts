import { describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf } from '../support/raw-client.ts';
import { besideDirect } from './beside-direct.ts';
import { heldId } from './fixture.ts';

const POLICY = `
mode: protect
hold: { mode: live }
rules:
  - { name: tables, match: { operation: ["drop table", "alter table"] }, action: snapshot }
`;

const TABLES = `drop schema if exists app, elsewhere, other cascade; create schema app; create schema elsewhere;
  grant create on schema app to owner_a; create table app.t (id int primary key, v text); create table app.kept (id int);
  insert into app.kept values (1); create function app.f() returns int language sql as 'select 1';
  create materialized view app.m as select 1 as one`;
const SETUP = `drop event trigger if exists told; drop schema if exists app cascade; drop role if exists owner_a; create role owner_a; ${TABLES};
  create or replace function public.told() returns event_trigger language plpgsql as 'begin delete from app.kept; end';
  create or replace function public.watches() returns event_trigger language plpgsql as
    $$ declare r record; begin for r in select * from pg_event_trigger_ddl_commands() loop raise debug '%', r.command_tag; end loop; end $$`;
const CLEANUP = 'drop event trigger if exists told; drop schema if exists app, elsewhere, other cascade';

const STATEMENTS = [
  'alter table app.t owner to owner_a',
  'alter function app.f() owner to owner_a',
  'alter table app.t rename to u',
  'alter table app.t rename column v to w',
  'alter table app.t set schema elsewhere',
  'alter schema elsewhere rename to other',
  'grant select on app.t to owner_a',
  'refresh materialized view app.m',
  'select 1; alter table app.t rename to u; select 2',
  'begin; alter table app.t rename to u; commit',
  'alter table app.t drop column v; alter table app.t rename to u',
];

const run = (sql: string) => Buffer.concat([fe.parse('', sql), fe.bind(), fe.execute(), fe.sync()]);

describe.each([18, 15] as const)('what takes nothing away, on PostgreSQL %i', (version) => {
  const under = besideDirect(POLICY, version, SETUP, CLEANUP);
  const kept = async () => await under.direct.rows('select count(*) from app.kept');
  const ways = (sql: string) => (sql.includes(';') ? [fe.query(sql)] : [fe.query(sql), run(sql)]);

  it.each(STATEMENTS)('is held where an event trigger runs with it that may write: %s', async (sql) => {
    await under.direct.rows('create event trigger told on ddl_command_end execute function public.told()');
    for (const message of ways(sql)) {
      under.client.write(message);
      const id = await heldId(under.client);
      expect((await under.fixture.approval(id))['reason']).toMatch(/event triggers? .*may change/);
      await under.fixture.resolve(id, 'deny');
      expect(errorsOf(await under.client.untilReady())).toMatchObject([{ C: '42501' }]);
      expect(await kept()).toEqual([['1']]);
      await under.client.query('rollback');
    }
  });

  it.each([
    ['that only reads', 'on ddl_command_end execute function public.watches()'],
    [
      'of other commands',
      "on ddl_command_end when tag in ('CREATE EXTENSION') execute function public.told()",
    ],
  ])('goes on beside an event trigger %s', async (_, trigger) => {
    await under.direct.rows(`create event trigger told ${trigger}`);
    for (const sql of STATEMENTS.slice(0, -1)) {
      for (const message of ways(sql)) {
        await under.direct.rows(`drop event trigger told; ${TABLES}; create event trigger told ${trigger}`);
        under.client.write(message);
        expect([sql, errorsOf(await under.client.untilReady())]).toEqual([sql, []]);
      }
    }
  });

  it('goes on in a pipeline with other statements, and in a transaction that has failed as the server says', async () => {
    const { client, direct } = under;
    const one = (sql: string) => [fe.parse('', sql), fe.bind(), fe.execute()];
    const piped = [
      'insert into app.kept values (2)',
      'alter table app.t rename to u',
      'grant select on app.u to owner_a',
      'update app.kept set id = 3 where id = 2',
      'alter table app.u owner to owner_a',
    ];
    client.write(Buffer.concat([...piped.slice(0, 4).flatMap(one), fe.sync(), ...one(piped[4]!), fe.sync()]));
    expect(errorsOf([...(await client.untilReady()), ...(await client.untilReady())])).toEqual([]);
    expect(await direct.rows("select has_table_privilege('owner_a', 'app.u', 'select')")).toEqual([['t']]);
    await client.query('begin; select nothing');
    for (const message of [fe.query('alter table app.u rename to t'), run('alter table app.u rename to t')]) {
      client.write(message);
      expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '25P02' }]);
    }
    await client.query('rollback');
  });

  it('goes on beside one that is disabled, and is held from when another is made by the same session', async () => {
    await under.direct.rows(
      'create event trigger told on ddl_command_end execute function public.told(); alter event trigger told disable',
    );
    expect(errorsOf(await under.client.query('alter table app.t rename to u'))).toEqual([]);
    under.client.write(fe.query('alter event trigger told enable'));
    await under.fixture.resolve(await heldId(under.client), 'approve');
    expect(errorsOf(await under.client.untilReady())).toEqual([]);
    under.client.write(fe.query('alter table app.u rename to t'));
    await under.fixture.resolve(await heldId(under.client), 'deny');
    await under.client.untilReady();
    expect(await kept()).toEqual([['1']]);
  });

  it.each([
    ['alter table app.t alter column v set not null', 'as the ALTER runs'],
    ['alter table app.t drop column v', 'as the ALTER runs'],
    ['drop table app.t', 'would not be told of the DROP'],
  ])('says of what is kept otherwise why it is not: %s', async (sql, why) => {
    await under.direct.rows('create event trigger told on ddl_command_end execute function public.watches()');
    under.client.write(fe.query(sql));
    const id = await heldId(under.client);
    expect((await under.fixture.approval(id))['reason']).toContain(why);
    await under.fixture.resolve(id, 'deny');
    await under.client.untilReady();
  });
});
