import { beforeEach, describe, expect, it } from 'vitest';
import type { RouteScope } from '../../src/admin/tokens.ts';
import { ROUTE_SCOPES } from '../../src/admin/tokens.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { type AdminByTest, AdminUnderTest, adminByTest } from './admin-under-test.ts';

const under = adminByTest();
let { admin, all }: AdminByTest = under;
beforeEach(() => {
  ({ admin, all } = under);
});

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
    expect(body.errors.map((error: { message: string }) => error.message).toSorted()).toEqual([
      'expected a day, like 2026-01-31, or a time with its zone, like 2026-01-31T12:00:00Z',
      'expected a whole number from 1 to 1000',
    ]);
    const other = await admin.ask('GET', '/v1/approvals/7/preview', all);
    expect(other.body.errors).toEqual([
      { field: 'id', message: 'expected the id of an approval, like apr_…' },
    ]);
    expect((await admin.ask('GET', '/v1/audit?rolle=app', all)).status).toBe(400);
  });

  it('to nowhere is a problem as well', async () => {
    expect(await admin.ask('GET', '/v2', all)).toMatchObject({ status: 404, body: { status: 404 } });
  });

  it.each([
    ['DELETE', '/v1/approvals/apr_0/approve', 'POST'],
    ['POST', '/v1/whoami?a=b', 'GET, HEAD'],
    ['PUT', '/openapi.json', 'GET, HEAD'],
    ['PATCH', '/', 'GET, HEAD'],
    ['PUT', '/assets/a.js', 'GET, HEAD'],
    ['DELETE', '/v1/policy', 'GET, HEAD'],
  ])('to a path by another method is told those that it takes: %s %s', async (method, path, allow) => {
    const { status, body, headers } = await admin.ask(method, path, all);
    expect([status, headers.get('allow')]).toEqual([405, allow]);
    expect(body).toMatchObject({ type: 'urn:holdfast:problem:method-not-allowed' });
  });
});

describe('browsers', () => {
  it('get nothing that lets another page in', async () => {
    const preflight = await admin.send('/v1/status', {
      method: 'OPTIONS',
      headers: { origin: 'https://evil.example', 'access-control-request-method': 'GET' },
    });
    expect(preflight.status).toBe(405);
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
