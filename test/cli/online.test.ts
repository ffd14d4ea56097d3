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
    const created_at = new Date(Date.now() - 200_000).toISOString();
    const expires_at = new Date(Date.now() + 100_000).toISOString();
    admin.answerWith(() => ({ body: { items: [{ ...APPROVAL, created_at, expires_at }], next: null } }));
    const { code, out } = await holdfast(['approvals'], { env: admin.env });
    expect(code).toBe(0);
    expect(admin.asked[0]).toMatchObject({
      url: '/v1/approvals?state=pending&spread=role&limit=1000',
      authorization: 'Bearer sesame',
    });
    expect(out).toBe(
      [
        'ID    STATE    ASKED  LEFT   ROLE  DATABASE  RISK      RULE              STATEMENT',
        'ap_1  pending  3 min  1 min  app   shop      critical  default:critical  delete ⏎ from orders \\x1b[2J',
        '',
      ].join('\n'),
    );
  });

  it('goes on where a list has ended, and says how', async () => {
    const list = async (...args: string[]) => {
      const { err } = await holdfast(['approvals', ...args], { env: admin.env });
      return [admin.asked.at(-1)!.url, err];
    };
    admin.answerWith(() => ({ body: { items: [APPROVAL], next: 'ap_1' } }));
    expect(await list()).toEqual([
      '/v1/approvals?state=pending&spread=role&limit=1000',
      expect.stringContaining('of the roles that wait for most'),
    ]);
    expect(await list('--cursor', 'ap_1', '--limit', '5')).toEqual([
      '/v1/approvals?state=pending&limit=5&cursor=ap_1',
      expect.stringContaining('--cursor ap_1 goes on'),
    ]);
    expect(await list('--state', 'all')).toEqual([
      '/v1/approvals',
      expect.stringContaining('--cursor ap_1 goes on'),
    ]);
  });

  it('counts who has approved by heads, whatever their names have in them', async () => {
    const body = { ...APPROVAL, approvals_needed: 2, approved_by: ['Smith, Anna'] };
    admin.answerWith(({ url }) => (url.endsWith('/preview') ? { status: 404, body: {} } : { body }));
    const { out } = await holdfast(['approvals', 'show', 'ap_1'], { env: admin.env });
    expect(out).toMatch(/approvals +1 of 2 \(Smith, Anna\)/);
  });

  it('shows one, with what is known of what it would do and what is not', async () => {
    const preview = {
      rows: { kind: 'exact', rows: 12 },
      rows_bound: 'set',
      cascades: { kind: 'tree', nodes: [{ table: 'items', rows: { kind: 'at_least', rows: 100 } }] },
      triggers: { kind: 'list', items: [] },
      locks: { kind: 'unknown', reason: 'it took too long' },
    };
    admin.answerWith(({ url }) => ({
      body: url.endsWith('/preview')
        ? { state: 'ready', preview }
        : { ...APPROVAL, tables: ['orders', 'items'] },
    }));
    const { out } = await holdfast(['approvals', 'show', 'ap_1'], { env: admin.env });
    expect(out.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
      ...[
        ['approval', 'ap_1'],
        ['state', 'pending'],
        ['by', 'app in shop'],
        ['risk', 'critical'],
      ],
      ...[
        ['rule', 'default:critical'],
        ['tables', 'orders,items'],
        ['rows', '12'],
      ],
      ...[
        ['cascades to', 'items (at least 100)'],
        ['triggers', 'none'],
      ],
      ...[
        ['lock', 'unknown, because it took too long'],
        [''],
        ['', 'delete'],
        ['', 'from orders \\x1b[2J'],
        [''],
      ],
    ]);
    preview.rows_bound = 'number';
    const numbered = await holdfast(['approvals', 'show', 'ap_1'], { env: admin.env });
    expect(numbered.out).toContain('12; approved, it may change as many others');
    preview.rows = { kind: 'unknown', reason: 'a table is locked by others' } as never;
    const unbound = await holdfast(['approvals', 'show', 'ap_1'], { env: admin.env });
    expect(unbound.out).toContain(
      'unknown, because a table is locked by others; approved, it may change any number of rows',
    );
    const json = await holdfast(['approvals', 'show', 'ap_1', '--json'], { env: admin.env });
    expect(JSON.parse(json.out)).toMatchObject({ id: 'ap_1', preview: { state: 'ready' } });
  });

  it('shows rows as they are and as they would be, and what is kept from whoever looks', async () => {
    const column = (name: string, changes: object = {}) => ({
      name,
      masked: false,
      withheld: null,
      ...changes,
    });
    const sample = {
      ...{ kind: 'rows', table: 'orders', after: 'computed', after_reason: null, more: true },
      columns: [
        ...[column('id'), column('note'), column('card', { masked: true })],
        ...[column('total', { withheld: 'parameters' }), column('tax', { withheld: 'mask' })],
      ],
      rows: [
        { before: ['1', 'a\u001b[2J', null, '5', '6'], after: ['1', null, null, null, null] },
        { before: ['2', 'NULL', null, '5', '6'], after: ['2', '(masked)', null, null, null] },
      ],
    };
    const preview = { rows: { kind: 'exact', rows: 12 }, sample };
    admin.answerWith(({ url }) => ({
      body: url.endsWith('/preview') ? { state: 'ready', preview } : APPROVAL,
    }));
    const show = async () => (await holdfast(['approvals', 'show', 'ap_1'], { env: admin.env })).out;
    expect(await show()).toContain(`
rows of orders, 2 of more, as they are → as they would be:
  id  note                 card      total                  tax
  1   a\\x1b[2J → NULL      (masked)  5 → (from parameters)  6 → (masked)
  2   "NULL" → "(masked)"  (masked)  5 → (from parameters)  6 → (masked)
`);
    Object.assign(sample, {
      after: 'removed',
      more: false,
      rows: [{ before: ['1', 'a', null, '5', '6'], after: null }],
    });
    expect(await show()).toContain(`
rows of orders, all 1, would be gone:
  id  note  card      total  tax
  1   a     (masked)  5      6
`);
    Object.assign(preview, { sample: { kind: 'unknown', reason: 'a table is locked' } });
    expect(await show()).toContain('\nrows: unknown, because a table is locked\n');
    const json = await holdfast(['approvals', 'show', 'ap_1', '--json'], { env: admin.env });
    expect(JSON.parse(json.out).preview.preview).toEqual(preview);
  });

  it('says what of a long statement is not shown, and how that ends', async () => {
    const long = { statement: 'delete from a;', statement_end: 'drop table b', statement_bytes: 70_000 };
    admin.answerWith(({ url }) =>
      url.endsWith('/preview') ? { status: 404, body: {} } : { body: { ...APPROVAL, ...long } },
    );
    const { out } = await holdfast(['approvals', 'show', 'ap_1'], { env: admin.env });
    expect(out).toMatch(
      /CUT: these are the first 14 B of 68\.4 KiB \(sha256 .*\nIt ends so:\n\n {2}drop table b\n$/s,
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

describe('approvals break-glass', () => {
  it('says why', async () => {
    admin.answerWith(() => ({ body: { id: 'ap_1', state: 'approved' } }));
    const args = ['approvals', 'break-glass', 'ap_1'];
    expect((await holdfast(args, { env: admin.env })).code).toBe(2);
    const { out } = await holdfast([...args, '--reason', 'the shop is down'], { env: admin.env });
    expect(out).toBe('ap_1 approved\n');
    expect(admin.asked[0]).toMatchObject({
      url: '/v1/approvals/ap_1/break-glass',
      body: '{"reason":"the shop is down"}',
    });
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
    const policy = { mode: 'protect', rules: 1, revision: 'abc', file: 'p.yaml' };
    const sessions = { open: 2, total: 5 };
    const audit = { events: 9, failures: 1, anchored_to: 0, anchor_problem: 'the disk is full' };
    const facts = { version: '1', uptime_s: 90, ready: true, listen: '[::]:6432', upstream: 'db:5432' };
    const statements = { total: 7, held: 1 };
    admin.answerWith(() => ({
      body: { ...facts, paused: 'a fire \u001b[31m', quarantined: 1, sessions, statements, policy, audit },
    }));
    expect((await holdfast(['status'], { env: admin.env })).out).toBe(
      [
        'state        serves clients, but only what is safe',
        'paused       a fire \\x1b[31m',
        'quarantined  1 (holdfast quarantine lists them)',
        'gateway      Holdfast 1, up for 1 min',
        'clients      [::]:6432: 2 open, 5 in all',
        'server       db:5432',
        'statements   7 in all, 1 held now',
        'policy       mode protect, 1 rule, revision abc, p.yaml',
        'audit        9 events since its start, the newest are not anchored: the disk is full, 1 write FAILED',
        '',
      ].join('\n'),
    );
    admin.answerWith(() => ({ body: { ready: false, problems: ['the server does not answer'] } }));
    expect((await holdfast(['status'], { env: admin.env })).out).toContain(
      'cannot serve clients: the server does not answer',
    );
    admin.asked.length = 0;
    admin.answerWith(() => ({ body: { revision: 'abc' } }));
    expect((await holdfast(['policy', 'reload'], { env: admin.env })).out).toBe(
      'The policy is in force, revision abc.\n',
    );
    expect(admin.asked[0]).toMatchObject({ method: 'POST', url: '/v1/policy/reload' });
  });
});

describe('pause, resume and quarantine', () => {
  it('say what they have done', async () => {
    const paused = { id: 'pau_1', reason: 'wrong deploy', by: 'token:anna', since: '2031-01-01T00:00:00Z' };
    admin.answerWith(({ url }) => ({ body: { paused: url === '/v1/pause' ? paused : null } }));
    const pause = await holdfast(['pause', '--reason', 'wrong deploy'], { env: admin.env });
    expect(pause.out).toBe('Paused by token:anna since 2031-01-01T00:00:00Z: wrong deploy\n');
    expect(admin.asked[0]).toMatchObject({ method: 'POST', body: '{"reason":"wrong deploy"}' });
    expect((await holdfast(['resume'], { env: admin.env })).out).toBe('Nothing is paused.\n');
    expect((await holdfast(['pause'], { env: admin.env })).code).toBe(2);
  });

  it('put roles in quarantine and lift it', async () => {
    const item = {
      id: 'qua_1',
      role: 'agent_7',
      application: null,
      until: null,
      by: 'holdfast',
      reason: 'r',
    };
    admin.answerWith(({ method }) => ({ body: method === 'GET' ? { items: [item], next: null } : item }));
    expect((await holdfast(['quarantine'], { env: admin.env })).out).toBe(
      'ID     ROLE     APPLICATION  UNTIL  BY        REASON\nqua_1  agent_7  -            -      holdfast  r\n',
    );
    const args = ['quarantine', 'add', 'agent_7', '--for', '30m', '--reason', 'r'];
    expect((await holdfast(args, { env: admin.env })).out).toBe('qua_1\n');
    expect(admin.asked[1]!.body).toBe('{"role":"agent_7","reason":"r","for_s":1800}');
    const lifted = await holdfast(['quarantine', 'lift', 'qua_1', '--comment', 'seen'], { env: admin.env });
    expect(lifted.out).toBe('agent_7 is free.\n');
    expect(admin.asked[2]).toMatchObject({ method: 'DELETE', url: '/v1/quarantine/qua_1?comment=seen' });
    const wrong = await holdfast(['quarantine', 'add', 'a', '--for', '5', '--reason', 'r'], {
      env: admin.env,
    });
    expect(wrong).toMatchObject({ code: 2, err: expect.stringContaining('--for: expected a duration') });
  });
});

describe('token', () => {
  it('new prints what is shown once, alone on standard output', async () => {
    admin.answerWith(() => ({ body: { token: 'hf_secret', name: 'bot' } }));
    const args = ['token', 'new', 'bot', '--scope', 'audit:read', 'approval:read', '--expires', '2031-01-31'];
    const { out, err } = await holdfast([...args, '--group', 'dba'], { env: admin.env });
    expect([out, err]).toEqual(['hf_secret\n', 'Keep it: it is not shown again.\n']);
    expect(JSON.parse(admin.asked[0]!.body)).toEqual({
      name: 'bot',
      scopes: ['audit:read', 'approval:read'],
      groups: ['dba'],
      expires_at: '2031-01-31',
    });
    expect((await holdfast([...args.slice(0, -1), 'soon'], { env: admin.env })).code).toBe(2);
  });

  it('list and revoke', async () => {
    const item = {
      name: 'bot',
      source: 'store',
      person: 'ops',
      scopes: ['*'],
      roles: [],
      groups: [],
      expires_at: null,
    };
    admin.answerWith(({ method }) => ({
      body: method === 'GET' ? { items: [item], next: null } : { revoked: 'bot', with_it: ['ci', 'x'] },
    }));
    expect((await holdfast(['token'], { env: admin.env })).out).toBe(
      'NAME  SOURCE  PERSON  SCOPES  ROLES  GROUPS  EXPIRES  ENDED\nbot   store   ops     *       -      -       -        -\n',
    );
    expect((await holdfast(['token', 'revoke', 'b/t'], { env: admin.env })).out).toBe(
      'bot is revoked, and with it what it has made: ci, x.\n',
    );
    expect(admin.asked[1]).toMatchObject({ method: 'DELETE', url: '/v1/tokens/b%2Ft' });
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
    [403, 'holdfast: the token does not allow this\n  because \\x1b[31m'],
    [404, 'holdfast: because \\x1b[31m'],
    [409, 'holdfast: refused\n  because \\x1b[31m'],
    [500, 'answered with status 500'],
  ])('the answer is %i', async (status, message) => {
    admin.answerWith(() => ({ status, body: { title: 'Refused', detail: 'because \u001b[31m' } }));
    const { code, err } = await holdfast(['status'], { env: admin.env });
    expect(code).toBe(1);
    expect(err).toContain(message);
    expect(err).toContain('because \\x1b[31m');
  });

  it('a field is not understood', async () => {
    const errors = [{ field: 'scopes.0', message: 'expected one of those that there are' }];
    admin.answerWith(() => ({ status: 400, body: { title: 'The request is not valid', errors } }));
    const { err } = await holdfast(['token', 'new', 'ana', '--scope', 'approval'], { env: admin.env });
    expect(err).toBe(
      'holdfast: the request is not valid\n  scopes.0: expected one of those that there are\n',
    );
  });

  it('something else than the admin API answers', async () => {
    admin.answerWith(() => ({ body: '<html>' }));
    expect((await holdfast(['approvals'], { env: admin.env })).err).toContain("not the admin API's");
  });
});
