import { TEXT_ARRAY_OID } from '../catalog/array-parameter.ts';
import { quoteLiteral, quoteName } from '../catalog/quote.ts';
import type { Column, Relation } from '../catalog/relation.ts';
import { capturedColumns, from } from './capture-sql.ts';
import type { HiddenQuery } from './connection.ts';
import { type Family, familyOf, type KeyValues } from './key-values.ts';
import { MADE_BY_US, mayBeEnded } from './look.ts';

/**
 * Rows of a table that one of its unique keys finds by values of the rows that the statement changes. Which these are is known
 * when it has run; so a query reads them from a setting, as it begins to read, and a cursor that was opened before sees the
 * rows as they were then.
 */

/** The types of a key's columns, of which each is looked for among all values of its family. */
export type KeyFamilies = readonly Family[];

export interface ByKeys {
  readonly families: readonly KeyFamilies[];
  /** What has to hold of `r` for each key. */
  readonly conditions: readonly string[];
}

/** Keys of one table that are looked at. */
const KEYS_MAX = 4;

/** Rows that are looked for by one key. */
const LOOKUPS_MAX = 20_000;

/** Null where no key has values that the statement's rows may have. */
export function byKeysOf({ keys, columns }: Relation): ByKeys | null {
  const found = keys.flatMap(({ columns: names }) => {
    const own = names.map((name) => columns.find((column) => column.name === name));
    const parts = own.flatMap((column) => {
      const family = column === undefined ? null : familyOf(column);
      return column === undefined || family === null ? [] : [{ column, family }];
    });
    return parts.length > 0 && parts.length === names.length ? [parts] : [];
  });
  const used = found.slice(0, KEYS_MAX);
  if (used.length === 0) return null;
  return {
    families: used.map((parts) => parts.map(({ family }) => family)),
    conditions: used.map((parts) => parts.map(({ column, family }) => isAmong(column, family)).join(' AND ')),
  };
}

const settingOf = (family: Family): string => `holdfast.${family}`;

/** The array is computed once, when the first row is asked for. */
function isAmong({ name, type }: Column, family: Family): string {
  const setting = `pg_catalog.current_setting(${quoteLiteral(settingOf(family))}, true)`;
  const value = `r.${quoteName(name)}${type.name === 'varchar' ? '::pg_catalog.text' : ''}`;
  return `${value} OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT pg_catalog.unnest(NULLIF(${setting}, '')::pg_catalog.${family}[])))`;
}

/** Of such rows those that this transaction may have ended since, and those that it had made before, with what stands in xmax. */
export function thenByKeys(
  relation: Relation,
  columns: readonly Column[],
  { conditions }: ByKeys,
  nextMulti: string,
): string {
  const seen = `(${mayBeEnded(nextMulti)}) OR ${MADE_BY_US}`;
  return conditions
    .map(
      (condition) =>
        `SELECT ${capturedColumns('r', columns)}, r.xmax FROM ${from(relation, true)} r WHERE ${condition} AND (${seen})`,
    )
    .join(' UNION ALL ');
}

/** Such rows that this transaction has made, as they are now. */
export function nowByKeys(name: string, columns: string, { conditions }: ByKeys): string {
  return conditions
    .map((condition) => `SELECT ${columns} FROM ONLY ${name} r WHERE ${condition} AND ${MADE_BY_US}`)
    .join(' UNION ALL ');
}

/** Whether the values are so few that looking for all of them is cheap. */
export function areFew({ families }: ByKeys, values: KeyValues): boolean {
  const lookups = (key: KeyFamilies) => key.reduce((product, family) => product * values.count(family), 1);
  return !values.isFull && families.every((key) => lookups(key) <= LOOKUPS_MAX);
}

/** Tells the server the values, until the transaction ends. */
export function tellingValues(values: KeyValues): HiddenQuery {
  const { families } = values;
  const each = families.map(
    (family, i) =>
      `pg_catalog.length(pg_catalog.set_config(${quoteLiteral(settingOf(family))}, $${i + 1}::pg_catalog.text[]::pg_catalog.text, true))`,
  );
  return {
    sql: `SELECT ${each.join(', ')}`,
    parameterTypes: families.map(() => TEXT_ARRAY_OID),
    parameters: families.map((family) => values.arrayOf(family)),
    parameterFormats: families.map(() => 1 as const),
    resultFormats: [],
  };
}
