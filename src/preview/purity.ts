import { OID_ARRAY_OID, oidArray, TEXT_ARRAY_OID, textArray } from '../catalog/array-parameter.ts';
import type { CatalogAnswer } from '../catalog/catalog.ts';
import type { HiddenConnection } from '../catalog/connection.ts';
import { quoteQualified } from '../catalog/quote.ts';
import { textColumns } from '../catalog/row.ts';
import type { StatementEffects } from '../sql/effects.ts';
import { catalogFunction } from '../sql/facts/functions.ts';
import { tokens } from '../sql/parsing/lexer.ts';
import type { RowsSlice, UpsertSlice } from '../sql/slices/slice.ts';

/**
 * Whether what a preview would run of a statement can only be PostgreSQL's own code that changes nothing. A transaction
 * that can only read does not suffice for that: it runs functions that write to files, call other servers or take locks.
 * A function of the user's is never run, whatever it says of itself, and neither are its operators, types, policies and
 * views.
 */

const EQUALS = 'OPERATOR(pg_catalog.=)';

/** A function of the user's. Those of extensions in C are taken for what they say they are. */
const isOwn = (p: string) => `(${p}.oid OPERATOR(pg_catalog.>=) 16384 AND NOT (${p}.prolang ${EQUALS} 13
  AND EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid ${EQUALS} 1255
    AND e.objid ${EQUALS} ${p}.oid AND e.deptype ${EQUALS} 'e')))`;

/** The name of a function of the user's that a catalog's rows depend on. */
const functionBehind = (
  classid: number,
  objids: string,
) => `(SELECT pg_catalog.min(p.proname::pg_catalog.text)
  FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_proc p ON p.oid ${EQUALS} d.refobjid
 WHERE d.refclassid ${EQUALS} 1255 AND d.classid ${EQUALS} ${classid}
   AND d.objid ${EQUALS} ANY (ARRAY(${objids})) AND ${isOwn('p')})`;

const FOUND = 'ARRAY(SELECT f.oid FROM found f)';
const letters = (...each: string[]) => `ANY (ARRAY['${each.join("', '")}']::pg_catalog."char"[])`;

/**
 * Of relations by their OIDs ($1) and names ($2), with all below them: what is no plain table, what has policies or rules,
 * what this role may not read; types that bring code of their own, which enums, domains and those of extensions do not,
 * but for operators and casts that were made for them; functions of the user's that the planner may run for an index, a
 * constraint, a partition key or statistics, or for a computed column or default; and those that a name of the text ($3)
 * may mean although it reads as a column's, since `t.f` may be `f(t)`.
 */
