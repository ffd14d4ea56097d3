import { z } from 'zod';
import type { AdminApp } from '../app.ts';
import type { AdminDeps } from '../deps.ts';
import { metricsRegistry } from '../metrics.ts';
import { secured, tokenProblems } from '../route-schema.ts';

export function metricsRoute(app: AdminApp, deps: AdminDeps): void {
  const registry = metricsRegistry(deps);
  const open = deps.metricsAccess === 'open';
  app.get(
    '/metrics',
    {
      config: { scope: open ? 'open' : 'metrics:read' },
      schema: {
        summary: 'Metrics in the text format of Prometheus',
        produces: ['text/plain'],
        ...(open ? {} : secured('metrics:read')),
        response: { 200: z.string(), ...tokenProblems },
      },
    },
    async (_request, reply) =>
      reply
        .type(registry.contentType)
        .serializer((text: string) => text)
        .send(await registry.metrics()),
  );
}
