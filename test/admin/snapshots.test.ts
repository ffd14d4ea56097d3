import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DecisionFixture } from '../decision/fixture.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';

const POLICY = `
mode: protect
rules:
  - { name: what changes, match: { operation: [update, delete] }, action: snapshot }
  - { name: the rest, match: { role: ["*"] }, action: allow }
`;

const SCHEMA = `
create table item (id int8 primary key, name text);
insert into item select 9007199254740990 + i, 'item ' || i from generate_series(1, 9) i;
`;

describe.each([15, 18] as const)('snapshots over HTTP, on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let gateway: TestGateway;
  let updated: string;
  let deleted: string;

  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql(SCHEMA);
    gateway = await startGateway({
      upstreamPort: postgres.port,
      policy: POLICY,
      environment: { HOLDFAST_SNAPSHOTS_TAKEN: 'on', HOLDFAST_UNDO_CONNECTION: postgres.url('') },
    });
    const client = await RawClient.open(gateway.port);
    await client.query(`update item set name = 'new' where name in ('item 1', 'item 2')`);
    await client.query('delete from item where id > 9007199254740996');
    await client.terminate();
    const { items } = (await gateway.http('/v1/snapshots')).body as { items: { id: string }[] };
    [deleted, updated] = items.map(({ id }) => id) as [string, string];
  });
  afterAll(async () => {
    await gateway?.stop();
    await postgres?.stop();
  });

  const post = async (path: string, body?: unknown) =>
    await gateway.http(path, { method: 'POST', ...(body === undefined ? {} : { body }) });

  const names = async () => (await postgres.sql('select name from item order by id')).flat();

  it('are listed page by page, the newest first', async () => {
    const first = await gateway.http('/v1/snapshots?limit=1');
    expect(first).toMatchObject({
      status: 200,
      body: {
        items: [{ id: deleted, operation: 'delete', tables: ['public.item'], rows_before: 3, rows_after: 0 }],
        next: deleted,
      },
    });
    const second = await gateway.http(`/v1/snapshots?cursor=${deleted}`);
    expect(second.body).toMatchObject({
      items: [{ id: updated, rows_before: 2, rows_after: 2 }],
      next: null,
    });
  });

  it('are listed from where a page has ended, though its last has been removed meanwhile', async () => {
    const between = `${updated.slice(0, 15)}${'z'.repeat(10)}`;
    const page = await gateway.http(`/v1/snapshots?cursor=${between}`);
    expect(page).toMatchObject({ status: 200, body: { items: [{ id: updated }], next: null } });
    const oldest = `snap_${'0'.repeat(20)}`;
    expect((await gateway.http(`/v1/snapshots?cursor=${oldest}`)).body).toEqual({ items: [], next: null });
  });

  it.each([
    ['operation=delete', 1],
    ['operation=undo', 0],
    ['table=item', 2],
    ['table=public.item&role=postgres&database=postgres', 2],
    ['table=other.item', 0],
    ['role=anna', 0],
    ['mark=none', 2],
    ['mark=undone', 0],
    ['since=2031-01-01', 0],
    ['until=2031-01-01', 2],
    ['until=2020-01-01', 0],
  ])('are searched by %s', async (query, count) => {
    const { body } = await gateway.http(`/v1/snapshots?${query}`);
    expect(body).toMatchObject({ items: { length: count }, next: null });
    const first = (await gateway.http(`/v1/snapshots?${query}&limit=1`)).body as { next: string | null };
    expect(first.next).toEqual(count > 1 ? deleted : null);
  });

  it('are shown and verified', async () => {
    const { body } = await gateway.http(`/v1/snapshots/${deleted}`);
    expect(body).toMatchObject({
      id: deleted,
      format: 1,
      folder: expect.stringContaining(deleted),
      // The rows are in the manifest; whoever may see it may not see them yet.
      tables: [{ key: ['id'], before: { blob: null, rows: 3 } }],
    });
    expect(JSON.stringify(body)).not.toContain('inline');
    expect((await post(`/v1/snapshots/${deleted}/verify`)).body).toMatchObject({
      ok: true,
      files: 1,
      rows: 3,
      faults: [],
    });
  });

  it('show their rows page by page, with every digit of a number', async () => {
    const first = await gateway.http(`/v1/snapshots/${deleted}/rows?limit=2`);
    expect(first.text).toContain('"id":9007199254740997,');
    expect(first.body).toMatchObject({ table: 'public.item', which: 'before', total: 3, next: '2' });
    const last = await gateway.http(`/v1/snapshots/${deleted}/rows?values=text&cursor=2`);
    expect(last.body).toMatchObject({ items: [{ id: '9007199254740999', name: 'item 9' }], next: null });
    const after = await gateway.http(`/v1/snapshots/${updated}/rows?which=after&table=item`);
    expect(after.body).toMatchObject({ items: [{ name: 'new' }, { name: 'new' }] });
    expect((await gateway.http(`/v1/snapshots/${updated}/rows?table=items`)).status).toBe(404);
  });

  it('are previewed, with the rows that are in the way', async () => {
    await postgres.sql(`update item set name = 'newer' where name = 'new'`);
    const { status, body } = await post(`/v1/snapshots/${updated}/undo/preview`, { limit: 1 });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      tables: [{ table: 'public.item', put_back: 0, set_back: 0, conflicts: 2 }],
      conflicts: [
        { kind: 'changed', undoing: 'set_back', before: { name: 'item 1' }, current: { name: 'newer' } },
      ],
      next: '1',
    });
    expect((await post(`/v1/snapshots/${updated}/undo/preview`, { cursor: '1' })).body).toMatchObject({
      conflicts: [{ before: { name: 'item 2' } }],
      next: null,
    });
  });

  it('keep the rows that are in the way from whoever may not see rows', async () => {
    const asked = { name: 'restorer', scopes: ['undo:preview', 'undo:write'] };
    const { token } = (await post('/v1/tokens', asked)).body as { token: string };
    const ask = (path: string) =>
      gateway.http(`/v1/snapshots/${updated}/${path}`, { method: 'POST', body: {}, token });
    const { body, text } = await ask('undo/preview');
    expect(body).toMatchObject({ tables: [{ conflicts: 2 }], conflicts: [], next: null });
    const refused = await ask('undo');
    expect(refused).toMatchObject({ status: 409, body: { tables: [{ conflicts: 2 }], conflicts: [] } });
    expect(text + refused.text).not.toContain('newer');
  });

  it('keep what the database says of rows from whoever may not see them', async () => {
    const token = gateway.addToken('undoer', { scopes: ['undo:write'] });
    const undo = async (...as: string[]) =>
      await gateway.http(`/v1/snapshots/${deleted}/undo`, {
        ...{ method: 'POST', body: { dry_run: true } },
        ...(as[0] === undefined ? {} : { token: as[0] }),
      });
    const refusals = [
      [`alter table item add constraint no_seven check (name <> 'item 7') not valid`, '23514', 'no_seven'],
      [
        `create function shout() returns trigger language plpgsql as $$
           begin raise exception 'the row of % is not to come back', new.name; end $$;
         create trigger shout before insert on item for each row execute function shout()`,
        'P0001',
        '',
      ],
    ] as const;
    for (const [sql, sqlstate, constraint] of refusals) {
      await postgres.sql(sql);
      const whole = await undo();
      expect(whole).toMatchObject({ status: 502, body: { sqlstate } });
      expect(whole.text).toContain('item 7');
      const bare = await undo(token);
      expect(bare).toMatchObject({ status: 502, body: { sqlstate, problems: [{ step: 'apply' }] } });
      expect(bare.text).toContain('snapshot:rows');
      expect(bare.text).toContain(constraint);
      expect(bare.text).not.toContain('item 7');
      await postgres.sql('alter table item drop constraint if exists no_seven');
    }
    await postgres.sql('drop function shout() cascade');
  });

  it('are undone, if nothing is in the way or it is said what to do about it', async () => {
    const refused = await post(`/v1/snapshots/${updated}/undo`);
    expect(refused).toMatchObject({
      status: 409,
      body: {
        type: 'urn:holdfast:problem:undo-conflicts',
        hint: expect.stringContaining('overwrite'),
        conflicts: [{ kind: 'changed' }, { kind: 'changed' }],
      },
    });
    const { body } = await post(`/v1/snapshots/${deleted}/undo/preview`);
    const { tables: expected } = body as { tables: unknown[] };
    expect((await post(`/v1/snapshots/${deleted}/undo`, { dry_run: true })).body).toMatchObject({
      dry_run: true,
      undo_snapshot: null,
    });
    expect((await names()).length).toBe(6);
    const done = await post(`/v1/snapshots/${deleted}/undo`, { expected });
    expect(done).toMatchObject({ status: 200, body: { dry_run: false, tables: [{ put_back: 3 }] } });
    expect(await names()).toEqual(['newer', 'newer', ...[3, 4, 5, 6, 7, 8, 9].map((i) => `item ${i}`)]);
    const again = {
      status: 409,
      body: { type: 'urn:holdfast:problem:undo-refused', hint: expect.stringContaining('force') },
    };
    expect(await post(`/v1/snapshots/${deleted}/undo`)).toMatchObject(again);
    expect(await post(`/v1/snapshots/${deleted}/undo/preview`)).toMatchObject(again);
    expect((await post(`/v1/snapshots/${deleted}/undo/preview`, { force: true })).status).toBe(200);
    expect((await post(`/v1/snapshots/${deleted}/undo`, { expected, force: true })).body).toMatchObject({
      type: 'urn:holdfast:problem:undo-refused',
      detail: 'public.item: it has changed since the preview',
    });
    const { undo_snapshot } = done.body as { undo_snapshot: string };
    expect((await gateway.http(`/v1/snapshots/${deleted}`)).body).toMatchObject({
      undone: { by: 'token tests', undo_snapshot },
    });
    const { items } = (await gateway.http('/v1/snapshots')).body as { items: object[] };
    expect(items).toMatchObject([
      { id: undo_snapshot, undone: false },
      { id: deleted, undone: true },
      { id: updated },
    ]);
    expect((await gateway.http(`/v1/snapshots/${undo_snapshot}`)).body).toMatchObject({
      session: { application: 'holdfast undo by token tests', client: '127.0.0.1' },
      statement: { text: `holdfast undo ${deleted}`, operation: 'undo' },
    });
    const into = { into: 'public.item_before', table: 'public.item' };
    expect((await post(`/v1/snapshots/${updated}/undo`, into)).body).toMatchObject({
      tables: [{ put_back: 2 }],
    });
    expect((await post(`/v1/snapshots/${updated}/undo`, into)).body).toMatchObject({
      type: 'urn:holdfast:problem:undo-failed',
      sqlstate: '42P07',
    });
  });

  it('are removed', async () => {
    const path = `/v1/snapshots/${deleted}`;
    expect(await gateway.http(path, { method: 'DELETE' })).toMatchObject({
      status: 200,
      body: { id: deleted, removed: true },
    });
    expect((await gateway.http(path)).status).toBe(404);
    expect((await gateway.http(path, { method: 'DELETE' })).status).toBe(404);
  });

  it('have each undo and removal in the audit, and in the metrics', async () => {
    const { body } = await gateway.http('/v1/audit?rule=admin');
    const { items } = body as { items: Record<string, unknown>[] };
    const told = items
      .filter(({ operation }) => operation !== 'new token')
      .map(({ sql, end, rows, snapshot }) => [sql, end, rows, typeof snapshot])
      .reverse();
    expect(told).toEqual([
      [`holdfast undo ${updated}`, 'failed', null, 'object'],
      [`holdfast undo ${updated}`, 'failed', null, 'object'],
      [`holdfast undo ${deleted}`, 'completed', 3, 'string'],
      [`holdfast undo ${deleted}`, 'failed', null, 'object'],
      [`holdfast undo ${deleted}`, 'failed', null, 'object'],
      [`holdfast undo ${updated} --into public.item_before`, 'completed', 2, 'object'],
      [`holdfast undo ${updated} --into public.item_before`, 'failed', null, 'object'],
      [`holdfast snapshots delete ${deleted}`, 'completed', null, 'object'],
    ]);
    expect(items[0]).toMatchObject({
      protocol: 'admin',
      role: 'token:tests',
      database: 'postgres',
      application: 'holdfast admin',
      operation: 'delete snapshot',
      tables: ['public.item'],
      risk: 'critical',
    });
    expect(await gateway.metric('holdfast_undos_total')).toBe(7);
    expect(await gateway.metric('holdfast_snapshots_removed_total')).toBe(1);
  });
});

