import { readFileSync } from 'node:fs';
import { HoldfastError } from '../base/errors.ts';
import type { Risk } from '../sql/effects.ts';
import { explainIssues, type Finding, toProblem } from './explain-issues.ts';
import { compileColumn } from './name-pattern.ts';
import { Policy } from './policy.ts';
import { InvalidSettings } from './problems.ts';
import { compileRule, DEFAULT_HOLD, holdTerms, type Measure, plainMeasure, type Terms } from './rule.ts';
import { checkRule, repeatedNames, warnAboutRule } from './rule-check.ts';
import { type PolicyInput, policySchema, type RuleInput, ruleSchema } from './schema.ts';
import { readYaml } from './strict-yaml.ts';

const DEFAULT_ACTIONS = {
  safe: 'allow',
  low: 'allow',
  high: 'snapshot',
  critical: 'hold',
  forbidden: 'block',
} as const satisfies Record<Risk, RuleInput['action']>;

/** Reads a policy. Everything that is wrong with it is in one InvalidSettings, with line and column. */
export function loadPolicy(text: string, fileName: string): Policy {
  const file = readYaml(text, fileName);
  if (file.fatal) throw new InvalidSettings('POLICY_INVALID', file.problems);
  if (file.value === undefined || file.value === null) {
    const message = 'the policy is empty; write at least a mode';
    throw new InvalidSettings('POLICY_INVALID', [file.problemAt([], message)]);
  }
  const parsed = policySchema.safeParse(file.value);
  const findings = [
    ...(parsed.success ? [] : explainIssues(policySchema, parsed.error.issues, file.value)),
    ...findInRules(file.value, checkRule),
    ...repeatedNames(rulesOf(file.value)),
  ];
  const problems = [...file.problems, ...findings.map((finding) => toProblem(file, finding))];
  if (problems.length > 0 || !parsed.success) throw new InvalidSettings('POLICY_INVALID', problems);
  const warnings = findInRules(file.value, warnAboutRule).map((finding) => toProblem(file, finding));
  return build(text, fileName, parsed.data, warnings);
}

export function loadPolicyFile(path: string): Policy {
  return loadPolicy(readSettings(path, 'POLICY_INVALID'), path);
}

/** The text of a settings file, or one clear error. */
export function readSettings(path: string, code: 'POLICY_INVALID' | 'CONFIG_INVALID'): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    throw new HoldfastError(code, `${path}: ${whyUnreadable(error)}`, { cause: error });
  }
}

/** What the design promises without a policy file: protect, by risk, and no rules. */
export const DEFAULT_POLICY: Policy = loadPolicy('mode: protect\n', 'built-in policy');

function build(text: string, fileName: string, input: PolicyInput, warnings: Policy['warnings']): Policy {
  const terms: Terms = {
    hold: holdTerms(input.hold, DEFAULT_HOLD),
    withoutPlan: input.without_plan ?? 'hold',
  };
  return new Policy(text, fileName, {
    mode: input.mode ?? 'protect',
    defaults: defaultsOf(input, terms),
    rules: (input.rules ?? []).map((rule) => compileRule(rule, terms)),
    masks: (input.mask ?? []).map(compileColumn),
    warnings,
  });
}

function defaultsOf(input: PolicyInput, terms: Terms): Record<Risk, Measure> {
  const measure = (risk: Risk): Measure =>
    plainMeasure(input.defaults?.[risk] ?? DEFAULT_ACTIONS[risk], terms);
  return {
    safe: measure('safe'),
    low: measure('low'),
    high: measure('high'),
    critical: measure('critical'),
    forbidden: measure('forbidden'),
  };
}

/** Rules that are well-formed are looked into even where others are not, so that one pass finds everything. */
function findInRules(value: unknown, look: (rule: RuleInput, index: number) => Finding[]): Finding[] {
  return rulesOf(value).flatMap((rule, index) => {
    const parsed = ruleSchema.safeParse(rule);
    return parsed.success ? look(parsed.data, index) : [];
  });
}

function rulesOf(value: unknown): readonly unknown[] {
  if (typeof value !== 'object' || value === null || !('rules' in value)) return [];
  return Array.isArray(value.rules) ? value.rules : [];
}

function whyUnreadable(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT') return 'there is no such file';
  if (code === 'EACCES') return 'the file may not be read';
  if (code === 'EISDIR') return 'this is a directory, not a file';
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return 'the file is not UTF-8 text';
  return error instanceof Error ? error.message : String(error);
}
