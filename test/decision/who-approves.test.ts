import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { startGateway } from '../support/gateway.ts';
import { errorsOf, type RawClient } from '../support/raw-client.ts';
import { DecisionFixture, heldId } from './fixture.ts';

const POLICY = `
mode: protect
hold: { mode: ticket, rows_tolerance: 2 }
rules:
  - { name: two of the few, match: { application: [few] , operation: [delete] }, action: hold, hold: { approvals: 2, approvers: [dba, security] } }
  - { name: one, match: { operation: [delete, call] }, action: hold }
  - { name: waits, match: { operation: [truncate], application: [quick] }, action: hold, hold: { mode: live, notice_every: 1s } }
  - { name: in a transaction, match: { operation: [truncate] }, action: hold, hold: { mode: live } }
  - { name: the rest, action: allow }
`;

const WRITER = { scopes: ['approval:read', 'approval:write'] };
/** Everybody who has a token, with what it is for. */
const PEOPLE = {
  ana: { ...WRITER, groups: ['dba'] },
  ben: { ...WRITER, groups: ['security'] },
  cid: { ...WRITER },
  owner: { ...WRITER, roles: ['rob*'], groups: ['dba'] },
  robot: { ...WRITER },
  reader: { scopes: ['approval:read'] },
  breaker: { scopes: ['approval:break_glass'], groups: [] },
  alice: { scopes: ['approval:read', 'approval:write', 'token:write'], groups: ['dba'] },
  'breaking owner': { scopes: ['approval:break_glass'], roles: ['robot'] },
} as const;
type Person = keyof typeof PEOPLE;

let fixture: DecisionFixture;
const tokens = new Map<
  Person | 'one' | 'two' | 'puppet' | 'puppet of it' | 'sock' | 'sock of puppet',
  string
>();

beforeAll(async () => {
  fixture = await DecisionFixture.start(POLICY);
  await fixture.postgres.sql(
    "create role robot login superuser; create role alice login superuser; create role sleeper login superuser; alter role sleeper set idle_session_timeout = '600ms'; alter role sleeper set idle_in_transaction_session_timeout = '600ms'",
  );
  const make = async (name: string, made: object, maker: object = {}) => {
    const { body, text } = await fixture.gateway.http('/v1/tokens', {
      method: 'POST',
      body: { name, ...made },
      ...maker,
    });
    const { token } = body as { token?: string };
    if (token === undefined) throw new Error(text);
    tokens.set(name as Person, token);
    return { token };
  };
  for (const [name, made] of Object.entries(PEOPLE))
    tokens.set(name as Person, fixture.gateway.addToken(name, made));
  const one = await make('one', PEOPLE.alice, { token: tokens.get('alice') });
  await make('two', PEOPLE.alice, one);
  const puppet = await make('puppet', { scopes: ['*'], groups: ['dba'] });
  await make('puppet of it', { ...WRITER, groups: ['security'] }, puppet);
  await make('sock of puppet', { scopes: ['*'] }, puppet);
  await make('sock', { scopes: ['*'], groups: ['security'] });
});
afterAll(async () => await fixture?.stop());

let asked = 0;

/** A ticket for a statement that nobody has asked for. */
async function ticket(role: string, application = 'any'): Promise<string> {
  const client = await fixture.client({ user: role, application_name: application });
  const errors = errorsOf(await client.query(`delete from precious where id = 1000 + ${++asked}`));
  await client.terminate();
  expect(errors).toMatchObject([{ C: 'HF001' }]);
  return (JSON.parse(errors[0]!['D']!) as { approval_id: string }).approval_id;
}

const says = async (
  who: Person | 'one' | 'two' | 'puppet' | 'puppet of it' | 'sock' | 'sock of puppet',
  verb: 'approve' | 'deny' | 'break-glass',
  id: string,
  body: object = {},
) =>
  await fixture.gateway.http(`/v1/approvals/${id}/${verb}`, {
    method: 'POST',
    body,
    token: tokens.get(who)!,
  });

