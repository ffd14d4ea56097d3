import { describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { eventually } from '../support/process-facts.ts';
import { type BackendMessage, errorsOf, statusOf } from '../support/raw-client.ts';
import { besideDirect } from './beside-direct.ts';
import { heldId } from './fixture.ts';

const POLICY = `
mode: protect
hold: { mode: live }
rules:
  - { name: never, match: { application: [never], operation: ["drop *"] }, action: block }
  - { name: ask, match: { application: [ask], operation: ["drop *"] }, action: hold }
`;

const SETUP = `drop schema if exists app cascade; create schema app; create table app.t (id int primary key, v text); create table app.other (id int);
  create function app.f() returns trigger language plpgsql as 'begin return new; end'`;

/** As a migration, or a dump that is loaded with --clean --if-exists, says it ahead of what it makes. */
const NOTHING = [
  'drop table if exists nope',
  'drop table if exists nope, app.nope, nowhere.nope cascade',
  'drop view if exists nope',
  'drop materialized view if exists app.nope',
  'drop sequence if exists app.nope',
  'drop index if exists app.nope',
  'drop foreign table if exists nope',
  'drop schema if exists nope cascade',
  'drop type if exists app.nope',
  'drop domain if exists nope',
  'drop function if exists app.nope(int, text)',
  'drop procedure if exists nope()',
  'drop routine if exists nope',
  'drop aggregate if exists nope(int)',
  'drop trigger if exists nope on app.t',
  'drop trigger if exists nope on app.nope',
  'drop policy if exists nope on app.t',
  'drop rule if exists nope on app.t',
  'drop extension if exists nope',
  'drop role if exists nope_a, nope_b',
  'drop publication if exists nope',
  'alter table if exists only app.nope drop constraint if exists nope_pkey',
  'alter table if exists app.nope rename to other',
  'alter table if exists app.nope set schema public',
  'alter sequence if exists app.nope restart',
];

const shown = (messages: readonly BackendMessage[]) =>
  messages.map(({ type, body }) => `${type} ${body.toString('latin1').replace(/F\w+\.c\0L\d+\0R\w+\0/, '')}`);
const run = (sql: string) =>
  Buffer.concat([fe.parse('', sql), fe.bind(), fe.describe('P'), fe.execute(), fe.sync()]);

describe.each([18, 15] as const)('what drops nothing, on PostgreSQL %i', (version) => {
  const under = besideDirect(POLICY, version, SETUP);

  it('takes the unnamed statement away, as a Query does, and as no Execute', async () => {
    const made = 'create or replace view app.seen as select 1';
    for (const sql of [NOTHING[0]!, made]) {
      for (const client of [under.direct, under.client]) {
        client.write(Buffer.concat([fe.parse('', 'select 7'), fe.sync()]));
        await client.untilReady();
        expect(errorsOf(await client.query(sql))).toEqual([]);
        client.write(Buffer.concat([fe.bind(), fe.execute(), fe.sync()]));
        expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '26000' }]);
        await under.direct.query('drop view if exists app.seen');
      }
    }
    const named = [fe.parse('d', NOTHING[0]!), fe.bind({ statement: 'd' }), fe.execute(), fe.sync()];
    for (const client of [under.direct, under.client]) {
      client.write(Buffer.concat([fe.parse('', 'select 7'), ...named]));
      expect(errorsOf(await client.untilReady())).toEqual([]);
      client.write(Buffer.concat([fe.bind(), fe.execute(), fe.sync()]));
      expect(errorsOf(await client.untilReady())).toEqual([]);
    }
  });

  it.each(NOTHING)('runs at once, and is answered as by the server: %s', async (sql) => {
    const [, said] = [await under.direct.query('select 1'), shown(await under.direct.query(sql))];
    expect(shown(await under.client.query(sql))).toEqual(said);
    under.direct.write(run(sql));
    under.client.write(run(sql));
    expect(shown(await under.client.untilReady())).toEqual(shown(await under.direct.untilReady()));
  });

  it('is recorded as what it is', async () => {
    await under.client.query('drop table if exists recorded_as_nothing');
    const [event] = await under.fixture.auditEvents(
      (event) => JSON.stringify(event).includes('recorded_as_nothing') && 'end' in event,
      1,
    );
    expect(event).toMatchObject({ action: 'allow', rule: 'default:low', risk: 'low' });
  });

  it('runs inside of a transaction, which goes on and keeps what it has', async () => {
    await under.client.query('begin');
    await under.client.query("insert into app.t values (1, 'one')");
    const said = shown(await under.client.query('drop view if exists app.nope'));
    expect(said.join()).toContain('does not exist, skipping');
    under.client.write(run('drop index if exists app.nope'));
    expect(statusOf(await under.client.untilReady())).toBe('T');
    await under.client.query('commit');
    expect(await under.direct.rows('select count(*) from app.t')).toEqual([['1']]);
  });

  it.each([
    'drop table if exists nope, app.t',
    'drop function if exists app.f()',
    'drop type if exists app.t',
    'drop schema if exists nope, app cascade',
    'alter table if exists app.t drop constraint if exists t_pkey',
  ])('is held as ever where anything is there: %s', async (sql) => {
    under.client.write(fe.query(sql));
    await under.fixture.resolve(await heldId(under.client), 'deny');
    await under.client.untilReady();
    under.client.write(run(sql));
    await under.fixture.resolve(await heldId(under.client), 'deny');
    expect(errorsOf(await under.client.untilReady())).toMatchObject([{ C: '42501' }]);
    expect(await under.direct.rows("select to_regclass('app.t_pkey') is not null")).toEqual([['t']]);
  });

  it.each([
    ['never', { C: '42501' }],
    ['ask', { C: '42501' }],
  ])('is decided by a rule that names its operation: %s', async (application_name, error) => {
    const bound = await under.fixture.client({ application_name });
    for (const sent of [fe.query('drop table if exists nope'), run('drop table if exists nope')]) {
      bound.write(sent);
      if (application_name === 'ask') await under.fixture.resolve(await heldId(bound), 'deny');
      expect(errorsOf(await bound.untilReady())).toMatchObject([error]);
    }
    await bound.terminate();
  });

  it('is refused while the gateway is paused', async () => {
    await under.fixture.gateway.http('/v1/pause', { method: 'POST', body: { reason: 'test' } });
    try {
      expect(errorsOf(await under.client.query('drop table if exists nope'))[0]?.['M']).toContain('paused');
    } finally {
      await under.fixture.gateway.http('/v1/resume', { method: 'POST', body: {} });
    }
  });

  it('is held where an event trigger would be told of it', async () => {
    await under.direct.rows(`create function app.told() returns event_trigger language plpgsql as 'begin delete from app.t; end';
      insert into app.t values (1, 'one'); create event trigger told on ddl_command_start execute function app.told()`);
    try {
      under.client.write(fe.query('drop table if exists nope'));
      await under.fixture.resolve(await heldId(under.client), 'deny');
      await under.client.untilReady();
      expect(await under.direct.rows('select count(*) from app.t')).toEqual([['1']]);
    } finally {
      await under.direct.rows('drop event trigger told');
    }
  });

  /** The trigger comes to be there, seen by nobody, while the statement waits for its table. */
  async function whileItIsMade(message: Buffer): Promise<void> {
    await under.direct.query('begin');
    await under.direct.query('lock table app.t in access exclusive mode');
    under.client.write(message);
    await eventually('the wait', async () => {
      const [row] = await under.fixture.postgres.sql(
        "select count(*) from pg_locks where not granted and relation = 'app.t'::regclass",
      );
      return row?.[0] === '1' ? null : 'waits for no lock';
    });
    await under.direct.query(
      'create trigger late before insert on app.t for each row execute function app.f()',
    );
    await under.direct.query('commit');
  }
  const late = async () =>
    (await under.direct.rows("select count(*) from pg_trigger where tgname = 'late'"))[0]![0];

  it('is taken back, and held, where it has come to be there meanwhile', async () => {
    await whileItIsMade(fe.query('drop trigger if exists late on app.t'));
    const id = await heldId(under.client);
    expect(await late()).toBe('1');
    await under.fixture.resolve(id, 'deny');
    await under.client.untilReady();
    expect(await late()).toBe('1');
  });

  it('is taken back in a transaction that has written before', async () => {
    await under.client.query('begin');
    await under.client.query('insert into app.other values (7)');
    await under.client.query('savepoint mine');
    await whileItIsMade(fe.query('drop trigger if exists late on app.t'));
    await under.fixture.resolve(await heldId(under.client), 'deny');
    expect(statusOf(await under.client.untilReady())).toBe('E');
    await under.client.query('rollback to mine');
    await under.client.query('commit');
    expect([await late(), await under.direct.rows('select * from app.other')]).toEqual(['1', [['7']]]);
  });

  it('is taken back at its Sync by the extended protocol, and may be sent again', async () => {
    const sql = 'drop trigger if exists late on app.t';
    await whileItIsMade(run(sql));
    expect(errorsOf(await under.client.untilReady())).toMatchObject([{ C: '40001' }]);
    expect(await late()).toBe('1');
    under.client.write(run(sql));
    await under.fixture.resolve(await heldId(under.client), 'deny');
    await under.client.untilReady();
    expect(await late()).toBe('1');
  });

  it('runs by an Execute that is the only one of its Bind', async () => {
    under.client.write(fe.query('begin'));
    await under.client.untilReady();
    under.client.write(
      fe.parse('', 'drop view if exists app.soon'),
      fe.bind({ portal: 'p' }),
      fe.execute('p'),
      fe.sync(),
    );
    expect(errorsOf(await under.client.untilReady())).toEqual([]);
    await under.direct.query('create view app.soon as select 1');
    under.client.write(fe.execute('p'), fe.sync());
    expect(errorsOf(await under.client.untilReady())).toMatchObject([{ C: '40001' }]);
    await under.client.query('rollback');
    expect(await under.direct.rows("select to_regclass('app.soon') is not null")).toEqual([['t']]);
  });
});
