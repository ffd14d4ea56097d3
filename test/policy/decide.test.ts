import { describe, expect, it } from 'vitest';
import { DEFAULT_POLICY, loadPolicy } from '../../src/policy/load.ts';
import { DEFAULT_HOLD } from '../../src/policy/rule.ts';
import { decided, ETL, one, rules, statement, text, unparsed } from './support.ts';

const NIGHTLY = rules(
  '{ name: nightly, match: { role: [etl], application: [nightly], table: ["staging.*"] }, action: allow }',
);

describe('without rules', () => {
  it.each([
    ['safe', 'allow'],
    ['low', 'allow'],
    ['high', 'snapshot'],
    ['critical', 'hold'],
    ['forbidden', 'block'],
  ] as const)('a %s statement gets %s', (risk, action) => {
    const decision = DEFAULT_POLICY.forSession(ETL).decide(one({ risk }));
    expect(decision).toMatchObject({ action, rule: `default:${risk}`, risk, wouldBe: null });
  });

  it('holds for half an hour, for one approval, with a snapshot', () => {
    const decision = DEFAULT_POLICY.forSession(ETL).decide(one({ reasons: ['delete without WHERE'] }));
    expect(DEFAULT_HOLD).toMatchObject({ timeoutMs: 1_800_000, approvals: 1, grantMs: 900_000 });
    expect(decision).toEqual({
      action: 'hold',
      ...DEFAULT_HOLD,
      snapshot: 'required',
      withoutPlan: { kind: 'hold', ...DEFAULT_HOLD },
      rule: 'default:critical',
      reason: 'delete without WHERE',
      risk: 'critical',
      wouldBe: null,
    });
  });

  it('allows a text with no statement in it', () => {
    expect(decided('mode: protect', text([], { status: 'empty' }))).toBe('allow default:safe');
  });

  it('holds a text that was not understood', () => {
    expect(decided('mode: protect', unparsed())).toBe('hold default:critical');
  });
});

describe('rules', () => {
  it('go from the top, and the first match wins', () => {
    const policy = rules(
      '{ name: first, match: { role: [etl] }, action: hold }',
      '{ name: second, match: { role: [etl] }, action: block }',
    );
    expect(decided(policy, one({ risk: 'safe' }))).toBe('hold first');
  });

  it('match where all of their keys hold, and a list holds where one entry does', () => {
    const policy = rules(
      '{ name: r, match: { role: [other, "et?"], database: shop, risk: [low] }, action: block }',
    );
    expect(decided(policy, one({ risk: 'low' }))).toBe('block r');
    expect(decided(policy, one({ risk: 'high' }))).toBe('snapshot default:high');
    expect(decided(policy, one({ risk: 'low' }), { ...ETL, database: 'x' })).toBe('allow default:low');
  });

  it('without a match key take every statement', () => {
    expect(decided(rules('{ name: stop, action: block }'), text([], { status: 'empty' }))).toBe('block stop');
  });

  it.each([
    ['10.0.0.0/8', '10.1.2.3', true],
    ['10.0.0.0/8', '::ffff:10.1.2.3', true],
    ['10.0.0.0/8', '11.1.2.3', false],
    ['10.1.2.3', '10.1.2.3', true],
    ['fd00::/8', 'fd12::1', true],
    ['fe80::/10', 'fe80::1%eth0', true],
    ['fd00::/8', '10.1.2.3', false],
    ['local', 'local', true],
    ['local', '127.0.0.1', false],
    ['127.0.0.0/8', 'local', false],
  ])('client %s and %s: %s', (network, client, matches) => {
    const policy = rules(`{ name: net, match: { client: "${network}" }, action: allow }`);
    const expected = matches ? 'allow net' : 'hold default:critical';
    expect(decided(policy, one(), { ...ETL, client })).toBe(expected);
  });

  it('take a client whose address cannot be read for any, but only to tighten', () => {
    const strange = { ...ETL, client: 'somewhere' };
    const allow = rules('{ name: net, match: { client: "10.0.0.0/8" }, action: allow }');
    const block = rules('{ name: net, match: { client: "10.0.0.0/8" }, action: block }');
    expect(decided(allow, one(), strange)).toBe('hold default:critical');
    expect(decided(block, one(), strange)).toBe('block net');
  });
});

