import type { RawStmt } from '@pgsql/types';
import { as, type Fields, isObject, list, unwrap } from '../parsing/tree.ts';
import { givesOneValue } from './one-value.ts';

/**
 * How many rows a statement writes at most, where its text alone bounds them: INSERT … VALUES has as many as it lists, of
 * which some may be in conflict with others, and a cursor stands on one. Null where the text does not tell.
 */
export function rowsBoundOf(raw: RawStmt, catalogFirst: boolean): number | null {
  const node = unwrap(raw.stmt);
  if (node === null || isObject(node.fields['withClause'])) return null;
  switch (node.name) {
    case 'InsertStmt':
      return listedBy(node.fields, catalogFirst);
    case 'UpdateStmt':
    case 'DeleteStmt':
      return as(node.fields['whereClause'], 'CurrentOfExpr') === null ? null : 1;
    default:
      return null;
  }
}

/** What a VALUES may have besides, and still give each of its rows once. */
const LISTING: ReadonlySet<string> = new Set(['valuesLists', 'limitOption', 'op']);

function listedBy({ selectStmt }: Fields, catalogFirst: boolean): number | null {
  // DEFAULT VALUES.
  if (selectStmt === undefined) return 1;
  const values = as(selectStmt, 'SelectStmt');
  if (values === null || Object.keys(values).some((name) => !LISTING.has(name))) return null;
  const rows = list(values['valuesLists']);
  // Of several rows the server lets none have a function that returns a set.
  if (rows.length === 1 && !givesOneValue(rows, catalogFirst)) return null;
  return rows.length === 0 ? null : rows.length;
}
