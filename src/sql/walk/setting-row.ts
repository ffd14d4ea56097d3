import {
  aliasOf,
  as,
  type Fields,
  isObject,
  list,
  nameParts,
  relationOf,
  stringOf,
} from '../parsing/tree.ts';
import type { SettingRow } from './scope.ts';
import type { Walk } from './walk.ts';

export const PG_SETTINGS = 'pg_settings';

/**
 * `FROM pg_settings WHERE name = '…'` alone, by which pg_dump changes only such settings as the server knows: the one
 * setting whose row it reads. Null for anything else, and wherever `=` may be another operator.
 */
export function settingRowOf(walk: Walk, fields: Fields): SettingRow | null {
  const [source, ...others] = list(fields['fromClause']);
  const rangeVar = as(source, 'RangeVar');
  if (rangeVar === null || others.length > 0) return null;
  const relation = relationOf(rangeVar);
  if (relation?.name !== PG_SETTINGS || walk.scope.hasCte(PG_SETTINGS)) return null;
  if (relation.schema !== null && relation.schema !== 'pg_catalog') return null;
  const alias = rangeVar['alias'];
  if (isObject(alias) && list(alias['colnames']).length > 0) return null;
  const named = aliasOf(rangeVar);
  const columns = [NAME, written(named ?? PG_SETTINGS, NAME)];
  if (named === null) columns.push(written('pg_catalog', PG_SETTINGS, NAME));
  const setting = comparedWith(walk, as(fields['whereClause'], 'A_Expr'), columns);
  return setting === null ? null : { setting, columns, isQualified: relation.schema !== null };
}

const NAME = 'name';

const written = (...parts: readonly string[]): string => parts.join('\0');

/** The name of a column as it is written, with a NUL between its parts; null for anything else. */
export function columnOf(value: unknown): string | null {
  const parts = list(as(value, 'ColumnRef')?.['fields']).map(stringOf);
  return parts.length === 0 || parts.includes(null) ? null : parts.join('\0');
}

function comparedWith(walk: Walk, condition: Fields | null, columns: readonly string[]): string | null {
  if (condition === null || condition['kind'] !== 'AEXPR_OP') return null;
  const [operator, schema, ...rest] = [...nameParts(condition['name'])].reverse();
  if (operator !== '=' || rest.length > 0) return null;
  if (schema === undefined ? !walk.catalogFirst : schema !== 'pg_catalog') return null;
  const { lexpr, rexpr } = condition;
  const [column, literal] = as(lexpr, 'A_Const') === null ? [lexpr, rexpr] : [rexpr, lexpr];
  if (!columns.includes(columnOf(column) ?? '') || as(literal, 'A_Const') === null) return null;
  return stringOf(literal);
}
