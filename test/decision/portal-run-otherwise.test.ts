import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf, type RawClient } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

const POLICY = `
mode: protect
hold: { mode: auto, grant_for: 10m }
rules:
  - { name: strict, match: { application: [strict] }, action: block }
  - { name: comes again, match: { application: [agent], operation: [truncate, delete] }, action: hold, hold: { mode: ticket }, snapshot: off }
  - { name: snaps, match: { application: [snaps], operation: [delete] }, action: snapshot, snapshot: required }
`;
const TABLES = `
drop schema if exists scratch, prod cascade;
create schema scratch; create table scratch.t (id int); insert into scratch.t values (1);
create schema prod; create table prod.t (id int primary key); insert into prod.t select generate_series(1, 5);
create function scratch.fetches() returns int language plpgsql immutable as $$ declare c refcursor := 'p1'; r record; begin fetch c into r; return r.id; end $$;
create function scratch.later() returns trigger language plpgsql as $$ begin perform scratch.fetches(); return null; end $$;
create table scratch.deferring (id int);
create constraint trigger later after insert on scratch.deferring deferrable initially deferred
  for each row execute function scratch.later();
create function scratch.does(what int) returns bool language plpgsql as $$
  declare c refcursor := 'p1'; r record;
  begin
    if what = 1 and exists (select from pg_cursors where name = 'p1') then fetch c into r;
    elsif what = 2 then delete from prod.t;
    elsif what = 3 then perform set_config('search_path', 'prod', false);
    end if;
    return true;
  end $$;
create domain scratch.d as int check (scratch.does(value));
`;
const DELETE = 'delete from prod.t where id > 0 returning id';
const also = (text: string): Buffer[] => [
  fe.parse('also', text),
  fe.bind({ statement: 'also', portal: 'also' }),
  fe.execute('also'),
  fe.close('P', 'also'),
  fe.close('S', 'also'),
];
const bound = (text: string, p = 'p1') => [fe.parse('', text), fe.bind({ portal: p })];

/** Without its Execute, or as something else: by what is deferred to a commit, and by what the server runs as it reads a text. */
describe.each([15, 18] as const)('what is bound on PostgreSQL %d', (version) => {
  let fixture: DecisionFixture;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(POLICY, { HOLDFAST_SNAPSHOTS_TAKEN: 'on' }, version);
  });
  afterAll(async () => await fixture?.stop());
  beforeEach(async () => {
    await fixture.reset();
    await fixture.postgres.sql(TABLES);
  });
  const rows = async (table: string) =>
    Number((await fixture.postgres.sql(`select count(*) from ${table}`))[0]![0]);
  const snapshots = async () =>
    ((await fixture.gateway.http('/v1/snapshots')).body as { items: unknown[] }).items.length;

  /** Sends it with an Execute, and approves the ticket. */
  async function approved(client: RawClient, text: string, p = 'p1', before: readonly Buffer[] = []) {
    client.write(...before, ...bound(text, p), fe.execute(p), fe.sync());
    let error: Record<string, string> | undefined;
    for (let i = 0; i < 2 && error === undefined; i++) [error] = errorsOf(await client.untilReady());
    expect(error).toMatchObject({ C: 'HF001' });
    await fixture.resolve((JSON.parse(error!['D']!) as { approval_id: string }).approval_id, 'approve');
  }

  it('is not read by the server where it is blocked, since a literal may run code', async () => {
    const client = await fixture.client({ application_name: 'strict' });
    client.write(fe.parse('', "select '{2}'::scratch.d[]"), fe.sync());
    await client.untilReady();
    expect(await rows('prod.t')).toBe(5);
    await client.terminate();
  });

  it('does not run on another table that a Parse has made its name mean, once approved', async () => {
    await fixture.postgres.sql('delete from prod.t where id > 1');
    const client = await fixture.client({ application_name: 'agent' });
    await client.query('set search_path = scratch');
    await approved(client, 'truncate t');
    client.write(
      ...bound('truncate t'),
      fe.parse('', "select '{3}'::scratch.d[]"),
      fe.execute('p1'),
      fe.sync(),
    );
    await client.untilReady();
    expect(await rows('prod.t')).toBe(1);
    await client.terminate();
  });

  it('is not run without its snapshot by a deferred trigger at Sync', async () => {
    const client = await fixture.client({ application_name: 'snaps' });
    client.write(...also('insert into scratch.deferring values (2)'), ...bound(DELETE), fe.sync());
    await client.untilReady();
    expect([await rows('prod.t'), await snapshots()]).toEqual([5, 0]);
    await client.terminate();
  });

  it('is not run without its snapshot by a Parse', async () => {
    const client = await fixture.client({ application_name: 'snaps' });
    client.write(...bound(DELETE), fe.parse('e', "select '{1}'::scratch.d[]"), fe.sync());
    await client.untilReady();
    expect([await rows('prod.t'), await snapshots()]).toEqual([5, 0]);
    await client.terminate();
  });

  it.skipIf(version === 15)('is not run by a Sync that ends an implicit block, once approved', async () => {
    const client = await fixture.client({ application_name: 'agent' });
    const before = [...also('insert into scratch.deferring values (2)'), fe.query('select 1')];
    await approved(client, DELETE, 'p1', before);
    client.inbox.splice(0);
    client.write(...before, ...bound(DELETE), fe.sync());
    await client.untilReady();
    await client.untilReady();
    expect(await rows('prod.t')).toBe(5);
    await client.terminate();
  });

  it('is not run by a Describe that has a text read anew, once approved', async () => {
    const client = await fixture.client({ application_name: 'agent' });
    client.write(fe.parse('g', "select '{1}'::scratch.d[] from scratch.t"), fe.sync());
    await client.untilReady();
    await approved(client, DELETE);
    await client.query('begin');
    client.write(...bound(DELETE), fe.sync());
    await client.untilReady();
    await fixture.postgres.sql('alter table scratch.t add column x int');
    client.write(fe.describe('S', 'g'), fe.sync());
    await client.untilReady();
    await client.query('commit');
    expect(await rows('prod.t')).toBe(5);
    await client.terminate();
  });

  it('has its Sync answered where it cannot be closed', async () => {
    const client = await fixture.client({ application_name: 'agent' });
    const before = also('insert into scratch.t values (2)');
    await approved(client, DELETE, 'größe', before);
    client.write(...before, ...bound(DELETE, 'größe'), fe.sync());
    expect((await client.untilReady(3000)).at(-1)?.type).toBe('Z');
    await client.terminate();
  });

  it('has its Sync answered behind what fails together with its Close', async () => {
    const client = await fixture.client({ application_name: 'agent' });
    const before = also('insert into scratch.t values (2)');
    await approved(client, DELETE, 'p1', before);
    client.write(...before, ...bound(DELETE), fe.parse('x', 'select nothing from prod.t'), fe.sync());
    expect((await client.untilReady(3000)).at(-1)?.type).toBe('Z');
    await client.terminate();
  });

  it('has its Sync answered while the server discards', async () => {
    const client = await fixture.client({ application_name: 'agent' });
    const before = also('insert into scratch.t values (2)');
    await approved(client, DELETE, 'p1', before);
    client.write(...before, ...bound(DELETE), fe.parse('x', 'select nothing from prod.t'), fe.flush());
    await client.until('E');
    client.write(fe.sync());
    expect((await client.untilReady(3000)).at(-1)?.type).toBe('Z');
    expect(errorsOf(await client.query('select 1'))).toEqual([]);
    await client.terminate();
  });
});
