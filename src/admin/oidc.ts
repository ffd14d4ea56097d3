import { createHash } from 'node:crypto';
import { createRemoteJWKSet, decodeJwt, errors, type JWTPayload, jwtVerify, type RemoteJWKSet } from 'jose';
import { nowMs } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Token } from './tokens.ts';

/** Whose tokens are taken, and what they allow. */
export interface OidcSettings {
  readonly issuer: string;
  readonly audience: string;
  /** Where the issuer's keys are; null asks its discovery document. */
  readonly jwks: string | null;
  /** The claim with the roles of whoever it is, with dots into what is nested. */
  readonly roleClaim: string;
  /** The claim with the name of whoever it is. */
  readonly nameClaim: string;
  /** What the console signs in as, or null where it does not. */
  readonly clientId: string | null;
  readonly roles: readonly OidcRole[];
}

/** What a value of the role claim is good for. */
export interface OidcRole {
  readonly role: string;
  readonly scopes: readonly string[];
  readonly groups: readonly string[];
  /** Database roles of whoever has it. */
  readonly databaseRoles: readonly string[];
}

/** What the console needs to sign in. */
export interface SignIn {
  readonly issuer: string;
  readonly clientId: string;
  readonly authorizationEndpoint: string | null;
  readonly tokenEndpoint: string | null;
}

interface Discovery {
  readonly jwks_uri?: unknown;
  readonly authorization_endpoint?: unknown;
  readonly token_endpoint?: unknown;
}

/** Signatures that only the issuer can make: neither `none` nor anything with a secret that both have. */
const ALGORITHMS = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
];

/** Keeps names of the issuer's apart from those of tokens. */
export const OIDC_PREFIX = 'oidc:';

const JWT = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/**
 * Tells who a token of the issuer's stands for. The issuer's keys are fetched when one is needed that is not known,
 * and after a failure no oftener than every few seconds, whatever is sent.
 */
export class OidcVerifier {
  readonly settings: OidcSettings;
  #keys: RemoteJWKSet | null = null;
  #discovery: Discovery | null = null;
  #failedUntilMs = 0;

  constructor(settings: OidcSettings) {
    this.settings = settings;
  }

  /** Null where it is not the issuer's, or does not hold. Throws OIDC_FAILED where that cannot be told. */
  async verify(secret: string): Promise<Token | null> {
    const { issuer, audience, nameClaim, roleClaim } = this.settings;
    if (!JWT.test(secret) || !claims(secret, issuer)) return null;
    const keys = await this.#remoteKeys();
    try {
      const { payload } = await jwtVerify(secret, keys, {
        issuer,
        audience,
        algorithms: ALGORITHMS,
        clockTolerance: LIMITS.oidcClockToleranceS,
        requiredClaims: ['exp', 'iat', 'sub', nameClaim],
        maxTokenAge: LIMITS.oidcTokenAgeS,
      });
      return principalOf(payload, this.settings, secret);
    } catch (error) {
      if (isOfToken(error)) return null;
      throw this.#failed(`the keys of ${issuer} cannot be had, so that ${roleClaim} cannot be told`, error);
    }
  }

  /** What is not to be had is null: signing in with a token goes on. */
  async signIn(): Promise<SignIn | null> {
    const { issuer, clientId } = this.settings;
    if (clientId === null) return null;
    const found = await this.#discover().catch(() => null);
    return {
      issuer,
      clientId,
      authorizationEndpoint: safeUrl(found?.authorization_endpoint),
      tokenEndpoint: safeUrl(found?.token_endpoint),
    };
  }

