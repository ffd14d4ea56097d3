import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROUTE_SCOPES } from '../../src/admin/tokens.ts';
import { WrongTokens } from '../../src/admin/wrong-tokens.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { AdminUnderTest } from './admin-under-test.ts';
import { BODIES, filledIn, type Operation, operationsOf } from './operations.ts';

/** Of no document, since browsers ask for them: the page, what it loads, and the document itself. */
const UNDOCUMENTED = ['/', '/favicon.svg', '/openapi.json'];

let admin: AdminUnderTest;
let operations: readonly Operation[];
let guarded: readonly Operation[];
beforeAll(async () => {
  admin = await AdminUnderTest.start();
  operations = operationsOf((await admin.ask('GET', '/openapi.json')).body);
  guarded = operations.filter(({ isOpen }) => !isOpen);
});
afterAll(() => admin.stop());

const ask = (to: AdminUnderTest, { name, method, path }: Operation, token: string) =>
  to.ask(method, filledIn(path), token, BODIES[name] ?? (method === 'POST' ? {} : undefined));

it('every route of the program is in the document, so that what follows leaves none out', () => {
  const folder = 'src/admin/routes';
  const written = readdirSync(folder).flatMap((file) => {
    const text = readFileSync(`${folder}/${file}`, 'utf8');
    return [
      ...text.matchAll(/\bapp\s*\.\s*(get|post|put|patch|delete|head|options|all|route)\b[^(]*\(\s*(\S+)/g),
    ];
  });
  const known = new Set(operations.map(({ name }) => name));
  const others = written
    .map(([, method, path]) => [method!.toUpperCase(), path!.replace(/^['"`]|['"`],?$/g, '')] as const)
    .map(([method, path]) => [`${method} ${path.replace(/:(\w+)/g, '{$1}')}`, path] as const)
    .filter(([name, path]) => !known.has(name) && !UNDOCUMENTED.includes(path));
  // Its path is put together: the files of the console.
  expect(others.map(([name]) => name)).toEqual([expect.stringMatching(/^GET \/\$\{HASHED\}\*$/)]);
  expect(written.length).toBeGreaterThan(35);
});

describe('the scope of a route', () => {
  it('is needed whatever other scopes a token has, and is enough', async () => {
    for (const operation of guarded.filter(({ scope }) => scope !== null)) {
      const scope = operation.scope as (typeof ROUTE_SCOPES)[number];
      expect(ROUTE_SCOPES, operation.name).toContain(scope);
      const others = ROUTE_SCOPES.filter((one) => one !== scope);
      const refused = await ask(admin, operation, admin.token(others));
      expect([operation.name, refused.status]).toEqual([operation.name, 403]);
      expect(refused.body.detail, operation.name).toContain(`has no scope ${scope}`);
      expect(refused.headers.get('www-authenticate')).toContain(`scope="${scope}"`);
      const let_in = await ask(admin, operation, admin.token([scope]));
      expect(let_in.body?.detail ?? '', operation.name).not.toContain('has no scope');
      expect([401, 429], operation.name).not.toContain(let_in.status);
      admin.tokens.length = 0;
    }
  });
});

describe('wrong tokens', () => {
  it('are slowed down on every route, by how many there were on all of them', async () => {
    const other = await AdminUnderTest.start();
    for (let i = 0; i < LIMITS.adminWrongTokensMax; i++) {
      const { status } = await ask(other, guarded[i % guarded.length]!, `wrong${i}`);
      expect(status).toBe(401);
    }
    const answers = await Promise.all(
      guarded.map(async (operation) => {
        const began = performance.now();
        const { status, headers } = await ask(other, operation, 'wrong');
        return {
          name: operation.name,
          status,
          after: headers.has('retry-after'),
          ms: performance.now() - began,
        };
      }),
    );
    for (const { name, status, after, ms } of answers) {
      expect([name, status, after]).toEqual([name, 429, true]);
      expect(ms, name).toBeGreaterThan(LIMITS.adminWrongTokenDelayMs * 0.9);
    }
    const right = other.token(['*']);
    expect((await ask(other, guarded[0]!, right)).status).not.toBe(429);
    await other.stop();
  });

  it('are answered so slowly that of 10,000 in a minute few are worth anything', () => {
    const wrong = new WrongTokens();
    const waiting: { connection: object; untilMs: number }[] = [];
    let answered = 0;
    for (let i = 0; i < 10_000; i++) {
      const nowMs = 1_000 + (i * LIMITS.adminWrongTokensWindowMs) / 10_000;
      for (const { connection } of waiting.splice(
        0,
        waiting.findIndex(({ untilMs }) => untilMs > nowMs),
      ))
        wrong.answered(connection);
      const connection = {};
      const { delayMs } = wrong.note('192.0.2.1', connection, nowMs);
      if (delayMs === null) continue;
      answered++;
      if (delayMs > 0) waiting.push({ connection, untilMs: nowMs + delayMs });
      waiting.sort((a, b) => a.untilMs - b.untilMs);
    }
    // Whoever waits for ten seconds has at most six answers a minute on each connection that may wait.
    const most = LIMITS.adminWrongTokensMax + LIMITS.adminWaitingMax * 8;
    expect(answered).toBeLessThan(most);
    expect(wrong.note('192.0.2.1', {}, 60_500).delayMs ?? LIMITS.adminWrongTokenDelayMaxMs).toBe(
      LIMITS.adminWrongTokenDelayMaxMs,
    );
    expect(wrong.note('192.0.2.2', {}, 60_500).delayMs, 'nobody else is').toBe(0);
  });
});
