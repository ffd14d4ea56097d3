import type { TextFacts } from '../sql/effects.ts';
import { type CodeReader, type CodeVerdict, judgeCalledCode } from './called-code.ts';
import type { HiddenConnection } from './connection.ts';
import { textColumns } from './row.ts';

const IS = 'OPERATOR(pg_catalog.=)';

/** Those that run as a command of one of these tags does, whether or not they would do so for this role's settings. */
const told = (
  tags: readonly string[],
) => `SELECT e.evtfoid::pg_catalog.oid::pg_catalog.text FROM pg_catalog.pg_event_trigger e
  WHERE e.evtenabled OPERATOR(pg_catalog.<>) 'D'::pg_catalog."char" AND e.evtevent OPERATOR(pg_catalog.<>) 'login'
    AND (e.evttags IS NULL OR EXISTS (SELECT FROM pg_catalog.unnest(e.evttags) t(tag)
      WHERE t.tag ${IS} ANY (ARRAY[${tags.map((tag) => `'${tag}'`).join(', ')}]::pg_catalog.text[])))`;

/** Whether the event triggers that commands of these tags run can change anything. */
export async function judgeEventTriggers(
  connection: HiddenConnection,
  reader: CodeReader,
  tags: readonly string[],
  facts: TextFacts,
  seesNow: boolean,
): Promise<CodeVerdict> {
  const runs: string[] = [];
  const query = {
    sql: told(tags),
    parameterTypes: [],
    parameters: [],
    parameterFormats: [],
    resultFormats: [],
  };
  await connection.run(query, (row) => void runs.push(textColumns(row)[0] ?? ''));
  if (runs.length === 0) return { kind: 'harmless', fixed: true, touchesSettings: false, isPassing: false };
  return await judgeCalledCode(connection, reader, {
    statements: [],
    runs,
    facts,
    alone: true,
    seesNow,
    isRead: false,
  });
}
