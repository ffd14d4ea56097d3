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

  it('is asked for anew where it can wait', async () => {
    const client = await fixture.client({ application_name: 'waits' });
    await client.query('set search_path = scratch');
    await client.query('begin');
    client.write(...bound('truncate t'), fe.flush());
    await fixture.resolve(await heldId(client), 'approve');
    client.write(...also('set local search_path = prod'), fe.execute('p1'), fe.sync());
    const again = await heldId(client);
    expect(await fixture.approval(again)).toMatchObject({ binding: { search_path: 'prod' } });
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
});
