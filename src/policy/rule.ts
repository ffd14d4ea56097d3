import { LIMITS } from '../base/limits.ts';
import type { Risk } from '../sql/effects.ts';
import { type ClientPattern, parseClientPattern } from './client-pattern.ts';
import type { HoldTerms, WithoutPlan } from './decision.ts';
import { parseDurationMs } from './duration.ts';
import { compileGlob, type Glob } from './glob.ts';
import { type ColumnPattern, compileColumn, compileTable, type TablePattern } from './name-pattern.ts';
import { parseRowLimit, type RowLimit } from './row-limit.ts';
import { parseRowsTolerance } from './rows-tolerance.ts';
import type { HoldInput, MatchInput, RuleInput } from './schema.ts';

/** A key that the rule leaves out is null and always holds. */
export interface RuleMatch {
  readonly role: readonly Glob[] | null;
  readonly database: readonly Glob[] | null;
  readonly application: readonly Glob[] | null;
  readonly client: readonly ClientPattern[] | null;
  readonly operation: readonly Glob[] | null;
  readonly risk: readonly Risk[] | null;
  readonly table: readonly TablePattern[] | null;
  readonly column: readonly ColumnPattern[] | null;
  readonly function: readonly TablePattern[] | null;
  readonly rows: RowLimit | null;
  readonly context: readonly (readonly [string, readonly Glob[]])[] | null;
}

/** What a rule need not say. */
export interface Terms {
  readonly hold: HoldTerms;
  readonly withoutPlan: WithoutPlan['kind'];
}

/** What is to happen, apart from the statement that it happens to. */
export type Measure =
  | { readonly action: 'allow' }
  | {
      readonly action: 'snapshot';
      readonly snapshot: 'required' | 'best_effort';
      readonly withoutPlan: WithoutPlan;
    }
  | ({
      readonly action: 'hold';
      readonly snapshot: 'required' | 'best_effort' | 'off';
      readonly withoutPlan: WithoutPlan;
    } & HoldTerms)
  | { readonly action: 'block'; readonly hint: string };

export interface Rule {
  readonly name: string;
  readonly match: RuleMatch;
  readonly measure: Measure;
  readonly reason: string | null;
  /** It only notes what it would do. */
  readonly draft: boolean;
}

const HINT = 'If the statement is meant, ask whoever runs Holdfast for a rule that allows it.';

/** A rule that has been checked, made ready to match. */
export function compileRule(input: RuleInput, terms: Terms): Rule {
  return {
    name: input.name,
    match: compileMatch(input.match ?? {}),
    measure: ruleMeasure(input, terms),
    reason: input.reason ?? null,
    draft: input.draft ?? false,
  };
}

/** What a default does, or a rule that says no more than its action. */
export function plainMeasure(action: RuleInput['action'], terms: Terms): Measure {
  const { hold } = terms;
  switch (action) {
    case 'allow':
      return { action };
    case 'snapshot':
      return { action, snapshot: 'required', withoutPlan: withoutPlan(terms) };
    case 'hold':
      return { action, snapshot: 'required', withoutPlan: withoutPlan(terms), ...hold };
    case 'block':
      return { action, hint: HINT };
    default:
      return action satisfies never;
  }
}

function withoutPlan({ withoutPlan: kind, hold }: Terms): WithoutPlan {
  return kind === 'hold' ? { kind, ...hold } : { kind };
}

export function holdTerms(input: HoldInput | undefined, otherwise: HoldTerms): HoldTerms {
  return {
    mode: input?.mode ?? otherwise.mode,
    timeoutMs: durationOf(input?.timeout) ?? otherwise.timeoutMs,
    approvals: input?.approvals ?? otherwise.approvals,
    approvers: each(input?.approvers, (group) => group) ?? otherwise.approvers,
    grantMs: durationOf(input?.grant_for) ?? otherwise.grantMs,
    noticeMs: durationOf(input?.notice_every) ?? otherwise.noticeMs,
    rowsTolerance:
      (input?.rows_tolerance === undefined ? null : parseRowsTolerance(input.rows_tolerance)) ??
      otherwise.rowsTolerance,
  };
}

function durationOf(text: string | undefined): number | null {
  return text === undefined ? null : parseDurationMs(text);
}

export const DEFAULT_HOLD: HoldTerms = {
  mode: 'auto',
  timeoutMs: LIMITS.holdTimeoutMs,
  approvals: 1,
  approvers: null,
  grantMs: LIMITS.grantMs,
  noticeMs: LIMITS.holdNoticeMs,
  rowsTolerance: { unit: 'percent', percent: LIMITS.rowsTolerancePercent },
};

function ruleMeasure(input: RuleInput, otherwise: Terms): Measure {
  const plain = plainMeasure(input.action, {
    hold: holdTerms(input.hold, otherwise.hold),
    withoutPlan: input.without_plan ?? otherwise.withoutPlan,
  });
  switch (plain.action) {
    case 'allow':
      return plain;
    case 'snapshot':
      return input.snapshot === 'best_effort' ? { ...plain, snapshot: 'best_effort' } : plain;
    case 'hold':
      return { ...plain, snapshot: input.snapshot ?? 'required' };
    case 'block':
      return { ...plain, hint: input.hint ?? plain.hint };
    default:
      return plain satisfies never;
  }
}

function compileMatch(input: MatchInput): RuleMatch {
  return {
    role: each(input.role, compileGlob),
    database: each(input.database, compileGlob),
    application: each(input.application, compileGlob),
    client: each(input.client, clientPattern),
    operation: each(input.operation, compileGlob),
    risk: each(input.risk, (risk) => risk),
    table: each(input.table, compileTable),
    column: each(input.column, compileColumn),
    function: each(input.function, compileTable),
    rows: input.rows === undefined ? null : parseRowLimit(input.rows),
    context:
      input.context === undefined
        ? null
        : Object.entries(input.context).map(([key, globs]) => [key, each(globs, compileGlob) ?? []] as const),
  };
}

function each<T extends string, U>(input: T | readonly T[] | undefined, compile: (item: T) => U): U[] | null {
  if (input === undefined) return null;
  return (typeof input === 'string' ? [input] : input).map((item) => compile(item));
}

function clientPattern(text: string): ClientPattern {
  const parsed = parseClientPattern(text);
  if (!parsed.ok) throw new Error(parsed.problem);
  return parsed.value;
}
