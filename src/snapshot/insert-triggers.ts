import type { HiddenConnection } from '../catalog/connection.ts';
import type { Relation } from '../catalog/relation.ts';
import { textColumns } from '../catalog/row.ts';

/** Why the rows that an upsert conflicts with are not told by what it inserts. */
export const CHANGED_BEFORE = 'a trigger may change what is inserted before it conflicts';

const OID = 26;
const TEXT = 25;

/** How many triggers may change a key: BEFORE INSERT FOR EACH ROW, and not in PL/pgSQL that says none of the words. */
const MAY_CHANGE = `SELECT pg_catalog.count(*) FROM pg_catalog.pg_trigger g
  JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) g.tgfoid
  JOIN pg_catalog.pg_language l ON l.oid OPERATOR(pg_catalog.=) p.prolang
 WHERE g.tgrelid OPERATOR(pg_catalog.=) $1 AND NOT g.tgisinternal AND g.tgenabled OPERATOR(pg_catalog.<>) 'D'
   AND (g.tgtype OPERATOR(pg_catalog.&) 7::pg_catalog.int2) OPERATOR(pg_catalog.=) 7
   AND NOT (l.lanname OPERATOR(pg_catalog.=) 'plpgsql' AND p.prosrc OPERATOR(pg_catalog.!~*) $2)`;

/** Of PL/pgSQL, what gives a whole row another value, or keeps it back. */
const OF_WHOLE_ROWS = 'into|execute|return\\s+(null|old)';
const PLAIN_NAME = /^[a-z_][a-z0-9_]*$/i;

/**
 * Whether all triggers leave the keys of what is inserted as they are, as far as their words tell, such as one that sets
 * when a row was changed. Where they tell wrong, other rows are changed than were captured, which the proof finds.
 */
export async function leaveKeys(connection: HiddenConnection, { oid, keys }: Relation): Promise<boolean> {
  const columns = [...new Set(keys.flatMap((key) => key.columns))];
  if (!columns.every((name) => PLAIN_NAME.test(name))) return false;
  const words = `\\m(${[OF_WHOLE_ROWS, ...columns].join('|')})\\M|\\mnew\\s*:?=|#=`;
  let changing = '';
  await connection.run(
    {
      sql: MAY_CHANGE,
      parameterTypes: [OID, TEXT],
      parameters: [Buffer.from(String(oid)), Buffer.from(words)],
      parameterFormats: [0],
      resultFormats: [],
    },
    (row) => {
      changing = textColumns(row)[0] ?? '';
    },
  );
  return changing === '0';
}
