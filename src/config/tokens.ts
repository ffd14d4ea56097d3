import { z } from 'zod';
import { SCOPES, type Scope, type Token } from '../admin/tokens.ts';
import { explainIssues, toProblem } from '../policy/explain-issues.ts';
import { judged, parsedBy, wrong } from '../policy/judged.ts';
import { readSettings } from '../policy/load.ts';
import { InvalidSettings } from '../policy/problems.ts';
import { readYaml } from '../policy/strict-yaml.ts';

/** A token of the file, of which only the hash is kept. */
export interface TokenOfFile extends Token {
  readonly scopes: readonly Scope[];
}

const word = judged((text) =>
  /^[^\p{Cc}]{1,100}$/u.test(text) && text === text.trim() ? null : 'expected a name',
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
        name: word.describe('Shown in the audit and on approvals; unique.'),
        sha256: sha256.describe("Hex of the token's SHA-256."),
        scopes: z.array(z.enum(SCOPES)).min(1),
        expires: instant.describe('A date (its first moment, UTC) or a time with its zone.').optional(),
        roles: z.array(word).describe('Database roles that this principal owns.').optional(),
        groups: z.array(word).optional(),
      }),
    ),
  })
  .meta({ title: 'Holdfast tokens' });

export function parseTokens(text: string, fileName: string): readonly TokenOfFile[] {
  const file = readYaml(text, fileName);
  if (file.fatal) throw new InvalidSettings('CONFIG_INVALID', file.problems);
  const parsed = tokensSchema.safeParse(file.value ?? {});
  const problems = [...file.problems];
  if (!parsed.success) {
    const findings = explainIssues(tokensSchema, parsed.error.issues, file.value ?? {});
    problems.push(...findings.map((finding) => toProblem(file, finding)));
  }
  const tokens = parsed.success ? parsed.data.tokens : [];
  for (const key of ['name', 'sha256'] as const) {
    for (const index of repeated(tokens.map((token) => token[key]))) {
      problems.push(file.problemAt(['tokens', index, key], `another token has the same ${key}`));
    }
  }
  if (problems.length > 0) throw new InvalidSettings('CONFIG_INVALID', problems);
  return Object.freeze(
    tokens.map(({ expires, roles, groups, ...token }) =>
      Object.freeze({ ...token, expiresAtMs: expires ?? null, roles: roles ?? [], groups: groups ?? [] }),
    ),
  );
}

export function loadTokensFile(path: string): readonly TokenOfFile[] {
  return parseTokens(readSettings(path, 'CONFIG_INVALID'), path);
}

function repeated(values: readonly string[]): number[] {
  return values.flatMap((value, index) => (values.indexOf(value) < index ? [index] : []));
}
