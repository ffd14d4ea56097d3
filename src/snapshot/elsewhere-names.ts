import { OID_ARRAY_OID, oidArray } from '../catalog/array-parameter.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { textColumns } from '../catalog/row.ts';
import type { HiddenConnection } from './connection.ts';
import type { TableName } from './elsewhere.ts';
import type { CapturePlan } from './plan.ts';

/**
 * Which tables code of the user's is expected to change besides: those that the texts of the triggers name, and those that
 * were found changed when such a statement ran. What is too much here costs a cursor that nobody reads from; what is too
 * little is noticed as the statement runs.
 */

/** Plans of which that is remembered, by the role and the tables; and tables of each. */
const PLANS_MAX = 1_000;
const TABLES_MAX = 16;

const known = new WeakMap<Catalog, Map<string, readonly TableName[]>>();

const keyOf = (scope: string, { operation, tables }: CapturePlan): string =>
  [scope, operation, ...tables.map(({ oid }) => oid)].join('\0');

export function rememberElsewhere(
  catalog: Catalog,
  scope: string,
  plan: CapturePlan,
  tables: readonly TableName[],
): void {
  const plans = known.get(catalog) ?? new Map<string, readonly TableName[]>();
  known.set(catalog, plans);
  const key = keyOf(scope, plan);
  const before = plans.get(key) ?? [];
  plans.delete(key);
  // What was found last comes first: where there are too many, it is what a statement is waiting for.
  const older = before.filter(({ oid }) => !tables.some((table) => table.oid === oid));
  plans.set(key, [...tables, ...older].slice(0, TABLES_MAX));
  if (plans.size <= PLANS_MAX) return;
  const oldest = plans.keys().next().value;
  if (oldest !== undefined) plans.delete(oldest);
}

/** The tables, of which the triggers are asked where nothing is remembered yet. */
export async function elsewhereOf(
  connection: HiddenConnection,
  catalog: Catalog,
  scope: string,
  plan: CapturePlan,
): Promise<readonly TableName[]> {
  const remembered = known.get(catalog)?.get(keyOf(scope, plan));
  if (remembered !== undefined) return remembered;
  const named = await namedByTriggers(connection, plan);
  rememberElsewhere(catalog, scope, plan, named);
  return named;
}

/** What stands behind a word that updates or deletes: a name, with its schema or without. */
const NAME = '(?:[a-z_][a-z0-9_$]*|"[^"]+")';
const CHANGED = String.raw`\m(?:update|delete\s+from|merge\s+into)\s+(?:only\s+)?(${NAME}(?:\s*\.\s*${NAME})?)`;
/** The table of an INSERT, which only changes rows with ON CONFLICT. */
const INSERTED = String.raw`\minsert\s+into\s+(${NAME}(?:\s*\.\s*${NAME})?)(?=[^;]*\mon\s+conflict\M[^;]*\mdo\s+update\M)`;

/**
 * The tables that the texts of triggers name so, on what the plan changes or what that is a part of. A name without a schema
 * is looked for on the search_path, and in the schema of the table: in the catalog, since what is asked for by its name is
 * refused to those who may not use its schema.
 */
const NAMED = `WITH changed(oid) AS (
    SELECT o.oid FROM pg_catalog.unnest($1::pg_catalog.oid[]) o(oid)
    UNION SELECT a.relid FROM pg_catalog.unnest($1::pg_catalog.oid[]) o(oid), pg_catalog.pg_partition_ancestors(o.oid) a(relid)
    UNION SELECT i.inhparent FROM pg_catalog.pg_inherits i WHERE i.inhrelid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
  ), texts AS (
    SELECT DISTINCT p.prosrc, n.nspname FROM changed d
      JOIN pg_catalog.pg_trigger t ON t.tgrelid OPERATOR(pg_catalog.=) d.oid AND NOT t.tgisinternal
      JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) t.tgfoid
      JOIN pg_catalog.pg_class k ON k.oid OPERATOR(pg_catalog.=) d.oid
      JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) k.relnamespace
     WHERE pg_catalog.length(p.prosrc) OPERATOR(pg_catalog.<) 100000
  ), names AS (
    SELECT DISTINCT x.nspname, pg_catalog.parse_ident(m.found[1]) AS parts FROM texts x,
      LATERAL (SELECT pg_catalog.regexp_matches(x.prosrc, $2::pg_catalog.text, 'gi') AS found
        UNION ALL SELECT pg_catalog.regexp_matches(x.prosrc, $3::pg_catalog.text, 'gi')) m
  ), found(oid) AS (
    SELECT c.oid FROM names s JOIN pg_catalog.pg_class c ON c.relname::pg_catalog.text OPERATOR(pg_catalog.=) s.parts[pg_catalog.cardinality(s.parts)]
      JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
     WHERE n.nspname::pg_catalog.text OPERATOR(pg_catalog.=) CASE WHEN pg_catalog.cardinality(s.parts) OPERATOR(pg_catalog.=) 2 THEN s.parts[1] ELSE s.nspname::pg_catalog.text END
        OR pg_catalog.cardinality(s.parts) OPERATOR(pg_catalog.=) 1 AND pg_catalog.pg_table_is_visible(c.oid)
  ), stored(oid) AS (
    SELECT f.oid FROM found f
    UNION SELECT b.relid FROM found f, pg_catalog.pg_partition_tree(f.oid) b WHERE b.isleaf
  )
  SELECT c.oid, n.nspname, c.relname FROM stored s
    JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) s.oid
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
   WHERE c.relkind OPERATOR(pg_catalog.=) 'r' AND c.relpersistence OPERATOR(pg_catalog.<>) 't'
     AND c.oid OPERATOR(pg_catalog.>=) 16384
     AND c.oid OPERATOR(pg_catalog.<>) ALL ($1::pg_catalog.oid[]) LIMIT ${TABLES_MAX}`;

const TEXT_OID = 25;

async function namedByTriggers(connection: HiddenConnection, { tables }: CapturePlan): Promise<TableName[]> {
  const out: TableName[] = [];
  const query = {
    sql: NAMED,
    parameterTypes: [OID_ARRAY_OID, TEXT_OID, TEXT_OID],
    parameters: [oidArray(tables.map(({ oid }) => oid)), Buffer.from(CHANGED), Buffer.from(INSERTED)],
    parameterFormats: [1 as const, 0 as const, 0 as const],
    resultFormats: [],
    neverCompiled: true as const,
  };
  await connection.run(query, (row) => {
    const [oid, schema, name] = textColumns(row);
    out.push({ oid: Number(oid), schema: schema!, name: name! });
  });
  return out;
}
