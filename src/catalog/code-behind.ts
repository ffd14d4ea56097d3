import { OID_ARRAY_OID, oidArray, TEXT_ARRAY_OID, textArray } from './array-parameter.ts';
import { BEHIND, CLASS } from './behind.ts';
import type { HiddenConnection } from './connection.ts';
import { OWN_CODE } from './own-code.ts';
import { fingerprint } from './queries.ts';
import { textColumns } from './row.ts';

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
 * The code behind the statement, where it reads settings.
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

const RUNS_TEXTS = 'runs texts';

/**
 * Whether one of the functions may run what a string says. A word in a comment counts, and so does all that is written in other
 * languages, and C of the user's that takes a string, unless it says that it looks at that alone. Event triggers fire only on what alters something ($6).
 */
const RUNNING_TEXTS = `
SELECT '${RUNS_TEXTS}' WHERE EXISTS (
  SELECT FROM pg_catalog.pg_proc x LEFT JOIN pg_catalog.pg_language l ON l.oid OPERATOR(pg_catalog.=) x.prolang
   WHERE CASE WHEN x.oid OPERATOR(pg_catalog.<) 16384::pg_catalog.oid THEN x.prolang OPERATOR(pg_catalog.<>) ALL (ARRAY[12, 13]::pg_catalog.oid[])
       ELSE x.oid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT b.oid FROM behind b WHERE b.class OPERATOR(pg_catalog.=) ${CLASS.function})) END
     AND ($6 OR x.prorettype OPERATOR(pg_catalog.<>) 3838::pg_catalog.oid)
     AND CASE
       WHEN x.prosrc OPERATOR(pg_catalog.~*) 'execute' THEN true
       WHEN x.prolang OPERATOR(pg_catalog.=) 12::pg_catalog.oid THEN false
       WHEN x.prolang OPERATOR(pg_catalog.=) 13::pg_catalog.oid THEN x.provolatile OPERATOR(pg_catalog.<>) 'i'::pg_catalog."char" AND EXISTS (
         SELECT FROM pg_catalog.unnest(x.proargtypes::pg_catalog.oid[]) a(oid) JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.oid
          WHERE t.typcategory OPERATOR(pg_catalog.=) 'S'::pg_catalog."char")
       ELSE l.lanname OPERATOR(pg_catalog.<>) ALL (ARRAY['sql', 'plpgsql']::pg_catalog.name[]) END)`;

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
) v(version)
UNION ALL
${OWN_CODE}
UNION ALL
${USER_SETTINGS}
UNION ALL
${UNKNOWN_SETTING}
UNION ALL
${RUNNING_TEXTS}`;

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
  const reads = functions.includes('current_setting');
  // The function's name may be written in a way that hides it.
  const isHidden = reads && texts.some((one) => HIDDEN_NAME.test(one));
  if (!texts.some((one) => READS.test(one))) return { names: [], isUnknown: reads };
  const names = [...texts, ...values].flatMap((one) => [
    ...(one.match(DOTTED) ?? []),
    ...(one.match(DOTTED_ALONE) ?? []),
    ...[...one.matchAll(NAMED_CALLS)].map((found) => found[1] ?? found[2]!),
  ]);
  const given = bindsValues ? values.filter((value) => value.length <= SETTING_NAME_CHARS) : [];
  const left = texts.map((one) => one.replace(NAMED_CALLS, ''));
  if (bindsValues) left[0] = left[0]!.replace(PARAMETER_CALLS, '');
  return {
    names: [...new Set([...names, ...given])].sort(),
    isUnknown: isHidden || left.some((one) => READS.test(one)),
  };
}

const READS = /current_setting/i;
const HIDDEN_NAME = /u&"/i;
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
  /** Code that it brings along, as a DO does. */
  readonly code: readonly string[];
  /** Whether event triggers may fire. */
  readonly firesOnSchema: boolean;
}

export interface CodeBehind {
  /** Changes whenever something does that decides what the statement does, or a setting that is read on the way. */
  readonly versions: readonly string[];
  /** It reads a setting by a name that is made as it runs. */
  readonly readsUnknownSetting: boolean;
  /** It may run what a string says, which no dependency tells. */
  readonly runsTexts: boolean;
}

const BOOL_OID = 16;

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
    parameterTypes: [OID_ARRAY_OID, TEXT_ARRAY_OID, TEXT_ARRAY_OID, OID_ARRAY_OID, TEXT_ARRAY_OID, BOOL_OID],
    parameters: [
      oidArray(relations),
      ...[
        textArray(settings),
        textArray(called.names),
        oidArray(called.oids),
        textArray(called.code),
        Buffer.from([called.firesOnSchema ? 1 : 0]),
      ],
    ],
    parameterFormats: [1, 1, 1, 1, 1, 1] as const,
    resultFormats: [],
    neverCompiled: true as const,
  };
  await connection.run(query, (row) => {
    found.push(textColumns(row)[0] ?? '');
  });
  return {
    versions: found.filter((one) => one !== UNKNOWN && one !== RUNS_TEXTS),
    readsUnknownSetting: found.includes(UNKNOWN),
    runsTexts: found.includes(RUNS_TEXTS),
  };
}
