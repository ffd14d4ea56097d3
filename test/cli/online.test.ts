import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeAdmin, holdfast } from './support.ts';

const admin = new FakeAdmin();
beforeAll(async () => await admin.listen());
afterAll(async () => await admin.close());

const APPROVAL = {
  id: 'ap_1',
  state: 'pending',
  role: 'app',
  database: 'shop',
  risk: 'critical',
  rule: 'default:critical',
  statement: 'delete\nfrom orders \u001b[2J',
};

const event = (id: string, statement = 'select 1') => ({
  id,
  time: '2031-01-01T00:00:00.000Z',
  role: 'app',
  database: 'shop',
  risk: 'safe',
  action: 'allow',
  rule: 'default:safe',
  end: 'completed',
  rows: 1,
  sqlstate: null,
  duration_ms: 0.4,
  statement,
});

describe('approvals', () => {
  it('lists what is pending, fit for a terminal', async () => {
    admin.answerWith(() => ({ body: { items: [APPROVAL], next: null } }));
    const { code, out } = await holdfast(['approvals'], { env: admin.env });
    expect(code).toBe(0);
    expect(admin.asked[0]).toMatchObject({
      url: '/v1/approvals?state=pending',
      authorization: 'Bearer sesame',
    });
    expect(out).toBe(
      [
        'ID    STATE    ROLE  DATABASE  RISK      RULE              STATEMENT',
        'ap_1  pending  app   shop      critical  default:critical  delete from orders \\x1b[2J',
        '',
      ].join('\n'),
    );
  });

  it('approves and denies with a comment', async () => {
    admin.answerWith(() => ({ body: { id: 'ap_1', state: 'denied' } }));
    const { out } = await holdfast(['approvals', 'deny', 'ap/1', '--comment', 'not now'], { env: admin.env });
    expect(admin.asked[0]).toMatchObject({
      method: 'POST',
      url: '/v1/approvals/ap%2F1/deny',
      body: '{"comment":"not now"}',
    });
    expect(out).toBe('ap/1 denied\n');
  });
});

describe('audit tail', () => {
  it('prints the newest last, one line an event', async () => {
    admin.answerWith(() => ({ body: { items: [event('b', 'select 2'), event('a')], next: null } }));
    const { out } = await holdfast(['audit', 'tail', '-n', '2', '--role', 'app', '--sqlstate', '42501'], {
      env: admin.env,
    });
    expect(admin.asked[0]!.url).toBe('/v1/audit?role=app&sqlstate=42501&limit=2');
    expect(
      out
        .trimEnd()
        .split('\n')
        .map((line) => line.slice(line.indexOf('['))),
    ).toEqual(['[completed, 1 rows, 0.4 ms] select 1', '[completed, 1 rows, 0.4 ms] select 2']);
  });

  it('follows what comes, over pages, without a gap or a repetition', async () => {
    const stop = new AbortController();
    admin.answerWith(({ url }) => {
      if (!url.includes('limit=200')) return { body: { items: [event('a')], next: 'older' } };
      if (!url.includes('cursor=')) return { body: { items: [event('d'), event('c')], next: 'more' } };
      return { body: { items: [event('b'), event('a'), event('0')], next: 'older' } };
    });
    const seen: string[] = [];
    await holdfast(['audit', 'tail', '--follow', '--json'], {
      env: admin.env,
      stop: stop.signal,
      onOut: (text) => {
        seen.push((JSON.parse(text) as { id: string }).id);
        if (seen.length === 4) stop.abort();
      },
    });
    expect(seen).toEqual(['a', 'b', 'c', 'd']);
  });
});

describe('status and policy reload', () => {
  it('show what the gateway says', async () => {
    admin.answerWith(() => ({ body: { version: '1', sessions: { open: 2 } } }));
    expect((await holdfast(['status'], { env: admin.env })).out).toBe('version        1\nsessions.open  2\n');
    admin.answerWith(() => ({ body: { revision: 'abc' } }));
    expect((await holdfast(['policy', 'reload'], { env: admin.env })).out).toBe(
      'The policy is in force, revision abc.\n',
    );
    expect(admin.asked[0]).toMatchObject({ method: 'POST', url: '/v1/policy/reload' });
  });
});

describe('what can go wrong', () => {
  it('no token is given', async () => {
    const { code, err } = await holdfast(['status'], { env: { ...admin.env, HOLDFAST_TOKEN: '' } });
    expect(code).toBe(2);
    expect(err).toContain('Set HOLDFAST_TOKEN');
  });

  it('nothing answers', async () => {
    const { code, err } = await holdfast(['status', '--url', 'http://127.0.0.1:1', '--token', 'x']);
    expect(code).toBe(1);
    expect(err).toMatch(/^holdfast: no admin API answers at http:\/\/127\.0\.0\.1:1\n/);
  });

  it.each([
    [401, 'does not know this token'],
    [403, 'the token has no scope for this'],
    [404, 'there is no such thing'],
    [500, 'answered with status 500'],
  ])('the answer is %i', async (status, message) => {
    admin.answerWith(() => ({ status, body: { title: 'Refused', detail: 'because \u001b[31m' } }));
    const { code, err } = await holdfast(['status'], { env: admin.env });
    expect(code).toBe(1);
    expect(err).toContain(message);
    expect(err).toContain('Refused: because \\x1b[31m');
  });

  it('something else than the admin API answers', async () => {
    admin.answerWith(() => ({ body: '<html>' }));
    expect((await holdfast(['approvals'], { env: admin.env })).err).toContain("not the admin API's");
  });
});
