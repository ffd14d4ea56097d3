import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { SNAPSHOTS } from '../support/gateway.ts';
import { eventually } from '../support/process-facts.ts';
import { cancel, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

/** What leads to code that may do more than read is refused here, where a user's would be held. */
const POLICY = `
mode: protect
without_plan: block
`;

/** Put there past the gateway, as that of a new user is. */
const BASE = `
create table people (id int primary key, name text, city varchar(20), status text);
insert into people select i, 'n' || i, 'c', 's' from generate_series(1, 5) i;
create schema app;
create function app.tenant() returns text language sql stable as $$ select coalesce(current_setting('app.tenant', true), 'a') $$;
create function app.wipe() returns int language plpgsql as $$ begin delete from public.people; return 1; end $$;
create function status(int) returns int language plpgsql as $$ begin delete from public.people; return 1; end $$;
create view plain as select id, lower(name) as name from people;
create view withfn as select id, status, app.tenant() as tenant from people;
create view strasse as select id, 'grün €'::text as "größe" from people;
create view evil as select app.wipe() as w;
create table tenants (id int, tenant text);
insert into tenants values (1, 'a'), (2, 'b');
alter table tenants enable row level security;
create policy p on tenants using (tenant = app.tenant());
`;

const READS = ['select count(*) from plain', 'select count(*) from withfn', 'select count(*) from tenants'];

/** Each reads in a database of its own, of which nothing is known yet. */
describe.each([15, 18] as const)('clients that read what calls functions on PostgreSQL %d', (version) => {
  let fixture: DecisionFixture;
  let made = 0;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(POLICY, SNAPSHOTS, version);
    await fixture.postgres.sql('create database base');
    await fixture.postgres.sql(BASE, 'base');
    await fixture.postgres.sql('create role web login');
    await fixture.postgres.sql(
      'grant usage on schema app to web; grant all on all tables in schema public to web',
      'base',
    );
  });
  afterAll(async () => await fixture?.stop());

  async function open(parameters: Record<string, string> = {}): Promise<[RawClient, string]> {
    const name = `reads_${++made}`;
    await fixture.postgres.sql(`create database ${name} template base`);
    return [await fixture.client({ database: name, ...parameters }), name];
  }

  const goesOn = async (client: RawClient, text: string) =>
    expect([text, errorsOf(await client.query(text))]).toEqual([text, []]);

  describe.each(['repeatable read', 'serializable'])('in a transaction that is %s', (level) => {
    it.each(READS)('%s', async (read) => {
      const [client] = await open({ user: 'web' });
      await goesOn(client, `begin isolation level ${level}`);
      await goesOn(client, read);
      await goesOn(client, 'commit');
      await client.terminate();
    });

    it('an own function that has a name of PostgreSQL’s', async () => {
      const [client, name] = await open();
      await fixture.postgres.sql('create extension citext', name);
      await goesOn(client, `begin isolation level ${level}`);
      await goesOn(client, "select max(id), replace(min(city), 'c', 'd') from people");
      await goesOn(client, 'commit');
      await client.terminate();
    });
  });

  it.each(READS)('with a statement_timeout that is shorter than it takes to ask: %s', async (read) => {
    const [client] = await open();
    await goesOn(client, 'begin');
    await goesOn(client, 'set local statement_timeout = 15');
    // On a busy machine the read itself may take longer, which the server then says.
    const errors = errorsOf(await client.query(read)).map(({ C }) => C);
    expect(errors.filter((code) => code !== '57014')).toEqual([]);
    await goesOn(client, 'rollback');
    await client.terminate();
  });

  it('as a role that may not read the catalog', async () => {
    const [client, name] = await open({ user: 'web' });
    await fixture.postgres.sql('revoke select on pg_proc from public', name);
    await goesOn(client, READS[0]!);
    await goesOn(client, 'begin');
    await goesOn(client, READS[0]!);
    await goesOn(client, 'commit');
    await client.terminate();
  });

  it('by cursors', async () => {
    const [client] = await open({ user: 'web' });
    await goesOn(client, 'begin');
    await goesOn(client, 'declare a cursor for select * from tenants');
    await goesOn(client, 'declare b no scroll cursor with hold for select * from withfn');
    await goesOn(client, 'fetch all from a');
    await goesOn(client, 'fetch 2 from b');
    await goesOn(client, 'commit');
    await client.terminate();
  });

  it.each(['select * from withfn', 'select app.tenant()'])(
    'by a cursor that is prepared outside of a transaction block: %s',
    async (read) => {
      const [client, name] = await open();
      const direct = await RawClient.open(fixture.postgres.port, { database: name });
      for (const each of [direct, client]) {
        each.write(fe.parse('', `declare c cursor for ${read}`), fe.bind(), fe.execute(), fe.sync());
        expect(errorsOf(await each.untilReady())).toMatchObject([{ C: '25P01' }]);
        await each.terminate();
      }
    },
  );

  it('into a materialized view', async () => {
    const [client] = await open();
    await goesOn(client, 'create materialized view kept as select * from withfn');
    await client.terminate();
  });

  it('in LATIN1, for which not all words have an equivalent', async () => {
    const [client] = await open({ client_encoding: 'LATIN1' });
    await goesOn(client, 'begin');
    await goesOn(client, 'select count(id) from strasse');
    await goesOn(client, 'commit');
    await goesOn(client, 'select count(id) from strasse');
    await client.terminate();
  });

  it('behind a ROLLBACK in one text, where the transaction has failed', async () => {
    const [client] = await open();
    await goesOn(client, 'begin');
    await client.query('select 1 / 0');
    const answer = await client.query('rollback; select count(*) from plain');
    expect([errorsOf(answer), statusOf(answer)]).toEqual([[], 'I']);
    await client.terminate();
  });

  it('is refused in each of these ways where it does more than read', async () => {
    for (const before of [
      [],
      ['begin isolation level repeatable read'],
      ['begin isolation level serializable', 'select count(*) from people'],
      ['begin', 'set local statement_timeout = 15'],
      ['set client_encoding = latin1'],
    ]) {
      const [client, name] = await open();
      for (const text of before) await goesOn(client, text);
      expect(errorsOf(await client.query('select * from evil'))).toHaveLength(1);
      await client.terminate();
      expect(await fixture.postgres.sql('select count(*) from people', name)).toEqual([['5']]);
    }
  });

  it('is refused where its transaction has failed, and the ROLLBACK in front of it is not answered yet', async () => {
    const [client, name] = await open();
    await goesOn(client, 'begin');
    await client.query('select 1 / 0');
    client.write(fe.query('rollback'), fe.query('select * from evil'));
    expect(errorsOf(await client.untilReady())).toEqual([]);
    expect(errorsOf(await client.untilReady())).toHaveLength(1);
    await client.terminate();
    expect(await fixture.postgres.sql('select count(*) from people', name)).toEqual([['5']]);
  });

  it.each([[[]], [['begin']]])('is canceled while the server is asked, behind %j', async (before) => {
    const [client, name] = await open();
    for (const text of before) await goesOn(client, text);
    const other = await RawClient.open(fixture.postgres.port, { database: name });
    await other.rows('begin; lock table pg_catalog.pg_policy in access exclusive mode');
    const sql = `select ${before.length}, count(*) from plain where name <> 'canceled'`;
    client.write(fe.query(sql));
    await eventually('the question', async () => {
      const [waiting] = await fixture.postgres.sql('select count(*) from pg_locks where not granted');
      return waiting![0] === '0' ? 'none waits' : null;
    });
    await cancel(fixture.gateway.port, client.processId, client.secretKey);
    expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '57014' }]);
    await other.rows('rollback');
    other.destroy();
    await goesOn(client, 'rollback');
    await goesOn(client, 'select count(*) from plain');
    await client.terminate();
    const [event] = await fixture.auditEvents((each) => each['sql'] === sql, 1);
    expect(event).toMatchObject({ end: 'blocked', sqlstate: '57014' });
  });

  const inserts = (name: string) => `insert into people (id, name) values (${name.length}00, 'late')`;
  it.each([
    ['a Query', [], (sql: string) => [fe.query(sql)]],
    ['a Query in a transaction', ['begin'], (sql: string) => [fe.query(sql)]],
    ['a Bind', [], (sql: string) => [fe.parse('', sql), fe.bind(), fe.execute(), fe.sync()]],
    [
      'a Bind in a transaction',
      ['begin'],
      (sql: string) => [fe.parse('', sql), fe.bind(), fe.execute(), fe.sync()],
    ],
    [
      'a Bind behind its Parse in a transaction',
      ['begin', 'prepare late as select 1'],
      (sql: string) => [fe.parse('s', sql), fe.sync(), fe.bind({ statement: 's' }), fe.execute(), fe.sync()],
    ],
  ] as const)('is no write that is canceled while the server is asked: %s', async (way, before, messages) => {
    const [client, name] = await open();
    for (const text of before) await goesOn(client, text);
    const other = await RawClient.open(fixture.postgres.port, { database: name });
    await other.rows('begin; lock table pg_catalog.pg_trigger in access exclusive mode');
    const sql = inserts(way);
    client.write(...messages(sql));
    await eventually('the question', async () => {
      const [waiting] = await fixture.postgres.sql('select count(*) from pg_locks where not granted');
      return waiting![0] === '0' ? 'none waits' : null;
    });
    await cancel(fixture.gateway.port, client.processId, client.secretKey);
    const answers = await client.untilReady();
    if (errorsOf(answers).length === 0) answers.push(...(await client.untilReady()));
    expect(errorsOf(answers)).toMatchObject([{ C: '57014' }]);
    expect(statusOf(answers)).toBe(before.length === 0 ? 'I' : 'E');
    await other.rows('rollback');
    other.destroy();
    await goesOn(client, 'rollback');
    await goesOn(client, sql);
    await client.terminate();
    if (!way.startsWith('a Query')) return;
    const [event] = await fixture.auditEvents((each) => each['sql'] === sql, 1);
    expect(event).toMatchObject({ end: 'blocked', sqlstate: '57014' });
  });

  it('is no write whose question ends the transaction by a limit of the client, which is told', async () => {
    const [client, name] = await open();
    const other = await RawClient.open(fixture.postgres.port, { database: name });
    await other.rows('begin; lock table pg_catalog.pg_trigger in access exclusive mode');
    for (const [limit, code] of [
      ['statement_timeout', '57014'],
      ['lock_timeout', '55P03'],
    ]) {
      await goesOn(client, 'begin');
      await goesOn(client, `set local ${limit} = '100ms'`);
      const answers = await client.query(inserts(limit!));
      expect(errorsOf(answers)).toMatchObject([{ C: code }]);
      expect(statusOf(answers)).toBe('E');
      await goesOn(client, 'rollback');
    }
    await other.rows('rollback');
    other.destroy();
    await client.terminate();
  });

  it('is not canceled with what the client has sent before it', async () => {
    const [client] = await open();
    client.write(fe.query('select pg_sleep(20)'), fe.query('select count(*) from plain'));
    await eventually('the sleep', async () => {
      const [sleeping] = await fixture.postgres.sql(
        "select count(*) from pg_stat_activity where wait_event = 'PgSleep'",
      );
      return sleeping![0] === '1' ? null : 'nobody sleeps';
    });
    await cancel(fixture.gateway.port, client.processId, client.secretKey);
    expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '57014' }]);
    expect(errorsOf(await client.untilReady())).toEqual([]);
    await client.terminate();
  });

  it('while others hold a table below a view of the same name in another schema', async () => {
    const [client, name] = await open();
    await fixture.postgres.sql(
      `create schema theirs; create table theirs.people (id int);
       create view theirs.plain as select lower(id::text) as name from theirs.people`,
      name,
    );
    const other = await RawClient.open(fixture.postgres.port, { database: name });
    await other.rows('begin; lock table theirs.people in access exclusive mode');
    await goesOn(client, READS[0]!);
    await goesOn(client, 'begin');
    await goesOn(client, 'select id from plain');
    await goesOn(client, 'commit');
    await other.rows('rollback');
    other.destroy();
    await goesOn(client, 'select count(*) from theirs.plain');
    await client.terminate();
  });

  it('from many sessions at once', async () => {
    const [first, name] = await open();
    const others = await Promise.all(
      Array.from({ length: 12 }, async () => await fixture.client({ database: name })),
    );
    await Promise.all([first, ...others].map((client) => goesOn(client, READS[1]!)));
    await Promise.all([first, ...others].map((client) => client.terminate()));
  });
});
