import { beforeEach, describe, expect, it } from 'vitest';
import { makeToken } from '../../src/admin/tokens.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { hold } from '../approval/wanted.ts';
import { decision, entry, graveEntry } from '../audit/statements.ts';
import { type AdminByTest, adminByTest } from './admin-under-test.ts';

const under = adminByTest();
let { admin, all }: AdminByTest = under;
beforeEach(() => {
  ({ admin, all } = under);
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
    expect((await admin.ask('GET', '/readyz')).body).toEqual({
      ...{ status: 'ready', problems: [], checks: [] },
    });
    admin.problems = ['the audit cannot be stored'];
    expect(await admin.ask('GET', '/readyz')).toMatchObject({
      status: 503,
      body: { status: 'not_ready', problems: ['the audit cannot be stored'] },
    });
    expect((await admin.ask('GET', '/readyz?exclude=snapshots')).status).toBe(503);
    expect((await admin.ask('GET', '/readyz?exclude=snapshots&exclude=audit')).status).toBe(200);
    expect((await admin.ask('GET', '/readyz?exclude=disk')).status).toBe(400);
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
    expect((await admin.ask('GET', `/v1/approvals/${held.id}/approve`, all)).status).toBe(405);
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
