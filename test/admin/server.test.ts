import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RouteScope } from '../../src/admin/tokens.ts';
import { makeToken, ROUTE_SCOPES } from '../../src/admin/tokens.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { hold } from '../approval/wanted.ts';
import { decision, entry, graveEntry } from '../audit/statements.ts';
import { AdminUnderTest, type Answer } from './admin-under-test.ts';

let admin: AdminUnderTest;
let all: string;

beforeAll(async () => {
  admin = await AdminUnderTest.start();
});
beforeEach(() => {
  admin.problems = [];
  admin.policyProblem = null;
  admin.tokens.length = 0;
  all = admin.token(['*'], 'ops');
});
afterAll(() => admin.stop());

const NO_SNAPSHOT = 'snap_01m7ywm391a2papjpd2r';

/** Every route of the API: what it needs, a request that it takes, and what it answers to that. */
const ROUTES: readonly [
  method: string,
  path: string,
  scope: RouteScope | 'any' | 'open',
  status: number,
  body?: unknown,
][] = [
  ['GET', '/healthz', 'open', 200],
  ['GET', '/readyz', 'open', 200],
  ['GET', '/openapi.json', 'open', 200],
  ['GET', '/metrics', 'metrics:read', 200],
  ['GET', '/v1/whoami', 'any', 200],
  ['GET', '/v1/events', 'approval:read', 200],
  ['GET', '/v1/approvals', 'approval:read', 200],
  ['GET', '/v1/approvals/apr_0', 'approval:read', 404],
  ['GET', '/v1/approvals/apr_0/preview', 'approval:read', 404],
  ['POST', '/v1/approvals/apr_0/preview', 'approval:write', 404],
  ['GET', '/v1/approvals/apr_0/statement', 'approval:read', 404],
  ['POST', '/v1/approvals/apr_0/approve', 'approval:write', 404],
  ['POST', '/v1/approvals/apr_0/deny', 'approval:write', 404, { comment: 'no' }],
  ['POST', '/v1/approvals/apr_0/break-glass', 'approval:break_glass', 404, { reason: 'a test' }],
  ['GET', '/v1/audit', 'audit:read', 200],
  ['POST', '/v1/analyze', 'query:analyze', 200, { sql: 'delete from orders' }],
  ['GET', '/v1/policy', 'policy:read', 200],
  ['POST', '/v1/policy/reload', 'policy:write', 200],
  ['GET', '/v1/webhooks', 'policy:read', 200],
  ['POST', '/v1/webhooks/reload', 'policy:write', 200],
  ['POST', '/v1/policy/replay', 'audit:read', 200, { policy: 'mode: protect' }],
  ['GET', '/v1/status', 'metadata:read', 200],
  ['GET', '/v1/pause', 'metadata:read', 200],
  ['POST', '/v1/pause', 'pause:write', 200, { reason: 'a test' }],
  ['POST', '/v1/resume', 'pause:write', 200, { comment: 'over' }],
  ['GET', '/v1/quarantine', 'quarantine:read', 200],
  ['POST', '/v1/quarantine', 'quarantine:write', 200, { role: 'etl', reason: 'a test' }],
  ['DELETE', '/v1/quarantine/qua_0', 'quarantine:write', 404],
  ['GET', '/v1/sign-in', 'open', 200],
  ['GET', '/v1/tokens', 'token:read', 200],
  ['POST', '/v1/tokens', 'token:write', 400, { name: 'x', scopes: ['root'] }],
  ['DELETE', '/v1/tokens/nobody', 'token:write', 404],
  ['GET', '/v1/snapshots', 'snapshot:read', 200],
  ['GET', '/v1/trash', 'snapshot:read', 409],
  ['GET', `/v1/snapshots/${NO_SNAPSHOT}`, 'snapshot:read', 404],
  ['GET', `/v1/snapshots/${NO_SNAPSHOT}/rows`, 'snapshot:rows', 404],
  ['POST', `/v1/snapshots/${NO_SNAPSHOT}/verify`, 'snapshot:read', 404],
  ['DELETE', `/v1/snapshots/${NO_SNAPSHOT}`, 'snapshot:write', 404],
  ['POST', `/v1/snapshots/${NO_SNAPSHOT}/undo/preview`, 'undo:preview', 404, { on_conflict: 'skip' }],
  ['POST', `/v1/snapshots/${NO_SNAPSHOT}/undo`, 'undo:write', 404, { dry_run: true }],
];

