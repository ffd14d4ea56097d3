import { OID_ARRAY_OID, oidArray, TEXT_ARRAY_OID, textArray } from './array-parameter.ts';
import type { HiddenConnection } from './connection.ts';
import { fingerprint } from './queries.ts';
import { textColumns } from './row.ts';

/** As the catalog numbers its own tables, which is the same in every version. */
const CLASS = {
  relation: 1259,
  function: 1255,
  type: 1247,
  operator: 2617,
  operatorClass: 2616,
  rule: 2618,
  trigger: 2620,
  policy: 3256,
  default: 2604,
  constraint: 2606,
} as const;

/** What has a version of its own that says what it does. */
const FOLLOWED = [CLASS.relation, CLASS.function, CLASS.type, CLASS.operator, CLASS.operatorClass] as const;

/** Parts of a relation, or of a type, that are found by its OID. */
const parts = (part: number, table: string, of: string, whole: number, more = '') =>
  `SELECT ${part}::pg_catalog.oid, x.oid, false FROM pg_catalog.${table} x
    WHERE b.class OPERATOR(pg_catalog.=) ${whole} AND x.${of} OPERATOR(pg_catalog.=) b.oid ${more}`;

/**
 * What decides what a statement does to relations ($1), however far behind: what views read and rules write, who
 * refers to that, and the code of triggers, policies, defaults, checks and operators. PostgreSQL keeps what depends on what,
 * but for the bodies of functions that are mere text to it. `written` is what may be changed, so that its triggers fire.
 */
const BEHIND = `
behind(class, oid, written) AS (
  SELECT ${CLASS.relation}::pg_catalog.oid, r, true FROM pg_catalog.unnest($1::pg_catalog.oid[]) r
  UNION
  SELECT next.class, next.oid, next.written FROM behind b CROSS JOIN LATERAL (
    SELECT ${CLASS.rule}::pg_catalog.oid AS class, w.oid AS oid, b.written AS written FROM pg_catalog.pg_rewrite w
     WHERE b.class OPERATOR(pg_catalog.=) ${CLASS.relation} AND w.ev_class OPERATOR(pg_catalog.=) b.oid
    UNION ALL ${parts(CLASS.policy, 'pg_policy', 'polrelid', CLASS.relation)}
    UNION ALL ${parts(CLASS.trigger, 'pg_trigger', 'tgrelid', CLASS.relation, 'AND b.written AND NOT x.tgisinternal')}
    UNION ALL ${parts(CLASS.default, 'pg_attrdef', 'adrelid', CLASS.relation, 'AND b.written')}
    UNION ALL ${parts(CLASS.constraint, 'pg_constraint', 'conrelid', CLASS.relation, `AND b.written AND x.contype OPERATOR(pg_catalog.<>) 'f'`)}
    UNION ALL ${parts(CLASS.constraint, 'pg_constraint', 'contypid', CLASS.type)}
    UNION ALL
    SELECT ${CLASS.relation}, x.indexrelid, false FROM pg_catalog.pg_index x
     WHERE b.class OPERATOR(pg_catalog.=) ${CLASS.relation} AND b.written AND x.indrelid OPERATOR(pg_catalog.=) b.oid
    UNION ALL
    SELECT ${CLASS.relation}, i.inhrelid, b.written FROM pg_catalog.pg_inherits i
     WHERE b.class OPERATOR(pg_catalog.=) ${CLASS.relation} AND i.inhparent OPERATOR(pg_catalog.=) b.oid
    UNION ALL
    SELECT ${CLASS.relation}, con.conrelid, true
      FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_constraint con ON con.oid OPERATOR(pg_catalog.=) g.tgconstraint
     WHERE b.class OPERATOR(pg_catalog.=) ${CLASS.relation} AND b.written AND g.tgrelid OPERATOR(pg_catalog.=) b.oid
       AND con.contype OPERATOR(pg_catalog.=) 'f' AND con.confrelid OPERATOR(pg_catalog.=) b.oid
    UNION ALL
    SELECT d.refclassid, d.refobjid,
        b.class OPERATOR(pg_catalog.=) ${CLASS.function} OR (b.class OPERATOR(pg_catalog.=) ${CLASS.rule} AND b.written)
      FROM pg_catalog.pg_depend d
     WHERE d.classid OPERATOR(pg_catalog.=) b.class AND d.objid OPERATOR(pg_catalog.=) b.oid
       AND d.refobjid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
       AND d.refclassid OPERATOR(pg_catalog.=) ANY (ARRAY[${FOLLOWED.join(', ')}]::pg_catalog.oid[])
       AND NOT (b.class OPERATOR(pg_catalog.=) ${CLASS.type} AND d.refclassid OPERATOR(pg_catalog.=) ${CLASS.relation})
  ) next
)`;

const versions = (table: string, of: number) =>
  `SELECT pg_catalog.concat('${table} ', x.oid, ' ', x.xmin, ' ', x.ctid) FROM pg_catalog.${table} x
    WHERE x.oid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT b.oid FROM behind b WHERE b.class OPERATOR(pg_catalog.=) ${of}))`;

/** What an expression of PostgreSQL's own holds that calls one of its two functions current_setting. */
const READS_SETTING = `'funcid (2077|3294) '`;

