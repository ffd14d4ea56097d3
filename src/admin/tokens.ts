import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/** What a route may ask for. */
export const ROUTE_SCOPES = [
  'approval:read',
  'approval:write',
  'approval:break_glass',
  'approval:parameters',
  'audit:read',
  'metadata:read',
  'metrics:read',
  'query:analyze',
  'policy:read',
  'policy:write',
  'pause:write',
  'quarantine:read',
  'quarantine:write',
  'token:read',
  'token:write',
  'snapshot:read',
  'snapshot:rows',
  'snapshot:write',
  'undo:preview',
  'undo:write',
] as const;
export type RouteScope = (typeof ROUTE_SCOPES)[number];

const EVERYTHING = ['*', 'admin:*'] as const;

/** What a token may be given. */
export const SCOPES = [...EVERYTHING, ...ROUTE_SCOPES] as const;
export type Scope = (typeof SCOPES)[number];

/** Somebody who may use the API. */
export interface Token {
  readonly name: string;
  /** Of the token, in lower-case hex; the token itself is kept nowhere. */
  readonly sha256: string;
  /** Of the store they are what an earlier version has written. */
  readonly scopes: readonly string[];
  readonly expiresAtMs: number | null;
  /** Database roles that this principal owns, whose statements it therefore must not approve. */
  readonly roles: readonly string[];
  readonly groups: readonly string[];
  /**
   * Who acts by it, and is counted once, under however many names. Whoever makes a token has seen it, so that it is
   * theirs, whatever they may do besides: only the file and the issuer tell two people apart.
   */
  readonly person: string;
  /** Who that is to their issuer, which names neither change nor share; null or nothing where no issuer knows them. */
  readonly subject?: string | null;
  /** Who has made it, as the audit has it; null where it stands in the file or comes from an issuer. */
  readonly madeBy?: string | null;
  /** Why it is refused whatever its time, or null. */
  readonly endedBecause?: string | null;
  /** Where it stands; what an issuer vouches for stands nowhere. */
  readonly source: 'file' | 'store' | 'oidc';
}

/** The prefix lets secret scanners find a token that was leaked. */
const PREFIX = 'hf_';
const SECRET_BYTES = 32;

export interface MadeToken {
  /** To be shown once. */
  readonly secret: string;
  readonly token: Token;
}

type TokenOwner = Pick<Token, 'roles' | 'groups' | 'person' | 'subject'>;

export function makeToken(
  name: string,
  scopes: readonly string[],
  expiresAtMs: number | null = null,
  { roles = [], groups = [], person = name, subject = null }: Partial<TokenOwner> = {},
): MadeToken {
  const secret = PREFIX + randomBytes(SECRET_BYTES).toString('base64url');
  return {
    secret,
    token: {
      ...{ name, sha256: hashToken(secret), scopes, expiresAtMs, roles, groups, person, subject },
      source: 'store',
    },
  };
}

export function hashToken(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

/** The token that a secret is, if it is one that still holds. Each is compared, in time that tells nothing. */
export function findToken(secret: string, tokens: readonly Token[], nowMs: number): Token | null {
  const hash = createHash('sha256').update(secret).digest();
  let found: Token | null = null;
  for (const token of tokens) {
    const expected = Buffer.from(token.sha256, 'hex');
    const same = expected.length === hash.length && timingSafeEqual(expected, hash);
    if (same && holds(token, nowMs)) found = token;
  }
  return found;
}

/** Whether it has neither expired nor been ended. */
export function holds({ expiresAtMs, endedBecause }: Token, nowMs: number): boolean {
  return (expiresAtMs === null || nowMs < expiresAtMs) && (endedBecause ?? null) === null;
}

export function grants(token: Token, scope: RouteScope): boolean {
  return token.scopes.includes(scope) || grantsEverything(token);
}

export function grantsEverything({ scopes }: Pick<Token, 'scopes'>): boolean {
  return EVERYTHING.some((one) => scopes.includes(one));
}
