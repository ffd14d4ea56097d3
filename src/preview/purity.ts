import { OID_ARRAY_OID, oidArray, TEXT_ARRAY_OID, textArray } from '../catalog/array-parameter.ts';
import type { CatalogAnswer } from '../catalog/catalog.ts';
import type { HiddenConnection } from '../catalog/connection.ts';
import { quoteQualified } from '../catalog/quote.ts';
import { textColumns } from '../catalog/row.ts';
import type { StatementEffects } from '../sql/effects.ts';
import type { RowsSlice, UpsertSlice } from '../sql/slice.ts';

/**
 * Whether what a preview would run of a statement can only be PostgreSQL's own code that changes nothing. A transaction
 * that can only read does not suffice for that: it runs functions that write to files, call other servers or take locks.
 * A function of the user's is never run, whatever it says of itself, and neither are its operators, types, policies and
 * views.
 */

/** Tables that store rows themselves, which are read without running anything. */
const STORED = `ARRAY['r', 'p', 'm']::pg_catalog."char"[]`;

/**
 * Of relations by their OIDs ($1) and names ($2), with all below them: one that is no plain table, one with policies,
 * one with a column of a type that brings its own code. Enums and domains do not, nor do those of extensions.
 */
const CODE_OF = `
WITH RECURSIVE asked(oid) AS (
  SELECT o FROM pg_catalog.unnest($1::pg_catalog.oid[]) o
  UNION SELECT pg_catalog.to_regclass(n)::pg_catalog.oid FROM pg_catalog.unnest($2::pg_catalog.text[]) n
), found(oid) AS (
  SELECT oid FROM asked
  UNION SELECT i.inhrelid FROM found f JOIN pg_catalog.pg_inherits i ON i.inhparent OPERATOR(pg_catalog.=) f.oid
), types(oid) AS (
  SELECT a.atttypid FROM pg_catalog.pg_attribute a JOIN found f ON a.attrelid OPERATOR(pg_catalog.=) f.oid
   WHERE a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
  UNION
  SELECT inner_type.oid FROM types p JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) p.oid
   CROSS JOIN LATERAL (
    SELECT t.typelem AS oid WHERE t.typelem OPERATOR(pg_catalog.<>) 0
    UNION ALL SELECT t.typbasetype WHERE t.typbasetype OPERATOR(pg_catalog.<>) 0
    UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r
               WHERE r.rngtypid OPERATOR(pg_catalog.=) t.oid OR r.rngmultitypid OPERATOR(pg_catalog.=) t.oid
   ) inner_type
)
SELECT
  (SELECT pg_catalog.count(*)::pg_catalog.text FROM asked WHERE oid IS NULL),
  (SELECT pg_catalog.min(c.relname::pg_catalog.text) FROM found f JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) f.oid
    WHERE NOT c.relkind OPERATOR(pg_catalog.=) ANY (${STORED})),
  (SELECT pg_catalog.min(c.relname::pg_catalog.text) FROM asked f JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) f.oid
    WHERE pg_catalog.row_security_active(c.oid)),
  (SELECT pg_catalog.min(t.typname::pg_catalog.text) FROM types p JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) p.oid
    WHERE t.oid OPERATOR(pg_catalog.>=) 16384
      AND NOT t.typtype OPERATOR(pg_catalog.=) ANY (ARRAY['e', 'd', 'r', 'm']::pg_catalog."char"[])
      AND NOT (t.typelem OPERATOR(pg_catalog.<>) 0 AND t.typcategory OPERATOR(pg_catalog.=) 'A')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid OPERATOR(pg_catalog.=) 1247
        AND d.objid OPERATOR(pg_catalog.=) t.oid AND d.deptype OPERATOR(pg_catalog.=) 'e')),
  (SELECT pg_catalog.min(c.relname::pg_catalog.text) FROM asked f JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) f.oid
    WHERE NOT pg_catalog.has_table_privilege(c.oid, 'SELECT'))`;

/** Why tables cannot be read beforehand, or null. `names` are as the statement has them. */
export async function problemOfReading(
  connection: HiddenConnection,
  oids: readonly number[],
  names: readonly string[],
): Promise<string | null> {
  let found: readonly (string | null)[] = [];
  const query = {
    sql: CODE_OF,
    parameterTypes: [OID_ARRAY_OID, TEXT_ARRAY_OID],
    parameters: [oidArray(oids), textArray(names)],
    parameterFormats: [1, 1] as const,
    resultFormats: [],
  };
  await connection.run(query, (row) => {
    found = textColumns(row);
  });
  const [missing, other, secured, typed, unreadable] = found;
  if (missing !== '0') return 'it names something that is no table';
  if (other != null) return `${other} is no table of its own rows`;
  if (secured != null) return `row security hides rows of ${secured} from this role`;
  if (unreadable != null) return `this role may not read ${unreadable}`;
  if (typed != null) return `the type ${typed} may run code of its own`;
  return null;
}

/** Why nothing of the statement may be planned or run beforehand, as far as its text and its functions tell. */
export function problemOfCode(
  slice: RowsSlice | UpsertSlice,
  { functions, catalogFirst }: Pick<CatalogAnswer, 'functions' | 'catalogFirst'>,
): string | null {
  const own = functions.find((each) => each.own);
  if (own !== undefined) return `${own.name} is not a function of PostgreSQL's own`;
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

/** The names of what the statement reads beside its target. */
export function readNames({ reads }: StatementEffects): string[] {
  return reads.map(({ schema, name }) => quoteQualified(schema, name));
}