describe.each(ROUTES)('%s %s', (method, path, scope, status, body) => {
  it(`answers to ${scope}`, async () => {
    const token = scope === 'open' ? undefined : admin.token([scope === 'any' ? 'metrics:read' : scope]);
    expect((await admin.ask(method, path, token, body)).status).toBe(status);
    expect((await admin.ask(method, path, admin.token(['admin:*']), body)).status).toBe(status);
  });

  it.runIf(scope !== 'open')('answers to nothing less', async () => {
    const none = await admin.ask(method, path, undefined, body);
    expect(none.status).toBe(401);
    expect(none.headers.get('www-authenticate')).toMatch(/^Bearer/);
    if (scope === 'any') return;
    const others = admin.token(ROUTE_SCOPES.filter((other) => other !== scope));
    const other = await admin.ask(method, path, others, body);
    expect(other).toMatchObject({
      status: 403,
      body: { type: 'urn:holdfast:problem:forbidden', status: 403 },
    });
    expect(other.headers.get('content-type')).toBe('application/problem+json');
  });
});

describe('the OpenAPI document', () => {
  it('has every route, with its scope, and no other', async () => {
    const { body } = await admin.ask('GET', '/openapi.json');
    expect(body.openapi).toBe('3.1.0');
    const documented = Object.entries<Record<string, { security?: { bearer: string[] }[] }>>(
      body.paths,
    ).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, route]) => [
        method.toUpperCase(),
        path,
        route.security?.[0]?.bearer[0],
      ]),
    );
    const expected = ROUTES.filter(([, path]) => path !== '/openapi.json').map(([method, path, scope]) => [
      method,
      path
        .replace(/(apr|qua)_0/, '{id}')
        .replace('nobody', '{name}')
        .replace(NO_SNAPSHOT, '{id}'),
      scope === 'open' || scope === 'any' ? undefined : scope,
    ]);
    expect(documented.toSorted()).toEqual(expected.toSorted());
  });
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

describe('what is sent', () => {
  it.each([
    ['text/plain', '{"sql":"select 1"}', 415],
    ['application/x-www-form-urlencoded', 'sql=select', 415],
    ['application/json', '{"sql":', 400],
    ['application/json', '{"sql":"select 1","run":true}', 400],
    ['application/json', '{"sql":"select 1","__proto__":{}}', 400],
    ['application/json', '{"sql":"a\\u0000b"}', 400],
    ['application/json', '{}', 400],
    ['application/json', JSON.stringify({ sql: 'x'.repeat(LIMITS.adminBodyBytes) }), 413],
  ])('as %s %#: is refused', async (type, body, status) => {
    const headers = { authorization: `Bearer ${all}`, 'content-type': type };
    const answer = await admin.send('/v1/analyze', { method: 'POST', headers, body });
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.body).toMatchObject({ status, title: expect.any(String), type: expect.any(String) });
  });

  it('is checked field by field', async () => {
    const { status, body } = await admin.ask('GET', '/v1/audit?limit=9999&since=yesterday', all);
    expect(status).toBe(400);
    expect(body.errors.map((error: { field: string }) => error.field)).toEqual(
      expect.arrayContaining(['limit', 'since']),
    );
    expect((await admin.ask('GET', '/v1/audit?rolle=app', all)).status).toBe(400);
  });

  it('to nowhere is a problem as well', async () => {
    expect(await admin.ask('GET', '/v2', all)).toMatchObject({ status: 404, body: { status: 404 } });
    expect((await admin.ask('DELETE', '/v1/policy', all)).status).toBe(404);
  });
});

