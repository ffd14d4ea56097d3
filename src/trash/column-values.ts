import { LIMITS } from '../base/limits.ts';
import { quoteLiteral, quoteName } from '../catalog/quote.ts';

/** What was copied of a table whose columns were dropped, and where it stands. Names are as SQL takes them. */
export interface ColumnValues {
  readonly table: string;
  readonly oid: number;
  readonly copy: string;
  readonly rows: number;
  readonly key: readonly string[];
  /** Columns that stayed, by all of which a row is known again. */
  readonly kept: readonly string[];
  /** Columns that went. */
  readonly values: readonly string[];
}

const block = (body: string): string => `DO LANGUAGE plpgsql ${quoteLiteral(body)}`;

/** Another table may have come by the name since; and what is put back must not become something else. */
export function sameTable({ table, oid }: Pick<ColumnValues, 'table' | 'oid'>): string {
  return block(`BEGIN
  LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE;
  IF ${quoteLiteral(table)}::regclass::oid <> ${oid}::oid THEN
    RAISE EXCEPTION 'another table has its name by now';
  END IF;
  IF EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = ${oid}::oid OR i.inhparent = ${oid}::oid) THEN
    RAISE EXCEPTION 'it has partitions, parents or children since';
  END IF;
  IF EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = ${oid}::oid AND w.ev_type = '2') THEN
    RAISE EXCEPTION 'it has a rule ON UPDATE';
  END IF;
END`);
}

/** Where a restore says what is to become of rows that are not as the statement has left them. */
export const ON_CONFLICT = 'holdfast.on_conflict';

const MODE = `coalesce(pg_catalog.current_setting('${ON_CONFLICT}', true), '')`;

/** Parts of conditions on `t`, the table, and `k`, the copy; how a row is named, and what is set. */
function partsOf({ key, kept, values }: ColumnValues) {
  const row = (of: string, names: readonly string[]) =>
    `ROW(${names.map((name) => `${of}.${quoteName(name)}`).join(', ')})`;
  // The operator would be taken for one of each pair of values.
  const same = (names: readonly string[]) =>
    `pg_catalog.record_image_eq(${row('t', names)}, ${row('k', names)})`;
  const byKey = key.map((name) => `t.${quoteName(name)} = k.${quoteName(name)}`).join(' AND ');
  const label = key.map((name) => `pg_catalog.left(k.${quoteName(name)}::pg_catalog.text, 60)`).join(', ');
  const set = values.map((name) => `${quoteName(name)} = k.${quoteName(name)}`).join(', ');
  return { byKey, sameRow: same(kept), sameValues: same(values), label, set };
}

const triggersOf = ({ oid }: ColumnValues): string =>
  `coalesce((SELECT jsonb_agg(jsonb_build_array(g.tgname, g.tgenabled)) FROM pg_trigger g
    WHERE g.tgrelid = ${oid}::oid AND NOT g.tgisinternal AND g.tgenabled <> 'D'), '[]')`;

const disabling = (
  table: string,
): string => `  FOR holdfast_each IN SELECT jsonb_array_elements(holdfast_triggers) LOOP
    EXECUTE ${quoteLiteral(`ALTER TABLE ${table} DISABLE TRIGGER `)} || quote_ident(holdfast_each ->> 0);
  END LOOP;`;

const enabling = (
  table: string,
): string => `  FOR holdfast_each IN SELECT jsonb_array_elements(holdfast_triggers) LOOP
    EXECUTE ${quoteLiteral(`ALTER TABLE ${table} ENABLE `)} || CASE holdfast_each ->> 1 WHEN 'R' THEN 'REPLICA ' WHEN 'A' THEN 'ALWAYS ' ELSE '' END
      || 'TRIGGER ' || quote_ident(holdfast_each ->> 0);
  END LOOP;`;

/**
 * Gives every value back to the row that it was taken from, or fails with the rows that are in the way and gives none.
 * A row is taken for the same where its key and, byte for byte, all its other values are; where conflicts are to be
 * skipped the rest is given, and where they are to be overwritten also what has the key alone. Triggers do not fire,
 * since they would change what is put back; afterwards all is compared once more.
 */
