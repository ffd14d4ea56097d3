import { z } from 'zod';
import type { AdminApp } from '../app.ts';
import { type AdminDeps, CHECK_NAMES, problemsOf, type ReadinessCheck } from '../deps.ts';
import { timeText } from '../route-schema.ts';

const health = z.object({ status: z.literal('ok') });
const check = z.object({
  name: z.enum(CHECK_NAMES),
  status: z.enum(['ok', 'failing']),
  problem: z.string().optional(),
  hint: z.string().optional().describe('What to do about it.'),
  since: z.string().optional(),
  where: z.string().optional().describe('The folder or bucket that it is about.'),
  refuses: z
    .boolean()
    .optional()
    .describe('Whether anything is refused because of it; else it is no problem.'),
});
const readiness = z.object({
  status: z.enum(['ready', 'not_ready']),
  problems: z.array(z.string()).readonly().describe('Why clients cannot be served, a sentence each.'),
  checks: z.array(check).readonly().describe('What was looked at, without what was excluded.'),
});
const asked = z.object({
  exclude: z
    .union([z.enum(CHECK_NAMES), z.array(z.enum(CHECK_NAMES))])
    .optional()
    .describe('A check that is not to count; may be given several times.'),
});

/** For whoever watches over processes. They have no tokens, and learn nothing of statements, rows or people. */
export function healthRoutes(app: AdminApp, deps: Pick<AdminDeps, 'readiness'>): void {
  app.get(
    '/healthz',
    {
      config: { scope: 'open' },
      schema: { summary: 'Whether the process lives', response: { 200: health } },
    },
    () => ({ status: 'ok' as const }),
  );
  app.get(
    '/readyz',
    {
      config: { scope: 'open' },
      schema: {
        summary: 'Whether clients can be served',
        querystring: asked,
        response: { 200: readiness, 503: readiness },
      },
    },
    async (request, reply) => {
      const excluded = [request.query.exclude ?? []].flat();
      const checks = (await deps.readiness()).filter(({ name }) => !excluded.includes(name));
      const problems = problemsOf(checks);
      const ready = problems.length === 0;
      const body = {
        status: ready ? 'ready' : 'not_ready',
        problems,
        checks: checks.map(checkJson),
      } as const;
      return reply.code(ready ? 200 : 503).send(body);
    },
  );
}

function checkJson({ name, problem, hint, sinceMs, where, refuses }: ReadinessCheck) {
  if (problem === null) return { name, status: 'ok' as const };
  return {
    name,
    status: 'failing' as const,
    problem,
    refuses,
    ...(hint === null ? {} : { hint }),
    ...(sinceMs === null ? {} : { since: timeText(sinceMs) }),
    ...(where === null ? {} : { where }),
  };
}
