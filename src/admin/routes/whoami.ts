import { z } from 'zod';
import type { AdminApp } from '../app.ts';
import { tokenProblems } from '../route-schema.ts';

const principalSchema = z
  .object({
    name: z.string(),
    scopes: z.array(z.string()).readonly(),
    roles: z
      .array(z.string())
      .readonly()
      .describe('Database roles of its own, whose statements it must not approve.'),
    groups: z.array(z.string()).readonly(),
    person: z.string().describe('Whom its approvals count for.'),
    subject: z
      .string()
      .nullable()
      .describe('The issuer and the subject that these are of; null where no issuer knows them.'),
    expires_at: z.string().nullable(),
  })
  .meta({ id: 'Principal' });

/** Whoever asks may know what it may do. */
export function whoamiRoute(app: AdminApp): void {
  app.get(
    '/v1/whoami',
    {
      config: { scope: 'any' },
      schema: {
        summary: 'Who asks, and what it may do',
        description: 'Needs a token, of whatever scope.',
        security: [{ bearer: [] }],
        response: { 200: principalSchema, ...tokenProblems },
      },
    },
    ({ principal }) => {
      const { name, scopes, roles, groups, person, subject = null, expiresAtMs } = principal!;
      const expires_at = expiresAtMs === null ? null : new Date(expiresAtMs).toISOString();
      return { name, scopes, roles, groups, person, subject, expires_at };
    },
  );
}