const CODE_OF = `
WITH RECURSIVE asked(oid) AS (
  SELECT o FROM pg_catalog.unnest($1::pg_catalog.oid[]) o
  UNION SELECT pg_catalog.to_regclass(n)::pg_catalog.oid FROM pg_catalog.unnest($2::pg_catalog.text[]) n
), found(oid) AS (
  SELECT oid FROM asked
  UNION SELECT i.inhrelid FROM found f JOIN pg_catalog.pg_inherits i ON i.inhparent ${EQUALS} f.oid
), types(oid) AS (
  SELECT a.atttypid FROM pg_catalog.pg_attribute a JOIN found f ON a.attrelid ${EQUALS} f.oid
   WHERE a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
  UNION
  SELECT inner_type.oid FROM types p JOIN pg_catalog.pg_type t ON t.oid ${EQUALS} p.oid
   CROSS JOIN LATERAL (
    SELECT t.typelem AS oid WHERE t.typelem OPERATOR(pg_catalog.<>) 0
    UNION ALL SELECT t.typbasetype WHERE t.typbasetype OPERATOR(pg_catalog.<>) 0
    UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r
               WHERE r.rngtypid ${EQUALS} t.oid OR r.rngmultitypid ${EQUALS} t.oid
   ) inner_type
), own_types(oid) AS (SELECT t.oid FROM types t WHERE t.oid OPERATOR(pg_catalog.>=) 16384)
SELECT
  (SELECT pg_catalog.count(*)::pg_catalog.text FROM asked WHERE oid IS NULL),
  (SELECT pg_catalog.min(c.relname::pg_catalog.text) FROM found f JOIN pg_catalog.pg_class c ON c.oid ${EQUALS} f.oid
    WHERE NOT c.relkind ${EQUALS} ${letters('r', 'p', 'm')}),
  (SELECT pg_catalog.min(c.relname::pg_catalog.text) FROM asked f JOIN pg_catalog.pg_class c ON c.oid ${EQUALS} f.oid
    WHERE pg_catalog.row_security_active(c.oid)),
  (SELECT pg_catalog.min(c.relname::pg_catalog.text) FROM asked f JOIN pg_catalog.pg_class c ON c.oid ${EQUALS} f.oid
    WHERE NOT pg_catalog.has_table_privilege(c.oid, 'SELECT')
       OR NOT pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE')),
  (SELECT pg_catalog.min(t.typname::pg_catalog.text) FROM own_types p JOIN pg_catalog.pg_type t ON t.oid ${EQUALS} p.oid
    WHERE NOT t.typtype ${EQUALS} ${letters('e', 'd', 'r', 'm')}
      AND NOT (t.typelem OPERATOR(pg_catalog.<>) 0 AND t.typcategory ${EQUALS} 'A')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid ${EQUALS} 1247
        AND d.objid ${EQUALS} t.oid AND d.deptype ${EQUALS} 'e')),
  coalesce(
    (SELECT pg_catalog.min(p.proname::pg_catalog.text) FROM pg_catalog.pg_operator o
       JOIN pg_catalog.pg_proc p ON p.oid ${EQUALS} o.oprcode::pg_catalog.oid
      WHERE (o.oprleft ${EQUALS} ANY (ARRAY(SELECT oid FROM own_types)) OR o.oprright ${EQUALS} ANY (ARRAY(SELECT oid FROM own_types)))
        AND ${isOwn('p')}),
    (SELECT pg_catalog.min(p.proname::pg_catalog.text) FROM pg_catalog.pg_cast k
       JOIN pg_catalog.pg_proc p ON p.oid ${EQUALS} k.castfunc
      WHERE (k.castsource ${EQUALS} ANY (ARRAY(SELECT oid FROM own_types)) OR k.casttarget ${EQUALS} ANY (ARRAY(SELECT oid FROM own_types)))
        AND ${isOwn('p')}),
    ${functionBehind(1259, `SELECT x.indexrelid FROM pg_catalog.pg_index x WHERE x.indrelid ${EQUALS} ANY (${FOUND}) UNION ALL SELECT f.oid FROM found f`)},
    ${functionBehind(2606, `SELECT x.oid FROM pg_catalog.pg_constraint x WHERE x.conrelid ${EQUALS} ANY (${FOUND}) OR x.contypid ${EQUALS} ANY (ARRAY(SELECT oid FROM own_types))`)},
    ${functionBehind(3381, `SELECT x.oid FROM pg_catalog.pg_statistic_ext x WHERE x.stxrelid ${EQUALS} ANY (${FOUND})`)},
    (SELECT pg_catalog.min(p.proname::pg_catalog.text) FROM pg_catalog.pg_proc p
       JOIN pg_catalog.pg_type t ON t.oid ${EQUALS} p.proargtypes[0]
      WHERE p.oid OPERATOR(pg_catalog.>=) 16384 AND p.pronargs OPERATOR(pg_catalog.>) 0 AND t.typtype ${EQUALS} ${letters('c', 'p', 'd')}
        AND p.proname::pg_catalog.text ${EQUALS} ANY ($3::pg_catalog.text[]))),
  ${functionBehind(2604, `SELECT x.oid FROM pg_catalog.pg_attrdef x WHERE x.adrelid ${EQUALS} ANY (${FOUND})`)},
  (SELECT pg_catalog.min(c.relname::pg_catalog.text) FROM asked f JOIN pg_catalog.pg_class c ON c.oid ${EQUALS} f.oid
    WHERE c.relhasrules)`;

export interface ReadingProblems {
  /** Why the tables cannot be read beforehand, or null. */
  readonly read: string | null;
  /** Why the statement cannot be planned beforehand, or null. */
  readonly plan: string | null;
}

