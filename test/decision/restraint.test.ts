import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { type BackendMessage, fieldsOf, type RawClient } from '../support/raw-client.ts';
import { DecisionFixture, heldId } from './fixture.ts';

let fixture: DecisionFixture;
beforeAll(async () => {
  fixture = await DecisionFixture.start('mode: protect\n', {
    HOLDFAST_QUARANTINE_ATTEMPTS: '2',
    HOLDFAST_QUARANTINE_FOR: '1h',
  });
});
afterAll(() => fixture?.stop());
let client: RawClient;
afterEach(() => client.destroy());

const FORBIDDEN = "copy precious to program 'true'";

/** The error of a statement, or null where it ran. */
function errorOf(messages: readonly BackendMessage[]): Record<string, string> | null {
  const error = messages.find(({ type }) => type === 'E');
  return error === undefined ? null : fieldsOf(error);
}

async function ran(sql: string): Promise<boolean> {
  return errorOf(await client.query(sql)) === null;
}

async function ask(method: string, path: string, body?: unknown) {
  return await fixture.gateway.http(path, { method, ...(body === undefined ? {} : { body }) });
}

describe('a pause', () => {
  it('refuses what is not safe, lets no approval through, and leaves reads alone', async () => {
    client = await fixture.client();
    const waiting = await fixture.client();
    waiting.write(fe.query('delete from precious'));
    const id = await heldId(waiting);
    const bound = await fixture.client();
    bound.write(Buffer.concat([fe.parse('', 'insert into other values (7)'), fe.bind(), fe.flush()]));
    await bound.until('2');
    const open = await fixture.client();
    await open.query('begin; declare c cursor for select * from precious');
    expect(await ask('POST', '/v1/pause', { reason: 'wrong deploy' })).toMatchObject({
      status: 200,
      body: { paused: { reason: 'wrong deploy', by: 'token:tests' } },
    });
    expect(await ran('begin; select count(*) from precious; commit')).toBe(true);
    expect(errorOf(await client.query('insert into other values (1)'))).toMatchObject({
      C: '42501',
      M: 'statement refused: the gateway is paused',
      D: expect.stringMatching(/^Rule "pause": By tests since .*: wrong deploy$/),
      H: expect.stringContaining('Statements that only read go on.'),
    });
    client.write(
      Buffer.concat([fe.parse('', 'insert into other values (1)'), fe.bind(), fe.execute(), fe.sync()]),
    );
    expect(errorOf(await client.untilReady())).toMatchObject({ C: '42501' });
    bound.write(Buffer.concat([fe.execute(), fe.sync()]));
    expect(errorOf(await bound.untilReady())).toMatchObject({ C: '42501' });
    bound.destroy();
    expect(await ask('POST', `/v1/approvals/${id}/approve`)).toMatchObject({
      status: 409,
      body: { type: 'urn:holdfast:problem:paused', detail: expect.stringContaining('wrong deploy') },
    });
    expect((await ask('GET', '/v1/status')).body).toMatchObject({ paused: 'wrong deploy' });
    expect(await fixture.gateway.metric('holdfast_paused')).toBe(1);
    // What a cursor runs was decided before the pause.
    expect(await ran('select count(*) from precious')).toBe(true);
    expect(errorOf(await open.query('fetch 1 from c'))).toMatchObject({ C: '42501' });
    open.destroy();
    expect((await ask('POST', '/v1/resume')).body).toEqual({ paused: null });
    await fixture.resolve(id, 'approve');
    await waiting.untilReady();
    waiting.destroy();
    expect(await fixture.preciousRows()).toBe(0);
    expect(await ran('insert into other values (1)')).toBe(true);
    const refused = ({ rule }: Record<string, unknown>) => rule === 'pause';
    expect(await fixture.auditEvents(refused, 4)).toMatchObject([
      { action: 'block', end: 'blocked', sqlstate: '42501' },
      { action: 'block', end: 'blocked', sqlstate: '42501' },
      { action: 'block', end: 'blocked', sqlstate: '42501' },
      { action: 'block', end: 'blocked', sqlstate: '42501' },
    ]);
  });

  it('refuses what reads by the code of a type or an operator, or of a function that is written as an attribute', async () => {
    client = await fixture.client();
    await ask('POST', '/v1/pause', { reason: 'wrong deploy' });
    for (const sql of ["select 'a'::mood", 'select 1 @#@ 2', 'select (1).wipe'])
      expect(errorOf(await client.query(sql)), sql).toMatchObject({ C: '42501' });
    await ask('POST', '/v1/resume');
  });
});

describe('a quarantine', () => {
  it('comes after refused statements, holds for all sessions of the role, and is lifted', async () => {
    await fixture.postgres.sql('drop role if exists agent; create role agent login superuser');
    client = await fixture.client({ user: 'agent' });
    const other = await fixture.client();
    expect(await ran('insert into other values (1)')).toBe(true);
    for (let i = 0; i < 2; i++) expect(await ran(FORBIDDEN)).toBe(false);
    client.destroy();
    client = await fixture.client({ user: 'agent' });
    const refused = errorOf(await client.query('insert into other values (1)'));
    const { body } = await ask('GET', '/v1/quarantine');
    const [quarantine] = (body as { items: { id: string }[] }).items;
    expect(quarantine).toMatchObject({ role: 'agent', application: null, by: 'holdfast' });
    expect(refused).toMatchObject({
      C: '42501',
      M: 'statement refused: role "agent" is in quarantine',
      H: expect.stringContaining(`ask an approver to lift ${quarantine!.id}.`),
    });
    expect(await ran('select count(*) from precious')).toBe(true);
    expect(errorOf(await other.query('insert into other values (1)'))).toBeNull();
    other.destroy();
    expect(await fixture.gateway.metric('holdfast_quarantined')).toBe(1);
    expect((await ask('DELETE', `/v1/quarantine/${quarantine!.id}?comment=seen`)).status).toBe(200);
    expect(await ran('insert into other values (1)')).toBe(true);
    expect((await ask('DELETE', `/v1/quarantine/${quarantine!.id}`)).status).toBe(404);
  });

  it('is put by a person as well, for a time', async () => {
    client = await fixture.client({ application_name: 'bot' });
    const wanted = { role: 'postgres', application: 'bot', for_s: 3600, reason: 'odd' };
    expect(await ask('POST', '/v1/quarantine', wanted)).toMatchObject({
      status: 200,
      body: { application: 'bot', by: 'token:tests' },
    });
    expect(errorOf(await client.query('insert into other values (1)'))).toMatchObject({
      M: 'statement refused: role "postgres" with application "bot" is in quarantine',
    });
  });
});
