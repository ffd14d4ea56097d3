import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { SNAPSHOTS } from '../support/gateway.ts';
import { errorsOf, type RawClient } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

/** What leads to code that may do more than read is refused here, where a user's would be held. */
const POLICY = `
mode: protect
without_plan: block
rules: [{ name: what makes it, match: { role: [postgres], application: [maker] }, action: allow }]
`;

/** Put there past the gateway, as that of a new user is. */
const BASE = `
create table precious (id int primary key, note text);
insert into precious select i, 'row ' || i from generate_series(1, 10) i;
create table people (id int primary key, name text, city varchar(20));
insert into people select i, 'n' || i, 'c' from generate_series(1, 5) i;
create schema app;
create function app.wipe() returns int language plpgsql as $$ begin delete from public.precious; return 1; end $$;
create view evil as select app.wipe() as w;
create table tenants (id int, tenant text);
insert into tenants values (1, 'a');
create policy p on tenants using (app.wipe() = 1);
alter table tenants force row level security;
alter table tenants owner to keeper;
grant select, delete on precious to keeper; grant usage on schema app to keeper; grant all on people to keeper;
grant create on schema public to keeper;
`;

const PAIR = `
create type app.pair as (a int, b int);
create function app.first(app.pair) returns int language sql as $$ select app.wipe() $$;
create cast (app.pair as int) with function app.first(app.pair) as implicit;
`;