describe('nobody approves', () => {
  it.each([
    ['robot', 'robot has asked for it'],
    ['owner', 'owner owns the role robot'],
    ['reader', 'has no scope approval:write'],
  ] as const)('what their own role has asked for, nor without the scope: %s', async (who, why) => {
    const id = await ticket('robot');
    const { status, body } = await says(who, 'approve', id, { comment: 'please' });
    expect({ status, body }).toMatchObject({ status: 403, body: { detail: expect.stringContaining(why) } });
    expect(await fixture.approval(id)).toMatchObject({ state: 'pending', votes: [] });
    expect((await says('cid', 'approve', id)).body).toMatchObject({ state: 'approved', resolved_by: 'cid' });
  });

  it('what their own role has asked for, in an emergency either', async () => {
    const id = await ticket('robot');
    expect((await says('breaking owner', 'break-glass', id, { reason: 'fire' })).status).toBe(403);
    expect((await says('cid', 'break-glass', id, { reason: 'fire' })).status).toBe(403);
    expect((await says('breaker', 'approve', id)).status).toBe(403);
    expect(await fixture.approval(id)).toMatchObject({ state: 'pending', votes: [] });
  });

  it.each(['alice', 'one', 'two'] as const)(
    'what they have asked for, by a token of their own making: %s',
    async (who) => {
      const id = await ticket('alice');
      expect((await says(who, 'approve', id)).status).toBe(403);
      expect(await fixture.approval(id)).toMatchObject({ state: 'pending', votes: [] });
      expect((await says('cid', 'approve', id)).body).toMatchObject({ state: 'approved' });
    },
  );

  it('what a role has asked for by SET ROLE', async () => {
    const client = await fixture.client();
    await client.query('set role robot');
    const errors = errorsOf(await client.query(`delete from precious where id = 1000 + ${++asked}`));
    await client.terminate();
    const { approval_id: id } = JSON.parse(errors[0]!['D']!) as { approval_id: string };
    expect((await says('owner', 'approve', id)).status).toBe(403);
    expect((await says('ana', 'approve', id)).status).toBe(200);
  });

  it('anything while the gateway is paused, and denies all the same', async () => {
    const [id, other] = [await ticket('robot'), await ticket('robot')];
    await fixture.gateway.http('/v1/pause', { method: 'POST', body: { reason: 'a test' } });
    try {
      const { status, body } = await says('ana', 'approve', id);
      expect({ status, body }).toMatchObject({ status: 409, body: { type: 'urn:holdfast:problem:paused' } });
      expect((await says('breaker', 'break-glass', id, { reason: 'fire' })).status).toBe(409);
      expect((await says('ana', 'deny', other)).status).toBe(200);
    } finally {
      await fixture.gateway.http('/v1/resume', { method: 'POST', body: {} });
    }
    expect((await says('ana', 'approve', id)).status).toBe(200);
  });
});

describe('a rule that asks for two of a group', () => {
  it('takes each of them once, and nobody else', async () => {
    const id = await ticket('robot', 'few');
    expect(await fixture.approval(id)).toMatchObject({ approvals_needed: 2, approvers: ['dba', 'security'] });
    expect((await says('cid', 'approve', id)).status).toBe(403);
    for (const comment of ['first', 'again']) {
      expect((await says('ana', 'approve', id, { comment })).body).toMatchObject({
        state: 'pending',
        approved_by: ['ana'],
        votes: [{ principal: 'ana', verdict: 'approve', comment: 'first', break_glass: false }],
      });
    }
    const last = await says('ben', 'approve', id);
    expect(last).toMatchObject({ status: 200, body: { state: 'approved', resolved_by: 'ana, ben' } });
    expect(await says('ben', 'approve', id)).toEqual(last);
    expect((await says('ben', 'deny', id)).status).toBe(409);
  });

  it('takes whoever has made themselves other names once', async () => {
    const id = await ticket('robot', 'few');
    expect((await says('one', 'approve', id)).body).toMatchObject({ state: 'pending', approved_by: ['one'] });
    for (const who of ['alice', 'two'] as const) {
      expect(await says(who, 'approve', id)).toMatchObject({
        status: 403,
        body: { detail: expect.stringContaining(`${who} is the same person as one`) },
      });
    }
    expect((await says('one', 'approve', id)).status).toBe(200);
    expect((await says('ben', 'approve', id)).body).toMatchObject({ state: 'approved' });
  });

  it('takes whoever may do everything once, under whatever names they make, also after a restart', async () => {
    const id = await ticket('robot', 'few');
    expect((await says('puppet', 'approve', id)).body).toMatchObject({
      state: 'pending',
      approved_by: ['puppet'],
    });
    const problem = {
      status: 403,
      body: { detail: expect.stringContaining('is the same person as puppet') },
    };
    expect(await says('puppet of it', 'approve', id)).toMatchObject(problem);
    const { body } = await fixture.gateway.http('/v1/tokens');
    const { items } = body as { items: { name: string; person: string; made_by: string | null }[] };
    expect(items.filter(({ name }) => /puppet|sock|tests|ana/.test(name))).toMatchObject([
      { name: 'tests', person: 'tests', made_by: null },
      { name: 'ana', person: 'ana', made_by: null },
      { name: 'puppet', person: 'tests', made_by: 'token:tests' },
      { name: 'puppet of it', person: 'tests', made_by: 'token:puppet' },
      { name: 'sock of puppet', person: 'tests', made_by: 'token:puppet' },
      { name: 'sock', person: 'tests', made_by: 'token:tests' },
    ]);
    const ground = await fixture.gateway.http('/v1/tokens/puppet', {
      method: 'DELETE',
      token: tokens.get('sock of puppet')!,
    });
    expect(ground).toMatchObject({ status: 409, body: { detail: expect.stringContaining('with it') } });
    // That one of them is gone makes no two people of the others.
    const gone = await fixture.gateway.http('/v1/tokens/puppet', { method: 'DELETE' });
    expect(gone).toMatchObject({
      status: 200,
      body: { revoked: 'puppet', with_it: ['puppet of it', 'sock of puppet'] },
    });
    expect((await says('puppet of it', 'approve', id)).status).toBe(401);
    const before = fixture.gateway;
    await before.killHard();
    const next = await startGateway({
      upstreamPort: fixture.postgres.port,
      policy: POLICY,
      environment: {
        HOLDFAST_STORE: `sqlite:${join(before.directory, 'h.db')}`,
        HOLDFAST_ADMIN_TOKENS: join(before.directory, 'tokens.yaml'),
      },
    });
    fixture.goesOnWith(next);
    expect((await says('puppet of it', 'approve', id)).status).toBe(401);
    expect(await says('sock', 'approve', id)).toMatchObject(problem);
    expect((await says('ben', 'approve', id)).body).toMatchObject({ state: 'approved' });
  });

  it('is denied by anybody, also by who has approved', async () => {
    const [first, second] = [await ticket('robot', 'few'), await ticket('robot', 'few')];
    await says('ana', 'approve', first);
    const denied = await says('ana', 'deny', first, { comment: 'no after all' });
    expect(denied).toMatchObject({ status: 200, body: { state: 'denied', resolved_by: 'ana', grant: null } });
    expect(await says('ana', 'deny', first, { comment: 'no after all' })).toEqual(denied);
    expect((await says('ana', 'approve', first)).status).toBe(409);
    expect((await says('robot', 'deny', second)).body).toMatchObject({ state: 'denied' });
  });

  it('gives way to break-glass, with a reason, which is in the audit and the log', async () => {
    const id = await ticket('robot', 'few');
    expect((await says('breaker', 'break-glass', id, {})).status).toBe(400);
    expect((await says('breaker', 'break-glass', id, { reason: ' ' })).status).toBe(400);
    expect((await says('breaker', 'break-glass', id, { reason: 'the shop is on fire' })).body).toMatchObject({
      state: 'approved',
      votes: [{ principal: 'breaker', break_glass: true, comment: 'the shop is on fire' }],
    });
    expect(fixture.gateway.log()).toContain('break-glass: approved alone');
    const { body } = await fixture.gateway.http(`/v1/audit?approval_id=${id}&operation=break%20glass`);
    const { items } = body as { items: Record<string, unknown>[] };
    expect(items).toMatchObject([{ role: 'token:breaker', operation: 'break glass' }]);
    expect(JSON.stringify(items)).toContain('the shop is on fire');
  });
});