/** Parts of what is behind whose expressions read a setting, as SQL. */
const reading = (table: string, of: number, expression: string, definition: string) =>
  `SELECT ${definition} FROM pg_catalog.${table} x
    WHERE x.oid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT b.oid FROM behind b WHERE b.class OPERATOR(pg_catalog.=) ${of}))
      AND (${expression})::pg_catalog.text OPERATOR(pg_catalog.~) ${READS_SETTING}`;

/**
 * The values of settings that the user has made, such as a tenant's: the names ($2) that the statement may read, and
 * those that the functions it names ($3), and the code behind its tables, may. The server lists no such settings, so that
 * whatever looks like the name of one in what reads settings is asked for.
 */
const USER_SETTINGS = `
SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat(s.name, ' ', pg_catalog.current_setting(s.name, true)), ',' ORDER BY s.name))
  FROM (
    SELECT pg_catalog.unnest($2::pg_catalog.text[])
    UNION
    SELECT pg_catalog.unnest(ARRAY[m.found[1], pg_catalog.substring(m.found[1], '[A-Za-z_][A-Za-z0-9_]*(?:[.][A-Za-z_][A-Za-z0-9_]*)+')]) FROM (
      ${reading('pg_policy', CLASS.policy, 'pg_catalog.concat(x.polqual::pg_catalog.text, x.polwithcheck::pg_catalog.text)', "pg_catalog.concat(pg_catalog.pg_get_expr(x.polqual, x.polrelid), ' ', pg_catalog.pg_get_expr(x.polwithcheck, x.polrelid))")}
      UNION ALL ${reading('pg_attrdef', CLASS.default, 'x.adbin', 'pg_catalog.pg_get_expr(x.adbin, x.adrelid)')}
      UNION ALL ${reading('pg_constraint', CLASS.constraint, 'x.conbin', 'pg_catalog.pg_get_constraintdef(x.oid)')}
      UNION ALL ${reading('pg_rewrite', CLASS.rule, 'pg_catalog.concat(x.ev_qual::pg_catalog.text, x.ev_action::pg_catalog.text)', 'pg_catalog.pg_get_ruledef(x.oid)')}
      UNION ALL ${reading('pg_trigger', CLASS.trigger, 'x.tgqual', 'pg_catalog.pg_get_triggerdef(x.oid)')}
      UNION ALL
      SELECT pg_catalog.concat(x.prosrc, ' ', pg_catalog.pg_get_function_sqlbody(x.oid)) FROM pg_catalog.pg_proc x
       WHERE x.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
         AND (x.proname OPERATOR(pg_catalog.=) ANY ($3::pg_catalog.text[]::pg_catalog.name[])
           OR x.oid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT b.oid FROM behind b WHERE b.class OPERATOR(pg_catalog.=) ${CLASS.function})))
    ) d(definition)
    CROSS JOIN LATERAL pg_catalog.regexp_matches(d.definition, '[A-Za-z_][A-Za-z0-9_$]*(?:[.][A-Za-z_][A-Za-z0-9_$]*)+', 'g') m(found)
    WHERE d.definition OPERATOR(pg_catalog.~*) 'current_setting'
  ) s(name)`;

const CODE_BEHIND = `
WITH RECURSIVE ${BEHIND}
SELECT ${fingerprint(`ARRAY(SELECT b.oid FROM behind b WHERE b.class OPERATOR(pg_catalog.=) ${CLASS.relation})`)}
UNION ALL
SELECT pg_catalog.md5(pg_catalog.string_agg(v.version, ',' ORDER BY v.version)) FROM (
  ${versions('pg_proc', CLASS.function)}
  UNION ALL ${versions('pg_type', CLASS.type)}
  UNION ALL ${versions('pg_operator', CLASS.operator)}
  UNION ALL ${versions('pg_opclass', CLASS.operatorClass)}
  UNION ALL ${versions('pg_constraint', CLASS.constraint)}
) v(version)
UNION ALL
${USER_SETTINGS}`;

/** A name with a dot, as settings have that are not PostgreSQL's own. */
const DOTTED = /[A-Za-z_][A-Za-z0-9_$]*(?:\.[A-Za-z_][A-Za-z0-9_$]*)+/g;

/** As it stands between the quotes of $name$. */
const DOTTED_ALONE = /[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+/g;

/** What may be names of settings in texts, where they read any. */
export function settingsIn(texts: readonly string[]): readonly string[] {
  if (!texts.some((text) => /current_setting/i.test(text))) return [];
  const names = texts.flatMap((text) => [...(text.match(DOTTED) ?? []), ...(text.match(DOTTED_ALONE) ?? [])]);
  return [...new Set(names)].sort();
}

/**
 * Changes whenever something does that decides what a statement does to the relations, or a setting that is read on the way. It costs more than what a
 * `Catalog` answers, and is for what people have been asked about.
 */
export async function codeBehind(
  connection: HiddenConnection,
  relations: readonly number[],
  settings: readonly string[],
  functions: readonly string[],
): Promise<readonly string[]> {
  const found: string[] = [];
  const query = {
    sql: CODE_BEHIND,
    parameterTypes: [OID_ARRAY_OID, TEXT_ARRAY_OID, TEXT_ARRAY_OID],
    parameters: [oidArray(relations), textArray(settings), textArray(functions)],
    parameterFormats: [1, 1, 1] as const,
    resultFormats: [],
  };
  await connection.run(query, (row) => {
    found.push(textColumns(row)[0] ?? '');
  });
  return found;
}
