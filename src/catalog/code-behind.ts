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
 * Functions that it names ($3) or calls by OID ($4) are followed as well, and all operators, types and casts that are
 * not PostgreSQL's own: which of them a text uses, the server finds by the types of what stands there.
 */
const BEHIND = `
behind(class, oid, written) AS (
  (SELECT ${CLASS.relation}::pg_catalog.oid, r, true FROM pg_catalog.unnest($1::pg_catalog.oid[]) r
   UNION ALL
   SELECT ${CLASS.function}, p.oid, true FROM pg_catalog.pg_proc p
    WHERE p.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
      AND (p.proname OPERATOR(pg_catalog.=) ANY ($3::pg_catalog.text[]::pg_catalog.name[]) OR p.oid OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.oid[]))
   UNION ALL
   SELECT ${CLASS.operator}, o.oid, false FROM pg_catalog.pg_operator o WHERE o.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
   UNION ALL
   SELECT ${CLASS.function}, c.castfunc, false FROM pg_catalog.pg_cast c
    WHERE c.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid AND c.castfunc OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
   UNION ALL
   SELECT ${CLASS.type}, t.oid, false FROM pg_catalog.pg_type t
    WHERE t.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid AND t.typtype OPERATOR(pg_catalog.=) ANY ('{d,r}'::pg_catalog."char"[])
   UNION ALL
   SELECT ${CLASS.type}, t.oid, false FROM pg_catalog.pg_type t
    WHERE t.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid AND t.typtype OPERATOR(pg_catalog.=) 'b'::pg_catalog."char" AND t.typelem OPERATOR(pg_catalog.=) 0::pg_catalog.oid)
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
 * The code behind, where it reads settings.
 */
const READERS = `
readers(definition) AS MATERIALIZED (
  SELECT d.definition FROM (
      ${reading('pg_policy', CLASS.policy, 'pg_catalog.concat(x.polqual::pg_catalog.text, x.polwithcheck::pg_catalog.text)', "pg_catalog.concat(pg_catalog.pg_get_expr(x.polqual, x.polrelid), ' ', pg_catalog.pg_get_expr(x.polwithcheck, x.polrelid))")}
      UNION ALL ${reading('pg_attrdef', CLASS.default, 'x.adbin', 'pg_catalog.pg_get_expr(x.adbin, x.adrelid)')}
      UNION ALL ${reading('pg_constraint', CLASS.constraint, 'x.conbin', 'pg_catalog.pg_get_constraintdef(x.oid)')}
      UNION ALL ${reading('pg_rewrite', CLASS.rule, 'pg_catalog.concat(x.ev_qual::pg_catalog.text, x.ev_action::pg_catalog.text)', 'pg_catalog.pg_get_ruledef(x.oid)')}
      UNION ALL ${reading('pg_trigger', CLASS.trigger, 'x.tgqual', 'pg_catalog.pg_get_triggerdef(x.oid)')}
      UNION ALL
      SELECT pg_catalog.concat(x.prosrc, ' ', pg_catalog.pg_get_function_sqlbody(x.oid)) FROM pg_catalog.pg_proc x
       WHERE x.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
         AND x.oid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT b.oid FROM behind b WHERE b.class OPERATOR(pg_catalog.=) ${CLASS.function}))
  ) d(definition)
  WHERE d.definition OPERATOR(pg_catalog.~*) 'current_setting'
)`;

const SPACE = '[ \t\r\n\f]*';
const SETTING_NAME = '([A-Za-z0-9_.]+)';
const DOLLARS = '[$][A-Za-z0-9_]*[$]';

/**
 * A call with its name written out, in regular expressions of both PostgreSQL and JavaScript. Without backslashes, which
 * the session may read in strings as it likes. Quotes may be doubled, as in code that is a string.
 */
const NAMED = `current_setting${SPACE}[(]${SPACE}(?:'+${SETTING_NAME}'+|${DOLLARS}${SETTING_NAME}${DOLLARS})(?:${SPACE}::${SPACE}(?:pg_catalog[.])?text)?${SPACE}[,)]`;
const NAMED_SQL = NAMED.replaceAll("'", "''");

/**
 * The values of settings that the user has made, such as a tenant's: the names ($2) that the statement may read, and
 * those that the readers may. The server lists no such settings, so that whatever looks like the name of one in what reads
 * settings is asked for, and of the server's own those that are named.
 */
const USER_SETTINGS = `
SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat(s.name, ' ', pg_catalog.current_setting(s.name, true)), ',' ORDER BY s.name))
  FROM (
    SELECT pg_catalog.unnest($2::pg_catalog.text[])
    UNION
    SELECT pg_catalog.unnest(ARRAY[m.found[1], pg_catalog.substring(m.found[1], '[A-Za-z_][A-Za-z0-9_]*(?:[.][A-Za-z_][A-Za-z0-9_]*)+')])
      FROM readers d
      CROSS JOIN LATERAL pg_catalog.regexp_matches(d.definition, '[A-Za-z_][A-Za-z0-9_$]*(?:[.][A-Za-z_][A-Za-z0-9_$]*)+', 'g') m(found)
    UNION
    SELECT pg_catalog.unnest(m.found) FROM readers d
      CROSS JOIN LATERAL pg_catalog.regexp_matches(d.definition, '${NAMED_SQL}', 'gi') m(found)
  ) s(name)
 WHERE pg_catalog.strpos(s.name, '.') OPERATOR(pg_catalog.>) 0
    OR pg_catalog.lower(s.name) OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT x.name FROM pg_catalog.pg_settings x))`;

const UNKNOWN = 'unknown setting';

/** Whether one of them reads a setting by a name that is not written out. A word in a comment counts. */
const UNKNOWN_SETTING = `
SELECT '${UNKNOWN}' WHERE EXISTS (SELECT FROM readers d
   WHERE pg_catalog.regexp_replace(d.definition, '${NAMED_SQL}', '', 'gi') OPERATOR(pg_catalog.~*) 'current_setting')`;

const CODE_BEHIND = `
WITH RECURSIVE ${BEHIND}, ${READERS}
SELECT ${fingerprint(`ARRAY(SELECT b.oid FROM behind b WHERE b.class OPERATOR(pg_catalog.=) ${CLASS.relation})`)}
UNION ALL
SELECT pg_catalog.md5(pg_catalog.string_agg(v.version, ',' ORDER BY v.version)) FROM (
  ${versions('pg_proc', CLASS.function)}
  UNION ALL ${versions('pg_type', CLASS.type)}
  UNION ALL ${versions('pg_operator', CLASS.operator)}
  UNION ALL ${versions('pg_opclass', CLASS.operatorClass)}
  UNION ALL ${versions('pg_constraint', CLASS.constraint)}
  UNION ALL
  SELECT pg_catalog.concat('pg_cast ', x.oid, ' ', x.xmin, ' ', x.ctid) FROM pg_catalog.pg_cast x
   WHERE x.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
) v(version)
UNION ALL
${USER_SETTINGS}
UNION ALL
${UNKNOWN_SETTING}`;

/** A name with a dot, as settings have that are not PostgreSQL's own. */
const DOTTED = /[A-Za-z_][A-Za-z0-9_$]*(?:\.[A-Za-z_][A-Za-z0-9_$]*)+/g;

/** As it stands between the quotes of $name$. */
const DOTTED_ALONE = /[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+/g;

const NAMED_CALLS = new RegExp(NAMED, 'gi');
const PARAMETER_CALLS = /current_setting\s*\(\s*\$\d+\s*[,)]/gi;

/** What may be names of settings in what was sent, where that reads any; `isUnknown` where one may be read by another. */
export function settingsIn(
  { text, executed, values }: SettingReaders,
  bindsValues: boolean,
  functions: readonly string[],
): { readonly names: readonly string[]; readonly isUnknown: boolean } {
  const texts = [text, ...executed];
  if (!texts.some((one) => READS.test(one)))
    // The function's name may be written in a way that hides it.
    return { names: [], isUnknown: functions.includes('current_setting') };
  const names = [...texts, ...values].flatMap((one) => [
    ...(one.match(DOTTED) ?? []),
    ...(one.match(DOTTED_ALONE) ?? []),
    ...[...one.matchAll(NAMED_CALLS)].map((found) => found[1] ?? found[2]!),
  ]);
  const given = bindsValues ? values.filter((value) => value.length <= SETTING_NAME_CHARS) : [];
  const left = texts.map((one) => one.replace(NAMED_CALLS, ''));
  if (bindsValues) left[0] = left[0]!.replace(PARAMETER_CALLS, '');
  return { names: [...new Set([...names, ...given])].sort(), isUnknown: left.some((one) => READS.test(one)) };
}

const READS = /current_setting/i;
const SETTING_NAME_CHARS = 128;

interface SettingReaders {
  readonly text: string;
  readonly executed: readonly string[];
  readonly values: readonly string[];
}

/** Functions that a statement calls, as far as it says. */
export interface CalledFunctions {
  readonly names: readonly string[];
  readonly oids: readonly number[];
}

export interface CodeBehind {
  /** Changes whenever something does that decides what the statement does, or a setting that is read on the way. */
  readonly versions: readonly string[];
  /** It reads a setting by a name that is made as it runs. */
  readonly readsUnknownSetting: boolean;
}

/** It costs more than what a `Catalog` answers, and is for what people have been asked about. */
export async function codeBehind(
  connection: HiddenConnection,
  relations: readonly number[],
  settings: readonly string[],
  called: CalledFunctions,
): Promise<CodeBehind> {
  const found: string[] = [];
  const query = {
    sql: CODE_BEHIND,
    parameterTypes: [OID_ARRAY_OID, TEXT_ARRAY_OID, TEXT_ARRAY_OID, OID_ARRAY_OID],
    parameters: [oidArray(relations), textArray(settings), textArray(called.names), oidArray(called.oids)],
    parameterFormats: [1, 1, 1, 1] as const,
    resultFormats: [],
  };
  await connection.run(query, (row) => {
    found.push(textColumns(row)[0] ?? '');
  });
  const versions = found.filter((one) => one !== UNKNOWN);
  return { versions, readsUnknownSetting: versions.length < found.length };
}
