import { TEXT_ARRAY_OID, textArray } from '../catalog/array-parameter.ts';
import type { CatalogAnswer } from '../catalog/catalog.ts';
import { quoteQualified } from '../catalog/quote.ts';
import type { Relation } from '../catalog/relation.ts';
import { textColumns } from '../catalog/row.ts';
import type { RowsSlice, UpsertSlice } from '../sql/slices/slice.ts';
import type { ImpliedNames } from '../sql/slices/slice-facts.ts';
import type { HiddenConnection } from './connection.ts';

/**
 * Functions that a condition runs without calling them: as an attribute of a row, by an operator or a cast, in the check
 * of a domain, behind a view or a policy. The capture runs the condition once more than the client has asked for, which
 * a volatile one may show.
 */

const EQUALS = 'OPERATOR(pg_catalog.=)';

/** What SQL says without an operator, as in IN, CASE and ORDER BY. */
const UNSAID_OPERATORS = ['=', '<>', '<', '<=', '>', '>='];

/** $1 attributes, $2 operators, $3 operators with a schema, $4 types, $5 relations; the first volatile function of the user's. */
const VOLATILE = `
WITH RECURSIVE read(oid) AS (
  SELECT pg_catalog.to_regclass(n)::pg_catalog.oid FROM pg_catalog.unnest($5::pg_catalog.text[]) n
  UNION
  SELECT d.refobjid FROM read r JOIN pg_catalog.pg_rewrite w ON w.ev_class ${EQUALS} r.oid
    JOIN pg_catalog.pg_depend d ON d.classid ${EQUALS} 2618 AND d.objid ${EQUALS} w.oid AND d.refclassid ${EQUALS} 1259
), named(oid) AS (
  SELECT t.oid FROM pg_catalog.pg_type t WHERE t.typname::pg_catalog.text ${EQUALS} ANY ($4::pg_catalog.text[])
  UNION
  SELECT inner_type.oid FROM named n JOIN pg_catalog.pg_type t ON t.oid ${EQUALS} n.oid
   CROSS JOIN LATERAL (SELECT t.typbasetype AS oid UNION ALL SELECT t.typelem) inner_type
), parts(classid, objid) AS (
  SELECT 2618::pg_catalog.oid, w.oid FROM read r JOIN pg_catalog.pg_rewrite w ON w.ev_class ${EQUALS} r.oid
  UNION ALL SELECT 3256, p.oid FROM read r JOIN pg_catalog.pg_policy p ON p.polrelid ${EQUALS} r.oid
  UNION ALL SELECT 2606, k.oid FROM named n JOIN pg_catalog.pg_constraint k ON k.contypid ${EQUALS} n.oid
   WHERE n.oid OPERATOR(pg_catalog.<>) 0
), used(oid) AS (
  SELECT d.refobjid FROM parts p JOIN pg_catalog.pg_depend d ON d.classid ${EQUALS} p.classid AND d.objid ${EQUALS} p.objid
   WHERE d.refclassid ${EQUALS} 1255
  UNION ALL
  SELECT o.oprcode::pg_catalog.oid FROM parts p
    JOIN pg_catalog.pg_depend d ON d.classid ${EQUALS} p.classid AND d.objid ${EQUALS} p.objid
    JOIN pg_catalog.pg_operator o ON o.oid ${EQUALS} d.refobjid
   WHERE d.refclassid ${EQUALS} 2617
  UNION ALL
  SELECT p.oid FROM pg_catalog.pg_proc p
   WHERE p.proname ${EQUALS} ANY ($1::pg_catalog.text[]::pg_catalog.name[]) AND p.pronargs OPERATOR(pg_catalog.>) 0
     AND pg_catalog.pg_function_is_visible(p.oid)
  UNION ALL
  SELECT o.oprcode::pg_catalog.oid FROM pg_catalog.pg_operator o
   WHERE o.oid OPERATOR(pg_catalog.>=) 16384
     AND (o.oprname::pg_catalog.text ${EQUALS} ANY ($2::pg_catalog.text[]) AND pg_catalog.pg_operator_is_visible(o.oid)
       OR o.oprname::pg_catalog.text ${EQUALS} ANY ($3::pg_catalog.text[]))
  UNION ALL
  SELECT k.castfunc FROM pg_catalog.pg_cast k
   WHERE k.castcontext ${EQUALS} 'i'::pg_catalog."char" OR k.casttarget ${EQUALS} ANY (ARRAY(SELECT n.oid FROM named n))
)
SELECT pg_catalog.min(p.proname::pg_catalog.text) FROM used u JOIN pg_catalog.pg_proc p ON p.oid ${EQUALS} u.oid
 WHERE p.oid OPERATOR(pg_catalog.>=) 16384 AND p.provolatile ${EQUALS} 'v'::pg_catalog."char"`;

