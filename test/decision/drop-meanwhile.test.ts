import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Manifest } from '../../src/snapshot/manifest.ts';
import { eventually } from '../support/process-facts.ts';
import { type BackendMessage, errorsOf, RawClient } from '../support/raw-client.ts';
import type { DecisionFixture } from './fixture.ts';
import { SnapshotsTaken } from './snapshots-taken.ts';

const POLICY = `
mode: protect
without_plan: block
rules:
  - { name: what goes, match: { operation: ["drop *", "alter table"] }, action: snapshot }
  - { name: the rest, match: {}, action: allow }
`;

const SETUP = `create schema app; create table app.t (id int primary key, v text); insert into app.t values (1, 'old');
  create table app.t_new (id int primary key, v text); insert into app.t_new values (1, 'new'), (2, 'newer'); create table app.a (id int)`;
const SWAP = 'alter table app.t rename to t_old; alter table app.t_new rename to t';

const tagsOf = (messages: readonly BackendMessage[]): string[] =>
  messages
    .filter(({ type }) => type === 'C' || type === 'E')
    .map(({ body }) => body.toString('utf8', 0, body.length - 1));

describe.each([18, 15] as const)('a DROP of what others change meanwhile, on PostgreSQL %i', (version) => {
  let fixture: DecisionFixture;
  let taken: SnapshotsTaken;
  let direct: RawClient;
  let other: RawClient;
  beforeAll(async () => {
    taken = await SnapshotsTaken.start(version, {}, POLICY);
    fixture = taken.fixture;
  });
  afterAll(async () => {
    await fixture?.stop();
  });
  beforeEach(async () => {
    direct = await RawClient.open(fixture.postgres.port);
    other = await RawClient.open(fixture.postgres.port);
    await direct.rows(`drop schema if exists app, holdfast_trash cascade; ${SETUP}`);
    return async () => {
      await direct.terminate();
      await other.terminate();
    };
  });

  const last = async (): Promise<Manifest | undefined> => (await taken.all()).at(-1);

  /** Sends it while `change` is under way, which is committed once the statement waits for a lock. */
  async function meanwhile(change: string, sql: string): Promise<BackendMessage[]> {
    const client = await fixture.client();
    await other.rows('begin');
    await other.rows(change);
    const answer = client.query(sql);
    await eventually('a wait for a lock', async () => {
      const waits = `select count(*) from pg_stat_activity where wait_event_type = 'Lock'`;
      return (await direct.rows(waits))[0]![0] === '1' ? null : 'nobody waits';
    });
    await other.rows('commit');
    const messages = await answer;
    await client.terminate();
    return messages;
  }

  const rowsOf = async (oid: number) => {
    const [row] = await direct.rows(`select ${oid}::regclass`);
    return (await direct.rows(`select count(*) from ${row![0]}`))[0]![0];
  };

  it.each(['drop table app.t', 'drop table if exists app.t', 'drop table app.a, app.t'])(
    'moves the table that has the name by then: %s',
    async (sql) => {
      const before = await last();
      expect(tagsOf(await meanwhile(SWAP, sql))).toEqual(['DROP TABLE']);
      const manifest = (await last())!;
      expect(manifest.id).not.toBe(before?.id);
      expect(manifest.dropped?.objects.map(({ name }) => name)).toContain('t');
      expect(await rowsOf(manifest.dropped!.objects.find(({ name }) => name === 't')!.oid)).toBe('2');
      expect(await direct.rows(`select to_regclass('app.t'), to_regclass('app.t_old')`)).toEqual([
        [null, 'app.t_old'],
      ]);
    },
  );

  it('of a column keeps the values of the table that has the name by then', async () => {
    const before = await last();
    expect(tagsOf(await meanwhile(SWAP, 'alter table app.t drop column v'))).toEqual(['ALTER TABLE']);
    const manifest = (await last())!;
    expect(manifest.id).not.toBe(before?.id);
    const copy = manifest.dropped!.objects[0]!.trash_name;
    expect(await direct.rows(`select v from holdfast_trash."${copy}" order by id`)).toEqual([
      ['new'],
      ['newer'],
    ]);
    expect(await direct.rows('select v from app.t_old')).toEqual([['old']]);
  });

  it('of a default keeps that of the table that has the name by then', async () => {
    await direct.rows(
      `alter table app.t alter v set default 'old'; alter table app.t_new alter v set default 'new'`,
    );
    expect(tagsOf(await meanwhile(SWAP, 'alter table app.t alter v drop default'))).toEqual(['ALTER TABLE']);
    const [change] = (await last())!.dropped!.altered!.changes;
    expect(change!.before).toMatchObject({ name: 'v', expression: `'new'::text` });
    expect(await direct.rows(`insert into app.t_old (id) values (77) returning v`)).toEqual([['old']]);
  });

  it('keeps a table that has come under a name that IF EXISTS did not find', async () => {
    await direct.rows('alter table app.t rename to was');
    const change = 'lock table app.a; alter table app.t_new rename to t';
    expect(tagsOf(await meanwhile(change, 'drop table if exists app.t, app.a'))).toEqual(['DROP TABLE']);
    expect((await last())!.dropped!.objects.map(({ name }) => name)).toContain('t');
    expect(await direct.rows(`select to_regclass('app.t')`)).toEqual([[null]]);
  });

  it('is never sent where it drops nothing, and answered all the same', async () => {
    const client = await fixture.client({ application_name: 'nothing' });
    for (const [sql, said] of [
      ['drop table if exists app.nothing', 'NCZ'],
      ['alter table if exists app.nothing drop column v', 'NCZ'],
      ['alter table app.a drop column if exists v', 'NCZ'],
    ] as const) {
      expect((await client.query(sql)).map(({ type }) => type).join('')).toBe(said);
    }
    const events = await fixture.auditEvents((each) => each['application'] === 'nothing', 3);
    expect(events.map((each) => each['snapshot'])).toEqual(Array(3).fill('none: it drops nothing'));
    expect(events.map((each) => each['end'])).toEqual(Array(3).fill('completed'));
    await client.terminate();
  });

  it('of temporary tables alone drops them and no others', async () => {
    const client = await fixture.client({ application_name: 'temporary' });
    await client.query('create temp table a (id int); create temp table x (id serial, v text)');
    await client.query('set search_path = app, public');
    expect((await client.query('drop table if exists a, nothing')).map(({ type }) => type).join('')).toBe(
      'NCZ',
    );
    expect(errorsOf(await client.query('alter table x drop column v'))).toEqual([]);
    expect(await client.rows('select * from x')).toEqual([]);
    await client.query('begin');
    await client.query('drop table x');
    expect(errorsOf(await client.query('select * from x'))).toMatchObject([{ C: '42P01' }]);
    await client.query('rollback');
    expect(await client.rows('select * from x')).toEqual([]);
    expect(await direct.rows(`select to_regclass('app.a') is not null`)).toEqual([['t']]);
    await client.terminate();
  });

  it.each([
    ['drop type app.e cascade', "create type app.e as enum ('a')"],
    ['drop domain app.e', 'create domain app.e as int'],
    [
      'drop view app.e cascade',
      'create view app.e as select 1 as one; create view app.f as select * from app.e',
    ],
    ['drop sequence app.e', 'create sequence app.e'],
    [
      'drop schema app cascade',
      "create function app.e() returns int language sql as 'select 1'; create type app.f as enum ('a')",
    ],
  ])('is done by one of two sessions, and refused to the other as by the server: %s', async (sql, setup) => {
    const clients = [await fixture.client(), await fixture.client()];
    const none = sql.replace(/ (app\.)?(e|app)\b/, ' $1nothing');
    const [native] = errorsOf(await direct.query(none));
    for (let i = 0; i < 4; i++) {
      await direct.rows(
        `set client_min_messages = error; drop schema if exists app cascade; create schema app; ${setup}`,
      );
      const answers = await Promise.all(clients.map(async (client) => errorsOf(await client.query(sql))));
      const codes = answers.map((errors) => errors.map((each) => each['C']));
      expect(codes.sort((a, b) => a.length - b.length)).toEqual([[], [native!['C']]]);
      const { dropped } = (await last())!;
      const oids = dropped!.objects
        .filter(({ kind }) => kind !== 'index')
        .map(({ oid, trash_name }) => `${oid} ${trash_name}`);
      const there = await direct.rows(
        `select oid || ' ' || name from (select oid, relname from pg_class where relkind <> 'c' union all select oid, typname from pg_type where typtype in ('e', 'd')
           union all select oid, proname from pg_proc) x(oid, name) where name like 'snap\\_%'`,
      );
      expect(there.map(([each]) => each)).toEqual(expect.arrayContaining(oids));
      await direct.rows('drop schema holdfast_trash cascade');
    }
    for (const client of clients) await client.terminate();
  });

  it.each(['drop view app.e cascade', 'drop materialized view app.m, app.k', 'drop table app.b cascade'])(
    'waits for other sessions that do the same, and they never for it as well: %s',
    async (sql) => {
      // Two that wait for each other would do so for longer than the answer may take.
      await direct.rows(`alter role postgres set deadlock_timeout = '1min'`);
      const clients = [await fixture.client(), await fixture.client(), await fixture.client()];
      await direct.rows('alter role postgres reset deadlock_timeout');
      for (let i = 0; i < 6; i++) {
        await direct.rows(`set client_min_messages = error; drop schema if exists app cascade; create schema app; create table app.b (id int);
        create view app.e as select * from app.b; create view app.f as select * from app.e; create view app.g as select f.id from app.f, app.e;
        create materialized view app.m as select 1 as id; create materialized view app.k as select * from app.m`);
        const answers = await Promise.all(clients.map(async (client) => errorsOf(await client.query(sql))));
        const codes = answers.map((errors) => errors.map((each) => each['C']).join());
        expect(codes.sort()).toEqual(['', '42P01', '42P01']);
        await direct.rows('drop schema holdfast_trash cascade');
      }
      for (const client of clients) await client.terminate();
    },
  );

  it('of a schema takes along what is made in it meanwhile, or leaves all of it', async () => {
    const client = await fixture.client();
    for (let i = 0; i < 4; i++) {
      await direct.rows(
        'set client_min_messages = error; drop schema if exists app cascade; create schema app',
      );
      await direct.rows(
        "create function app.e() returns int language sql as 'select 1'; create table app.t ()",
      );
      const dropping = client.query('drop schema app cascade');
      await new Promise((resolve) => setTimeout(resolve, 5 * i));
      await other.query("create function app.late() returns int language sql as 'select 1'");
      expect(errorsOf(await dropping)).toEqual([]);
      await direct.rows('drop schema holdfast_trash cascade');
    }
    await client.terminate();
  });

  it('is refused behind a ROLLBACK in a text of its own, which ends a transaction that had failed', async () => {
    const client = await fixture.client();
    for (const sql of ['rollback; drop table app.a', 'commit and chain; alter table app.t drop column v']) {
      await client.query('begin');
      await client.query('select 1/0');
      expect(errorsOf(await client.query(sql))).toMatchObject([{ C: 'HF002' }]);
      await client.query('rollback');
    }
    expect(await direct.rows('select v from app.t, app.a')).toEqual([]);
    await client.terminate();
  });
});
