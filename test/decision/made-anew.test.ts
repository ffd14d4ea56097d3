import { describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { eventually } from '../support/process-facts.ts';
import { type BackendMessage, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { besideDirect } from './beside-direct.ts';
import { heldId } from './fixture.ts';

const POLICY = `
mode: protect
hold: { mode: live }
rules:
  - { name: ask, match: { application: [ask], operation: ["create *"] }, action: hold }
`;

const SETUP = `drop schema if exists app cascade; create schema app; create table app.t (id int);
  create function app.wipes() returns int language sql as 'delete from app.t; select 1'; insert into app.t values (1)`;

const KEPT = [
  ["create or replace function app.f(a int) returns int language sql as 'select 1'", 'function app.f(int)'],
  [
    `CREATE  OR\n REPLACE FUNCTION app.f() returns trigger language plpgsql as $$ begin return new; end $$`,
    'function app.f()',
  ],
  ["create or replace procedure app.f() language sql as 'select 1'", 'procedure app.f()'],
] as const;
const HELD = [
  ['create or replace view app.f as select id from app.t', 'view app.f'],
  ['create or replace aggregate app.f(int) (sfunc = int4pl, stype = int)', 'aggregate app.f(int)'],
] as const;

const shown = (messages: readonly BackendMessage[]) =>
  messages.map(({ type, body }) => `${type} ${body.toString('latin1').replace(/F\w+\.c\0L\d+\0R\w+\0/, '')}`);

describe.each([18, 15] as const)('CREATE OR REPLACE, on PostgreSQL %i', (version) => {
  const under = besideDirect(POLICY, version, SETUP);

  async function denied(of: RawClient): Promise<void> {
    await under.fixture.resolve(await heldId(of), 'deny');
    expect(errorsOf(await of.untilReady())).toMatchObject([{ C: '42501' }]);
  }

  it.each(KEPT)(
    'of what is not there is its CREATE; of what is there it keeps what that was: %s',
    async (sql, what) => {
      const said = shown(await under.direct.query(sql));
      await under.direct.rows(`drop ${what}`);
      expect(shown(await under.client.query(sql))).toEqual(said);
      // The same once more leaves it as it was.
      expect(shown(await under.client.query(sql))).toEqual(said);
      const other = sql.replace('select 1', 'select 2').replace('return new', 'return null');
      expect(shown(await under.client.query(other))).toEqual(said);
      const events = await under.fixture.auditEvents((each) => each['sql'] === other && 'end' in each, 1);
      expect(events.at(-1)).toMatchObject({ action: 'snapshot', snapshot: expect.stringContaining('snap_') });
      await under.direct.rows(`drop ${what}`);
      // Drivers that prepare what they send are told the same, of what is new and of what is there.
      for (const each of [sql, other]) {
        under.direct.write(fe.parse('', each), fe.bind(), fe.execute(), fe.sync());
        const answers = shown(await under.direct.untilReady());
        await under.direct.rows(each === sql ? `drop ${what}` : sql);
        under.client.write(fe.parse('', each), fe.bind(), fe.execute(), fe.sync());
        expect(shown(await under.client.untilReady())).toEqual(answers);
      }
      await under.direct.rows(`drop ${what}`);
    },
  );

  it.each(HELD)('of what is not there is its CREATE; of what is there it is held: %s', async (sql, what) => {
    const said = shown(await under.direct.query(sql));
    await under.direct.rows(`drop ${what}`);
    expect(shown(await under.client.query(sql))).toEqual(said);
    under.client.write(fe.query(sql));
    await denied(under.client);
    await under.direct.rows(`drop ${what}`);
    await under.client.query('begin');
    expect(shown(await under.client.query(sql)).map((each) => each[0])).toEqual(['C', 'Z']);
    under.client.write(fe.query(sql));
    await under.fixture.resolve(await heldId(under.client), 'deny');
    expect(statusOf(await under.client.untilReady())).toBe('E');
    await under.client.query('rollback');
  });

  it('is told of errors in the same words once somebody has let it go', async () => {
    const sql = 'create or replace view app.v as select nothing from app.t';
    const said = shown(await under.direct.query(sql));
    under.client.write(fe.query(sql));
    await under.fixture.resolve(await heldId(under.client), 'approve');
    expect(shown(await under.client.untilReady())).toEqual(said);
  });

  it('is held where the CREATE would be', async () => {
    const asked = await under.fixture.client({ application_name: 'ask' });
    for (const sql of [
      KEPT[0][0],
      "create or replace function app.lower(text) returns text language sql as 'select 1::text'",
    ]) {
      asked.write(fe.query(sql));
      await denied(asked);
    }
    await asked.terminate();
    under.client.write(
      fe.query("create or replace function app.lower(text) returns text language sql as 'select 1::text'"),
    );
    await denied(under.client);
  });

  it('makes what is looked at when it is called', async () => {
    await under.client.query("create or replace function app.g(int) returns int language sql as 'select 1'");
    expect(errorsOf(await under.client.query('select app.g(1)'))).toEqual([]);
    await under.client.query(
      "create or replace function app.g(text) returns int language sql as 'select app.wipes()'",
    );
    under.client.write(fe.query("select app.g('1'::text)"));
    await denied(under.client);
    expect(await under.direct.rows('select count(*) from app.t')).toEqual([['1']]);
  });

  it('is told as the server tells it where that refuses the commit, and recorded once', async () => {
    const sql = "create or replace function app.late() returns int language sql as 'select 1'";
    await under.direct.rows(`
      create table app.parent (id int primary key);
      create table app.child (id int references app.parent deferrable initially deferred);
      create function app.adds() returns event_trigger language plpgsql as
        $$ begin insert into app.child values (99); end $$;
      create event trigger adds on ddl_command_end when tag in ('CREATE FUNCTION') execute function app.adds()`);
    try {
      expect(errorsOf(await under.client.query(sql))).toMatchObject([{ C: '23503' }]);
    } finally {
      await under.direct.rows('drop event trigger adds');
    }
    const events = await under.fixture.auditEvents((each) => each['sql'] === sql, 1);
    expect(events).toMatchObject([{ end: 'blocked', sqlstate: '23503' }]);
  });

  /** The server's checkpointer makes the standby known to all others, some time after it is named. */
  async function untilCommitsWait(): Promise<void> {
    const probe = await RawClient.open(under.fixture.postgres.port);
    await probe.query('set synchronous_commit = on');
    await eventually('a commit', async () => {
      let [isOver, hasWaited] = [false, false];
      const commit = probe.query("select pg_logical_emit_message(true, '', '')").then(() => {
        isOver = true;
      });
      while (!isOver) {
        const canceled = await under.direct.rows(
          "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'",
        );
        hasWaited ||= canceled.length > 0;
      }
      await commit;
      return hasWaited ? null : 'waits for nobody';
    });
    await probe.terminate();
  }

  it('is recorded as lost where the server goes while it is committed, and others look at what it has made', async () => {
    const before = "create function app.lost() returns int language plpgsql as 'begin return 1; end'";
    const sql =
      "create or replace function app.lost() returns int language plpgsql as 'begin return app.wipes(); end'";
    await under.direct.rows(before);
    const other = await under.fixture.client();
    expect(await other.rows('select app.lost()')).toEqual([['1']]);
    const set = async (...settings: readonly string[]) => {
      for (const each of settings) await under.direct.query(`alter system ${each}`);
      await under.direct.rows('select pg_reload_conf()');
    };
    // Who asks for it waits at its COMMIT for a standby that is not there.
    await set('set synchronous_commit = local', "set synchronous_standby_names = 'nobody'");
    try {
      await untilCommitsWait();
      await under.client.query('set synchronous_commit = on');
      under.client.write(fe.query(sql));
      await eventually('the commit', async () => {
        const [ended] = await under.direct.rows(
          "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'",
        );
        return ended === undefined ? 'nobody waits' : null;
      });
      const [event] = await under.fixture.auditEvents((each) => each['sql'] === sql, 1);
      expect(event).toMatchObject({ end: 'lost' });
      other.write(fe.query('select app.lost()'));
      await denied(other);
      expect(await under.direct.rows('select count(*) from app.t')).toEqual([['1']]);
      await other.terminate();
    } finally {
      await set('reset synchronous_standby_names', 'reset synchronous_commit');
    }
  });
});
