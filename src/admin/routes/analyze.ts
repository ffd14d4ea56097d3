import { z } from 'zod';
import type { SessionFacts } from '../../policy/decision.ts';
import { analysisJson, analysisSchema, decisionJson, decisionSchema } from '../analysis-json.ts';
import type { AdminApp } from '../app.ts';
import type { AdminDeps } from '../deps.ts';
import { secured, tokenProblems } from '../route-schema.ts';

const name = z.string().max(300);

const asked = z.strictObject({
  sql: z.string().refine((text) => !text.includes('\0'), 'PostgreSQL refuses a NUL'),
  role: name.default('postgres'),
  database: name.default('postgres'),
  application: name.default(''),
  client: z.union([z.ipv4(), z.ipv6(), z.literal('local')]).default('127.0.0.1'),
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
    analysis: analysisSchema,
    decision: decisionSchema,
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
      const { sql, ...rest } = body;
      const session: SessionFacts = rest;
      const { analysis, decision } = await policy.analyze(sql, session);
      const { fileName: file, revision, mode } = policy.current();
      return {
        session,
        policy: { file, revision, mode },
        analysis: analysisJson(analysis),
        decision: decisionJson(decision),
      };
    },
  );
}
