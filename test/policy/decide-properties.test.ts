import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Decision } from '../../src/policy/decision.ts';
import { loadPolicy } from '../../src/policy/load.ts';
import { type Analysis, RISKS } from '../../src/sql/effects.ts';
import { ETL, statement, text } from './support.ts';

const STRICTNESS = { allow: 0, snapshot: 1, hold: 2, block: 3 } as const;

const tableName = fc.constantFrom('payroll', 'hr.payroll', 'staging.a', 'staging.b', 'a', 'Public.A');
const operation = fc.constantFrom(
  'select',
  'update',
  'delete',
  'insert',
  'do',
  'execute',
  'drop table',
  'unknown',
);
const few = <T>(item: fc.Arbitrary<T>) => fc.array(item, { maxLength: 3 });

const effects = fc
  .record({
    operation,
    inner: few(operation),
    risk: fc.constantFrom(...RISKS),
    reads: few(tableName),
    writes: few(tableName),
    columns: few(fc.constantFrom('id', '*', 'hr.payroll.salary', 'payroll.note')),
    functions: few(fc.constantFrom('now', 'hr.wipe', 'wipe')),
    opaque: fc.boolean(),
  })
  .map(({ inner, ...shape }) => statement({ ...shape, operations: [shape.operation, ...inner] }));

const analysis: fc.Arbitrary<Analysis> = fc
  .record({
    statements: fc.array(effects, { maxLength: 3 }),
    status: fc.constantFrom('parsed', 'parsed', 'parsed', 'unparsable', 'opaque', 'failed'),
    context: fc.dictionary(fc.constantFrom('job', '__proto__'), fc.constantFrom('x', 'y')),
  })
  .map(({ statements, status, context }) => text(statements, { status, context }));

const list = (...items: string[]) => fc.subarray(items, { minLength: 1 });
const match = fc.record(
  {
    role: list('etl', 'other', 'ET*'),
    database: list('shop', '*'),
    client: list('10.0.0.0/8', 'local', '::1'),
    operation: list('delete', 'select', 'do', '*', 'd*'),
    risk: fc.subarray([...RISKS], { minLength: 1 }),
    table: list('hr.payroll', 'staging.*', '*', 'a', 'hr.*'),
    column: list('salary', 'hr.payroll.salary', '*'),
    function: list('wipe', 'hr.*', 'now'),
    rows: fc.constantFrom('>100', '<10', '=0'),
    context: fc.constantFrom({ job: 'x' }, { job: ['*'] }),
  },
  { requiredKeys: ['role'] },
);
const action = fc.constantFrom('allow', 'snapshot', 'hold', 'block');
const rule = fc.record({ match, action });
const policy = fc.record({ mode: fc.constantFrom('protect', 'block'), rules: few(rule) });

type RuleShape = { readonly match: object; readonly action: string };

function decide(mode: string, rules: readonly RuleShape[], of: Analysis): Decision {
  const named = rules.map((one, index) => ({ name: `rule ${index}`, ...one }));
  return loadPolicy(JSON.stringify({ mode, rules: named }), 'policy.yaml')
    .forSession(ETL)
    .decide(of);
}

const strictness = (decision: Decision): number => STRICTNESS[decision.action];

describe('for every policy and every analysis', () => {
  it('there is a decision, and it is frozen', () => {
    fc.assert(
      fc.property(policy, analysis, ({ mode, rules }, of) => {
        const decision = decide(mode, rules, of);
        expect(Object.isFrozen(decision)).toBe(true);
        expect(decision.risk).toBe(of.risk);
      }),
    );
  });

  it('a rule put on top makes nothing looser than its own action', () => {
    fc.assert(
      fc.property(policy, rule, analysis, ({ mode, rules }, added, of) => {
        const before = strictness(decide(mode, rules, of));
        const after = strictness(decide(mode, [added, ...rules], of));
        expect(after).toBeGreaterThanOrEqual(
          Math.min(before, STRICTNESS[added.action as Decision['action']]),
        );
      }),
    );
  });

  it('a blocking rule put on top never loosens', () => {
    fc.assert(
      fc.property(policy, match, analysis, ({ mode, rules }, added, of) => {
        const before = strictness(decide(mode, rules, of));
        expect(
          strictness(decide(mode, [{ match: added, action: 'block' }, ...rules], of)),
        ).toBeGreaterThanOrEqual(before);
      }),
    );
  });

  it('a batch is never looser than any statement in it', () => {
    fc.assert(
      fc.property(policy, analysis, ({ mode, rules }, of) => {
        const whole = strictness(decide(mode, rules, of));
        for (const effects of of.statements) {
          const alone = text([effects], { status: of.status, context: of.context });
          expect(whole).toBeGreaterThanOrEqual(strictness(decide(mode, rules, alone)));
        }
      }),
    );
  });

  it('a text that was not understood is decided no looser than by its risk, unless a rule reads no text', () => {
    const readsText = rule.filter(({ match: keys }) =>
      ['operation', 'table', 'column', 'function', 'rows', 'context'].some((key) => key in keys),
    );
    fc.assert(
      fc.property(few(readsText), (rules) => {
        const of = text([statement({ operation: 'unknown' })], { status: 'unparsable' });
        expect(strictness(decide('protect', rules, of))).toBeGreaterThanOrEqual(STRICTNESS.hold);
      }),
    );
  });

  it('mode monitor allows, and tells what protect decides', () => {
    fc.assert(
      fc.property(policy, analysis, ({ rules }, of) => {
        const watched = decide('monitor', rules, of);
        const real = decide('protect', rules, of);
        expect(watched.action).toBe('allow');
        expect(watched.wouldBe).toBe(real.action === 'allow' ? null : real.action);
        expect(watched.rule).toBe(real.rule);
      }),
    );
  });
});
