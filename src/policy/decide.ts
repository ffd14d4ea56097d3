import { type Analysis, RISKS, type Risk, type StatementEffects } from '../sql/effects.ts';
import { both, type Certainty } from './certainty.ts';
import type { Decision, Draft, HoldTerms, Mode, WithoutPlan } from './decision.ts';
import { matchStatement, type Subject, subjectOf } from './match.ts';
import type { RowCount } from './row-limit.ts';
import { narrower } from './rows-tolerance.ts';
import type { Measure, Rule } from './rule.ts';

/** What decides the statements of one session: the rules that can apply to it, and how surely they do. */
export interface Brief {
  readonly mode: Mode;
  readonly rules: readonly { readonly rule: Rule; readonly session: Exclude<Certainty, 'no'> }[];
  readonly defaults: Readonly<Record<Risk, Measure>>;
}

const EMPTY: StatementEffects = Object.freeze({
  operation: 'empty',
  operations: Object.freeze(['empty']),
  risk: 'safe',
  reasons: Object.freeze(['there is no statement in the text']),
  reads: Object.freeze([]),
  writes: Object.freeze([]),
  columns: Object.freeze([]),
  functions: Object.freeze([]),
  predicate: 'not-applicable',
  session: Object.freeze([]),
  startByte: 0,
  lengthBytes: 0,
});

const STRICTNESS = { allow: 0, snapshot: 1, hold: 2, block: 3 } as const satisfies Record<
  Decision['action'],
  number
>;
const SNAPSHOTS = ['off', 'best_effort', 'required'] as const;
const PLANLESS = { allow: 0, hold: 1, block: 2 } as const satisfies Record<WithoutPlan['kind'], number>;
const BLOCK_HINT = 'The gateway is in mode block, which refuses critical statements whatever the rules say.';

/**
 * What happens to a text: the strictest of what happens to its statements, for they run as one. `rows` are those that a
 * text of one statement writes, where they have been counted.
 */
export function decide(brief: Brief, analysis: Analysis, rows: RowCount | null = null): Decision {
  const statements = analysis.statements.length > 0 ? analysis.statements : [EMPTY];
  const drafts: Draft[] = [];
  const strictest = statements
    .map((effects) =>
      hardened(brief.mode, effects, decideOne(brief, subjectOf(analysis, effects, rows), drafts)),
    )
    .reduce(stricter);
  const whole = { ...strictest, risk: analysis.risk, ...strictestOf(drafts) };
  return Object.freeze(brief.mode === 'monitor' ? watched(whole) : whole);
}

/**
 * The first rule that surely matches decides. A rule before it that only might match does not end the search
 * and can only make the outcome stricter, so that what the text leaves open never loosens anything. A rule that is a
 * draft decides nothing; the first that would have is noted.
 */
function decideOne(brief: Brief, subject: Subject, drafts: Draft[]): Decision {
  let floor: Decision | null = null;
  let drafted = false;
  for (const { rule, session } of brief.rules) {
    const certainty = both(session, matchStatement(rule.match, subject));
    if (certainty === 'no') continue;
    if (certainty === 'possible' && rule.measure.action === 'allow') continue;
    if (rule.draft) {
      if (!drafted) drafts.push({ rule: rule.name, action: rule.measure.action });
      drafted = true;
      continue;
    }
    const verdict = decisionOf(rule.measure, rule.name, rule.reason, subject.effects);
    floor = floor === null ? verdict : stricter(floor, verdict);
    if (certainty === 'sure') return floor;
  }
  const { risk } = subject.effects;
  const otherwise = decisionOf(brief.defaults[risk], `default:${risk}`, null, subject.effects);
  return floor === null ? otherwise : stricter(floor, otherwise);
}

/** For a text of several statements, as its decision is. */
function strictestOf(drafts: readonly Draft[]): { readonly draft?: Draft } {
  if (drafts.length === 0) return {};
  return { draft: drafts.reduce((a, b) => (STRICTNESS[b.action] > STRICTNESS[a.action] ? b : a)) };
}

