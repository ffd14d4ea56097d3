import { userInfo } from 'node:os';
import type { Command } from 'commander';
import { HoldfastError } from '../base/errors.ts';
import type { Config } from '../config/config.ts';
import { formatEndpoint } from '../config/endpoint.ts';
import { parseConnection } from '../config/storage.ts';
import { withDatabase } from '../undo/connection-url.ts';
import type { PgSession } from '../undo/pg-session.ts';
import type { Io } from './io.ts';

export interface ConnectionOption {
  readonly connection?: string;
  readonly trustCodeOf?: readonly string[];
}

export function withConnectionOption(command: Command): Command {
  return command
    .option(
      '--connection <url>',
      'the database server itself, postgres://user:password@host:port/database (or undo.connection, or PGHOST, PGUSER, …)',
    )
    .option(
      '--trust-code-of <role>',
      'let triggers, checks and types of this role run with the rights of the connection (as undo.trusted_roles)',
      (role: string, before: readonly string[] = []) => [...before, role],
    );
}

/** Runs something over a connection that ends with it, and when the user wants the end. */
export async function withConnection<T>(
  options: ConnectionOption,
  config: Config,
  database: string,
  io: Io,
  work: (session: PgSession, trusted: readonly string[]) => Promise<T>,
): Promise<T> {
  const session = await connectTo(options, config, database, io);
  const end = () => void session.close();
  io.stop.addEventListener('abort', end, { once: true });
  try {
    return await work(session, [...config.undo.trustedRoles, ...(options.trustCodeOf ?? [])]);
  } catch (error) {
    if (!io.stop.aborted) throw error;
    throw new HoldfastError('CONFLICT', 'stopped; what was under way is rolled back', { cause: error });
  } finally {
    io.stop.removeEventListener('abort', end);
    await session.close();
  }
}

export async function connectTo(
  options: ConnectionOption,
  config: Config,
  database: string,
  io: Io,
): Promise<PgSession> {
  const url = withDatabase(await connectionUrl(options, config, io), database);
  // Loaded only here, so that the other commands start at once.
  const { connectForUndo } = await import('../undo/pg-session.ts');
  return await connectForUndo(url);
}

async function connectionUrl({ connection }: ConnectionOption, config: Config, io: Io): Promise<string> {
  const url = connection ?? config.undo.connection ?? fromEnvironment(io.env) ?? (await sampleOf(config));
  if (url === null) {
    throw new HoldfastError('CONFIG_INVALID', 'nobody has said how to log in to the database', {
      detail: 'Holdfast keeps no credentials of its own.',
      hint: 'Give --connection postgres://user:password@host:port/database, or set undo.connection in the configuration, or PGHOST, PGUSER and PGPASSWORD in the environment.',
    });
  }
  const parsed = parseConnection(url);
  if (!parsed.ok) throw new HoldfastError('CONFIG_INVALID', `--connection: ${parsed.problem}`);
  refuseGateway(url, config);
  return url;
}

/** Without an upstream it is the sample that is undone in, if it runs here. */
async function sampleOf({ upstream }: Config): Promise<string | null> {
  if (upstream !== null) return null;
  const { runningSample } = await import('../embedded/sample.ts');
  return runningSample();
}

/** Its policy would hold the statements of an undo, and wait for somebody to approve them. */
function refuseGateway(url: string, { listen }: Config): void {
  const { hostname, port } = new URL(url);
  const same = hostname === listen.host || (listen.host === '127.0.0.1' && hostname === 'localhost');
  if (!same || Number(port || '5432') !== listen.port) return;
  throw new HoldfastError(
    'CONFIG_INVALID',
    `${formatEndpoint(listen)} is the gateway, and undo goes to the server behind it`,
    {
      hint: 'Name the host and port of the server itself, as in upstream.',
    },
  );
}

type Environment = Io['env'];

const PARAMETERS = {
  PGSSLMODE: 'sslmode',
  PGSSLROOTCERT: 'sslrootcert',
  PGSSLCERT: 'sslcert',
  PGSSLKEY: 'sslkey',
};

/** The variables of libpq, as a URL; null where they name no host. */
function fromEnvironment(env: Environment): string | null {
  const host = env['PGHOST'] || env['PGHOSTADDR'] || '';
  if (host === '') return null;
  const user = env['PGUSER'] || userInfo().username;
  const password = env['PGPASSWORD'] ? `:${encodeURIComponent(env['PGPASSWORD'])}` : '';
  const inUrl = host.includes(':') ? `[${host}]` : encodeURIComponent(host);
  const database = env['PGDATABASE'] ? `/${encodeURIComponent(env['PGDATABASE'])}` : '';
  const url = new URL(
    `postgres://${encodeURIComponent(user)}${password}@${inUrl}:${env['PGPORT'] || 5432}${database}`,
  );
  for (const [variable, parameter] of Object.entries(PARAMETERS)) {
    const value = env[variable];
    if (value) url.searchParams.set(parameter, value);
  }
  return url.href;
}