/** Why tables cannot be read beforehand. `names` are as the statement has them, `words` all names of its text. */
export async function problemsOfReading(
  connection: HiddenConnection,
  oids: readonly number[],
  names: readonly string[],
  words: readonly string[],
): Promise<ReadingProblems> {
  let found: readonly (string | null)[] = [];
  const query = {
    sql: CODE_OF,
    parameterTypes: [OID_ARRAY_OID, TEXT_ARRAY_OID, TEXT_ARRAY_OID],
    parameters: [oidArray(oids), textArray(names), textArray(words)],
    parameterFormats: [1, 1, 1] as const,
    resultFormats: [],
  };
  await connection.run(query, (row) => {
    found = textColumns(row);
  });
  const [missing, other, secured, unreadable, typed, code, computed, ruled] = found;
  const read = first([
    [missing === '0' ? null : '', () => 'it names something that is no table'],
    [other, (name) => `${name} is no table of its own rows`],
    [secured, (name) => `row security hides rows of ${name} from this role`],
    [unreadable, (name) => `this role may not read ${name}`],
    [ruled, (name) => `a rule rewrites what is done to ${name}`],
    [typed, (name) => `the type ${name} may run code of its own`],
    [code, (name) => `${name} is not a function of PostgreSQL's own`],
  ]);
  const plan = first([[computed, (name) => `${name} is not a function of PostgreSQL's own`]]);
  return { read, plan: read ?? plan };
}

function first(
  problems: readonly (readonly [name: string | null | undefined, say: (name: string) => string])[],
): string | null {
  for (const [name, say] of problems) if (name !== null && name !== undefined) return say(name);
  return null;
}

/** As problemsOfReading, for what is only read. */
export async function problemOfReading(
  connection: HiddenConnection,
  oids: readonly number[],
): Promise<string | null> {
  return (await problemsOfReading(connection, oids, [], [])).read;
}

/** All names in a text; null where they are written in a way that is not read here. */
export function wordsOf(text: string): string[] | null {
  const out = new Set<string>();
  for (const { kind, start, end } of tokens(text)) {
    const raw = text.slice(start, end);
    if (kind === 'word') out.add(raw.replace(/[A-Z]/g, (letter) => letter.toLowerCase()));
    else if (kind === 'quoted-name') {
      if (!raw.startsWith('"')) return null;
      out.add(raw.slice(1, -1).replaceAll('""', '"'));
    }
  }
  return [...out];
}

/** Why nothing of the statement may be planned or run beforehand, as far as its text and its functions tell. */
export function problemOfCode(
  slice: Pick<RowsSlice | UpsertSlice, 'ownNames'>,
  { functions, catalogFirst }: Pick<CatalogAnswer, 'functions' | 'catalogFirst'>,
): string | null {
  for (const { name, own } of functions) {
    if (own) return `${name} is not a function of PostgreSQL's own`;
    const facts = catalogFunction(name);
    if (facts === undefined) return `the function ${name} is not known`;
    // Stable ones among these would be run for an estimate already. Those of low risk are volatile, which are not.
    if (facts.opaque || (facts.risk !== 'safe' && facts.risk !== 'low')) return `${name} ${facts.reason}`;
  }
  if (slice.ownNames) return "it names operators or types that are not PostgreSQL's own";
  return catalogFirst ? null : "the search_path may give operators another meaning than PostgreSQL's own";
}

/** Why a condition may not be run a second time, though all of its code is PostgreSQL's own. */
export function problemOfCondition(
  names: RowsSlice['functions'],
  { functions }: Pick<CatalogAnswer, 'functions'>,
): string | null {
  for (const { schema, name } of names) {
    const facts = functions.find((each) => each.schema === schema && each.name === name);
    if (facts === undefined || facts.volatility === 'unknown') return `the function ${name} is not known`;
    if (facts.volatility === 'volatile') return `${name} may do something, or answer differently, each time`;
  }
  return null;
}

/** As problemOfCondition, of what must hold in a transaction that is not set as the client's is. */
export function problemOfCount(
  names: RowsSlice['functions'],
  answer: Pick<CatalogAnswer, 'functions'>,
  text: string,
): string | null {
  for (const { name } of names) {
    if (!TELLING.has(name) && (name !== 'current_setting' || readsOwnSettings(text))) continue;
    return `${name} may tell of what is set for the count`;
  }
  return problemOfCondition(names, answer);
}

/** Functions that tell of settings without naming them. */
const TELLING: ReadonlySet<string> = new Set(['pg_show_all_settings', 'pg_client_encoding']);

/** Whether all settings that it reads are some of the client's own, which have a dot in their names. */
function readsOwnSettings(text: string): boolean {
  const all = text.match(/current_setting/gi)?.length ?? 0;
  const own = text.match(/current_setting\s*\(\s*'[a-z_]+\.[a-z0-9_.]+'/gi)?.length ?? 0;
  return all > 0 && all === own;
}

/** The names of what the statement reads beside its target. */
export function readNames({ reads }: StatementEffects): string[] {
  return reads.map(({ schema, name }) => quoteQualified(schema, name));
}
