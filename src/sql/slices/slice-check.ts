import type { ParseResult } from '@pgsql/types';
import { as, type Fields, isObject, list } from '../parsing/tree.ts';

/** How a slice is parsed again: the tree, or null where the grammar refuses it. */
export type ParseSlice = (sql: string) => ParseResult | null;

/** What the parser says about places in the text, which a slice moves. */
const PLACES: ReadonlySet<string> = new Set([
  'location',
  'stmt_location',
  'stmt_len',
  'rexpr_list_start',
  'rexpr_list_end',
  'list_start',
  'list_end',
  'name_location',
]);

/** Whether two trees mean the same, wherever in their texts they stand. */
export function sameTree(a: unknown, b: unknown): boolean {
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, i) => sameTree(item, b[i]));
  }
  if (!isObject(a)) return a === b;
  if (!isObject(b)) return false;
  return fieldNames(a, b).every((name) => sameTree(a[name], b[name]));
}

function fieldNames(a: Fields, b: Fields): string[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((name) => !PLACES.has(name));
}

/** The fields of the one SELECT that the text is, or null where it is anything else. */
export function parsedSelect(parse: ParseSlice, sql: string): Fields | null {
  const statements = parse(sql)?.stmts ?? [];
  return statements.length === 1 ? as(statements[0]?.stmt, 'SelectStmt') : null;
}

/** What a SELECT may say beside the parts that are compared. */
const EXPECTED: ReadonlySet<string> = new Set([
  'fromClause',
  'whereClause',
  'withClause',
  'targetList',
  'limitOption',
  'op',
]);

/** Whether the text is a SELECT of exactly these parts and nothing else. */
export function isSelectOf(
  parse: ParseSlice,
  sql: string,
  parts: { readonly from?: readonly unknown[]; readonly where?: unknown; readonly with?: unknown },
): boolean {
  const select = parsedSelect(parse, sql);
  if (select === null || Object.keys(select).some((name) => !EXPECTED.has(name))) return false;
  return (
    list(select['targetList']).length === 0 &&
    sameTree(list(select['fromClause']), parts.from ?? []) &&
    sameTree(select['whereClause'], parts.where) &&
    sameTree(select['withClause'], parts.with)
  );
}

/** Whether the text is one expression, the given one. */
export function isExpression(parse: ParseSlice, text: string, tree: unknown): boolean {
  return isSelectOf(parse, `SELECT WHERE ${text}\n`, { where: tree });
}