describe('code behind reads that has come to be since it was asked for', () => {
  let fixture: DecisionFixture;
  let made = 0;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(POLICY, SNAPSHOTS);
    await fixture.postgres.sql('create role keeper login');
    await fixture.postgres.sql('create database base');
    await fixture.postgres.sql(BASE, 'base');
  });
  afterAll(async () => await fixture?.stop());

  /** A session in a database of its own, of which the gateway has asked already. */
  async function open(
    parameters: Record<string, string> = {},
    setup = 'select 1',
  ): Promise<[RawClient, string]> {
    const name = `made_${++made}`;
    await fixture.postgres.sql(`create database ${name} template base`);
    await fixture.postgres.sql(setup, name);
    const client = await another(name, parameters);
    await passes(client, 'select count(*) from people');
    return [client, name];
  }
  const another = async (database: string, parameters: Record<string, string> = {}) =>
    await fixture.client({ database, user: 'keeper', ...parameters });
  const why = (messages: Awaited<ReturnType<RawClient['query']>>) =>
    errorsOf(messages).map(({ D, M }) => D ?? M ?? '');
  const passes = async (client: RawClient, text: string) =>
    expect([text, why(await client.query(text))]).toEqual([text, []]);
  const refuses = async (client: RawClient, text: string) =>
    expect(why(await client.query(text))).toEqual([expect.stringContaining('it may change tables')]);
  const left = async (database: string) =>
    Number((await fixture.postgres.sql('select count(*) from precious', database))[0]![0]);

  const TOUCHES = 'alter table tenants enable row level security';

  it.each(['Query', 'Execute'])('by an ALTER TABLE that is kept, which comes as a %s', async (way) => {
    const [client, name] = await open();
    const other = await another(name);
    await passes(other, 'select * from tenants');
    if (way === 'Query') await passes(client, TOUCHES);
    else {
      client.write(fe.parse('', TOUCHES), fe.bind(), fe.execute(), fe.sync());
      expect(why(await client.untilReady())).toEqual([]);
    }
    await refuses(other, 'select * from tenants');
    await refuses(client, 'select * from tenants');
    expect(await left(name)).toBe(10);
    await Promise.all([client, other].map((each) => each.terminate()));
  });

  it('by an ALTER TABLE behind so many reads alike that they are not read any more', async () => {
    const [client, name] = await open();
    const other = await another(name);
    for (let i = 1; i <= 8; i++) await passes(other, `select * from tenants where id = ${i}`);
    await passes(client, TOUCHES);
    await refuses(other, 'select * from tenants where id = 9');
    await refuses(client, 'select * from tenants where id = 10');
    expect(await left(name)).toBe(10);
    await Promise.all([client, other].map((each) => each.terminate()));
  });

  it('by one in a transaction, or that is taken back there', async () => {
    const [client, name] = await open();
    const other = await another(name);
    await passes(client, 'begin');
    await passes(client, TOUCHES);
    await refuses(client, 'select * from tenants');
    await passes(client, 'rollback');
    await passes(client, 'select * from tenants');
    expect(await left(name)).toBe(10);
    await Promise.all([client, other].map((each) => each.terminate()));
  });

  it('by code that takes back what it has done, which others have not seen', async () => {
    const [client, name] = await open();
    const maker = await another(name, { user: 'postgres', application_name: 'maker' });
    await passes(maker, 'create or replace view forgotten as select 1');
    await passes(maker, 'begin');
    await passes(maker, 'do $$ begin drop view evil; end $$');
    await passes(maker, 'select count(*) from people');
    await passes(client, 'select count(*) from people');
    await passes(maker, 'rollback');
    await refuses(client, 'select * from evil');
    expect(await left(name)).toBe(10);
    await Promise.all([client, maker].map((each) => each.terminate()));
  });

  it.each(['rollback', 'commit', 'rollback and chain', 'rollback to a'])(
    'as nothing could be asked, behind a %s in one text with the read',
    async (end) => {
      const [client, name] = await open();
      await passes(client, 'begin');
      await passes(client, 'savepoint a');
      // Nothing that was learnt before counts, but as what is known last.
      await passes(client, 'create view mine as select 1');
      await client.query('select 1 / 0');
      expect(why(await client.query(`${end}; select * from evil`))).toHaveLength(1);
      await client.query('rollback');
      expect(await left(name)).toBe(10);
      await client.terminate();
    },
  );

  it('by others while a transaction reads by one snapshot, or by one that it was lent', async () => {
    const [client, name] = await open();
    const maker = await another(name, { user: 'postgres', application_name: 'maker' });
    const begins = 'begin isolation level repeatable read';
    const lender = await another(name);
    await passes(lender, begins);
    const lent = (await lender.rows('select pg_export_snapshot()'))[0]?.[0];
    await passes(client, begins);
    await passes(client, 'select count(*) from people');
    await passes(maker, 'create view later as select * from evil');
    await refuses(client, 'select * from later');
    await passes(client, 'rollback');
    await passes(client, begins);
    await passes(client, `set transaction snapshot '${lent}'`);
    await passes(client, 'select count(*) from people');
    const other = await another(name);
    await refuses(other, 'select * from later');
    expect(await left(name)).toBe(10);
    await Promise.all([client, maker, lender, other].map((each) => each.terminate()));
  });

  it('is no matter in a transaction that only reads, as that of a dump, whatever others have made', async () => {
    const [client, name] = await open({ user: 'postgres' }, PAIR);
    const maker = await another(name, { user: 'postgres', application_name: 'maker' });
    await passes(client, 'begin isolation level repeatable read, read only');
    await passes(client, 'select count(*) from people');
    await passes(maker, 'create view later as select 1');
    await passes(client, 'copy people to stdout');
    expect(why(await client.query('commit; copy people to stdout'))).toEqual([expect.any(String)]);
    await Promise.all([client, maker].map((each) => each.terminate()));
  });

  it('by a new table whose columns are of a type that runs code', async () => {
    const [client, name] = await open({ user: 'postgres' }, PAIR);
    await passes(client, 'create table pairs (p app.pair)');
    await passes(client, 'insert into pairs values (row(1, 2))');
    await refuses(client, 'select abs(p) from pairs');
    expect(await left(name)).toBe(10);
    await client.terminate();
  });

  it('by one of several statements of a text', async () => {
    const [client, name] = await open();
    await passes(client, `update people set name = name where id = 1; ${TOUCHES}`);
    await refuses(client, 'select * from tenants');
    expect(await left(name)).toBe(10);
    await client.terminate();
  });
});
