import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf, type RawClient } from '../support/raw-client.ts';
import { DecisionFixture, heldId } from './fixture.ts';

const POLICY = `
mode: protect
hold: { mode: auto, grant_for: 10m }
rules:
  - { name: comes again, match: { application: [agent], operation: ["drop *", truncate, delete] }, action: hold, hold: { mode: ticket }, snapshot: off }
  - { name: waits, match: { application: [waits], operation: ["drop *", truncate, select] }, action: hold, hold: { mode: live }, snapshot: off }
`;

const TABLES = `
drop schema if exists scratch, prod cascade;
create schema scratch; create table scratch.t (id int); insert into scratch.t values (1);
create schema prod; create table prod.t (id int); insert into prod.t select generate_series(1, 5);
`;

/** A statement by a portal of its own, executed at once. */
const also = (text: string): Buffer[] => [
  fe.parse('also', text),
  fe.bind({ statement: 'also', portal: 'also' }),
  fe.execute('also'),
  fe.close('P', 'also'),
  fe.close('S', 'also'),
];

describe.each([15, 18] as const)('what was approved at its Bind, on PostgreSQL %d,', (version) => {
  let fixture: DecisionFixture;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(POLICY, { HOLDFAST_SNAPSHOTS_TAKEN: 'off' }, version);
    await fixture.postgres.sql('create role poor');
  });
  afterAll(async () => await fixture?.stop());
  beforeEach(async () => {
    await fixture.reset();
    await fixture.postgres.sql(TABLES);
  });

  const rows = async (table: string) =>
    Number((await fixture.postgres.sql(`select count(*) from ${table}`))[0]![0]);
  const bound = (text: string) => [fe.parse('', text), fe.bind({ portal: 'p1' })];

  async function approved(client: RawClient, text: string): Promise<void> {
    client.write(...bound(text), fe.execute('p1'), fe.sync());
    const [error] = errorsOf(await client.untilReady());
    expect(error).toMatchObject({ C: 'HF001' });
    await fixture.resolve((JSON.parse(error!['D']!) as { approval_id: string }).approval_id, 'approve');
  }

  it.each(['truncate t', 'drop table t'])(
    'runs where it was bound, and not where a later search_path finds it: %s',
    async (text) => {
      const client = await fixture.client({ application_name: 'agent' });
      await client.query('set search_path = scratch');
      await approved(client, text);
      await client.query('begin');
      client.write(...bound(text), ...also('set local search_path = prod'), fe.execute('p1'), fe.sync());
      expect(errorsOf(await client.untilReady())).toMatchObject([
        { C: '42501', D: expect.stringContaining('between its Bind and its Execute') },
      ]);
      await client.query('rollback');
      expect([await rows('prod.t'), await rows('scratch.t')]).toEqual([5, 1]);
      await client.terminate();
    },
  );

  it.each([
    ['the rights of another role', 'set local role poor'],
    ['tables that were renamed', 'alter table scratch.t rename to gone'],
  ])('does not run with %s', async (_, between) => {
    const client = await fixture.client({ application_name: 'agent' });
    await client.query('set search_path = scratch');
    await approved(client, 'delete from t');
    await client.query('begin');
    client.write(...bound('delete from t'), fe.sync());
    expect(errorsOf(await client.untilReady())).toEqual([]);
    expect(errorsOf(await client.query(between))).toEqual([]);
    client.write(fe.execute('p1'), fe.sync());
    expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '42501' }]);
    await client.query('rollback');
    expect(await rows('scratch.t')).toBe(1);
    await client.terminate();
  });

  it('runs though its Execute comes in a segment of its own', async () => {
    const client = await fixture.client({ application_name: 'agent' });
    await client.query('set search_path = scratch');
    await approved(client, 'truncate t');
    await client.query('begin');
    client.write(...bound('truncate t'), fe.describe('P', 'p1'), fe.sync());
    expect(errorsOf(await client.untilReady())).toEqual([]);
    client.write(fe.execute('p1'), fe.sync());
    expect(errorsOf(await client.untilReady())).toEqual([]);
    await client.query('commit');
    expect([await rows('prod.t'), await rows('scratch.t')]).toEqual([5, 0]);
    await client.terminate();
  });

  it('is asked for anew where it can wait, and nothing has run', async () => {
    const client = await fixture.client({ application_name: 'waits' });
    await client.query('set search_path = scratch');
    await client.query('begin');
    client.write(...bound('truncate t'), fe.flush());
    await fixture.resolve(await heldId(client), 'approve');
    client.write(fe.parse('by name', 'select 1'), fe.execute('p1'), fe.sync());
    const again = await heldId(client);
    await fixture.resolve(again, 'deny');
    expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '42501' }]);
    await client.query('rollback');
    expect([await rows('prod.t'), await rows('scratch.t')]).toEqual([5, 1]);
    await client.terminate();
  });

  it.each(['/* not concurrently */', ''])(
    'by another search_path is another one: truncate t %s',
    async (comment) => {
      const client = await fixture.client({ application_name: 'agent' });
      await client.query('set search_path = scratch');
      const text = `truncate t ${comment}`;
      await approved(client, text);
      await client.query('set search_path = prod');
      client.write(...bound(text), fe.execute('p1'), fe.sync());
      expect(errorsOf(await client.untilReady())).toMatchObject([
        { C: 'HF001', M: expect.stringContaining('the search_path is "prod"') },
      ]);
      expect(await rows('prod.t')).toBe(5);
      await client.terminate();
    },
  );

  it.each(['drop index concurrently scratch.i', 'drop index scratch.i'])(
    'is known also where it may stand in no transaction: %s',
    async (text) => {
      await fixture.postgres.sql('create index i on scratch.t (id)');
      const client = await fixture.client({ application_name: 'agent' });
      await approved(client, text);
      client.write(...bound(text), fe.execute('p1'), fe.sync());
      expect(errorsOf(await client.untilReady())).toEqual([]);
      expect(await fixture.postgres.sql("select to_regclass('scratch.i') is null")).toEqual([['t']]);
      await client.terminate();
    },
  );

  it('is refused where nobody can tell on what it would run', async () => {
    const client = await fixture.client({ application_name: 'agent' });
    const before = [fe.parse('', 'select 1'), fe.bind(), fe.execute()];
    client.write(...before, ...bound('drop index concurrently scratch.t_i'), fe.execute('p1'), fe.sync());
    expect(errorsOf(await client.untilReady())).toMatchObject([
      { C: '42501', D: expect.stringContaining('with whose rights and on which tables') },
    ]);
    await client.terminate();
  });

  it('is read to its end whatever has run meanwhile', async () => {
    const client = await fixture.client({ application_name: 'waits' });
    client.write(fe.query('begin'));
    await client.untilReady();
    client.write(...bound('select id from prod.t'), fe.flush());
    await fixture.resolve(await heldId(client), 'approve');
    client.write(fe.execute('p1', 2), fe.sync());
    expect((await client.untilReady()).filter(({ type }) => type === 'D')).toHaveLength(2);
    client.write(...also('set local search_path = prod'), fe.sync());
    await client.untilReady();
    client.write(fe.execute('p1'), fe.sync());
    expect((await client.untilReady()).filter(({ type }) => type === 'D')).toHaveLength(3);
    await client.query('commit');
    await client.terminate();
  });

  describe('is run by nothing but its Execute:', () => {
    const DELETE = 'delete from prod.t where id > 0 returning id';
    const fetches =
      "create function scratch.fetches() returns int language plpgsql immutable as $$ declare c refcursor := 'p1'; r record; begin fetch c into r; return r.id; end $$";
    const prepare = (text: string) => [fe.parse('f', text), fe.bind({ statement: 'f', portal: 'f' })];

    beforeEach(async () => {
      await fixture.postgres.sql(fetches);
    });

    /** What was answered to a Bind of what was approved and, behind it, to `others`, in one go or in two. */
    async function boundAndThen(others: readonly Buffer[], inOneGo: boolean): Promise<RawClient> {
      const client = await fixture.client({ application_name: 'agent' });
      await approved(client, DELETE);
      await client.query('begin');
      client.write(...bound(DELETE), fe.sync());
      if (!inOneGo) await client.untilReady();
      client.write(...others);
      if (inOneGo) await client.untilReady();
      return client;
    }

    describe.each([false, true])('sent together with its Bind: %s;', (inOneGo) => {
      it.each<[string, readonly Buffer[]]>([
        ['FETCH', [fe.query('fetch all from p1')]],
        ['MOVE', [fe.query('move all in p1')]],
        ['FETCH behind something else', [fe.query('select 1; fetch all from p1')]],
        ['a FETCH that was prepared', [...prepare('fetch all from p1'), fe.execute('f'), fe.sync()]],
        ['a function that fetches', [fe.query('select scratch.fetches()')]],
      ])('%s', async (_, others) => {
        const client = await boundAndThen(others, inOneGo);
        expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '34000' }]);
        await client.query('commit');
        expect(await rows('prod.t')).toBe(5);
        await client.terminate();
      });
    });

    it('a function that its planning runs', async () => {
      const client = await boundAndThen([...prepare('select scratch.fetches()'), fe.sync()], false);
      expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '34000' }]);
      await client.query('commit');
      expect(await rows('prod.t')).toBe(5);
      await client.terminate();
    });

    it('what was deferred to the commit, without a transaction block', async () => {
      await fixture.postgres.sql(`
        create function scratch.later() returns trigger language plpgsql as $$ begin perform scratch.fetches(); return null; end $$;
        create constraint trigger later after insert on scratch.t deferrable initially deferred
          for each row execute function scratch.later()`);
      const client = await fixture.client({ application_name: 'agent' });
      await approved(client, DELETE);
      client.write(...also('insert into scratch.t values (2)'), ...bound(DELETE), fe.sync());
      expect(errorsOf(await client.untilReady())).toHaveLength(1);
      expect(await rows('prod.t')).toBe(5);
      await client.terminate();
    });

    it('code that has begun, whose names may come to mean something else', async () => {
      await fixture.postgres.sql(
        'create function scratch.takes(int) returns int language plpgsql as $$ begin delete from t; return $1; end $$',
      );
      const client = await fixture.client({ application_name: 'waits' });
      await client.query('set search_path = scratch');
      await client.query('begin');
      client.write(...bound('select takes(id) from prod.t'), fe.flush());
      await fixture.resolve(await heldId(client), 'approve');
      client.write(fe.execute('p1', 1), fe.sync());
      expect(errorsOf(await client.untilReady())).toEqual([]);
      const answer = await client.query('set local search_path = prod; fetch all from p1');
      expect(errorsOf(answer)).toMatchObject([{ C: '34000' }]);
      await client.query('commit');
      expect(await rows('prod.t')).toBe(5);
      await client.terminate();
    });

    it('a Bind in front of which the server is asked something', async () => {
      await fixture.postgres.sql(
        "create function scratch.names() returns int language plpgsql as $$ begin execute 'select 1'; return 0; end $$",
      );
      const client = await fixture.client({ application_name: 'agent' });
      client.write(fe.parse('f', 'select scratch.fetches()'), fe.sync());
      await client.untilReady();
      await approved(client, DELETE);
      await client.query('begin');
      await client.query('select scratch.names()');
      client.write(...bound(DELETE), fe.sync());
      expect(errorsOf(await client.untilReady())).toEqual([]);
      client.write(fe.bind({ statement: 'f', portal: 'f' }), fe.sync());
      expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '34000' }]);
      await client.query('commit');
      expect(await rows('prod.t')).toBe(5);
      await client.terminate();
    });

    it('its own Execute then tells that something else has run', async () => {
      const client = await boundAndThen([fe.query('select 1'), fe.execute('p1'), fe.sync()], false);
      expect(errorsOf(await client.untilReady())).toEqual([]);
      expect(errorsOf(await client.untilReady())).toMatchObject([
        { C: '42501', D: expect.stringContaining('between its Bind and its Execute') },
      ]);
      await client.query('rollback');
      await client.terminate();
    });

    it('a name that is not in ASCII is one that cannot be closed', async () => {
      const client = await fixture.client({ application_name: 'agent' });
      await approved(client, DELETE);
      await client.query('begin');
      client.write(fe.parse('', DELETE), fe.bind({ portal: 'größe' }), fe.sync());
      await client.untilReady();
      expect(errorsOf(await client.query('fetch all from "größe"'))).toMatchObject([{ C: '42501' }]);
      await client.query('commit');
      expect(await rows('prod.t')).toBe(5);
      await client.terminate();
    });

    it('one that the client has closed stands in no way', async () => {
      const client = await boundAndThen([fe.close('P', 'p1'), fe.sync(), fe.query('select 1')], false);
      expect(errorsOf(await client.untilReady())).toEqual([]);
      expect(errorsOf(await client.untilReady())).toEqual([]);
      await client.query('rollback');
      await client.terminate();
    });
  });
});