describe('rows', () => {
  // What is masked in a text takes nothing from what is known of its rows.
  it.each([
    'delete from precious where id <= 4',
    'delete from precious where id <= 4 /* pwd=x */',
    "delete from precious where id <= 4 and coalesce(note, '') <> concat('password=', 'x')",
  ])('may be a few more than were approved, and no more than that: %s', async (first) => {
    await fixture.reset();
    const client = await fixture.client();
    const run = async (client: RawClient) => errorsOf(await client.query(first));
    const idOf = (errors: readonly Record<string, string>[]) =>
      (JSON.parse(errors[0]!['D']!) as { approval_id: string }).approval_id;
    const id = idOf(await run(client));
    await fixture.resolve(id, 'approve');
    await fixture.postgres.sql('insert into precious select -i, null from generate_series(1, 3) i');
    const refused = await run(client);
    expect(refused).toMatchObject([
      { C: 'HF001', M: expect.stringContaining('it would change 7 rows, not 4') },
    ]);
    expect(await fixture.preciousRows()).toBe(13);
    await fixture.postgres.sql('delete from precious where id = -3');
    // By now it is asked for anew, and what was asked is to be decided first.
    const again = idOf(await run(client));
    expect([again]).toEqual([idOf(refused)]);
    await fixture.resolve(again, 'approve');
    expect(await run(client)).toEqual([]);
    expect(await fixture.preciousRows()).toBe(6);
    await client.terminate();
  });
});

describe('a session that waits', () => {
  it('is not ended by the server as idle, and is told now and then', async () => {
    await fixture.reset();
    const client = await fixture.client({ user: 'sleeper', application_name: 'quick' });
    client.write(fe.query('truncate precious'));
    const id = await heldId(client);
    expect(await heldId(client)).toBe(id);
    expect(await heldId(client)).toBe(id);
    await fixture.resolve(id, 'approve');
    expect(errorsOf(await client.untilReady())).toEqual([]);
    expect(await fixture.preciousRows()).toBe(0);
    await client.terminate();
  });

  it('in a transaction is ended by the server whose locks have to be freed, and is told in its words', async () => {
    const client = await fixture.client({ user: 'sleeper' });
    await client.query('begin');
    client.write(fe.query('truncate precious'));
    const id = await heldId(client);
    expect(errorsOf(await client.untilEnd())).toMatchObject([{ S: 'FATAL', C: '25P03' }]);
    await fixture.untilApprovalIs(id, 'disconnected');
    expect((await says('ana', 'approve', id)).status).toBe(409);
  });
});