export function giveValuesBack(values: ColumnValues): string {
  const { table, copy, rows } = values;
  const { byKey, sameRow, sameValues, label, set } = partsOf(values);
  const shown = LIMITS.trashConflictsShown;
  return block(`#variable_conflict use_column
DECLARE
  holdfast_bad text;
  holdfast_mode text := ${MODE};
  holdfast_triggers jsonb := ${triggersOf(values)};
  holdfast_each jsonb;
BEGIN
  IF (SELECT count(*) FROM ${copy}) <> ${rows} THEN
    RAISE EXCEPTION 'the copy in the trash has not the ${rows} rows that it was made with';
  END IF;
  SELECT string_agg(x.said, ', ') || CASE WHEN max(x.n) > ${shown} THEN ', and ' || max(x.n) - ${shown} || ' more' ELSE '' END INTO holdfast_bad
    FROM (SELECT '(' || concat_ws(', ', ${label}) || CASE WHEN t.ctid IS NULL THEN ') is gone' ELSE ') has changed or is another' END AS said,
        count(*) OVER () AS n
      FROM ${copy} k LEFT JOIN ONLY ${table} t ON ${byKey}
     WHERE t.ctid IS NULL OR NOT (${sameRow})
     LIMIT ${shown}) x;
  IF holdfast_bad IS NOT NULL AND holdfast_mode NOT IN ('skip', 'overwrite') THEN
    RAISE EXCEPTION USING MESSAGE = 'rows are not as the statement has left them: ' || holdfast_bad;
  END IF;
${disabling(table)}
  UPDATE ONLY ${table} t SET ${set} FROM ${copy} k WHERE ${byKey} AND (holdfast_mode = 'overwrite' OR ${sameRow});
${enabling(table)}
  IF EXISTS (SELECT FROM ${copy} k LEFT JOIN ONLY ${table} t ON ${byKey} WHERE CASE holdfast_mode
      WHEN 'overwrite' THEN t.ctid IS NOT NULL AND NOT (${sameValues})
      WHEN 'skip' THEN t.ctid IS NOT NULL AND ${sameRow} AND NOT (${sameValues})
      ELSE t.ctid IS NULL OR NOT (${sameRow} AND ${sameValues}) END) THEN
    RAISE EXCEPTION 'not all of them could be put back';
  END IF;
END`);
}

/**
 * The copy goes where none of its rows is left over. Otherwise those that were placed go from it, so that they are not put
 * back a second time, over what has become of them.
 */
export function removeCopy(values: ColumnValues): string {
  const { copy } = values;
  if (values.values.length === 0) return `DROP TABLE ${copy}`;
  const { byKey, sameRow, sameValues } = partsOf(values);
  const placed = `${byKey} AND ${sameValues} AND (${MODE} = 'overwrite' OR ${sameRow})`;
  return block(`#variable_conflict use_column
BEGIN
${withoutPlaced(values, placed)}
END`);
}

/** Who owns the copy may not change its rows, but may give himself the right. */
function withoutPlaced({ table, copy }: ColumnValues, placed: string): string {
  return `  IF NOT EXISTS (SELECT FROM ${copy} k WHERE NOT EXISTS (SELECT FROM ONLY ${table} t WHERE ${placed})) THEN
    EXECUTE ${quoteLiteral(`DROP TABLE ${copy}`)};
  ELSE
    EXECUTE ${quoteLiteral(`GRANT DELETE ON ${copy} TO `)} || quote_ident(current_user);
    EXECUTE ${quoteLiteral(`DELETE FROM ${copy} k USING ONLY ${table} t WHERE ${placed}`)};
    EXECUTE ${quoteLiteral(`REVOKE DELETE ON ${copy} FROM `)} || quote_ident(current_user);
  END IF;`;
}

/**
 * Gives back what an undo has left over, to rows that are as they were again and have no value since; or, where
 * conflicts are to be overwritten, to all that have the key.
 */
export function giveRestBack(values: ColumnValues): string {
  const { table, copy, rows } = values;
  const { byKey, sameRow, sameValues, label, set } = partsOf(values);
  const empty = `pg_catalog.num_nonnulls(${values.values.map((name) => `t.${quoteName(name)}`).join(', ')}) = 0`;
  const fits = `${byKey} AND (holdfast_mode = 'overwrite' OR ${sameRow} AND ${empty})`;
  const shown = LIMITS.trashConflictsShown;
  return block(`#variable_conflict use_column
DECLARE
  holdfast_bad text;
  holdfast_mode text := ${MODE};
  holdfast_triggers jsonb := ${triggersOf(values)};
  holdfast_each jsonb;
BEGIN
  IF (SELECT count(*) FROM ${copy}) > ${rows} THEN
    RAISE EXCEPTION 'the copy in the trash has more than the ${rows} rows that it was made with';
  END IF;
  SELECT string_agg(x.said, ', ') || CASE WHEN max(x.n) > ${shown} THEN ', and ' || max(x.n) - ${shown} || ' more' ELSE '' END INTO holdfast_bad
    FROM (SELECT '(' || concat_ws(', ', ${label}) || ')' AS said, count(*) OVER () AS n
      FROM ${copy} k WHERE NOT EXISTS (SELECT FROM ONLY ${table} t WHERE ${byKey} AND ${sameRow} AND ${empty}) LIMIT ${shown}) x;
  IF holdfast_bad IS NOT NULL AND holdfast_mode NOT IN ('skip', 'overwrite') THEN
    RAISE EXCEPTION USING MESSAGE = 'rows are gone, have changed, or have a value since: ' || holdfast_bad;
  END IF;
  IF NOT EXISTS (SELECT FROM ${copy} k JOIN ONLY ${table} t ON ${fits}) THEN
    RAISE EXCEPTION 'there is no row to which any of what is left over belongs';
  END IF;
${disabling(table)}
  UPDATE ONLY ${table} t SET ${set} FROM ${copy} k WHERE ${fits};
${enabling(table)}
${withoutPlaced(values, `${byKey} AND ${sameValues} AND (${MODE} = 'overwrite' OR ${sameRow})`)}
END`);
}
