import type { HiddenConnection, HiddenQuery } from './connection.ts';
import { textColumns } from './row.ts';

/**
 * What runs besides PostgreSQL's own code as rows of a table are written. `settings`: it may change settings.
 * `names`: it may also change what prepared statements stand for, as far as its text tells.
 */
export type TableCode = 'none' | 'settings' | 'names';

/** PostgreSQL gives lower OIDs to what is its own. */
const OWN = 'OPERATOR(pg_catalog.<) 16384';
const NOT_OWN = 'OPERATOR(pg_catalog.>=) 16384';
const ACTS = 'OPERATOR(pg_catalog.=) ANY (\'{c,n,d}\'::pg_catalog."char"[])';
const is = 'OPERATOR(pg_catalog.=)';
const TEXT_OID = 25;
const OID_ARRAY_OID = 1028;

/** Words that a function may hold which leaves settings, names and other tables alone; and no comment, no cast. */
const HARMFUL =
  '(\\m(set|set_config|execute|prepare|deallocate|discard|reset|call|do|perform|load|insert|update|delete|merge|truncate|' +
  'copy|select|with|table|create|alter|drop|grant|revoke|import|refresh|listen|notify|open|for|foreach|query)\\M|--|/\\*|::)';
const NAMING = '\\m(execute|prepare|deallocate|discard)\\M';
/** What stands in front of a parenthesis and calls nothing. */
const NO_CALLS =
  "'{if,elsif,and,or,not,in,when,case,then,else,return,raise,coalesce,nullif,greatest,least,row,any,all}'";

/** How dangerous the function p is: 0 not at all, 1 to settings, 2 to names too. */
const DANGER = `CASE
  WHEN p.oid ${OWN} OR l.lanname ${is} ANY ('{internal,c}'::pg_catalog.name[]) THEN 0
  WHEN l.lanname OPERATOR(pg_catalog.<>) ALL ('{plpgsql,sql}'::pg_catalog.name[]) THEN 2
  WHEN p.prosrc OPERATOR(pg_catalog.~*) '${NAMING}' THEN 2
  WHEN l.lanname ${is} 'plpgsql'::pg_catalog.name AND p.proconfig IS NULL
   AND p.prosrc OPERATOR(pg_catalog.!~*) '${HARMFUL}'
   AND NOT EXISTS (
     SELECT FROM pg_catalog.regexp_matches(p.prosrc, '([^\\s(),;=<>+*/|:-]+)\\s*\\(', 'g') m(found)
      WHERE pg_catalog.lower(m.found[1]) OPERATOR(pg_catalog.<>) ALL (${NO_CALLS}::pg_catalog.text[])
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc b
          WHERE b.proname ${is} pg_catalog.lower(m.found[1])::pg_catalog.name AND b.oid ${OWN}))
  THEN 0 ELSE 1 END`;

const language = `JOIN pg_catalog.pg_language l ON l.oid ${is} p.prolang`;
const depends = (catalog: string, of: string) =>
  `SELECT '${catalog}'::pg_catalog.regclass::pg_catalog.oid, o.oid FROM ${of}`;

/** Each by the index on what it belongs to: OFFSET keeps the server from reading all constraints instead. */
const DOMAINS = `pg_catalog.pg_attribute a CROSS JOIN LATERAL (
        SELECT k.oid FROM pg_catalog.pg_constraint k WHERE k.contypid ${is} a.atttypid OFFSET 0
      ) o WHERE a.attrelid ${is} r.oid AND a.atttypid OPERATOR(pg_catalog.<>) 0`;

/** What a write of the table leads to: its partitions and descendants, and the tables that foreign keys change with it. */
const REACHED = `WITH RECURSIVE reached(oid) AS (
  SELECT pg_catalog.to_regclass($1)::pg_catalog.oid
  UNION
  SELECT next.oid FROM reached r CROSS JOIN LATERAL (
    SELECT i.inhrelid AS oid FROM pg_catalog.pg_inherits i WHERE i.inhparent ${is} r.oid
    UNION ALL
    SELECT k.conrelid FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_constraint k ON k.oid ${is} g.tgconstraint
     WHERE g.tgrelid ${is} r.oid AND k.confrelid ${is} r.oid AND k.contype ${is} 'f'
       AND (k.confdeltype ${ACTS} OR k.confupdtype ${ACTS})
  ) next
)
SELECT pg_catalog.array_agg(r.oid) FROM reached r WHERE r.oid IS NOT NULL`;

