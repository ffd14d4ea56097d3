import { z } from 'zod';
import type { AdminApp } from '../app.ts';
import type { AdminDeps } from '../deps.ts';

const signInSchema = z
  .object({
    oidc: z
      .object({
        issuer: z.string(),
        client_id: z.string(),
        authorization_endpoint: z.string().nullable().describe('Null where the issuer does not tell now.'),
        token_endpoint: z.string().nullable(),
      })
      .nullable()
      .describe('Null where only tokens are taken.'),
  })
  .meta({ id: 'SignIn' });

/** What somebody needs to know who has no token yet. */
export function signInRoute(app: AdminApp, deps: Pick<AdminDeps, 'oidc'>): void {
  app.get(
    '/v1/sign-in',
    {
      config: { scope: 'open' },
      schema: { summary: 'How to sign in besides by a token', response: { 200: signInSchema } },
    },
    async () => {
      const found = (await deps.oidc()?.signIn()) ?? null;
      if (found === null) return { oidc: null };
      const { issuer, clientId, authorizationEndpoint, tokenEndpoint } = found;
      return {
        oidc: {
          issuer,
          client_id: clientId,
          authorization_endpoint: authorizationEndpoint,
          token_endpoint: tokenEndpoint,
        },
      };
    },
  );
}