describe('browsers', () => {
  it('get nothing that lets another page in', async () => {
    const preflight = await admin.send('/v1/status', {
      method: 'OPTIONS',
      headers: { origin: 'https://evil.example', 'access-control-request-method': 'GET' },
    });
    expect(preflight.status).toBe(404);
    for (const { headers } of [
      preflight,
      await admin.ask('GET', '/v1/status', all),
      await admin.ask('GET', '/x'),
    ]) {
      expect([...headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('cache-control')).toBe('no-store');
      expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    }
  });

  it('do not reach it by a name that somebody else gave this machine', async () => {
    for (const host of ['localhost:8432', '127.0.0.1', '[::1]:8432'])
      expect(await admin.askAs(host)).toBe(200);
    for (const host of ['evil.example', '127.0.0.1.evil.example:80', 'localhost.evil.example']) {
      expect(await admin.askAs(host)).toBe(421);
    }
  });

  it('reach it by any name where it is offered to a network', async () => {
    const other = await AdminUnderTest.start({ hostNames: 'any', metricsAccess: 'open' });
    expect(await other.askAs('holdfast.internal')).toBe(200);
    expect((await other.ask('GET', '/metrics')).status).toBe(200);
    await other.stop();
  });
});

describe('a quarantine', () => {
  it.each([
    ['anna', { roles: ['anna_app'] }],
    ['anna', { roles: ['anna_*'] }],
    ['anna_app', {}],
    ['anna', { person: 'anna_app' }],
  ])('of a role of its own is lifted by nobody: %s %j', async (name, owner) => {
    const { secret, token } = makeToken(name, ['*'], null, owner);
    admin.tokens.push(token);
    const wanted = { role: 'anna_app', reason: 'odd', for_s: 60 };
    const { body } = await admin.ask('POST', '/v1/quarantine', all, wanted);
    expect(await admin.ask('DELETE', `/v1/quarantine/${body.id}`, secret)).toMatchObject({
      status: 403,
      body: { type: 'urn:holdfast:problem:forbidden', detail: `anna_app is a role of ${name}` },
    });
    expect((await admin.ask('DELETE', `/v1/quarantine/${body.id}`, all)).status).toBe(200);
    admin.tokens.pop();
  });
});

describe('readiness', () => {
  it('is told to whoever asks', async () => {
    expect((await admin.ask('GET', '/readyz')).body).toEqual({ status: 'ready', problems: [] });
    admin.problems = ['the audit cannot be stored'];
    expect(await admin.ask('GET', '/readyz')).toMatchObject({
      status: 503,
      body: { status: 'not_ready', problems: ['the audit cannot be stored'] },
    });
    expect((await admin.ask('GET', '/healthz')).status).toBe(200);
    expect((await admin.ask('GET', '/v1/status', all)).body).toMatchObject({
      ready: false,
      version: '9.8.7',
    });
  });
});

describe('approvals', () => {
  it('are listed, shown and decided, by whom the token names', async () => {
    const held = await hold(admin.approvals);
    const list = await admin.ask('GET', '/v1/approvals?state=pending', all);
    expect(list.body).toMatchObject({ items: [{ id: held.id, state: 'pending', role: 'app' }], next: null });
    const answer = await admin.ask('POST', `/v1/approvals/${held.id}/approve`, all, { comment: 'fine' });
    expect(answer.body).toMatchObject({
      id: held.id,
      state: 'approved',
      resolved_by: 'ops',
      comment: 'fine',
    });
    expect(await held.outcome).toEqual({ kind: 'approved', by: 'ops', comment: 'fine' });
    const shown = await admin.ask('GET', `/v1/approvals/${held.id}`, all);
    expect(shown.body).toEqual(answer.body);
    expect(Date.parse(shown.body.expires_at) - Date.parse(shown.body.created_at)).toBe(60_000);
  });

  it('may be decided again alike, and not otherwise', async () => {
    const held = await hold(admin.approvals);
    const path = `/v1/approvals/${held.id}`;
    expect((await admin.ask('POST', `${path}/deny`, all)).body.state).toBe('denied');
    expect((await admin.ask('POST', `${path}/deny`, all)).status).toBe(200);
    expect(await admin.ask('POST', `${path}/approve`, all)).toMatchObject({
      status: 409,
      body: { type: 'urn:holdfast:problem:conflict', detail: `approval ${held.id} is denied already` },
    });
  });

  it('never change by being looked at', async () => {
    const held = await hold(admin.approvals);
    expect((await admin.ask('GET', `/v1/approvals/${held.id}/approve`, all)).status).toBe(404);
    expect((await admin.approvals.get(held.id)).state).toBe('pending');
  });

  it('stay undecided where the store fails', async () => {
    const held = await hold(admin.approvals);
    admin.store.failing = true;
    const answer = await admin.ask('POST', `/v1/approvals/${held.id}/approve`, all);
    admin.store.failing = false;
    expect(answer).toMatchObject({ status: 503, body: { type: 'urn:holdfast:problem:unavailable' } });
    expect((await admin.approvals.get(held.id)).state).toBe('pending');
  });

  it('come in pages', async () => {
    for (let i = 0; i < 3; i++) await hold(admin.approvals);
    const first = await admin.ask('GET', '/v1/approvals?limit=2', all);
    const second = await admin.ask('GET', `/v1/approvals?limit=2&cursor=${first.body.next}`, all);
    const ids = [...first.body.items, ...second.body.items].map((item: { id: string }) => item.id);
    expect(new Set(ids).size).toBe(4);
  });
});

describe('the audit', () => {
  it('is searched by what is asked, and goes on from page to page', async () => {
    for (let i = 0; i < 5; i++) admin.audit.finish(entry({ text: `select ${i} from audit_pages` }));
    admin.audit.finish(
      graveEntry({ decision: decision('block', 'critical'), end: 'blocked', sqlstate: '42501' }),
    );
    const blocked = await admin.ask(
      'GET',
      '/v1/audit?action=block&sqlstate=42501&table=orders&end=blocked',
      all,
    );
    expect(blocked.body.items).toHaveLength(1);
    expect(blocked.body.items[0]).toMatchObject({
      sql: 'delete from orders',
      risk: 'critical',
      action: 'block',
    });
    const found: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const page = await admin.ask(
        'GET',
        `/v1/audit?text=audit_pages&limit=2${cursor && `&cursor=${cursor}`}`,
        all,
      );
      found.push(...page.body.items.map((item: { sql: string }) => item.sql));
      cursor = page.body.next;
    }
    expect(found).toEqual([4, 3, 2, 1, 0].map((i) => `select ${i} from audit_pages`));
  });

  it('is searched by time', async () => {
    const none = await admin.ask('GET', '/v1/audit?since=2031-01-01T00:00:00%2B02:00', all);
    expect(none.body).toEqual({ items: [], next: null });
  });
});

