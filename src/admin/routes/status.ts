import { z } from 'zod';
import type { AdminApp } from '../app.ts';
import { type AdminDeps, problemsOf } from '../deps.ts';
import { secured, timeText, tokenProblems } from '../route-schema.ts';

const statusSchema = z
  .object({
    version: z.string(),
    started_at: z.string(),
    uptime_s: z.number(),
    ready: z.boolean(),
    problems: z.array(z.string()).readonly(),
    draining: z.boolean(),
    paused: z.string().nullable().describe('Why the gateway is paused, or null.'),
    quarantined: z.int().describe('Quarantines in force.'),
    listen: z.string(),
    upstream: z.string(),
    policy: z.object({ file: z.string(), revision: z.string(), mode: z.string(), rules: z.int() }),
    tokens_problem: z
      .string()
      .nullable()
      .describe(
        'Why the file of tokens is not understood; what it said before holds, also of who was taken out.',
      ),
    snapshots_problem: z
      .string()
      .nullable()
      .describe('Why no snapshot can be stored; also where none has to be, so that nothing is refused.'),
    sessions: z.object({ open: z.number(), total: z.number() }),
    statements: z.object({ total: z.number(), held: z.number() }),
    audit: z.object({
      events: z.number(),
      queue_bytes: z.number(),
      failures: z.number(),
      anchored_to: z.number().describe('The last event that an anchor covers.'),
      anchor_problem: z.string().nullable().describe('Why the newest events are not anchored.'),
    }),
  })
  .meta({ id: 'Status' });

export function statusRoute(app: AdminApp, deps: AdminDeps): void {
  app.get(
    '/v1/status',
    {
      config: { scope: 'metadata:read' },
      schema: {
        summary: 'How the gateway is doing',
        ...secured('metadata:read'),
        response: { 200: statusSchema, ...tokenProblems },
      },
    },
    async () => {
      const { version, startedAtMs, draining, listen, upstream, anchorProblem, tokensProblem } =
        deps.status();
      const checks = await deps.readiness();
      const problems = problemsOf(checks);
      const { metrics } = deps;
      const policy = deps.policy.current();
      return {
        version,
        started_at: timeText(startedAtMs),
        uptime_s: Math.floor((Date.now() - startedAtMs) / 1000),
        ready: problems.length === 0,
        problems,
        draining,
        paused: deps.restraints.pause?.reason ?? null,
        quarantined: deps.restraints.quarantines.length,
        listen,
        upstream,
        policy: {
          file: policy.fileName,
          revision: policy.revision,
          mode: policy.mode,
          rules: policy.rules.length,
        },
        tokens_problem: tokensProblem,
        snapshots_problem: checks.find(({ name }) => name === 'snapshots')?.problem ?? null,
        sessions: { open: metrics.sessionsOpen, total: metrics.sessionsTotal },
        statements: {
          total: metrics.statements.cells.reduce((a, b) => a + b, 0),
          held: metrics.statementsHeld,
        },
        audit: {
          events: metrics.auditEvents,
          queue_bytes: metrics.auditQueueBytes,
          failures: metrics.auditFailures,
          anchored_to: metrics.auditAnchoredSeq,
          anchor_problem: anchorProblem,
        },
      };
    },
  );
}
