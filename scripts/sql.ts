/**
 * Runs SQL through the gateway and prints what comes back, for machines without psql.
 *
 *   npm run -s sql -- "select * from customers limit 3"
 *
 * It connects to the sample database, or to what --url says.
 */
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import type { Client, QueryResult } from 'pg';

const SAMPLE_URL = 'postgres://demo:demo@127.0.0.1:6432/shop';

const USAGE = 'usage: npm run -s sql -- [--url postgres://…] "SELECT …"';

const { values, positionals } = given();

if (values.help === true) console.log(USAGE);
else if (positionals.length === 0) {
  console.error(USAGE);
  process.exitCode = 2;
} else {
  await run(positionals.join(' '), values.url);
}

function given() {
  try {
    return parseArgs({
      options: { url: { type: 'string', default: SAMPLE_URL }, help: { type: 'boolean' } },
      allowPositionals: true,
    });
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}

async function run(statement: string, url: string): Promise<void> {
  const client = connectable(url);
  client.on('notice', (notice) => console.error(told('NOTICE', notice.message ?? '', notice)));
  // Ctrl-C ends the session, and a statement that is held ends with it.
  process.once('SIGINT', () => process.exit(130));
  try {
    await client.connect();
    for (const result of [await client.query(statement)].flat() as QueryResult[]) show(result);
  } catch (error) {
    console.error(told('ERROR', (error as Error).message, error as ErrorFields));
    process.exitCode = 1;
  } finally {
    await client.end().catch(() => {});
  }
}

/** The driver is a development dependency, and comes with the embedded server otherwise. */
function connectable(url: string): Client {
  const pg = createRequire(import.meta.url)('pg') as typeof import('pg');
  return new pg.Client({ connectionString: url, application_name: 'holdfast-sql' });
}

interface ErrorFields {
  readonly code?: string | undefined;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
}

function told(severity: string, message: string, fields: ErrorFields): string {
  const code = fields.code === undefined || fields.code === '00000' ? '' : ` ${fields.code}`;
  const lines = [`${severity}${code}: ${message}`];
  if (fields.detail) lines.push(`DETAIL: ${fields.detail}`);
  if (fields.hint) lines.push(`HINT: ${fields.hint}`);
  return lines.join('\n');
}

function show(result: QueryResult): void {
  if (result.fields.length > 0) console.table(result.rows);
  console.log(result.rowCount === null ? result.command : `${result.command} ${result.rowCount}`);
}
