import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyReply } from 'fastify';
import type { AdminApp } from '../app.ts';
import type { AdminDeps } from '../deps.ts';
import { RequestProblem } from '../problems.ts';

/** What `npm run build` makes of src/console. */
const BUILT = fileURLToPath(new URL('../../../dist/console/', import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/**
 * Only what this server itself gives may run, be shown or be asked; nothing of what is shown can become code. Where people
 * sign in with an issuer, their browser asks it for the token, and nobody else.
 */
const pagePolicy = (issuer: string | null): string =>
  [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    issuer === null ? "connect-src 'self'" : `connect-src 'self' ${issuer}`,
    "img-src 'self' data:",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
  ].join('; ');

/** Those below it have a hash of their content in their names. */
const HASHED = 'assets/';

interface ConsoleFile {
  readonly body: Buffer;
  readonly type: string;
  readonly etag: string;
  readonly immutable: boolean;
}

/** The files of the web console, by their path below the folder. */
type ConsoleFiles = ReadonlyMap<string, ConsoleFile>;

const NOT_BUILT = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Holdfast</title>
<h1>The console is not built</h1>
<p>Run <code>npm run build</code> where Holdfast is installed, and load this page again. All else works without it.</p>
</html>
`;

/**
 * The web console at `/`. It is read into memory once, and a request can name only what was read, so that no path
 * leads out of the folder. The page has no rights of its own: it asks the API with the token of who uses it.
 */
export function consoleRoutes(
  app: AdminApp,
  { oidc }: Pick<AdminDeps, 'oidc'>,
  folder: string = BUILT,
): void {
  let files: ConsoleFiles = new Map();
  const find = (path: string): ConsoleFile | undefined => {
    // The console may be built while the gateway runs.
    if (files.size === 0) files = readFiles(folder);
    return files.get(path);
  };
  const options = { config: { scope: 'open' }, schema: { hide: true } } as const;
  app.get('/', options, async (request, reply) => {
    const page = find('index.html');
    if (page === undefined) return reply.code(503).type(TYPES['.html']!).send(NOT_BUILT);
    const tokenEndpoint = (await oidc()?.signIn())?.tokenEndpoint ?? null;
    const issuer = tokenEndpoint === null ? null : new URL(tokenEndpoint).origin;
    reply.header('content-security-policy', pagePolicy(issuer));
    return give(reply, page, request.headers['if-none-match']);
  });
  app.get('/favicon.svg', options, (request, reply) =>
    give(reply, find('favicon.svg'), request.headers['if-none-match']),
  );
  app.get<{ Params: { '*': string } }>(`/${HASHED}*`, options, (request, reply) =>
    give(reply, find(HASHED + request.params['*']), request.headers['if-none-match']),
  );
}

function give(reply: FastifyReply, file: ConsoleFile | undefined, known: string | undefined): FastifyReply {
  if (file === undefined) throw new RequestProblem('not-found');
  reply.headers({
    'cache-control': file.immutable ? 'public, max-age=31536000, immutable' : 'no-cache',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    etag: file.etag,
  });
  if (known === file.etag) return reply.code(304).send();
  return reply.type(file.type).send(file.body);
}

function readFiles(folder: string): ConsoleFiles {
  const files = new Map<string, ConsoleFile>();
  for (const entry of entriesOf(folder)) {
    const type = TYPES[extname(entry.name)];
    if (!entry.isFile() || type === undefined) continue;
    const file = join(entry.parentPath, entry.name);
    const body = readFileSync(file);
    const path = relative(folder, file).replaceAll(sep, '/');
    const etag = `"${createHash('sha256').update(body).digest('base64url')}"`;
    files.set(path, { body, type, etag, immutable: path.startsWith(HASHED) });
  }
  return files;
}

function entriesOf(folder: string) {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true });
  } catch {
    return [];
  }
}