it('undo over HTTP says what to set where it is not configured', async () => {
  const fixture = await DecisionFixture.start(POLICY, { HOLDFAST_SNAPSHOTS_TAKEN: 'on' });
  try {
    const client = await fixture.client();
    await client.query('delete from precious where id = 1');
    await client.terminate();
    const { items } = (await fixture.gateway.http('/v1/snapshots')).body as { items: { id: string }[] };
    for (const path of ['undo', 'undo/preview']) {
      expect(
        await fixture.gateway.http(`/v1/snapshots/${items[0]!.id}/${path}`, { method: 'POST' }),
      ).toMatchObject({
        status: 409,
        body: {
          type: 'urn:holdfast:problem:undo-not-configured',
          hint: expect.stringContaining('undo.connection'),
        },
      });
    }
    expect(await fixture.preciousRows()).toBe(9);
  } finally {
    await fixture.stop();
  }
});

it('the undo of a change of type keeps values from whoever may not see rows', async () => {
  const postgres = await startPostgres({ version: 18 });
  const gateway = await startGateway({
    upstreamPort: postgres.port,
    policy: 'mode: protect\nrules: [{ name: all, match: { role: ["*"] }, action: snapshot }]\n',
    environment: { HOLDFAST_SNAPSHOTS_TAKEN: 'on', HOLDFAST_UNDO_CONNECTION: postgres.url('') },
  });
  try {
    await postgres.sql('create table price (id int primary key, of int); insert into price values (1, 12)');
    const client = await RawClient.open(gateway.port);
    await client.query('alter table price alter of type numeric');
    await client.terminate();
    await postgres.sql(`insert into price values (704170, 1.5)`);
    const { items } = (await gateway.http('/v1/snapshots')).body as { items: { id: string }[] };
    const path = `/v1/snapshots/${items[0]!.id}/undo`;
    const whole = await gateway.http(path, { method: 'POST', body: {} });
    expect(whole).toMatchObject({ status: 409, body: { type: 'urn:holdfast:problem:undo-refused' } });
    expect(whole.text).toContain('704170');
    const token = gateway.addToken('undoer', { scopes: ['undo:write'] });
    const bare = await gateway.http(path, { method: 'POST', body: {}, token });
    expect(bare).toMatchObject({
      status: 409,
      body: { problems: [{ reason: expect.stringContaining('snapshot:rows') }] },
    });
    expect(bare.text).not.toContain('704170');
  } finally {
    await gateway.stop();
    await postgres.stop();
  }
});
