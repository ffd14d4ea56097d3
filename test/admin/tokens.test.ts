import { once } from 'node:events';
import { connect } from 'node:net';
import { beforeEach, describe, expect, it } from 'vitest';
import { makeToken } from '../../src/admin/tokens.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { type AdminByTest, AdminUnderTest, type Answer, adminByTest } from './admin-under-test.ts';

const under = adminByTest();
let { admin, all }: AdminByTest = under;
beforeEach(() => {
  ({ admin, all } = under);
});

describe('a token', () => {
  it('is compared by its hash, and is nowhere in what the server says or logs', async () => {
    const { secret } = makeToken('stranger', ['*']);
    const refused = await admin.ask('GET', '/v1/status', secret);
    expect(refused).toMatchObject({ status: 401, body: { type: 'urn:holdfast:problem:unauthorized' } });
    const answers = [refused.text, (await admin.ask('GET', '/v1/status', all)).text, ...admin.logged].join();
    expect(answers).not.toContain(secret);
    expect(answers).not.toContain(all);
  });

  it('does not hold after its time', async () => {
    const old = makeToken('old', ['*'], Date.now() - 1);
    const young = makeToken('young', ['*'], Date.now() + 60_000);
    admin.tokens.push(old.token, young.token);
    expect((await admin.ask('GET', '/v1/status', old.secret)).status).toBe(401);
    expect((await admin.ask('GET', '/v1/status', young.secret)).status).toBe(200);
  });

  it('can be taken away while the server runs', async () => {
    const secret = admin.token(['*']);
    expect((await admin.ask('GET', '/v1/status', secret)).status).toBe(200);
    admin.tokens.pop();
    expect((await admin.ask('GET', '/v1/status', secret)).status).toBe(401);
  });

  it('is not taken from the URL, nor by another scheme', async () => {
    expect((await admin.ask('GET', `/v1/status?token=${all}`)).status).toBe(401);
    const headers = { authorization: `Basic ${Buffer.from(`ops:${all}`).toString('base64')}` };
    expect((await admin.send('/v1/status', { headers })).status).toBe(401);
  });
});

describe('whoever may make tokens', () => {
  const make = (secret: string, changes: object) =>
    admin.ask('POST', '/v1/tokens', secret, { name: 'bot', scopes: ['audit:read'], ...changes });

  it('gives no more than they have, and not for longer', async () => {
    const untilMs = Date.now() + 60_000;
    const given = { roles: ['anna_app'], groups: ['dba'] };
    const anna = makeToken('anna', ['token:write', 'audit:read'], untilMs, given);
    admin.tokens.push(anna.token);
    for (const changes of [
      { scopes: ['*'] },
      { scopes: ['audit:read', 'approval:write'] },
      { groups: ['owners'] },
      { expires_at: new Date(untilMs + 60_000).toISOString() },
    ]) {
      const { status, body } = await make(anna.secret, changes);
      expect([status, body.type]).toEqual([403, 'urn:holdfast:problem:forbidden']);
    }
    const { status, body } = await make(anna.secret, { groups: ['dba'] });
    expect(status).toBe(200);
    expect(body).toMatchObject({ roles: ['anna_app', 'anna'], groups: ['dba'], source: 'store' });
    expect(Date.parse(body.expires_at)).toBe(untilMs);
    expect((await admin.ask('GET', '/v1/audit', body.token)).status).toBe(200);
  });

  it('revokes no token that may do more', async () => {
    const weak = makeToken('weak', ['token:write', 'audit:read']);
    const like = makeToken('like', ['audit:read']);
    const strong = makeToken('strong', ['*']);
    admin.tokens.push(weak.token, like.token, strong.token);
    const revoke = (name: string) => admin.ask('DELETE', `/v1/tokens/${name}`, weak.secret);
    expect(await revoke('strong')).toMatchObject({
      status: 403,
      body: { detail: expect.stringContaining('*') },
    });
    expect((await revoke('like')).status).toBe(200);
    admin.tokens.splice(admin.tokens.indexOf(weak.token), 1);
    admin.tokens.splice(admin.tokens.indexOf(strong.token), 1);
  });

  it('shows none again', async () => {
    const { body } = await make(all, {});
    const list = await admin.ask('GET', '/v1/tokens', all);
    expect(list.body.items.map(({ name }: { name: string }) => name)).toEqual(['ops', 'bot']);
    expect(list.text).not.toMatch(/hf_|sha256|[0-9a-f]{64}/);
    expect((await admin.ask('DELETE', '/v1/tokens/bot', all)).body).toEqual({ revoked: 'bot', with_it: [] });
    expect((await admin.ask('GET', '/v1/audit', body.token)).status).toBe(401);
  });
});

describe('wrong tokens', () => {
  it('are slowed down after a few, while a right one is let through', async () => {
    const other = await AdminUnderTest.start();
    const right = other.token(['*']);
    const statuses: number[] = [];
    for (let i = 0; i < LIMITS.adminWrongTokensMax; i++) {
      statuses.push((await other.ask('GET', '/v1/status', `wrong${i}`)).status);
    }
    expect(new Set(statuses)).toEqual(new Set([401]));
    const startedMs = performance.now();
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        other.ask('GET', '/v1/status', `wrong again ${i}`.replaceAll(' ', '_')),
      ),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([429]));
    expect(Number(answers[0]!.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(performance.now() - startedMs).toBeGreaterThan(LIMITS.adminWrongTokenDelayMs * 0.9);
    expect((await other.ask('GET', '/v1/status', right)).status).toBe(200);
    // A connection is good for one guess at a time.
    const piped = connect(other.port, '127.0.0.1');
    // Answers that nobody reads would keep its end from being seen.
    piped.resume();
    const guess = 'GET /v1/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer wrong\r\n\r\n';
    piped.write(guess.repeat(20));
    await once(piped, 'close');
    await other.stop();
  });
});

describe('a principal', () => {
  it('may ask only so much, which takes nothing from others', async () => {
    const other = await AdminUnderTest.start();
    const busy = other.token(['metadata:read'], 'busy');
    const statuses = new Map<number, number>();
    let refused: Answer | null = null;
    const ask = async () => {
      const answer = await other.ask('GET', '/v1/whoami', busy);
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      if (answer.status === 429) refused = answer;
    };
    const began = performance.now();
    while (refused === null) await Promise.all(Array.from({ length: 50 }, ask));
    const seconds = (performance.now() - began) / 1000;
    expect(statuses.get(200)).toBeGreaterThanOrEqual(LIMITS.adminRequestsAtOnce);
    const allowed = LIMITS.adminRequestsAtOnce + LIMITS.adminRequestsPerS * seconds;
    expect(statuses.get(200)).toBeLessThanOrEqual(Math.ceil(allowed));
    expect(refused).toMatchObject({ body: { detail: 'busy asks too much; wait for 1 s' } });
    expect((await other.ask('GET', '/v1/whoami', other.token([]))).status).toBe(200);
    await other.stop();
  });
});
