import { Readable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { connectionAttempts, NO_TLS } from './connection-url.ts';
import { type TextRow, UndoQueryError, type UndoSession } from './session.ts';

/** An UndoSession by node-postgres, which has the ways to log in. */
export interface PgSession extends UndoSession {
  close(): Promise<void>;
}

/** Values as the server writes them, since none of them is to be understood here. */
const AS_TEXT = { getTypeParser: () => (value: unknown) => value };

/** Connects with TLS as libpq would with this URL. */
export async function connectForUndo(url: string): Promise<PgSession> {
  const attempts = connectionAttempts(url);
  for (const [i, connectionString] of attempts.entries()) {
    try {
      return pgSession(await connect(connectionString));
    } catch (cause) {
      const detail = messageOf(cause);
      if (i < attempts.length - 1 && NO_TLS.test(detail)) continue;
      throw new HoldfastError('UPSTREAM_UNREACHABLE', 'the database to undo in did not let us in', {
        detail,
        cause,
      });
    }
  }
  throw new Error('there is an attempt');
}

async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString,
    application_name: 'holdfast undo',
    connectionTimeoutMillis: LIMITS.upstreamConnectTimeoutMs,
    keepAlive: true,
  });
  // A connection that is lost fails the query that runs, which says so; between queries the next one does.
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** Where a name has several addresses, what went wrong is with each of them. */
function messageOf(cause: unknown): string {
  if (cause instanceof AggregateError) return [...new Set(cause.errors.map(messageOf))].join('; ');
  return cause instanceof Error ? cause.message : String(cause);
}

function pgSession(client: pg.Client): PgSession {
  return {
    async query(sql, parameters = []) {
      const config = { text: sql, values: [...parameters], rowMode: 'array' as const, types: AS_TEXT };
      // Without parameters a text may hold several statements, whose results come as a list; the last one counts.
      const result = await client.query(config).catch(refuse);
      const last: { rows: unknown[] } = Array.isArray(result) ? result.at(-1) : result;
      return last.rows as TextRow[];
    },
    async copyIn(sql, chunks) {
      const target = client.query(copyFrom(sql));
      await pipeline(Readable.from(chunks), target).catch(refuse);
    },
    async *copyOut(sql) {
      const source = client.query(copyTo(sql));
      try {
        for await (const chunk of source.iterator({ destroyOnReturn: false })) yield chunk as Buffer;
      } catch (error) {
        refuse(error);
      } finally {
        // What nobody wants any more would stand in the way of the ROLLBACK, which ends the locks.
        source.resume();
        await finished(source).catch(() => {});
      }
    },
    async close() {
      await client.end().catch(() => {});
    },
  };
}

function refuse(error: unknown): never {
  if (!(error instanceof pg.DatabaseError)) throw error;
  throw new UndoQueryError(
    {
      sqlstate: error.code ?? 'XX000',
      message: error.message,
      detail: error.detail ?? null,
      schema: error.schema ?? null,
      table: error.table ?? null,
      constraint: error.constraint ?? null,
    },
    error,
  );
}
