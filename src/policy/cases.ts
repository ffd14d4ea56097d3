import { z } from 'zod';
import { LIMITS } from '../base/limits.ts';
import { type Analysis, RISKS } from '../sql/effects.ts';
import { parseClientAddress } from './client-pattern.ts';
import type { Decision, SessionFacts } from './decision.ts';
import { explainIssues, toProblem } from './explain-issues.ts';
import { explainDecision } from './explanation.ts';
import { judged } from './judged.ts';
import type { Policy } from './policy.ts';
import { InvalidSettings } from './problems.ts';
import { readYaml } from './strict-yaml.ts';

/** Statements with what a policy ought to decide of them, in a file of their own beside the policy. */

const client = judged((text) =>
  parseClientAddress(text).kind === 'unknown' ? 'expected an IP address, or local' : null,
);

const facts = {
  role: z.string().describe('Role of the session; postgres, unless told.').optional(),
  database: z.string().optional(),
  application: z.string().optional(),
  client: client.describe('IP address of the client, or local.').optional(),
};

const action = z.enum(['allow', 'snapshot', 'hold', 'block']);

const expected = z.strictObject({
  action: action.optional(),
  rule: z.string().describe('The name of the rule that decides, or default:RISK.').optional(),
  risk: z.enum(RISKS).optional(),
  approvals: z.int().min(1).optional(),
  snapshot: z.enum(['required', 'best_effort', 'off']).optional(),
  would_be: action.describe('In mode monitor: what protect would do.').optional(),
  draft: z.string().describe('The name of the draft rule that would decide.').optional(),
});

const casesSchema = z
  .strictObject({
    defaults: z.strictObject(facts).describe('What cases do not say.').optional(),
    cases: z
      .array(
        z.strictObject({
          name: z.string().min(1).max(200).describe('What is meant, for whoever reads that it is not so.'),
          sql: z.string().min(1),
          ...facts,
          rows: z
            .int()
            .min(0)
            .describe('How many rows it writes, as the gateway would count them.')
            .optional(),
          expect: z.union([action, expected]),
        }),
      )
      .min(1)
      .max(LIMITS.policyCasesMax),
  })
  .meta({ title: 'Cases for a Holdfast policy' });

export interface PolicyCase {
  readonly name: string;
  readonly sql: string;
  readonly session: SessionFacts;
  /** Null where nobody knows. */
  readonly rows: number | null;
  readonly expected: Readonly<Record<string, string | number>>;
}

export interface CaseDifference {
  readonly field: string;
  readonly expected: string | number;
  readonly actual: string | number | null;
}

export interface CaseOutcome {
  readonly name: string;
  readonly sql: string;
  readonly session: SessionFacts;
  readonly differences: readonly CaseDifference[];
  readonly decision: ReturnType<typeof explainDecision>;
}

/** Everything that is wrong with the file is in one InvalidSettings, with line and column. */
export function loadCases(text: string, fileName: string): readonly PolicyCase[] {
  const file = readYaml(text, fileName);
  if (file.fatal) throw new InvalidSettings('POLICY_INVALID', file.problems);
  const parsed = casesSchema.safeParse(file.value ?? {});
  const findings = parsed.success ? [] : explainIssues(casesSchema, parsed.error.issues, file.value ?? {});
  const problems = [...file.problems, ...findings.map((finding) => toProblem(file, finding))];
  if (problems.length > 0 || !parsed.success) throw new InvalidSettings('POLICY_INVALID', problems);
  const { defaults = {}, cases } = parsed.data;
  return cases.map(({ name, sql, expect, rows, ...given }): PolicyCase => {
    const session = { ...ANYBODY, ...stated(defaults), ...stated(given) };
    return {
      name,
      sql,
      session,
      rows: rows ?? null,
      expected: stated(typeof expect === 'string' ? { action: expect } : expect),
    };
  });
}

const ANYBODY: SessionFacts = {
  role: 'postgres',
  database: 'postgres',
  application: '',
  client: '127.0.0.1',
};

/** Without keys whose value is left open. */
function stated<T extends object>(given: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

export function judgeCase(policy: Policy, each: PolicyCase, analysis: Analysis): CaseOutcome {
  const { name, sql, session, rows } = each;
  const decision: Decision = policy.forSession(session).decided(analysis, rows).decision;
  const explained = explainDecision(decision);
  const actual: Readonly<Record<string, unknown>> = { ...explained, draft: explained.draft?.rule };
  const differences = Object.entries(each.expected).flatMap(([field, expected]): CaseDifference[] => {
    const found = actual[field];
    if (found === expected) return [];
    const shown = typeof found === 'string' || typeof found === 'number' ? found : null;
    return [{ field, expected, actual: shown }];
  });
  return { name, sql, session, differences, decision: explained };
}
