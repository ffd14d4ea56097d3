import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Preview } from '../../src/preview/preview.ts';
import { RawClient } from '../support/raw-client.ts';
import { HeldPreviews } from './held-preview.ts';

const SCHEMA = 'create table few (id int primary key, note text); insert into few values (1, null);';
const POLICY = `
mode: protect
defaults: { high: allow }
hold: { rows_tolerance: 0 }
rules:
  - { name: two, match: { role: [postgres], operation: [update] }, action: hold, hold: { mode: live, approvals: 2 } }
  - { name: asks, match: { operation: [delete] }, action: hold, hold: { mode: live } }
  - { name: tells, match: { operation: [truncate] }, action: hold, hold: { mode: ticket } }
`;

let held: HeldPreviews;
let client: pg.Client;
let ended: Promise<string>;
beforeAll(async () => {
  held = await HeldPreviews.start(18, SCHEMA, POLICY);
  client = await held.client();
});
afterEach(async () => {
  await held.postgres.sql('truncate few; insert into few values (1, null)');
});
afterAll(() => held?.stop());

const http = (id: string, verb: string, body?: unknown, token?: string) =>
  held.gateway.http(`/v1/approvals/${id}/${verb}`, {
    method: 'POST',
    ...(body === undefined ? {} : { body }),
    ...(token === undefined ? {} : { token }),
  });

/** Held, and counted. */
async function asked(sql: string): Promise<{ id: string; preview: Preview }> {
  ended = client.query(sql).then(
    ({ rowCount }) => `${rowCount} rows`,
    (error: Error & { code?: string }) => error.code ?? error.message,
  );
  const id = await held.pending();
  return { id, preview: await held.ready(id) };
}

const addTwo = () => held.postgres.sql('insert into few values (2, null), (3, null)');

describe('a preview that is asked for once more', () => {
  it('says what is so by now, and that is what an approval is bound to', async () => {
    const { id, preview } = await asked('delete from few');
    expect(preview.rows).toEqual({ kind: 'exact', rows: 1 });
    await addTwo();
    const again = await http(id, 'preview');
    expect(again).toMatchObject({
      status: 200,
      body: { state: 'ready', preview: { rows: { kind: 'exact', rows: 3 } } },
    });
    const stale = await http(id, 'approve', { preview_computed_at: preview.computed_at });
    expect(stale).toMatchObject({ status: 409, body: { detail: expect.stringContaining('once more') } });
    const { computed_at } = (again.body as { preview: Preview }).preview;
    expect((await http(id, 'approve', { preview_computed_at: computed_at })).status).toBe(200);
    expect(await ended).toBe('3 rows');
  });

  it('stays as it was where the rows cannot be counted again', async () => {
    const { id, preview } = await asked('delete from few where id > 0');
    const other = await RawClient.open(held.postgres.port);
    await other.query('begin; lock table few in access exclusive mode');
    expect(await http(id, 'preview')).toMatchObject({
      status: 409,
      body: { detail: expect.stringMatching(/could not be counted again .* what was counted before stands/) },
    });
    await other.query('rollback');
    await other.terminate();
    expect(await held.ready(id)).toEqual(preview);
    await http(id, 'deny');
    await ended;
    expect(await http(id, 'preview')).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining('is denied already') },
    });
  });

  it('is for whoever may approve it, before anybody has', async () => {
    const { id } = await asked('update few set note = 1');
    const may = { scopes: ['approval:write'], roles: ['postgres'] };
    const owner = held.gateway.addToken('owner', may);
    const writer = held.gateway.addToken('writer', { scopes: ['approval:write'] });
    const blind = await http(id, 'preview', undefined, writer);
    expect(blind, 'to write is not to read').toMatchObject({
      status: 200,
      body: { state: 'ready', preview: null },
    });
    expect(await http(id, 'preview', undefined, owner)).toMatchObject({
      status: 403,
      body: { detail: expect.stringContaining('owns the role postgres') },
    });
    expect((await http(id, 'preview')).status).toBe(200);
    expect((await http(id, 'approve', {})).status).toBe(200);
    const other = held.gateway.addToken('other', { scopes: ['approval:write'] });
    expect(await http(id, 'preview', undefined, other)).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining('has decided by what was found before') },
    });
    await http(id, 'deny');
    await ended;
  });

  it('is not to be had where no session waits', async () => {
    const { id } = await asked('truncate few');
    expect(await ended).toBe('HF001');
    expect(await http(id, 'preview')).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining('no session waits for it') },
    });
    await http(id, 'deny');
  });

  it('is asked of the server once at a time, and given up with the hold', async () => {
    const { id } = await asked(
      'delete from few where id = 1 and exists (select from generate_series(1, case when (select count(*) from few) > 1 then 2000000000 end) g where g = -id)',
    );
    await addTwo();
    const slow = http(id, 'preview');
    await held.counting();
    expect(await http(id, 'preview')).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining('already') },
    });
    await http(id, 'deny');
    expect((await slow).status).toBe(409);
    expect(await ended).toBe('42501');
    expect((await client.query('select 1')).rowCount).toBe(1);
  });
});
