import { parseRoute, route } from '../state/route.ts';
import { ask } from './client.ts';

/** How to sign in besides by a token (GET /v1/sign-in). */
export interface Issuer {
  readonly issuer: string;
  readonly client_id: string;
  readonly authorization_endpoint: string | null;
  readonly token_endpoint: string | null;
}

/** What has to be known when the issuer sends the browser back. */
interface Attempt {
  readonly state: string;
  readonly verifier: string;
  readonly tokenEndpoint: string;
  readonly clientId: string;
  readonly hash: string;
}

const KEY = 'holdfast.oidc';
const EXCHANGE_MS = 20_000;

export async function askIssuer(signal: AbortSignal): Promise<Issuer | null> {
  return (await ask<{ readonly oidc: Issuer | null }>('/v1/sign-in', { signal })).oidc;
}

/** The browser does the arithmetic that this needs on pages from https or this machine only. */
export const canUseIssuer = (): boolean => isSecureContext;

/**
 * Leaves for the issuer, with a code flow and PKCE: what comes back in the address is a code that is of no use to
 * anybody but this tab.
 */
export async function leaveForIssuer(issuer: Issuer): Promise<void> {
  const { authorization_endpoint: endpoint, token_endpoint: tokenEndpoint, client_id: clientId } = issuer;
  if (endpoint === null || tokenEndpoint === null) throw new Error('The issuer does not answer.');
  const attempt: Attempt = {
    state: random(),
    verifier: random(),
    tokenEndpoint,
    clientId,
    hash: location.hash,
  };
  sessionStorage.setItem(KEY, JSON.stringify(attempt));
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(attempt.verifier));
  const url = new URL(endpoint);
  const asked = {
    response_type: 'code',
    client_id: clientId,
    redirect_uri: ownAddress(),
    scope: 'openid',
    state: attempt.state,
    code_challenge: base64url(new Uint8Array(digest)),
    code_challenge_method: 'S256',
  };
  for (const [name, value] of Object.entries(asked)) url.searchParams.set(name, value);
  location.assign(url);
}

/**
 * The tokens that the issuer gives for the code in the address, if this page is where it has sent somebody back to. The
 * gateway takes that which is meant for it.
 */
export async function returnFromIssuer(): Promise<readonly string[] | null> {
  const query = new URLSearchParams(location.search);
  const kept = sessionStorage.getItem(KEY);
  if (!query.has('state') || (!query.has('code') && !query.has('error'))) return null;
  sessionStorage.removeItem(KEY);
  const attempt = kept === null ? null : (JSON.parse(kept) as Attempt);
  const hash = attempt?.hash ?? '';
  history.replaceState(null, '', ownAddress() + hash);
  route.set(parseRoute(hash));
  if (attempt === null || attempt.state !== query.get('state')) {
    throw new Error('This answer of the issuer is not for this tab. Sign in again.');
  }
  const error = query.get('error_description') ?? query.get('error');
  if (error !== null) throw new Error(`The issuer refused: ${error}`);
  return await exchange(attempt, query.get('code') ?? '');
}

async function exchange(
  { tokenEndpoint, clientId, verifier }: Attempt,
  code: string,
): Promise<readonly string[]> {
  const body = new URLSearchParams({
    grant_type: 'authorization_code',
    code,
    redirect_uri: ownAddress(),
    client_id: clientId,
    code_verifier: verifier,
  });
  const signal = AbortSignal.timeout(EXCHANGE_MS);
  const response = await fetch(tokenEndpoint, { method: 'POST', body, signal, credentials: 'omit' });
  if (!response.ok) throw new Error(`The issuer gave no token (${response.status}).`);
  const given = (await response.json()) as Record<string, unknown>;
  const jwts = [given['access_token'], given['id_token']].filter((one) => typeof one === 'string');
  return jwts.filter((one) => one.split('.').length === 3);
}

const ownAddress = (): string => location.origin + location.pathname;

const random = (): string => base64url(crypto.getRandomValues(new Uint8Array(32)));

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '');
}
