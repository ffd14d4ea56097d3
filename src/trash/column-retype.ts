import { LIMITS } from '../base/limits.ts';
import { quoteLiteral, quoteName, quoteQualified } from '../catalog/quote.ts';
import { isRetyped } from './column-changes.ts';
import { makeCopy } from './column-copy.ts';
import { ON_CONFLICT } from './column-values.ts';
import type { Change } from './definition-changes.ts';
import { named, TRASH_SCHEMA } from './definitions.ts';
import { ALL_THE_SAME, demandExact, isExact, rowsWhere, SEES_ALL } from './exact-cast.ts';
import { emptyingPath, LIST, pinned } from './queries.ts';
import { json, type TrashSession } from './session.ts';
import type { RestoreStep } from './steps.ts';
import type { ColumnPart, TableDefinition } from './table-definition.ts';

/** Values of columns whose type is changed: copied before it, joined with what it has made of them, and put back. */

/** A column as it was and as it has become. */
interface Retyped {
  readonly before: ColumnPart;
  readonly after: ColumnPart;
  /** That of the copy which has the old values. */
  readonly was: string;
}

export interface RetypedValues {
  readonly table: TableDefinition;
  readonly copy: string;
  readonly rows: number;
  readonly key: readonly string[];
  /** All columns that the copy has as the statement has left them. */
  readonly kept: readonly string[];
  readonly columns: readonly Retyped[];
}

/** What tells rows apart once the types are changed: the columns of a key, and how each was computed from what it was. */
interface Pairing {
  readonly key: readonly string[];
  readonly expressions: readonly string[];
}

/** The keys of a table, by types of PostgreSQL's own, whose equality needs no search_path. $1: the table. */
const KEYS = pinned(
  emptyingPath(
    'of AS MATERIALIZED (SELECT $1::oid AS oid)',
    `coalesce((SELECT ${LIST('k.names', 'i.indisprimary DESC, k.columns, i.indexrelid')} FROM of JOIN pg_index i ON i.indrelid = of.oid CROSS JOIN LATERAL (
      SELECT ${LIST('a.attname', 'a.attnum')} AS names, pg_catalog.bool_and(a.attnotnull AND a.atttypid < 16384) AS good, pg_catalog.count(*) AS columns
        FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)) k
     WHERE i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnatts = i.indnkeyatts
       AND k.good AND k.columns = i.indnatts AND e.now IS NOT NULL), '[]')`,
  ),
);

/** text and varchar, which are the same bytes. */
const TEXTS = new Set([25, 1043]);

/**
 * The columns whose type is to be given back, and whether their values are too. All that a statement names are where a
 * table was written anew, because USING may change values without the type; a mere change of length leaves them.
 */
export function retypedIn(
  before: readonly TableDefinition[],
  after: readonly TableDefinition[],
  names: readonly string[],
): { readonly columns: readonly Change[]; readonly values: boolean } | string {
  const now = new Map(after.map((table) => [table.oid, table]));
  const isRewritten = before.some(({ oid, file }) => now.get(oid)?.file !== file);
  const root = before[0]!;
  const columns = Object.entries(root.columns).flatMap(([key, was]) => {
    const is = now.get(root.oid)?.columns[key] ?? null;
    const change = { table: root.oid, section: 'columns', key, before: was, after: is } as const;
    return is !== null && names.includes(was.name) && (isRewritten || isRetyped(change)) ? [change] : [];
  });
  if (isRewritten && columns.length < new Set(names).size) return 'a column that it names is not found';
  const isAlike = (was: ColumnPart, is: ColumnPart) =>
    was.typeOid === is.typeOid || (TEXTS.has(was.typeOid) && TEXTS.has(is.typeOid));
  const values =
    isRewritten ||
    columns.some((change) => !isAlike(change.before as ColumnPart, change.after as ColumnPart));
  return { columns, values };
}

export function problemOfSize(tables: readonly TableDefinition[]): string | null {
  const bytes = tables.reduce((sum, table) => sum + table.bytes, 0);
  if (bytes <= LIMITS.trashCopyBytes) return null;
  return `the table takes ${bytes} bytes, and is copied up to ${LIMITS.trashCopyBytes}`;
}

