import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { problemSchema } from '../../src/admin/problems.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { hold } from '../approval/wanted.ts';
import { AdminUnderTest, type Answer } from './admin-under-test.ts';
import { BODIES, filledIn, type Operation, operationsOf } from './operations.ts';

const PAGE = readFileSync('docs/api.md', 'utf8');
/** The problems of the table in docs/api.md, with their statuses. */
const PROBLEMS = new Map(
  [...PAGE.matchAll(/^\| `([a-z-]+)` \| (\d{3}) \|/gm)].map(([, name, status]) => [name!, Number(status)]),
);

/** These need a database or a damaged snapshot, and are met in test/admin/snapshots.test.ts and test/undo. */
const ELSEWHERE = /^\S+ \/v1\/(snapshots|trash)\b.* (404|409|422|502|503)$|\/preview (404|409|503)$/;

let admin: AdminUnderTest;
let all: string;
let operations: readonly Operation[] = [];

beforeAll(async () => {
  admin = await AdminUnderTest.start();
  const { body } = await admin.ask('GET', '/openapi.json');
  operations = operationsOf(body).map((one) => ({ ...one, path: filledIn(one.path) }));
});
beforeEach(() => {
  admin.tokens.length = 0;
  all = admin.token(['*'], 'ops');
});
afterAll(() => admin.stop());

function ask({ name, method, path }: Operation, changes: Record<string, unknown> = {}): Promise<Answer> {
  const { token = all, query = '', body = BODIES[name] ?? (method === 'POST' ? {} : undefined) } = changes;
  return admin.ask(method, `${path}${String(query)}`, (token as string | null) ?? undefined, body);
}

function expectProblem(answer: Answer, status: number, name: string): void {
  expect(answer.status, name).toBe(status);
  expect(answer.headers.get('content-type'), name).toBe('application/problem+json');
  const problem = problemSchema.strict().parse(answer.body);
  expect(problem.status).toBe(status);
  const type = problem.type.replace('urn:holdfast:problem:', '');
  expect(PROBLEMS.get(type), `${type} of ${name} in docs/api.md`).toBe(status);
}

const called = (name: string) => operations.find((one) => one.name === name)!;

describe('every route', () => {
  it('is in docs/api.md, with its scope', () => {
    expect(operations.length).toBeGreaterThan(25);
    const rows = PAGE.split('\n').filter((line) => line.startsWith('|'));
    for (const { name, scope, isOpen } of operations) {
      const row = rows.find((line) => line.includes(`\`${name}\``));
      expect(row, name).toBeDefined();
      expect(row, name).toContain(isOpen ? '| none |' : scope === null ? '| any |' : `| \`${scope}\``);
    }
  });

  it('says nothing without a token, and no more to one that lacks its scope', async () => {
    const none = admin.token([], 'none');
    for (const operation of operations.filter(({ isOpen }) => !isOpen)) {
      expect(operation.statuses, operation.name).toEqual(expect.arrayContaining([400, 401, 403, 429]));
      expectProblem(await ask(operation, { token: null }), 401, operation.name);
      if (operation.scope !== null) expectProblem(await ask(operation, { token: none }), 403, operation.name);
    }
  });

  it('refuses a field that is not known', async () => {
    for (const operation of operations.filter(
      ({ path }) => path.startsWith('/v1/') && !path.includes('sign-in'),
    )) {
      expectProblem(await ask(operation, { query: '?nonsense=1' }), 400, `${operation.name}?nonsense`);
      if (!operation.hasBody) continue;
      const body = { ...(BODIES[operation.name] as object), nonsense: 1 };
      expectProblem(await ask(operation, { body }), 400, operation.name);
    }
  });

  it('with a body refuses one that is too large, or not JSON', async () => {
    const headers = { authorization: `Bearer ${all}`, 'content-type': 'text/plain' };
    for (const operation of operations.filter(({ hasBody }) => hasBody)) {
      expect(operation.statuses, operation.name).toEqual(expect.arrayContaining([413, 415]));
      const { method, path, name } = operation;
      expectProblem(await admin.send(path, { method, headers, body: 'x' }), 415, name);
      expectProblem(await ask(operation, { body: 'x'.repeat(LIMITS.adminBodyBytes) }), 413, name);
    }
  });

  it('that names a thing says that there is none', async () => {
    for (const operation of operations.filter(({ name }) => name.includes('{'))) {
      expectProblem(await ask(operation), 404, operation.name);
    }
  });
});

it('what has not changed is not sent again', async () => {
  const first = await admin.ask('GET', '/v1/approvals', all);
  const tag = first.headers.get('etag')!;
  const again = (etag: string) =>
    admin.send('/v1/approvals', { headers: { authorization: `Bearer ${all}`, 'if-none-match': etag } });
  for (const etag of [tag, `W/${tag}`, `"other", ${tag}`]) {
    const answer = await again(etag);
    expect([answer.status, answer.text, answer.headers.get('etag')]).toEqual([304, '', tag]);
  }
  await held();
  const changed = await again(tag);
  expect(changed.status).toBe(200);
  expect(changed.headers.get('etag')).not.toBe(tag);
});