  async #remoteKeys(): Promise<RemoteJWKSet> {
    if (nowMs() < this.#failedUntilMs && this.#keys?.fresh !== true) throw this.#failed('', null);
    if (this.#keys !== null) return this.#keys;
    const url = this.settings.jwks ?? safeUrl((await this.#discover()).jwks_uri);
    if (url === null) throw this.#failed(`${this.settings.issuer} names no keys`, null);
    this.#keys = createRemoteJWKSet(new URL(url), {
      timeoutDuration: LIMITS.oidcTimeoutMs,
      cooldownDuration: LIMITS.oidcCooldownMs,
    });
    return this.#keys;
  }

  async #discover(): Promise<Discovery> {
    if (this.#discovery !== null) return this.#discovery;
    const { issuer } = this.settings;
    if (nowMs() < this.#failedUntilMs) throw this.#failed('', null);
    try {
      const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
      const signal = AbortSignal.timeout(LIMITS.oidcTimeoutMs);
      const response = await fetch(url, { redirect: 'error', signal });
      const found = (await response.json()) as Discovery & { readonly issuer?: unknown };
      if (!response.ok || found.issuer !== issuer) throw new Error('it is not of that issuer');
      this.#discovery = found;
      return found;
    } catch (error) {
      throw this.#failed(`${issuer} does not say where its keys are`, error);
    }
  }

  #failed(message: string, cause: unknown): HoldfastError {
    if (message !== '') this.#failedUntilMs = nowMs() + LIMITS.oidcRetryMs;
    return new HoldfastError('OIDC_FAILED', message || 'the issuer of the token cannot be asked', { cause });
  }
}

/** What it says of itself, so that nobody is asked about what is not even meant for us. */
function claims(jwt: string, issuer: string): boolean {
  try {
    return decodeJwt(jwt).iss === issuer;
  } catch {
    return false;
  }
}

function isOfToken(error: unknown): boolean {
  return (
    error instanceof errors.JWTClaimValidationFailed ||
    error instanceof errors.JWTExpired ||
    error instanceof errors.JWTInvalid ||
    error instanceof errors.JWSInvalid ||
    error instanceof errors.JWSSignatureVerificationFailed ||
    error instanceof errors.JOSEAlgNotAllowed ||
    error instanceof errors.JOSENotSupported ||
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys
  );
}

function principalOf(payload: JWTPayload, settings: OidcSettings, secret: string): Token | null {
  const { [settings.nameClaim]: name, sub } = payload;
  const given = valuesAt(payload, settings.roleClaim);
  if (given === null || !isName(name) || !isName(sub)) return null;
  const roles = settings.roles.filter(({ role }) => given.includes(role));
  const all = (of: (role: OidcRole) => readonly string[]) => [...new Set(roles.flatMap(of))];
  return {
    name: OIDC_PREFIX + (settings.nameClaim === 'sub' ? name : `${name} (${inBrackets(sub)})`),
    // Whoever asks as a role of that name, or has a token of it, is the same.
    person: name,
    subject: `${settings.issuer} ${sub}`,
    sha256: createHash('sha256').update(secret).digest('hex'),
    scopes: all(({ scopes }) => scopes),
    expiresAtMs: payload.exp! * 1000,
    roles: all(({ databaseRoles }) => databaseRoles),
    groups: all(({ groups }) => groups),
    source: 'oidc',
  };
}

function isName(claim: unknown): claim is string {
  return typeof claim === 'string' && /^[^\p{Cc}]{1,200}$/u.test(claim);
}

/** Behind a name that others may have as well, so that no two people have both; nobody ends the brackets early. */
function inBrackets(sub: string): string {
  return sub.replace(/[%()\s]/gu, (one) => `%${one.codePointAt(0)!.toString(16)}`);
}

/** The texts at a place like `realm_access.roles`; null where it is not there. */
function valuesAt(payload: JWTPayload, path: string): readonly string[] | null {
  let at: unknown = payload;
  // A claim may have dots in its own name.
  if (Object.hasOwn(payload, path)) at = payload[path];
  else
    for (const key of path.split('.')) {
      at = typeof at === 'object' && at !== null && Object.hasOwn(at, key) ? (at as JWTPayload)[key] : null;
    }
  if (typeof at === 'string') return [at];
  return Array.isArray(at) ? at.filter((one) => typeof one === 'string') : null;
}

/** Over TLS, or on this machine. */
export function safeUrl(text: unknown): string | null {
  const url = typeof text === 'string' ? URL.parse(text) : null;
  if (url === null || url.username !== '' || url.password !== '') return null;
  const isHere = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
  return url.protocol === 'https:' || (url.protocol === 'http:' && isHere) ? url.href : null;
}
