import { LIMITS } from '../base/limits.ts';
import { quoteLiteral, quoteName } from '../catalog/quote.ts';
import { ON_CONFLICT } from './column-values.ts';
import type { ColumnPart } from './table-definition.ts';

/** Casts round and cut silently: whether values survive the way to another type is asked of the values. */

/** As a DO has them: row security would hide rows, and what is not seen is not compared. */
export const SEES_ALL = {
  declared: `holdfast_security text := pg_catalog.current_setting('row_security');`,
  begin: `PERFORM pg_catalog.set_config('row_security', 'off', true);`,
  end: `PERFORM pg_catalog.set_config('row_security', holdfast_security, true);`,
} as const;

const NUMERIC = 1700;

/**
 * Whether a value is the same again, byte for byte, once what has become of it is of its own type: equality would not
 * tell -0 from 0, nor texts of a type that ignores case. A numeric may get digits that are zeros, but loses none.
 */
export function isExact(value: string, { type, typeOid }: ColumnPart, became: string): string {
  const back = `(${became})::${type}`;
  if (typeOid !== NUMERIC) return `pg_catalog.record_image_eq(ROW(${value}), ROW(${back}))`;
  const digits = (of: string) => `pg_catalog.scale(${of})`;
  return `(${value} IS NOT DISTINCT FROM ${back} AND coalesce(${digits(back)} >= ${digits(value)}, true))`;
}

export const ALL_THE_SAME = 'where conflicts are overwritten they are converted all the same';

/** Names the rows of `t` of which a condition is true, by their key; null where there are none. */
export function rowsWhere(from: string, key: readonly string[], condition: string): string {
  const label = key.map((name) => `pg_catalog.left(t.${quoteName(name)}::pg_catalog.text, 60)`).join(', ');
  const shown = LIMITS.trashConflictsShown;
  return `SELECT string_agg(x.said, ', ') || CASE WHEN max(x.n) > ${shown} THEN ', and ' || max(x.n) - ${shown} || ' more' ELSE '' END
    FROM (SELECT '(' || concat_ws(', ', ${label}) || ')' AS said, count(*) OVER () AS n FROM ${from} t WHERE ${condition} LIMIT ${shown}) x`;
}

/** Fails where a change of types, which has no values to give back, would leave others; rows have no key that is known. */
export function demandExact(
  table: string,
  columns: readonly { readonly after: ColumnPart; readonly type: string }[],
): string {
  const exact = columns.map(({ after, type }) => {
    const value = `t.${quoteName(after.name)}`;
    return isExact(value, after, `${value}::${type}`);
  });
  const types = columns.map(({ after, type }) => `${after.name} as ${type}`).join(', ');
  const said = ` rows have values by now that would become others (${types}); ${ALL_THE_SAME}`;
  const body = `#variable_conflict use_column
DECLARE
  ${SEES_ALL.declared}
  holdfast_n bigint;
BEGIN
  IF pg_catalog.current_setting('${ON_CONFLICT}', true) = 'overwrite' THEN
    RETURN;
  END IF;
  ${SEES_ALL.begin}
  SELECT count(*) INTO holdfast_n FROM ${table} t WHERE NOT (${exact.join(' AND ')});
  ${SEES_ALL.end}
  IF holdfast_n > 0 THEN
    RAISE EXCEPTION USING MESSAGE = holdfast_n || ${quoteLiteral(said)};
  END IF;
END`;
  return `DO LANGUAGE plpgsql ${quoteLiteral(body)}`;
}
