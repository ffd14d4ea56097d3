import type { Analysis, RelationName, Risk, StatementEffects } from '../sql/effects.ts';
import type { Action, Decision, Draft, Hold, HoldMode, Mode, SessionFacts, Snapshot } from './decision.ts';
import type { RowBand } from './row-bands.ts';

/** What a text would do and what policy says of it, as `holdfast explain --json` and the HTTP API tell it. */
export interface Explanation {
  readonly session: SessionFacts;
  readonly policy: { readonly file: string; readonly revision: string; readonly mode: Mode };
  readonly analysis: ExplainedAnalysis;
  /** Where nothing tells how many rows it writes. */
  readonly decision: ExplainedDecision;
  /** How it is decided once they are counted, where that hangs on their number. */
  readonly by_rows?: readonly ExplainedBand[];
}

/** Between so many rows, both included; `most` is null for as many as there may be. */
interface ExplainedBand {
  readonly least: number;
  readonly most: number | null;
  readonly decision: ExplainedDecision;
}

/** What was decided of a text, and how that changes with the number of its rows. */
export interface DecidedText {
  readonly analysis: Analysis;
  readonly decision: Decision;
  readonly bands: readonly RowBand[] | null;
}

interface ExplainedAnalysis
  extends Pick<Analysis, 'status' | 'problem' | 'risk' | 'operation' | 'tables' | 'context'> {
  readonly statements: readonly ExplainedStatement[];
}

interface ExplainedStatement
  extends Pick<
    StatementEffects,
    'operation' | 'operations' | 'risk' | 'reasons' | 'functions' | 'predicate'
  > {
  readonly text: string;
  readonly writes: readonly string[];
  readonly reads: readonly string[];
}

export interface ExplainedDecision {
  readonly action: Action;
  readonly rule: string;
  readonly reason: string;
  readonly risk: Risk;
  readonly would_be: Decision['wouldBe'];
  readonly draft?: Draft;
  readonly snapshot?: 'required' | 'best_effort' | 'off';
  /** What happens where a required snapshot has no exact plan. */
  readonly without_plan?: 'hold' | 'block' | 'allow';
  readonly hold_mode?: HoldMode;
  readonly timeout_ms?: number;
  readonly approvals?: number;
  /** Groups of which those who approve must be members; null for anybody. */
  readonly approvers?: readonly string[] | null;
  readonly hint?: string;
}

export function explanationOf(
  text: string,
  session: SessionFacts,
  policy: { readonly fileName: string; readonly revision: string; readonly mode: Mode },
  { analysis, decision, bands }: DecidedText,
): Explanation {
  const { fileName: file, revision, mode } = policy;
  return {
    session,
    policy: { file, revision, mode },
    analysis: explainAnalysis(analysis, text),
    decision: explainDecision(decision),
    ...(bands === null ? {} : { by_rows: bands.map(explainBand) }),
  };
}

function explainBand({ least, most, decision }: RowBand): ExplainedBand {
  return { least, most, decision: explainDecision(decision) };
}

function explainAnalysis(analysis: Analysis, text: string): ExplainedAnalysis {
  return {
    status: analysis.status,
    problem: analysis.problem,
    risk: analysis.risk,
    operation: analysis.operation,
    tables: analysis.tables,
    context: analysis.context,
    statements: analysis.statements.map((effects) => ({
      text: statementText(analysis, effects, text),
      operation: effects.operation,
      operations: effects.operations,
      risk: effects.risk,
      reasons: effects.reasons,
      writes: effects.writes.map(relationText),
      reads: effects.reads.map(relationText),
      functions: effects.functions,
      predicate: effects.predicate,
    })),
  };
}

export function explainDecision(decision: Decision): ExplainedDecision {
  const { action, rule, reason, risk, wouldBe: would_be, draft } = decision;
  const ground = { action, rule, reason, risk, would_be, ...(draft === undefined ? {} : { draft }) };
  switch (decision.action) {
    case 'allow':
      return ground;
    case 'snapshot':
      return { ...ground, snapshot: decision.snapshot, ...explainPlanless(decision) };
    case 'hold': {
      const { snapshot, mode: hold_mode, timeoutMs: timeout_ms, approvals, approvers } = decision;
      return {
        ...ground,
        snapshot,
        ...explainPlanless(decision),
        hold_mode,
        timeout_ms,
        approvals,
        approvers,
      };
    }
    case 'block':
      return { ...ground, hint: decision.hint };
    default:
      return decision satisfies never;
  }
}

function explainPlanless({
  snapshot,
  withoutPlan,
}: Snapshot | Hold): Pick<ExplainedDecision, 'without_plan'> {
  return snapshot === 'required' ? { without_plan: withoutPlan?.kind ?? 'block' } : {};
}

/** Where something was masked, or texts share an analysis, the places are not known, and all of it stands for each. */
export function statementText(analysis: Analysis, effects: StatementEffects, text: string): string {
  if (analysis.redacted !== null) return analysis.redacted;
  if (effects.startByte < 0) return text;
  const bytes = Buffer.from(text);
  const end = effects.lengthBytes === 0 ? bytes.length : effects.startByte + effects.lengthBytes;
  return bytes.subarray(effects.startByte, end).toString('utf8');
}

export function relationText({ schema, name }: RelationName): string {
  return schema === null ? name : `${schema}.${name}`;
}