describe('a batch', () => {
  it('gets the strictest of what its statements get', () => {
    const batch = text([
      statement({ operation: 'begin', risk: 'safe' }),
      statement({ writes: ['staging.a'] }),
      statement({ writes: ['public.b'] }),
    ]);
    expect(decided(NIGHTLY, batch)).toBe('hold default:critical');
  });

  it('is allowed where each statement is, by whichever rule', () => {
    const batch = text([
      statement({ operation: 'begin', risk: 'safe' }),
      statement({ writes: ['staging.a'] }),
    ]);
    expect(decided(NIGHTLY, batch)).toBe('allow default:safe');
  });

  it('takes the most approvals and the most careful snapshot of its holds', () => {
    const policy = rules(
      '{ name: two, match: { table: a.a }, action: hold, hold: { approvals: 2 }, snapshot: off }',
      '{ name: one, match: { table: b.b }, action: hold }',
    );
    const batch = text([statement({ writes: ['b.b'] }), statement({ writes: ['a.a'] })]);
    const decision = loadPolicy(policy, 'p').forSession(ETL).decide(batch);
    expect(decision).toMatchObject({ action: 'hold', rule: 'two', approvals: 2, snapshot: 'required' });
  });
});

describe('a text that was not understood', () => {
  it.each([
    'operation: ["*"]',
    'table: ["*"]',
    'function: ["*"]',
    'column: ["*"]',
    'context: { a: "*" }',
    'rows: ">=0"',
  ])('is never allowed by %s, and always guarded by it', (key) => {
    expect(decided(rules(`{ name: r, match: { role: etl, ${key} }, action: allow }`), unparsed())).toBe(
      'hold default:critical',
    );
    expect(decided(rules(`{ name: r, match: { ${key} }, action: block }`), unparsed())).toBe('block r');
  });

  it('is allowed by a rule that trusts a role with everything critical', () => {
    expect(
      decided(rules('{ name: r, match: { role: etl, risk: critical }, action: allow }'), unparsed()),
    ).toBe('allow r');
  });
});

describe('a forbidden statement', () => {
  it('is not allowed by a rule on its table', () => {
    const copy = one({ operation: 'copy from program', risk: 'forbidden', writes: ['staging.a'] });
    expect(decided(NIGHTLY, copy)).toBe('block default:forbidden');
  });
});

describe('modes', () => {
  it('monitor allows everything, and says what protect would do', () => {
    const policy = 'mode: monitor\nrules: [{ name: r, action: block }]';
    const decision = loadPolicy(policy, 'p').forSession(ETL).decide(one());
    expect(decision).toMatchObject({ action: 'allow', rule: 'r', wouldBe: 'block' });
  });

  it('block refuses what is critical or forbidden whatever the rules say', () => {
    const policy = 'mode: block\nrules: [{ name: r, match: { role: etl }, action: allow }]';
    expect(decided(policy, one({ risk: 'high' }))).toBe('allow r');
    expect(decided(policy, one({ risk: 'critical' }))).toBe('block mode:block');
    expect(decided(policy, one({ risk: 'forbidden' }))).toBe('block mode:block');
  });
});

describe('a decision', () => {
  it('is frozen, and the same object for the same analysis and equal facts', () => {
    const analysis = one();
    const session = DEFAULT_POLICY.forSession(ETL);
    expect(session.decide(analysis)).toBe(DEFAULT_POLICY.forSession({ ...ETL }).decide(analysis));
    expect(Object.isFrozen(session.decide(analysis))).toBe(true);
  });

  it("carries the rule's reason, hint and terms", () => {
    const policy = rules('{ name: r, action: block, reason: Not today., hint: Try tomorrow. }');
    expect(loadPolicy(policy, 'p').forSession(ETL).decide(one())).toMatchObject({
      reason: 'Not today.',
      hint: 'Try tomorrow.',
    });
  });
});