describe('policy', () => {
  it('is shown, and explains a statement for the session that is described', async () => {
    expect((await admin.ask('GET', '/v1/policy', all)).body).toEqual({
      revision: 'abc123',
      mode: 'protect',
      file: 'config/policy.yaml',
      rules: ['agents ask first'],
      source: 'mode: protect\n',
    });
    const { body } = await admin.ask('POST', '/v1/analyze', all, {
      sql: 'delete from orders',
      role: 'agent_1',
    });
    expect(admin.analyzed.at(-1)).toEqual([
      'delete from orders',
      { role: 'agent_1', database: 'postgres', application: '', client: '127.0.0.1' },
      null,
    ]);
    expect(body).toMatchObject({
      policy: { revision: 'abc123' },
      analysis: { operation: 'delete', risk: 'critical', tables: ['orders'] },
      decision: { action: 'hold', hold_mode: 'auto', timeout_ms: 1_800_000, snapshot: 'required' },
    });
  });

  it('that does not load is told of, line by line', async () => {
    admin.policyProblem = new HoldfastError('POLICY_INVALID', 'policy.yaml:3:5: unknown key "acton"');
    expect(await admin.ask('POST', '/v1/policy/reload', all)).toMatchObject({
      status: 422,
      body: { type: 'urn:holdfast:problem:policy-invalid', detail: 'policy.yaml:3:5: unknown key "acton"' },
    });
  });

  it('error that nobody foresaw says nothing of itself, except in the log', async () => {
    admin.policyProblem = new HoldfastError('INTERNAL', 'postgres://ana:hunter2@db/shop exploded');
    const answer = await admin.ask('POST', '/v1/policy/reload', all);
    expect(answer.body).toEqual({
      type: 'urn:holdfast:problem:internal',
      title: 'The gateway made a mistake',
      status: 500,
    });
    expect(admin.logged.at(-1)).toContain('postgres://ana:***@db/shop exploded');
  });
});

describe('metrics', () => {
  it('show what was counted, with bounded labels', async () => {
    const { metrics } = admin;
    metrics.sessionsOpen = 7;
    metrics.decisionSeconds.observe(0.000_02);
    metrics.decisionSeconds.observe(5);
    metrics.statements.add(metrics.statements.cellOf('forbidden', 'block', 'blocked'), 3);
    const { text, headers } = await admin.ask('GET', '/metrics', all);
    expect(headers.get('content-type')).toContain('text/plain');
    const lines = text.split('\n');
    expect(lines).toContain('holdfast_sessions_open 7');
    expect(lines).toContain('holdfast_statements_total{risk="forbidden",action="block",outcome="blocked"} 3');
    expect(lines).toContain('holdfast_decision_seconds_bucket{le="0.000005"} 0');
    expect(lines).toContain('holdfast_decision_seconds_bucket{le="0.000025"} 1');
    expect(lines).toContain('holdfast_decision_seconds_bucket{le="+Inf"} 2');
    expect(lines).toContain('holdfast_decision_seconds_count 2');
    expect(text).toMatch(/^holdfast_build_info\{version="9\.8\.7",node="v\d+/m);
    expect(text).toMatch(/^process_cpu_seconds_total /m);
    expect(lines.length).toBeLessThan(650);
  });
});
