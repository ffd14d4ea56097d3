import { z } from 'zod';
import { HOLD_MODES, type SessionFacts } from '../../policy/decision.ts';
import { explanationOf } from '../../policy/explanation.ts';
import type { AdminApp } from '../app.ts';
import type { AdminDeps } from '../deps.ts';
import { action, risk, secured, tokenProblems } from '../route-schema.ts';

const name = z.string().max(300);

const asked = z.strictObject({
  sql: z.string().refine((text) => !text.includes('\0'), 'PostgreSQL refuses a NUL'),
  role: name.default('postgres'),
  database: name.default('postgres'),
  application: name.default(''),
  client: z.union([z.ipv4(), z.ipv6(), z.literal('local')]).default('127.0.0.1'),
  rows: z.int().min(0).nullable().default(null).describe('How many rows it writes, where that is known.'),
});

const names = z.array(z.string()).readonly();

const analysis = z.object({
  status: z.enum(['parsed', 'empty', 'unparsable', 'opaque', 'failed']),
  problem: z.string(),
  risk,
  operation: z.string(),
  tables: names,
  context: z.record(z.string(), z.string()).readonly(),
  statements: z
    .array(
      z.object({
        text: z.string().describe('With passwords and connection strings masked.'),
        operation: z.string(),
        operations: names,
        risk,
        reasons: names,
        writes: names,
        reads: names,
        functions: names,
        predicate: z.enum(['not-applicable', 'none', 'tautology', 'scoped', 'cursor']),
      }),
    )
    .readonly(),
});

const decision = z.object({
  action,
  rule: z.string(),
  reason: z.string(),
  risk,
  would_be: z.enum(['snapshot', 'hold', 'block']).nullable(),
  draft: z.object({ rule: z.string(), action }).optional().describe('What a rule that is a draft would do.'),
  snapshot: z.enum(['required', 'best_effort', 'off']).optional(),
  without_plan: z.enum(['hold', 'block', 'allow']).optional(),
  hold_mode: z.enum(HOLD_MODES).optional(),
  timeout_ms: z.number().optional(),
  approvals: z.int().optional(),
  approvers: z.array(z.string()).readonly().nullable().optional(),
  hint: z.string().optional(),
});

const answer = z
  .object({
    session: z.object({
      role: z.string(),
      database: z.string(),
      application: z.string(),
      client: z.string(),
    }),
    policy: z.object({
      file: z.string(),
      revision: z.string(),
      mode: z.enum(['monitor', 'protect', 'block']),
    }),
    analysis,
    decision,
    by_rows: z
      .array(z.object({ least: z.int(), most: z.int().nullable(), decision }))
      .readonly()
      .optional()
      .describe('What is decided once rows have been counted, where it hangs on their number.'),
  })
  .meta({ id: 'Explanation' });

/** What a statement would do and what policy says of it, for a session that is described; nothing is run. */
export function analyzeRoute(app: AdminApp, { policy }: Pick<AdminDeps, 'policy'>): void {
  app.post(
    '/v1/analyze',
    {
      config: { scope: 'query:analyze' },
      schema: {
        summary: 'Explain a statement without running it',
        ...secured('query:analyze'),
        body: asked,
        response: { 200: answer, ...tokenProblems },
      },
    },
    async ({ body }) => {
      const { sql, rows, ...rest } = body;
      const session: SessionFacts = rest;
      return explanationOf(sql, session, policy.current(), await policy.analyze(sql, session, rows));
    },
  );
}