/**
 * The danger of the triggers and rules of these, and of functions of defaults, checks, domains, indexes, policies and
 * casts. Their number is told to the server, which would compile a query that it takes for a costly one, and that takes
 * longer than to run it.
 */
const QUESTION = `WITH reached(oid) AS (
  SELECT r FROM pg_catalog.unnest($1::pg_catalog.oid[]) r
), functions(oid) AS (
  SELECT f.oid FROM reached r CROSS JOIN LATERAL (
    SELECT g.tgfoid AS oid FROM pg_catalog.pg_trigger g
     WHERE g.tgrelid ${is} r.oid AND g.tgfoid ${NOT_OWN} AND g.tgenabled OPERATOR(pg_catalog.<>) 'D'
    UNION ALL
    SELECT c.castfunc FROM pg_catalog.pg_cast c
     WHERE c.castfunc ${NOT_OWN} AND EXISTS (SELECT FROM pg_catalog.pg_attribute a
       WHERE a.attrelid ${is} r.oid AND a.atttypid ${is} c.casttarget)
    UNION ALL
    SELECT coalesce(q.oprcode::pg_catalog.oid, d.refobjid) FROM (
      ${depends('pg_catalog.pg_attrdef', `pg_catalog.pg_attrdef o WHERE o.adrelid ${is} r.oid`)}
      UNION ALL
      ${depends('pg_catalog.pg_constraint', `pg_catalog.pg_constraint o WHERE o.conrelid ${is} r.oid`)}
      UNION ALL
      ${depends('pg_catalog.pg_constraint', DOMAINS)}
      UNION ALL
      ${depends('pg_catalog.pg_policy', `pg_catalog.pg_policy o WHERE o.polrelid ${is} r.oid`)}
      UNION ALL
      ${depends('pg_catalog.pg_class', `(SELECT x.indexrelid AS oid FROM pg_catalog.pg_index x WHERE x.indrelid ${is} r.oid UNION ALL SELECT r.oid) o`)}
    ) o(classid, objid)
      JOIN pg_catalog.pg_depend d ON d.classid ${is} o.classid AND d.objid ${is} o.objid
      LEFT JOIN pg_catalog.pg_operator q ON q.oid ${is} d.refobjid AND d.refclassid ${is} 'pg_catalog.pg_operator'::pg_catalog.regclass
     WHERE d.refclassid ${is} 'pg_catalog.pg_proc'::pg_catalog.regclass OR q.oid IS NOT NULL
    OFFSET 0
  ) f
)
SELECT greatest(
  (SELECT pg_catalog.max((SELECT CASE WHEN c.relkind ${is} ANY ('{r,p}'::pg_catalog."char"[]) AND NOT c.relhasrules
     THEN 0 ELSE 2 END FROM pg_catalog.pg_class c WHERE c.oid ${is} r.oid)) FROM reached r),
  (SELECT pg_catalog.max(${DANGER}) FROM functions f JOIN pg_catalog.pg_proc p ON p.oid ${is} f.oid ${language}))`;

const CODES: readonly TableCode[] = ['none', 'settings', 'names'];

/** What runs as these are written, as names are looked up now; one that means nothing is left out. */
export async function readTableCode(
  connection: HiddenConnection,
  names: readonly string[],
): Promise<ReadonlyMap<string, TableCode>> {
  const found = new Map<string, TableCode>();
  for (const name of names) {
    const reached = await answerTo(connection, REACHED, TEXT_OID, name);
    if (reached === null) continue;
    const danger = await answerTo(connection, QUESTION, OID_ARRAY_OID, reached);
    if (danger !== null) found.set(name, CODES[Number(danger)] ?? 'names');
  }
  return found;
}

/** The one value that a query of one parameter answers. */
async function answerTo(
  connection: HiddenConnection,
  sql: string,
  type: number,
  parameter: string,
): Promise<string | null> {
  let answer: string | null = null;
  const query: HiddenQuery = {
    sql,
    parameterTypes: [type],
    parameters: [Buffer.from(parameter)],
    parameterFormats: [0],
    resultFormats: [],
    neverCompiled: true,
  };
  await connection.run(query, (row) => {
    answer = textColumns(row)[0] ?? null;
  });
  return answer;
}