describe('every other error that is documented', () => {
  const seen = new Set<string>();
  const meet = async (name: string, status: number, asked: Promise<Answer> | Answer) => {
    expectProblem(await asked, status, name);
    expect(called(name).statuses, name).toContain(status);
    seen.add(`${name} ${status}`);
  };

  it('conflict', async () => {
    admin.token(['*'], 'bot');
    const { id, path } = await held();
    await admin.ask('POST', `${path}/deny`, all);
    await meet('POST /v1/approvals/{id}/approve', 409, admin.ask('POST', `${path}/approve`, all));
    const other = await held();
    await admin.ask('POST', `${other.path}/approve`, all);
    await meet('POST /v1/approvals/{id}/deny', 409, admin.ask('POST', `${other.path}/deny`, all));
    expect(id).not.toBe(other.id);
    const breakGlass = admin.ask('POST', `${path}/break-glass`, all, { reason: 'x' });
    await meet('POST /v1/approvals/{id}/break-glass', 409, breakGlass);
    await meet('POST /v1/tokens', 409, ask(called('POST /v1/tokens')));
    await meet('DELETE /v1/tokens/{name}', 409, admin.ask('DELETE', '/v1/tokens/of-the-file', all));
  });

  it('a policy that is not valid', async () => {
    admin.policyProblem = new HoldfastError('POLICY_INVALID', 'policy.yaml:3:5: unknown key "acton"');
    await meet('POST /v1/policy/reload', 422, ask(called('POST /v1/policy/reload')));
    await meet('POST /v1/webhooks/reload', 422, ask(called('POST /v1/webhooks/reload')));
    admin.policyProblem = null;
    const replay = called('POST /v1/policy/replay');
    await meet(replay.name, 422, ask(replay, { body: { policy: 'mood: protect' } }));
  });

  it('a store that fails', async () => {
    const { path } = await held();
    const wanted = { role: 'x', application: null, reason: 'x', forMs: null };
    const { id } = await admin.restraints.quarantine(wanted, { by: 'token:x', client: '' });
    admin.store.failing = true;
    for (const verb of ['approve', 'deny'])
      await meet(`POST /v1/approvals/{id}/${verb}`, 503, admin.ask('POST', `${path}/${verb}`, all));
    await meet('GET /v1/approvals/{id}', 503, admin.ask('GET', path, all));
    await meet('GET /v1/approvals/{id}/statement', 503, admin.ask('GET', `${path}/statement`, all));
    const breakGlass = admin.ask('POST', `${path}/break-glass`, all, { reason: 'x' });
    await meet('POST /v1/approvals/{id}/break-glass', 503, breakGlass);
    for (const name of [
      'GET /v1/approvals',
      'GET /v1/audit',
      'POST /v1/policy/replay',
      'POST /v1/webhooks/reload',
      'POST /v1/pause',
      'POST /v1/resume',
    ])
      await meet(name, 503, ask(called(name)));
    await meet('DELETE /v1/quarantine/{id}', 503, admin.ask('DELETE', `/v1/quarantine/${id}`, all));
    await meet('POST /v1/quarantine', 503, ask(called('POST /v1/quarantine')));
    for (const name of ['POST /v1/tokens', 'DELETE /v1/tokens/{name}']) {
      admin.tokensFail = true;
      await meet(name, 503, ask(called(name)));
      admin.tokensFail = false;
    }
    admin.store.failing = false;
  });

  it('too many quarantines', async () => {
    const wanted = { application: null, reason: 'x', forMs: null };
    for (let i = 0; i < LIMITS.quarantinesMax; i++) {
      admin.restraints
        .quarantine({ role: `r${i}`, ...wanted }, { by: 'token:x', client: '' })
        .catch(() => {});
    }
    await meet('POST /v1/quarantine', 409, ask(called('POST /v1/quarantine')));
  });

  it('has been met by now, or is met elsewhere', async () => {
    const general = [400, 401, 403, 404, 413, 415, 429];
    const left = operations.flatMap(({ name, statuses }) =>
      statuses
        .filter((status) => status >= 400 && !general.includes(status))
        .map((status) => `${name} ${status}`),
    );
    const known = ['GET /readyz 503', 'GET /v1/events 503'];
    expect(left.filter((one) => !seen.has(one) && !known.includes(one) && !ELSEWHERE.test(one))).toEqual([]);
  });
});

async function held(): Promise<{ id: string; path: string }> {
  const { id } = await hold(admin.approvals);
  return { id, path: `/v1/approvals/${id}` };
}
