import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeAdmin, holdfast } from './support.ts';

const folder = mkdtempSync(join(tmpdir(), 'holdfast-policy-'));
const admin = new FakeAdmin();
beforeAll(async () => await admin.listen());
afterAll(async () => {
  await admin.close();
  rmSync(folder, { recursive: true });
});

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const POLICY = file(
  'policy.yaml',
  `rules:
  - { name: agents ask, match: { role: ["agent_*"], risk: [high, critical] }, action: hold, hold: { approvals: 2 } }
  - { name: stricter, draft: true, match: { operation: [update] }, action: block }
`,
);

const CASES = `defaults: { database: shop }
cases:
  - { name: agents wait for two, sql: delete from a where b = 1, role: agent_7, expect: { action: hold, approvals: 2, rule: agents ask } }
  - { name: others go on, sql: update a set b = 1 where c = 2, expect: { action: snapshot, snapshot: required, draft: stricter } }
  - { name: reads pass, sql: select 1, client: 192.0.2.7, expect: allow }
`;

describe('policy test', () => {
  it('is content where all cases are decided as they say', async () => {
    const cases = file('good.yaml', CASES);
    const { code, out } = await holdfast(['policy', 'test', cases, '--policy', POLICY]);
    expect(out).toBe('3 cases, all as expected\n');
    expect(code).toBe(0);
  });

  it('takes the number of rows as the gateway would count them', async () => {
    const policy = file(
      'rows.yaml',
      'rules: [{ name: many, match: { operation: [update], rows: ">100" }, action: hold }]\n',
    );
    const update = 'sql: update a set b = 1 where c = 2';
    const cases = file(
      'counted.yaml',
      `cases:
  - { name: few go on, ${update}, rows: 100, expect: snapshot }
  - { name: many wait, ${update}, rows: 101, expect: { action: hold, rule: many } }
  - { name: nobody knows, ${update}, expect: hold }
`,
    );
    const { code, out } = await holdfast(['policy', 'test', cases, '--policy', policy]);
    expect(out).toBe('3 cases, all as expected\n');
    expect(code).toBe(0);
  });

  it('shows what differs and why, and fails with 5', async () => {
    const cases = file(
      'bad.yaml',
      `${CASES}  - { name: nobody drops, sql: drop table a, role: agent_7, expect: { action: block, draft: stricter } }\n`,
    );
    const { code, out } = await holdfast(['policy', 'test', cases, '--policy', POLICY]);
    expect(code).toBe(5);
    expect(out).toBe(
      [
        'nobody drops',
        '- action   block',
        '+ action   hold',
        '- draft    stricter',
        '+ draft    none',
        '  sql      drop table a',
        '  session  agent_7@shop from 127.0.0.1',
        '  rule     agents ask',
        '  because  drops a table',
        '',
        '4 cases, 1 not as expected',
        '',
      ].join('\n'),
    );
    const json = await holdfast(['policy', 'test', cases, '--policy', POLICY, '--json']);
    expect(json.code).toBe(5);
    expect(JSON.parse(json.out)).toMatchObject({
      cases: 4,
      differing: 1,
      outcomes: [
        { differences: [] },
        {},
        {},
        { differences: [{ field: 'action', expected: 'block', actual: 'hold' }, {}] },
      ],
    });
  });

  it('names everything that is wrong with the cases', async () => {
    const cases = file(
      'wrong.yaml',
      'cases:\n  - { name: a, sql: select 1, clinet: here, expect: alow }\n  - { name: b, sql: select 1, client: nowhere, expect: allow }\n',
    );
    const { code, err } = await holdfast(['policy', 'test', cases, '--policy', POLICY]);
    expect(code).toBe(2);
    expect(err).toMatch(/wrong\.yaml:2:/);
    expect(err).toMatch(/wrong\.yaml:3:.*IP address/);
  });
});

describe('policy replay', () => {
  const change = { from: 'allow', to: 'hold', rule_before: 'default:low', rule: 'agents ask', risk: 'low' };
  const example = {
    id: '9',
    time: '2031-01-01T00:00:00.000000Z',
    role: 'app',
    database: 'shop',
    sql: 'insert\ninto a',
  };
  const page = (next: string | null) => ({
    policy: { revision: 'abc', mode: 'protect' },
    events: 10,
    decided: 8,
    same: 6,
    skipped: { no_text: 1, cut_text: 0, masked_text: 0, prepared_elsewhere: 1 },
    changes: [{ ...change, count: 2, examples: [example] }],
    next,
  });

  it('adds up what the gateway says page by page', async () => {
    let asked = 0;
    admin.answerWith(() => ({ body: page(asked++ === 0 ? 'more' : null) }));
    const args = ['policy', 'replay', POLICY, '--role', 'app'];
    const { code, out } = await holdfast(args, { env: admin.env });
    expect(code).toBe(0);
    expect(out).toBe(
      [
        'newly held: 4 statements',
        '  4 × allow by default:low → hold by agents ask',
        '      2031-01-01T00:00:00Z app@shop  insert ⏎ into a',
        '      2031-01-01T00:00:00Z app@shop  insert ⏎ into a',
        '16 statements of 20 events decided again, 12 as before',
        'not decided: 2 without a text',
        'not decided: 2 that execute what was prepared elsewhere',
        '',
      ].join('\n'),
    );
    const bodies = admin.asked.map(({ body }) => JSON.parse(body ?? '{}'));
    expect(bodies[0]).toMatchObject({ role: 'app', events: 20000 });
    expect(bodies[0].policy).toContain('agents ask');
    expect(bodies[1]).toMatchObject({ cursor: 'more' });
  });
});
