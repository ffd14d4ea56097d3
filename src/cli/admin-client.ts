import { type Command, Option } from 'commander';
import { HoldfastError } from '../base/errors.ts';
import type { Io } from './io.ts';
import { printable } from './printable.ts';

const DEFAULT_URL = 'http://127.0.0.1:8432';
const TIMEOUT_MS = 30_000;

export interface AdminOptions {
  readonly url?: string;
  readonly token?: string;
  readonly json?: boolean;
}

/** A mapping of the API's JSON, whose fields are read as they are needed. */
export type Fields = Readonly<Record<string, unknown>>;

export interface Page {
  readonly items: readonly Fields[];
  readonly next: string | null;
}

/** The options of every command that asks a running gateway. */
export function withAdminOptions(command: Command): Command {
  return command
    .addOption(new Option('--url <url>', `the admin API (or HOLDFAST_ADMIN_URL; ${DEFAULT_URL})`))
    .addOption(
      new Option('--token <token>', 'bearer token (better: HOLDFAST_TOKEN, which no process list shows)'),
    )
    .option('--json', 'print JSON');
}

export type Answer =
  | { readonly ok: true; readonly body: Fields }
  | { readonly ok: false; readonly status: number; readonly body: unknown };

/** The admin API of a running gateway, as one who has a token sees it. */
export class AdminClient {
  readonly #base: URL;
  readonly #token: string;
  readonly #stop: AbortSignal;

  constructor(options: AdminOptions, io: Io) {
    this.#base = baseUrl(options.url ?? (io.env['HOLDFAST_ADMIN_URL'] || DEFAULT_URL));
    const token = options.token ?? io.env['HOLDFAST_TOKEN'] ?? '';
    if (!/^[\x21-\x7e]+$/.test(token)) {
      throw new HoldfastError('CONFIG_INVALID', 'a token is needed to ask the admin API', {
        hint: 'Set HOLDFAST_TOKEN to it. It is shown once, when it is made; the gateway keeps only its hash.',
      });
    }
    this.#token = token;
    this.#stop = io.stop;
  }

  async get(path: string, query: Readonly<Record<string, string | undefined>> = {}): Promise<Fields> {
    return await this.#ask('GET', path, query, undefined);
  }

  async getPage(path: string, query: Readonly<Record<string, string | undefined>>): Promise<Page> {
    const { items, next } = await this.get(path, query);
    if (!Array.isArray(items) || !items.every(isFields)) throw this.#strange(path);
    return { items, next: typeof next === 'string' ? next : null };
  }

  async post(path: string, body: Fields): Promise<Fields> {
    return await this.#ask('POST', path, {}, body);
  }

  async delete(path: string, query: Readonly<Record<string, string | undefined>> = {}): Promise<Fields> {
    return await this.#ask('DELETE', path, query, undefined);
  }

  /** For who has a use for what a refusal says. */
  async ask(path: string, body: Fields, timeoutMs: number): Promise<Answer> {
    return await this.#answer('POST', path, {}, body, timeoutMs);
  }

  refused({ status, body }: Answer & { ok: false }): HoldfastError {
    return refused(status, body, this.#base);
  }

  async #ask(
    method: string,
    path: string,
    query: Readonly<Record<string, string | undefined>>,
    body: Fields | undefined,
  ): Promise<Fields> {
    const answer = await this.#answer(method, path, query, body, TIMEOUT_MS);
    if (!answer.ok) throw this.refused(answer);
    return answer.body;
  }

  async #answer(
    method: string,
    path: string,
    query: Readonly<Record<string, string | undefined>>,
    body: Fields | undefined,
    timeoutMs: number,
  ): Promise<Answer> {
    const url = new URL(path, this.#base);
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, value);
    const response = await this.#send(url, method, body, timeoutMs);
    const parsed = parseJson(await response.text());
    if (!response.ok) return { ok: false, status: response.status, body: parsed };
    if (!isFields(parsed)) throw this.#strange(path);
    return { ok: true, body: parsed };
  }

  async #send(url: URL, method: string, body: Fields | undefined, timeoutMs: number): Promise<Response> {
    const headers = { authorization: `Bearer ${this.#token}`, accept: 'application/json' };
    const signal = AbortSignal.any([this.#stop, AbortSignal.timeout(timeoutMs)]);
    try {
      // A redirect would carry the token to wherever it points.
      const init = { method, signal, redirect: 'error' } as const;
      if (body === undefined) return await fetch(url, { ...init, headers });
      return await fetch(url, {
        ...init,
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    } catch (error) {
      if (this.#stop.aborted) throw error;
      throw new HoldfastError('UPSTREAM_UNREACHABLE', `no admin API answers at ${this.#base.origin}`, {
        detail: causeOf(error),
        hint: 'Is `holdfast serve` running? --url or HOLDFAST_ADMIN_URL says where.',
        cause: error,
      });
    }
  }

  #strange(path: string): HoldfastError {
    return new HoldfastError(
      'INTERNAL',
      `${this.#base.origin}${path} gave an answer that is not the admin API's`,
    );
  }
}

function baseUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
    throw new HoldfastError(
      'CONFIG_INVALID',
      `the admin URL is like ${DEFAULT_URL}, without user or password`,
    );
  }
  return url;
}

/** In the API's own words, which are the same for whoever uses the console. */
function refused(status: number, body: unknown, base: URL): HoldfastError {
  const problem = isFields(body) ? body : {};
  const [title, detail, hint] = ['title', 'detail', 'hint'].map((name) => fieldText(problem, name));
  const facts = (said: readonly (string | undefined)[]) => {
    const lines = [...said.filter((line) => line !== undefined && line !== ''), ...wrongFields(problem)];
    return {
      ...(lines.length === 0 ? {} : { detail: lines.join('\n') }),
      ...(hint === undefined || hint === '' ? {} : { hint }),
    };
  };
  const both = [[title, detail].filter(Boolean).join(': ')];
  if (status === 401)
    return new HoldfastError('STATEMENT_DENIED', `${base.origin} does not know this token`, facts(both));
  if (status === 403)
    return new HoldfastError('STATEMENT_DENIED', 'the token does not allow this', facts([detail || title]));
  if (status === 404) return new HoldfastError('NOT_FOUND', detail || 'there is no such thing', facts([]));
  if (status < 500 && title)
    return new HoldfastError('INTERNAL', lowerFirst(title), facts([detail === title ? '' : detail]));
  return new HoldfastError('INTERNAL', `${base.origin} answered with status ${status}`, facts(both));
}

/** Which fields of a request are not understood, a line each. */
function wrongFields(problem: Fields): string[] {
  const { errors } = problem;
  if (!Array.isArray(errors)) return [];
  return errors
    .filter(isFields)
    .map((error) => `${fieldText(error, 'field')}: ${fieldText(error, 'message')}`);
}

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A field as text for people; nothing where it is not there. */
export function fieldText(fields: Fields, ...names: readonly string[]): string {
  const value = names.map((name) => fields[name]).find((one) => one !== undefined && one !== null);
  if (value === undefined) return '';
  if (Array.isArray(value)) return printable(value.map(String).join(','));
  return printable(typeof value === 'object' ? JSON.stringify(value) : String(value));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function causeOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}
