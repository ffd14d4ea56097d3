import { z } from 'zod';
import type { AdminApp } from '../app.ts';
import type { AdminDeps } from '../deps.ts';
import { problemSchema, RequestProblem } from '../problems.ts';
import { instant, pageOf, secured, timeText, tokenProblems } from '../route-schema.ts';
import { grantsEverything, SCOPES, type Token } from '../tokens.ts';

const word = z.string().regex(/^[^\p{Cc}\s](?:[^\p{Cc}]{0,98}[^\p{Cc}\s])?$/u, 'expected a name');

const tokenSchema = z
  .object({
    name: z.string(),
    source: z.enum(['file', 'store', 'oidc']).describe('Where it stands.'),
    scopes: z.array(z.string()).readonly(),
    roles: z.array(z.string()).readonly().describe('Database roles of its own.'),
    groups: z.array(z.string()).readonly(),
    expires_at: z.string().nullable().describe('Its own end, or that of a token that has made it.'),
    person: z
      .string()
      .describe('Whom its approvals count for: the maker of a token of the store, and so on.'),
    subject: z
      .string()
      .nullable()
      .describe('The issuer and the subject that these are of; null where no issuer knows them.'),
    made_by: z.string().nullable().describe('Who has made it, where it is of the store.'),
    ended_because: z
      .string()
      .nullable()
      .describe(
        'Why it is refused whatever its time: the token that has made it is no more. Null where it is not.',
      ),
  })
  .meta({ id: 'Token' });

const madeSchema = tokenSchema
  .extend({ token: z.string().describe('To be kept: it is never shown again.') })
  .meta({ id: 'NewToken' });

const wanted = z.strictObject({
  name: word,
  scopes: z.array(z.enum(SCOPES)).min(1),
  expires_at: instant.optional(),
  roles: z.array(word).max(100).default([]),
  groups: z.array(word).max(100).default([]),
});

/** Tokens of the store. Nobody gives what they do not have. */
export function tokenRoutes(app: AdminApp, { principals }: Pick<AdminDeps, 'principals'>): void {
  app.get(
    '/v1/tokens',
    {
      config: { scope: 'token:read' },
      schema: {
        summary: 'List tokens by name',
        ...secured('token:read'),
        response: { 200: pageOf(tokenSchema), ...tokenProblems },
      },
    },
    () => ({ items: principals.list().map(tokenJson), next: null }),
  );
  app.post(
    '/v1/tokens',
    {
      config: { scope: 'token:write' },
      schema: {
        summary: 'Make a token, which the answer shows and nothing ever again',
        ...secured('token:write'),
        body: wanted,
        response: {
          200: madeSchema,
          ...tokenProblems,
          409: problemSchema,
          415: problemSchema,
          503: problemSchema,
        },
      },
    },
    async ({ body, principal, ip }) => {
      const maker = principal!;
      const { name, scopes, expires_at: expiresAtMs = maker.expiresAtMs, groups } = body;
      checkGift(maker, scopes, groups, expiresAtMs);
      // What somebody must not approve, a token that they make for themselves must not either.
      const roles = [...new Set([...maker.roles, maker.name, maker.person, ...body.roles])];
      const { person, subject = null } = maker;
      // An issuer's is another one each time.
      const makerSha256 = maker.source === 'oidc' ? null : maker.sha256;
      const asked = { name, scopes, groups, roles, expiresAtMs, person, subject, makerSha256 };
      const { secret, token } = await principals.create(asked, `token:${maker.name}`, ip);
      return { token: secret, ...tokenJson(token) };
    },
  );
  app.delete(
    '/v1/tokens/:name',
    {
      config: { scope: 'token:write' },
      schema: {
        summary: 'Revoke a token of the store and all that it has made, at once',
        ...secured('token:write'),
        params: z.object({ name: z.string().max(100) }),
        response: {
          200: z.object({
            revoked: z.string(),
            with_it: z.array(z.string()).readonly().describe('What it had made, and these in turn.'),
          }),
          ...tokenProblems,
          404: problemSchema,
          409: problemSchema,
          503: problemSchema,
        },
      },
    },
    async ({ params: { name }, principal, ip }) => {
      const along = principals.madeWith(name);
      checkRevocation(principal!, name, along, principals.list());
      const with_it = await principals.revoke(name, `token:${principal!.name}`, ip);
      return { revoked: name, with_it };
    },
  );
}

/**
 * Who may do less does not lock out who may do more; that one has been made by the other changes nothing. Nobody takes
 * away the ground that they stand on but by taking away themselves.
 */
function checkRevocation(by: Token, name: string, along: readonly string[], all: readonly Token[]): void {
  if (along.includes(by.name)) {
    throw new RequestProblem('conflict', {
      detail: `${by.name} was made with ${name}, and would be revoked with it`,
      hint: 'Revoke it with a token that it has not made, as of the tokens file.',
    });
  }
  if (grantsEverything(by)) return;
  for (const token of all.filter((one) => one.name === name || along.includes(one.name))) {
    const lacking = token.scopes.find((scope) => !by.scopes.includes(scope));
    if (lacking === undefined) continue;
    throw new RequestProblem('forbidden', {
      detail: `${token.name} has ${lacking}, which ${by.name} does not`,
    });
  }
}

function checkGift(
  maker: Token,
  scopes: readonly string[],
  groups: readonly string[],
  expiresAtMs: number | null,
): void {
  if (expiresAtMs !== null && expiresAtMs <= Date.now()) {
    throw new RequestProblem('bad-request', { errors: [{ field: 'expires_at', message: 'it is over' }] });
  }
  const lives = maker.expiresAtMs === null || (expiresAtMs !== null && expiresAtMs <= maker.expiresAtMs);
  const lacking = grantsEverything(maker)
    ? undefined
    : (scopes.find((scope) => !maker.scopes.includes(scope)) ??
      groups.find((group) => !maker.groups.includes(group)));
  if (lacking !== undefined) {
    throw new RequestProblem('forbidden', { detail: `${maker.name} does not have ${lacking} to give` });
  }
  if (!lives) throw new RequestProblem('forbidden', { detail: `it would outlive ${maker.name}` });
}

function tokenJson(token: Token): z.infer<typeof tokenSchema> {
  const { name, source, scopes, roles, groups, expiresAtMs, person } = token;
  const { subject = null, madeBy: made_by = null, endedBecause: ended_because = null } = token;
  const expires_at = expiresAtMs === null ? null : timeText(expiresAtMs);
  return { name, source, scopes, roles, groups, expires_at, person, subject, made_by, ended_because };
}
