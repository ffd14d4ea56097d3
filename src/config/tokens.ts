import { z } from 'zod';
import { OIDC_PREFIX, type OidcSettings, safeUrl } from '../admin/oidc.ts';
import { SCOPES, type Scope, type Token } from '../admin/tokens.ts';
import { explainIssues, toProblem } from '../policy/explain-issues.ts';
import { judged, parsedBy, wrong } from '../policy/judged.ts';
import { readSettings } from '../policy/load.ts';
import { InvalidSettings } from '../policy/problems.ts';
import { readYaml } from '../policy/strict-yaml.ts';

/** All that the file says of who may use the API. */
export interface PrincipalsFile {
  readonly tokens: readonly TokenOfFile[];
  readonly oidc: OidcSettings | null;
}

export const NO_PRINCIPALS: PrincipalsFile = Object.freeze({ tokens: [], oidc: null });

/** A token of the file, of which only the hash is kept. */
export interface TokenOfFile extends Token {
  readonly scopes: readonly Scope[];
}

const url = judged((text) =>
  safeUrl(text) === null ? 'expected an https URL, or http to this machine, without user or password' : null,
);

const wordProblem = (text: string): string | null =>
  /^[^\p{Cc}]{1,100}$/u.test(text) && text === text.trim() ? null : 'expected a name';

const word = judged(wordProblem);

const tokenName = judged((text) =>
  text.startsWith(OIDC_PREFIX) ? `names with ${OIDC_PREFIX} are of the issuer's` : wordProblem(text),
);

/** The message never repeats what is there, which may be the token itself. */
const sha256 = parsedBy((text) =>
  /^[0-9a-f]{64}$/i.test(text)
    ? { ok: true, value: text.toLowerCase() }
    : wrong("expected the token's SHA-256 as 64 hex digits, not the token itself"),
);

const instant = parsedBy((text) => {
  const ms = /^\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d))?$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(ms)
    ? wrong('expected a date or a time with its zone, like 2031-01-31 or 2031-01-31T12:00:00Z')
    : { ok: true, value: ms };
});

export const tokensSchema = z
  .strictObject({
    tokens: z.array(
      z.strictObject({
        name: tokenName.describe('Shown in the audit and on approvals; unique.'),
        sha256: sha256.describe("Hex of the token's SHA-256."),
        scopes: z.array(z.enum(SCOPES)).min(1),
        expires: instant.describe('A date (its first moment, UTC) or a time with its zone.').optional(),
        roles: z.array(word).describe('Database roles that this principal owns.').optional(),
        groups: z.array(word).optional(),
      }),
    ),
    oidc: z
      .strictObject({
        issuer: url.describe('As its tokens name it.'),
        audience: word.describe('Whom its tokens must be meant for.'),
        jwks: url.describe('Where its keys are; without it, its discovery document says.').optional(),
        role_claim: word.describe('The claim with the roles, with dots into what is nested.'),
        name_claim: word.describe('The claim with the name, sub unless told.').optional(),
        client_id: word.describe('What the console signs in as.').optional(),
        roles: z
          .array(
            z.strictObject({
              role: word.describe('A value of the role claim.'),
              scopes: z.array(z.enum(SCOPES)).min(1),
              groups: z.array(word).optional(),
              database_roles: z.array(word).describe('Database roles that whoever has it owns.').optional(),
            }),
          )
          .min(1),
      })
      .describe('An issuer of tokens (OpenID Connect) that is trusted.')
      .optional(),
  })
  .meta({ title: 'Holdfast tokens' });

export function parseTokens(text: string, fileName: string): readonly TokenOfFile[] {
  return parsePrincipals(text, fileName).tokens;
}

function parsePrincipals(text: string, fileName: string): PrincipalsFile {
  const file = readYaml(text, fileName);
  if (file.fatal) throw new InvalidSettings('CONFIG_INVALID', file.problems);
  const parsed = tokensSchema.safeParse(file.value ?? {});
  const problems = [...file.problems];
  if (!parsed.success) {
    const findings = explainIssues(tokensSchema, parsed.error.issues, file.value ?? {});
    problems.push(...findings.map((finding) => toProblem(file, finding)));
  }
  const { tokens, oidc } = parsed.success ? parsed.data : { tokens: [], oidc: undefined };
  for (const key of ['name', 'sha256'] as const) {
    for (const index of repeated(tokens.map((token) => token[key]))) {
      problems.push(file.problemAt(['tokens', index, key], `another token has the same ${key}`));
    }
  }
  if (problems.length > 0) throw new InvalidSettings('CONFIG_INVALID', problems);
  return { tokens: Object.freeze(tokens.map(tokenOf)), oidc: oidc === undefined ? null : oidcOf(oidc) };
}

type Input = z.output<typeof tokensSchema>;

function tokenOf({ expires, roles, groups, ...token }: Input['tokens'][number]): TokenOfFile {
  const owner = { roles: roles ?? [], groups: groups ?? [], person: token.name };
  return Object.freeze({ ...token, expiresAtMs: expires ?? null, ...owner, source: 'file' });
}

function oidcOf(input: NonNullable<Input['oidc']>): OidcSettings {
  return {
    issuer: input.issuer,
    audience: input.audience,
    jwks: input.jwks ?? null,
    roleClaim: input.role_claim,
    nameClaim: input.name_claim ?? 'sub',
    clientId: input.client_id ?? null,
    roles: input.roles.map(({ role, scopes, groups, database_roles }) => ({
      role,
      scopes,
      groups: groups ?? [],
      databaseRoles: database_roles ?? [],
    })),
  };
}

export function loadTokensFile(path: string): readonly TokenOfFile[] {
  return loadPrincipalsFile(path).tokens;
}

export function loadPrincipalsFile(path: string): PrincipalsFile {
  return parsePrincipals(readSettings(path, 'CONFIG_INVALID'), path);
}

function repeated(values: readonly string[]): number[] {
  return values.flatMap((value, index) => (values.indexOf(value) < index ? [index] : []));
}
