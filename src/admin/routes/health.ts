import { z } from 'zod';
import type { AdminApp } from '../app.ts';
import type { AdminDeps } from '../deps.ts';

const health = z.object({ status: z.literal('ok') });
const readiness = z.object({
  status: z.enum(['ready', 'not_ready']),
  problems: z.array(z.string()).readonly().describe('Why clients cannot be served, a sentence each.'),
});

/** For whoever watches over processes; they have no tokens, and learn nothing else. */
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
      schema: { summary: 'Whether clients can be served', response: { 200: readiness, 503: readiness } },
    },
    async (_request, reply) => {
      const problems = await deps.readiness();
      const ready = problems.length === 0;
      return reply.code(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not_ready', problems });
    },
  );
}
