import { z } from 'zod';
import { WEBHOOK_EVENTS, type Webhooks } from '../../notify/webhook.ts';
import type { AdminApp } from '../app.ts';
import type { AdminDeps } from '../deps.ts';
import { problemSchema } from '../problems.ts';
import { pageOf, secured, tokenProblems } from '../route-schema.ts';

const webhookSchema = z
  .object({
    name: z.string(),
    format: z.enum(['json', 'slack']),
    events: z.array(z.enum(WEBHOOK_EVENTS)).readonly(),
    statements: z.boolean().describe('Whether its messages have the text of statements.'),
    signed: z.boolean(),
  })
  .meta({ id: 'Webhook' });

/** Who is told of what waits, without their URLs and keys; the file is changed where it lies. */
export function webhookRoutes(app: AdminApp, { webhooks }: Pick<AdminDeps, 'webhooks'>): void {
  app.get(
    '/v1/webhooks',
    {
      config: { scope: 'policy:read' },
      schema: {
        summary: 'List webhooks, without their URLs and keys',
        ...secured('policy:read'),
        response: { 200: pageOf(webhookSchema), ...tokenProblems },
      },
    },
    () => webhooksJson(webhooks.current()),
  );
  app.post(
    '/v1/webhooks/reload',
    {
      config: { scope: 'policy:write' },
      schema: {
        summary: 'Read the file of webhooks again; one that is not valid changes nothing',
        ...secured('policy:write'),
        body: z.strictObject({}).nullish(),
        response: {
          200: pageOf(webhookSchema),
          ...tokenProblems,
          415: problemSchema,
          422: problemSchema,
          503: problemSchema,
        },
      },
    },
    async ({ principal }) => {
      return webhooksJson(await webhooks.reload(principal?.name ?? 'unknown'));
    },
  );
}

function webhooksJson({ all }: Webhooks) {
  const items = all.map(({ name, format, events, statements, key }) => ({
    ...{ name, format, events, statements },
    signed: key !== null,
  }));
  return { items, next: null };
}