/** Why what the capture runs of a statement would show, or null. A round trip only where there may be such code. */
export async function problemOfImplied(
  connection: HiddenConnection,
  slice: RowsSlice | UpsertSlice,
  target: Relation,
  answer: CatalogAnswer,
): Promise<string | null> {
  const doubtful = doubtfulNames(slice, target, answer);
  if (doubtful.length === 0) return null;
  const all = (key: 'operators' | 'placedOperators' | 'types') => doubtful.flatMap((names) => names[key]);
  const relations = doubtful.flatMap((names) => names.relations);
  let found: string | null = null;
  const parameters = [
    doubtful.flatMap((names) => attributesOf(names, target)),
    [...UNSAID_OPERATORS, ...all('operators')],
    all('placedOperators'),
    all('types'),
    relations.map(({ schema, name }) => quoteQualified(schema, name)),
  ];
  const query = {
    sql: VOLATILE,
    parameterTypes: parameters.map(() => TEXT_ARRAY_OID),
    parameters: parameters.map(textArray),
    parameterFormats: parameters.map(() => 1 as const),
    resultFormats: [],
  };
  await connection.run(query, (row) => {
    found = textColumns(row)[0] ?? null;
  });
  return found === null ? null : `${found} may answer differently a second time`;
}

/** Those behind which there may be such code. */
function doubtfulNames(
  slice: RowsSlice | UpsertSlice,
  target: Relation,
  answer: CatalogAnswer,
): readonly ImpliedNames[] {
  const implied = carriesKeys(slice, answer) ? [slice.implied, slice.impliedByValues] : [slice.implied];
  return implied.filter((names) => isDoubtful(names, slice, target, answer));
}

/** Whether there may be such code behind its condition or its values. */
export const maySayOwnCode = (slice: RowsSlice, target: Relation, answer: CatalogAnswer): boolean =>
  [slice.implied, slice.impliedByValues].some((names) => isDoubtful(names, slice, target, answer));

/** Whether the capture computes new values, to see which rows get another key. */
function carriesKeys({ assigned }: RowsSlice | UpsertSlice, { relations }: CatalogAnswer): boolean {
  const keys = new Set(
    [...relations.values()].flatMap(({ references }) => references.flatMap((r) => r.columns)),
  );
  return assigned.some(({ column }) => keys.has(column));
}

function isDoubtful(
  names: ImpliedNames,
  { functions }: RowsSlice | UpsertSlice,
  target: Relation,
  answer: CatalogAnswer,
): boolean {
  if (functions.length === 0 && saysNothing(names)) return false;
  return (
    names.readsOthers ||
    names.ownNames ||
    !answer.catalogFirst ||
    target.columns.some(({ type }) => type.schema !== 'pg_catalog') ||
    attributesOf(names, target).length > 0 ||
    (functions.length > 0 && answer.functions.some(({ own }) => own))
  );
}

/** As without a condition, or with `true` for one. */
function saysNothing({ attributes, operators, placedOperators, types, readsOthers }: ImpliedNames): boolean {
  const names = [attributes, operators, placedOperators, types];
  return !readsOthers && names.every(({ length }) => length === 0);
}

/** Those that may be no columns: of the target where nothing else is read, and so not of another table. */
function attributesOf({ attributes, readsOthers }: ImpliedNames, { columns }: Relation): string[] {
  return attributes.filter((name) => readsOthers || !columns.some((column) => column.name === name));
}
