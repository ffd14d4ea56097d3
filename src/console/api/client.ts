import { Cell } from '../state/cell.ts';

/** What the API says where it cannot do what was asked (RFC 9457). */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail?: string;
  readonly hint?: string;
  readonly errors?: readonly { readonly field: string; readonly message: string }[];
  readonly tables?: readonly unknown[];
  readonly conflicts?: readonly unknown[];
  readonly problems?: readonly unknown[];
}

export class ApiProblem extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail ?? problem.title);
    this.problem = problem;
  }

  /** The last part of its type, by which it is known. */
  get kind(): string {
    return this.problem.type.split(':').at(-1) ?? '';
  }
}

/** The gateway has not answered at all, or not within the time that somebody may wait. */
export class Unreachable extends Error {
  readonly isSlow: boolean;

  constructor(isSlow: boolean) {
    super(isSlow ? 'The gateway takes too long to answer.' : 'The gateway does not answer.');
    this.isSlow = isSlow;
  }
}

/** Whether the gateway answers, and since when it has not. */
export const lostSince = new Cell<number | null>(null);

/** Tells when the gateway answers again. */
export function onReturn(back: () => void): () => void {
  let wasLost = lostSince.value !== null;
  return lostSince.watch(() => {
    const isBack = wasLost && lostSince.value === null;
    wasLost = lostSince.value !== null;
    if (isBack) back();
  });
}

/** Whether it is to be asked for again by itself once the gateway is back. */
export const isLost = (error: unknown): boolean => error instanceof Unreachable && !error.isSlow;

/** How far the gateway's clock is ahead of this one, so that a time left is right on a machine that is late. */
let skewMs = 0;
export const gatewayNowMs = (): number => Date.now() + skewMs;

const ANSWER_MS = 40_000;
const TOKEN_KEY = 'holdfast.token';

/** Of this tab, and gone with it. It is sent in a header and is in no address. */
export const token = new Cell<string | null>(globalThis.sessionStorage?.getItem(TOKEN_KEY) ?? null);

/** Why nobody is signed in any more, where it was not asked for. */
export const signedOutBecause = new Cell<string | null>(null);

export function signIn(secret: string): void {
  sessionStorage.setItem(TOKEN_KEY, secret);
  signedOutBecause.set(null);
  token.set(secret);
}

export function signOut(because: string | null = null): void {
  sessionStorage.removeItem(TOKEN_KEY);
  signedOutBecause.set(because);
  token.set(null);
}

export interface Ask {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
  readonly headers?: Readonly<Record<string, string>>;
  /** Instead of who is signed in. */
  readonly secret?: string;
}

/** The answer, which may be a 304; every other that is not good is thrown. */
export async function askRaw(path: string, ask: Ask = {}): Promise<Response> {
  const secret = ask.secret ?? token.value;
  const response = await send(path, ask, secret);
  noteClock(response);
  if (response.ok || response.status === 304) return response;
  const problem = new ApiProblem(await problemOf(response));
  if (response.status === 401 && ask.secret === undefined && secret === token.value) {
    signOut('The gateway no longer takes this token. It may have expired, or have been revoked.');
  }
  throw problem;
}

export async function ask<T>(path: string, how: Ask = {}): Promise<T> {
  const patience = AbortSignal.timeout(ANSWER_MS);
  const signal = how.signal === undefined ? patience : AbortSignal.any([how.signal, patience]);
  const response = await askRaw(path, { ...how, signal });
  return (await response.json()) as T;
}

async function send(path: string, ask: Ask, secret: string | null): Promise<Response> {
  const url = new URL(path.replace(/^\//, ''), document.baseURI);
  for (const [name, value] of Object.entries(ask.query ?? {})) {
    if (value !== undefined && value !== '') url.searchParams.set(name, String(value));
  }
  const headers: Record<string, string> = { ...ask.headers };
  if (secret !== null) headers['authorization'] = `Bearer ${secret}`;
  if (ask.body !== undefined) headers['content-type'] = 'application/json';
  try {
    const response = await fetch(url, {
      method: ask.method ?? 'GET',
      headers,
      cache: 'no-store',
      credentials: 'omit',
      ...(ask.body === undefined ? {} : { body: JSON.stringify(ask.body) }),
      ...(ask.signal === undefined ? {} : { signal: ask.signal }),
    });
    lostSince.set(null);
    return response;
  } catch (error) {
    if (ask.signal?.aborted === true && ask.signal.reason?.name !== 'TimeoutError') throw error;
    if (lostSince.value === null) lostSince.set(Date.now());
    throw new Unreachable(ask.signal?.aborted === true);
  }
}

/** The header tells whole seconds; what is less than that is left alone. */
function noteClock(response: Response): void {
  const told = Date.parse(response.headers.get('date') ?? '');
  if (Number.isNaN(told)) return;
  const ahead = told + 500 - Date.now();
  skewMs = Math.abs(ahead) < 2000 ? 0 : ahead;
}

async function problemOf(response: Response): Promise<Problem> {
  const unnamed = { type: '', title: `The gateway answered ${response.status}`, status: response.status };
  try {
    const body: unknown = await response.json();
    return typeof body === 'object' && body !== null ? { ...unnamed, ...body } : unnamed;
  } catch {
    return unnamed;
  }
}

/** Whether it is the token that lacks a right, so that to ask again changes nothing. */
export const isForbidden = (error: unknown): boolean =>
  error instanceof ApiProblem && error.problem.status === 403;

/** Whether what was thrown only says that the answer is no longer wanted. */
export const isAborted = (error: unknown): boolean => error instanceof Error && error.name === 'AbortError';
