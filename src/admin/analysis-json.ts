import { z } from 'zod';
import type { Decision } from '../policy/decision.ts';
import type { Analysis, RelationName } from '../sql/effects.ts';
import { action, risk } from './route-schema.ts';

const names = z.array(z.string()).readonly();

export const analysisSchema = z.object({
  status: z.enum(['parsed', 'empty', 'unparsable', 'opaque', 'failed']),
  problem: z.string(),
  risk,
  operation: z.string(),
  tables: names,
  context: z.record(z.string(), z.string()).readonly(),
  statements: z.array(
    z.object({
      operation: z.string(),
      operations: names,
      risk,
      reasons: names,
      writes: names,
      reads: names,
      functions: names,
      predicate: z.enum(['not-applicable', 'none', 'tautology', 'scoped', 'cursor']),
    }),
  ),
});

export const decisionSchema = z.object({
  action,
  rule: z.string(),
  reason: z.string(),
  risk,
  would_be: z.enum(['snapshot', 'hold', 'block']).nullable(),
  snapshot: z.enum(['required', 'best_effort', 'off']).optional(),
  hold_mode: z.enum(['live', 'ticket']).optional(),
  timeout_ms: z.number().optional(),
  approvals: z.int().optional(),
  hint: z.string().optional(),
});

export function analysisJson(analysis: Analysis): z.infer<typeof analysisSchema> {
  return {
    status: analysis.status,
    problem: analysis.problem,
    risk: analysis.risk,
    operation: analysis.operation,
    tables: analysis.tables,
    context: analysis.context,
    statements: analysis.statements.map((effects) => ({
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

export function decisionJson(decision: Decision): z.infer<typeof decisionSchema> {
  const { action, rule, reason, risk, wouldBe: would_be } = decision;
  const ground = { action, rule, reason, risk, would_be };
  switch (decision.action) {
    case 'allow':
      return ground;
    case 'snapshot':
      return { ...ground, snapshot: decision.snapshot };
    case 'hold': {
      const { snapshot, mode: hold_mode, timeoutMs: timeout_ms, approvals } = decision;
      return { ...ground, snapshot, hold_mode, timeout_ms, approvals };
    }
    case 'block':
      return { ...ground, hint: decision.hint };
    default:
      return decision satisfies never;
  }
}

function relationText({ schema, name }: RelationName): string {
  return schema === null ? name : `${schema}.${name}`;
}
