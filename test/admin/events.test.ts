import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { AdminUnderTest } from './admin-under-test.ts';
import { openStream, until } from './stream.ts';

let admin: AdminUnderTest;
beforeAll(async () => {
  admin = await AdminUnderTest.start();
});
afterAll(() => admin.stop());

const stream = (token: string, lastEventId?: string) => openStream(admin.port, token, lastEventId);
const said = (n: number) => admin.events.publish({ event: 'approval', data: { id: `apr_${n}` } });

describe('GET /v1/events', () => {
  it('tells of what happens, with an id to go on from, and of nothing before', async () => {
    said(0);
    const reader = await stream(admin.token(['approval:read']));
    said(1);
    said(2);
    const [ready, first, second] = await reader.events(3);
    expect(ready).toMatchObject({ event: 'ready' });
    expect([first, second].map((one) => one?.data)).toEqual([{ id: 'apr_1' }, { id: 'apr_2' }]);
    reader.close();
    said(3);
    const again = await stream(admin.token(['approval:read']), first!.id);
    expect((await again.events(3)).map(({ event, data }) => [event, data['id']])).toEqual([
      ['approval', 'apr_2'],
      ['approval', 'apr_3'],
      ['ready', undefined],
    ]);
    again.close();
  });

  it.each(['other-1', 'x', '0-0'])('has whoever comes back from %s read everything anew', async (id) => {
    const reader = await stream(admin.token(['approval:read']), id);
    expect((await reader.events(1))[0]).toMatchObject({ event: 'reset' });
    reader.close();
  });

  it('has the numbers of the gateway for those who may read its state, and for nobody else', async () => {
    admin.metrics.statementsHeld = 3;
    const reader = await stream(admin.token(['approval:read', 'metadata:read']));
    const [, status] = await reader.events(2);
    expect(status).toMatchObject({
      event: 'status',
      data: { statements_held: 3, statements: { risk: { safe: 0 } } },
    });
    reader.close();
    const other = await stream(admin.token(['approval:read']));
    said(9);
    expect((await other.events(2)).map(({ event }) => event)).toEqual(['ready', 'approval']);
    other.close();
  });

  it('ends with the token', async () => {
    const reader = await stream(admin.token(['approval:read']));
    await reader.events(1);
    admin.tokens.pop();
    said(10);
    await reader.ended;
  });

  it('leaves nothing of a reader that goes', async () => {
    await until(() => admin.events.listening === 0);
    const reader = await stream(admin.token(['approval:read']));
    expect(admin.events.listening).toBe(1);
    reader.close();
    await until(() => admin.events.listening === 0);
  });

  it('ends where its token may do less than before', async () => {
    const reader = await stream(admin.token(['approval:read', 'metadata:read'], 'weaker'));
    await reader.events(1);
    const token = admin.tokens.pop()!;
    admin.tokens.push({ ...token, scopes: ['approval:read'] });
    said(11);
    await reader.ended;
  });

  it('has only so many of one reader, who keeps nobody else from it', async () => {
    const token = admin.token(['approval:read'], 'greedy');
    const readers = await Promise.all(
      Array.from({ length: LIMITS.adminStreamsOfOneMax }, () => stream(token)),
    );
    expect((await admin.ask('GET', '/v1/events', token)).status).toBe(503);
    const other = await stream(admin.token(['approval:read'], 'modest'));
    for (const reader of [...readers, other]) reader.close();
    await until(() => admin.events.listening === 0);
  });

  it('has only so many readers', async () => {
    const token = admin.token(['approval:read']);
    const all = LIMITS.adminStreamsMax / LIMITS.adminStreamsOfOneMax;
    const tokens = Array.from({ length: all }, (_, n) => admin.token(['approval:read'], `reader ${n}`));
    const readers = await Promise.all(
      Array.from({ length: LIMITS.adminStreamsMax }, (_, n) => stream(tokens[n % all]!)),
    );
    expect(await admin.ask('GET', '/v1/events', token)).toMatchObject({
      status: 503,
      body: { type: 'urn:holdfast:problem:unavailable' },
    });
    for (const reader of readers) reader.close();
    await until(() => admin.events.listening === 0);
  });
});

it('GET /v1/whoami says who asks', async () => {
  const { status, body } = await admin.ask('GET', '/v1/whoami', admin.token(['metrics:read'], 'prometheus'));
  expect(status).toBe(200);
  expect(body).toEqual({
    name: 'prometheus',
    scopes: ['metrics:read'],
    roles: [],
    groups: [],
    person: 'prometheus',
    subject: null,
    expires_at: null,
  });
});