function decisionOf(
  measure: Measure,
  rule: string,
  reason: string | null,
  effects: StatementEffects,
): Decision {
  return { ...measure, rule, reason: reason ?? reasonOf(effects), risk: effects.risk, wouldBe: null };
}

function reasonOf(effects: StatementEffects): string {
  return effects.reasons.length > 0 ? effects.reasons.join('; ') : `${effects.operation} is ${effects.risk}`;
}

function hardened(mode: Mode, effects: StatementEffects, decision: Decision): Decision {
  const critical = RISKS.indexOf(effects.risk) >= RISKS.indexOf('critical');
  if (mode !== 'block' || !critical || decision.action === 'block') return decision;
  const measure: Measure = { action: 'block', hint: BLOCK_HINT };
  return decisionOf(measure, 'mode:block', null, effects);
}

export function isMilder(one: Decision, than: Decision): boolean {
  return compare(one, than) < 0;
}

/** The stricter of two; of equals the first, with the more careful snapshot of the two. */
export function stricter(first: Decision, second: Decision): Decision {
  const chosen = compare(second, first) > 0 ? second : first;
  const snapshot = SNAPSHOTS[Math.max(care(first), care(second))]!;
  if (chosen.action === 'allow' || chosen.action === 'block') return chosen;
  const withoutPlan = stricterPlanless(first, second);
  if (chosen.action === 'hold')
    return { ...chosen, ...stricterTerms(first, second), snapshot, ...withoutPlan };
  return snapshot === 'off' ? chosen : { ...chosen, snapshot, ...withoutPlan };
}

/** Of two holds: who approves must be somebody that both let, which may be nobody, and no more rows than both let. */
function stricterTerms(first: Decision, second: Decision): Partial<HoldTerms> {
  if (first.action !== 'hold' || second.action !== 'hold') return {};
  return {
    approvers: inBoth(first.approvers, second.approvers),
    rowsTolerance: narrower(first.rowsTolerance, second.rowsTolerance),
  };
}

function inBoth(first: HoldTerms['approvers'], second: HoldTerms['approvers']): HoldTerms['approvers'] {
  if (first === null || second === null) return first ?? second;
  return first.filter((group) => second.includes(group));
}

/** Of the two that have to have a snapshot; what need not have one says nothing of what happens without. */
function stricterPlanless(first: Decision, second: Decision): { readonly withoutPlan?: WithoutPlan } {
  const all = [first, second].flatMap((each) =>
    'snapshot' in each && each.snapshot === 'required' && each.withoutPlan !== undefined
      ? [each.withoutPlan]
      : [],
  );
  const strictest = all.reduce<WithoutPlan | undefined>(
    (a, b) => (a !== undefined && rank(a) >= rank(b) ? a : b),
    undefined,
  );
  return strictest === undefined ? {} : { withoutPlan: strictest };
}

function rank(planless: WithoutPlan): number {
  // Of two holds, the one that asks more people.
  return PLANLESS[planless.kind] + (planless.kind === 'hold' ? 1 - 1 / (1 + planless.approvals) : 0);
}

function compare(a: Decision, b: Decision): number {
  return STRICTNESS[a.action] - STRICTNESS[b.action] || approvals(a) - approvals(b);
}

function approvals(decision: Decision): number {
  return decision.action === 'hold' ? decision.approvals : 0;
}

function care(decision: Decision): number {
  return 'snapshot' in decision ? SNAPSHOTS.indexOf(decision.snapshot) : 0;
}

function watched(decision: Decision): Decision {
  const { rule, reason, risk, action, draft } = decision;
  const wouldBe = action === 'allow' ? null : action;
  return { action: 'allow', rule, reason, risk, wouldBe, ...(draft === undefined ? {} : { draft }) };
}
