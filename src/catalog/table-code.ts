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
const is = 'OPERATOR(pg_catalog.=)';
const JSON_OID = 114;

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

/**
 * For each name the danger of what a write of it leads to: its partitions and descendants, the tables that foreign keys
 * change with it, and of each the triggers, rules, and functions of defaults, checks, domains, indexes, policies and
 * casts. A name that means nothing yet is not answered.
 */
const QUESTION = `WITH RECURSIVE named AS (
  SELECT n AS name, pg_catalog.to_regclass(n)::pg_catalog.oid AS oid FROM pg_catalog.json_array_elements_text($1) n
), reached(name, oid) AS (
  SELECT name, oid FROM named WHERE oid IS NOT NULL
  UNION
  SELECT r.name, next.oid FROM reached r CROSS JOIN LATERAL (
    SELECT i.inhrelid AS oid FROM pg_catalog.pg_inherits i WHERE i.inhparent ${is} r.oid
    UNION ALL
    SELECT k.conrelid FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_constraint k ON k.oid ${is} g.tgconstraint
     WHERE g.tgrelid ${is} r.oid AND k.confrelid ${is} r.oid AND k.contype ${is} 'f'
  ) next
), functions(name, oid) AS (
  SELECT r.name, g.tgfoid FROM reached r JOIN pg_catalog.pg_trigger g ON g.tgrelid ${is} r.oid
   WHERE g.tgfoid ${NOT_OWN} AND g.tgenabled OPERATOR(pg_catalog.<>) 'D'
  UNION ALL
  SELECT r.name, c.castfunc FROM reached r JOIN pg_catalog.pg_attribute a ON a.attrelid ${is} r.oid
    JOIN pg_catalog.pg_cast c ON c.casttarget ${is} a.atttypid WHERE c.castfunc ${NOT_OWN}
  UNION ALL
  SELECT r.name, coalesce(q.oprcode::pg_catalog.oid, d.refobjid) FROM reached r CROSS JOIN LATERAL (
    ${depends('pg_catalog.pg_attrdef', `pg_catalog.pg_attrdef o WHERE o.adrelid ${is} r.oid`)}
    UNION ALL
    ${depends('pg_catalog.pg_constraint', `pg_catalog.pg_constraint o WHERE o.conrelid ${is} r.oid`)}
    UNION ALL
    ${depends('pg_catalog.pg_constraint', `pg_catalog.pg_attribute a JOIN pg_catalog.pg_constraint o ON o.contypid ${is} a.atttypid WHERE a.attrelid ${is} r.oid AND o.contypid OPERATOR(pg_catalog.<>) 0`)}
    UNION ALL
    ${depends('pg_catalog.pg_policy', `pg_catalog.pg_policy o WHERE o.polrelid ${is} r.oid`)}
    UNION ALL
    ${depends('pg_catalog.pg_class', `(SELECT x.indexrelid AS oid FROM pg_catalog.pg_index x WHERE x.indrelid ${is} r.oid UNION ALL SELECT r.oid) o`)}
  ) o(classid, objid)
    JOIN pg_catalog.pg_depend d ON d.classid ${is} o.classid AND d.objid ${is} o.objid
    LEFT JOIN pg_catalog.pg_operator q ON q.oid ${is} d.refobjid AND d.refclassid ${is} 'pg_catalog.pg_operator'::pg_catalog.regclass
   WHERE d.refclassid ${is} 'pg_catalog.pg_proc'::pg_catalog.regclass OR q.oid IS NOT NULL
)
SELECT n.name, greatest(
  (SELECT pg_catalog.max(CASE WHEN c.relkind ${is} ANY ('{r,p}'::pg_catalog."char"[]) AND NOT c.relhasrules THEN 0 ELSE 2 END)
     FROM reached r JOIN pg_catalog.pg_class c ON c.oid ${is} r.oid WHERE r.name ${is} n.name),
  (SELECT pg_catalog.max(${DANGER})
     FROM functions f JOIN pg_catalog.pg_proc p ON p.oid ${is} f.oid ${language} WHERE f.name ${is} n.name))
  FROM named n WHERE n.oid IS NOT NULL`;

const CODES: readonly TableCode[] = ['none', 'settings', 'names'];

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A relation's name as `to_regclass` reads it, whatever is in it. */
export function relationText({
  schema,
  name,
}: {
  readonly schema: string | null;
  readonly name: string;
}): string {
  return schema === null ? quoted(name) : `${quoted(schema)}.${quoted(name)}`;
}

/** What runs as these are written, as names are looked up now; one that means nothing is left out. */
export async function readTableCode(
  connection: HiddenConnection,
  names: readonly string[],
): Promise<ReadonlyMap<string, TableCode>> {
  const query: HiddenQuery = {
    sql: QUESTION,
    parameterTypes: [JSON_OID],
    parameters: [Buffer.from(JSON.stringify(names))],
    parameterFormats: [0],
    resultFormats: [],
  };
  const found = new Map<string, TableCode>();
  await connection.run(query, (row) => {
    const [name, danger] = textColumns(row);
    if (typeof name === 'string') found.set(name, CODES[Number(danger)] ?? 'names');
  });
  return found;
}