/** Why the values of a table cannot be kept, in words that read well behind "because". */
export function problemOfCopy(tables: readonly TableDefinition[]): string | null {
  const [root] = tables;
  const parts = tables.slice(1);
  const alone = root!.kind === 'r' && parts.length === 0 && root!.settings['place']?.['parents'] == null;
  const whole = root!.kind === 'p' && !root!.isPartition && parts.every(({ kind }) => 'rp'.includes(kind));
  if (!alone && !whole) return 'the table has parents or children, or foreign partitions';
  if (tables.some(({ rowSecurity }) => rowSecurity))
    return 'row security hides rows of the table from the role';
  return null;
}

/**
 * By a key that is not touched or, where all are, by one whose new values are those of an assignment: what a USING
 * computes cannot be computed a second time with certainty.
 */
export async function pairingOf(
  session: TrashSession,
  table: TableDefinition,
  changes: readonly Change[],
  computed: ReadonlySet<string>,
): Promise<Pairing | string> {
  const keys = await json<readonly (readonly string[])[]>(session, KEYS, [String(table.oid)]);
  const types = new Map(changes.map(({ after }) => [(after as ColumnPart).name, (after as ColumnPart).type]));
  const untouched = keys.find((key) => key.every((name) => !types.has(name)));
  const key = untouched ?? keys.find((names) => names.every((name) => !computed.has(name)));
  if (key === undefined) return 'the table has no key of plain types by which values could be put back';
  const cast = (name: string) => (types.has(name) ? `::${types.get(name)}` : '');
  return { key, expressions: key.map((name) => `t.${quoteName(name)}${cast(name)}`) };
}

function retypedOf(changes: readonly Change[], taken: readonly string[]): Retyped[] {
  return changes.map(({ before, after }, i) => {
    let was = `was ${i + 1}`;
    while (taken.includes(was)) was += ' ';
    return { before: before as ColumnPart, after: after as ColumnPart, was };
  });
}

const listed = (items: readonly string[]): string => items.join(', ');
const from = ({ kind }: TableDefinition): string => (kind === 'p' ? '' : 'ONLY ');
const keyName = (i: number): string => quoteName(`key ${i + 1}`);

/** Copies the values as they are, and gives what joins them with what the statement has made of them. */
export async function copyBefore(
  session: TrashSession,
  id: string,
  table: TableDefinition,
  after: TableDefinition,
  changes: readonly Change[],
  { key, expressions }: Pairing,
): Promise<() => Promise<RetypedValues>> {
  const kept = Object.values(after.columns).flatMap(({ name, generated }) =>
    generated === '' ? [name] : [],
  );
  const columns = retypedOf(changes, kept);
  const name = `${id}_${table.oid}`;
  const copy = quoteQualified(TRASH_SCHEMA, name);
  const first = quoteQualified(TRASH_SCHEMA, `${name}_0`);
  const at = `${from(table)}${named(table)} t`;
  const rows = await makeCopy(
    session,
    first,
    `SELECT ${listed([
      ...expressions.map((expression, i) => `${expression} AS ${keyName(i)}`),
      ...columns.map(({ before, was }) => `t.${quoteName(before.name)} AS ${quoteName(was)}`),
    ])} FROM ${at}`,
  );
  return async () => {
    const on = key.map((column, i) => `t.${quoteName(column)} = k.${keyName(i)}`).join(' AND ');
    const joined = await makeCopy(
      session,
      copy,
      `SELECT ${listed([
        ...kept.map((column) => `t.${quoteName(column)}`),
        ...columns.map(({ was }) => `k.${quoteName(was)}`),
      ])} FROM ${at} JOIN ${first} k ON ${on}`,
    );
    if (joined !== rows) throw new Error(`${joined} of ${rows} rows were found again`);
    await session.query(`DROP TABLE ${first}`);
    return { table, copy, rows, key, kept, columns };
  };
}

/**
 * A column cannot be given values that a query finds as its type is changed, but it can those of another column of its
 * row: so one of the old type is added, filled, and gone again in the end. All else follows as it follows any change.
 */
export function retypeBack(values: RetypedValues): readonly RestoreStep[] {
  const { table, columns } = values;
  const at = named(table);
  const extra = columns.map((_, i) => quoteName(`${table.oid}_holdfast_${i + 1}`));
  const add = columns.map(({ before }, i) => `ADD COLUMN ${extra[i]} ${typed(before)}`);
  const what = `the values of ${listed(columns.map(({ before }) => before.name))} of ${at}`;
  const using = (i: number) => ` USING ${extra[i]}`;
  return [
    { sql: `ALTER TABLE ${at} ${listed(add)}`, what },
    { sql: fill(values, extra), what },
    { sql: typesBack(at, columns, using), what },
    { sql: `ALTER TABLE ${at} ${listed(extra.map((name) => `DROP COLUMN ${name}`))}`, what },
  ];
}

/** Where the values are what they were, they are what they were for the old type too; what has come since need not be. */
export function retypeUnchanged(table: TableDefinition, changes: readonly Change[]): readonly RestoreStep[] {
  const columns = retypedOf(changes, []);
  const what = `the types of ${listed(columns.map(({ before }) => before.name))} of ${named(table)}`;
  const casts = columns.map(({ before: { type }, after }) => ({ after, type }));
  return [
    { sql: demandExact(named(table), casts), what },
    { sql: typesBack(named(table), columns, () => ''), what },
  ];
}

function typesBack(at: string, columns: readonly Retyped[], using: (i: number) => string): string {
  const parts = columns.map(
    ({ before }, i) => `ALTER COLUMN ${quoteName(before.name)} TYPE ${typed(before)}${using(i)}`,
  );
  return `ALTER TABLE ${at} ${listed(parts)}`;
}

const typed = ({ type, collation }: ColumnPart): string =>
  collation === null ? type : `${type} COLLATE ${collation}`;

/** Fills the added columns, or fails with the rows that are in the way; and removes the copy where all of it is placed. */
function fill({ table, copy, rows, key, kept, columns }: RetypedValues, extra: readonly string[]): string {
  const at = `${from(table)}${named(table)}`;
  const row = (of: string, names: readonly string[]) =>
    `ROW(${listed(names.map((name) => `${of}.${name}`))})`;
  const same = (some: string, others: string) => `pg_catalog.record_image_eq(${some}, ${others})`;
  const quoted = kept.map(quoteName);
  const sameRow = same(row('t', quoted), row('k', quoted));
  const was = columns.map((column) => quoteName(column.was));
  const placed = same(row('t', extra), row('k', was));
  const byKey = key.map((name) => `t.${quoteName(name)} = k.${quoteName(name)}`).join(' AND ');
  const label = listed(key.map((name) => `pg_catalog.left(k.${quoteName(name)}::pg_catalog.text, 60)`));
  const isOld = `${byKey} AND (holdfast_mode = 'overwrite' OR ${sameRow})`;
  const shown = LIMITS.trashConflictsShown;
  const cast = listed(columns.map(({ after }, i) => `${extra[i]} = ${quoteName(after.name)}`));
  const isConverted = `NOT EXISTS (SELECT FROM ${copy} k WHERE ${byKey} AND ($1 OR ${sameRow}))`;
  const exact = columns.map(({ after }, i) => isExact(`t.${quoteName(after.name)}`, after, `t.${extra[i]}`));
  const inexact = rowsWhere(at, key, `${isConverted} AND NOT (${exact.join(' AND ')})`);
  const types = (which: 'before' | 'after') => listed(columns.map((column) => String(column[which].typeOid)));
  const bare = (
    of: string,
  ) => `UNION SELECT s.i, CASE y.typtype WHEN 'd' THEN y.typbasetype ELSE y.typelem END
          FROM ${of} s JOIN pg_type y ON y.oid = s.oid WHERE y.typtype = 'd' OR y.typelem <> 0`;
  const old = listed(was.map((name, i) => `${extra[i]} = k.${name}`));
  const body = `#variable_conflict use_column
DECLARE
  holdfast_bad text;
  holdfast_mode text := coalesce(pg_catalog.current_setting('${ON_CONFLICT}', true), '');
  holdfast_triggers jsonb := coalesce((SELECT jsonb_agg(jsonb_build_array(quote_ident(n.nspname) || '.' || quote_ident(c.relname), g.tgname, g.tgenabled))
    FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE (g.tgrelid = ${table.oid}::oid OR g.tgrelid IN (SELECT relid FROM pg_partition_tree(${table.oid}::oid::regclass))) AND NOT g.tgisinternal AND g.tgenabled <> 'D'), '[]');
  holdfast_each jsonb;
  ${SEES_ALL.declared}
BEGIN
  ${SEES_ALL.begin}
  IF EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = ${table.oid}::oid AND w.ev_type = '2') THEN
    RAISE EXCEPTION 'it has a rule ON UPDATE';
  END IF;
  IF (SELECT count(*) FROM ${copy}) <> ${rows} THEN
    RAISE EXCEPTION 'the copy in the trash has not the ${rows} rows that it was made with';
  END IF;
  SELECT string_agg(x.said, ', ') || CASE WHEN max(x.n) > ${shown} THEN ', and ' || max(x.n) - ${shown} || ' more' ELSE '' END INTO holdfast_bad
    FROM (SELECT '(' || concat_ws(', ', ${label}) || CASE WHEN t.tableoid IS NULL THEN ') is gone' ELSE ') has changed or is another' END AS said,
        count(*) OVER () AS n
      FROM ${copy} k LEFT JOIN ${at} t ON ${byKey}
     WHERE t.tableoid IS NULL OR NOT (${sameRow})
     LIMIT ${shown}) x;
  IF holdfast_bad IS NOT NULL AND holdfast_mode NOT IN ('skip', 'overwrite') THEN
    RAISE EXCEPTION USING MESSAGE = 'rows are not as the statement has left them: ' || holdfast_bad;
  END IF;
  FOR holdfast_each IN SELECT jsonb_array_elements(holdfast_triggers) LOOP
    EXECUTE 'ALTER TABLE ONLY ' || (holdfast_each ->> 0) || ' DISABLE TRIGGER ' || quote_ident(holdfast_each ->> 1);
  END LOOP;
  UPDATE ${at} t SET ${old} FROM ${copy} k WHERE ${isOld};
  IF EXISTS (SELECT FROM ${at} t WHERE NOT EXISTS (SELECT FROM ${copy} k WHERE ${isOld})) THEN
    IF EXISTS (WITH RECURSIVE sources(i, oid) AS (
        SELECT u.i, u.oid FROM unnest(ARRAY[${types('after')}]::oid[]) WITH ORDINALITY u(oid, i) ${bare('sources')}
      ), targets(i, oid) AS (
        SELECT u.i, u.oid FROM unnest(ARRAY[${types('before')}]::oid[]) WITH ORDINALITY u(oid, i) ${bare('targets')}
      ) SELECT FROM sources s JOIN targets g ON g.i = s.i
          JOIN pg_cast x ON x.castsource = s.oid AND x.casttarget = g.oid OR x.castsource = g.oid AND x.casttarget = s.oid AND holdfast_mode <> 'overwrite'
        WHERE x.castfunc >= 16384) THEN
      RAISE EXCEPTION 'rows were put in or changed since, and a cast between the two types is not PostgreSQL''s own';
    END IF;
    BEGIN
      EXECUTE ${quoteLiteral(`UPDATE ${at} t SET ${cast} WHERE ${isConverted}`)} USING holdfast_mode = 'overwrite';
      IF holdfast_mode <> 'overwrite' THEN
        EXECUTE ${quoteLiteral(inexact)} INTO holdfast_bad USING false;
      END IF;
    EXCEPTION WHEN OTHERS THEN
      RAISE EXCEPTION USING MESSAGE = 'rows were put in or changed since whose values cannot become what the column was: ' || SQLERRM;
    END;
    IF holdfast_bad IS NOT NULL AND holdfast_mode <> 'overwrite' THEN
      RAISE EXCEPTION USING MESSAGE = 'rows were put in or changed since whose values would become others: ' || holdfast_bad || ${quoteLiteral(`; ${ALL_THE_SAME}`)};
    END IF;
  END IF;
  FOR holdfast_each IN SELECT jsonb_array_elements(holdfast_triggers) LOOP
    EXECUTE 'ALTER TABLE ONLY ' || (holdfast_each ->> 0) || ' ENABLE ' || CASE holdfast_each ->> 2 WHEN 'R' THEN 'REPLICA ' WHEN 'A' THEN 'ALWAYS ' ELSE '' END
      || 'TRIGGER ' || quote_ident(holdfast_each ->> 1);
  END LOOP;
  IF EXISTS (SELECT FROM ${copy} k JOIN ${at} t ON ${isOld} WHERE NOT (${placed})) THEN
    RAISE EXCEPTION 'not all of them could be put back';
  END IF;
  IF NOT EXISTS (SELECT FROM ${copy} k WHERE NOT EXISTS (SELECT FROM ${at} t WHERE ${isOld})) THEN
    EXECUTE ${quoteLiteral(`DROP TABLE ${copy}`)};
  END IF;
  ${SEES_ALL.end}
END`;
  return `DO LANGUAGE plpgsql ${quoteLiteral(body)}`;
}
