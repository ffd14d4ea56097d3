import { quoteLiteral, quoteName } from '../catalog/quote.ts';
import { comment, named, optionList } from './definitions.ts';
import type { ColumnPart, ConstraintPart, IndexTraits, Part, TableDefinition } from './table-definition.ts';

/** Statements that give back single traits of tables, columns and indexes. */

export function expression({ generated, expression: is }: ColumnPart, alter: string): string[] {
  if (generated !== '') return [`${alter} SET EXPRESSION AS (${is})`];
  return [is === null ? `${alter} DROP DEFAULT` : `${alter} SET DEFAULT ${is}`];
}

export function options(
  alter: string,
  before: readonly string[],
  after: readonly string[],
  of = '',
): string[] {
  const nameOf = (option: string) => option.slice(0, option.indexOf('='));
  const were = new Set(before.map(nameOf));
  const added = after.map(nameOf).filter((name) => !were.has(name));
  const changed = before.filter((option) => !after.includes(option));
  return [
    ...(added.length === 0 ? [] : [`${alter} RESET (${added.map((name) => of + name).join(', ')})`]),
    ...(changed.length === 0 ? [] : [`${alter} SET (${optionList(changed.map((option) => of + option))})`]),
  ];
}

export function storageOptions(alter: string, before: Part | null, after: Part | null): string[] {
  const of = (part: Part | null, key: string) => (part?.[key] ?? []) as readonly string[];
  return [
    ...options(alter, of(before, 'is'), of(after, 'is')),
    ...options(alter, of(before, 'toast'), of(after, 'toast'), 'toast.'),
  ];
}

export const commentBack = (on: string, text: string | null): string[] =>
  text === null ? [`COMMENT ON ${on} IS NULL`] : comment(on, text);

/** What goes with extensions goes with them again. */
export const extended = (what: string, { extensions }: { readonly extensions?: readonly string[] | null }) =>
  (extensions ?? []).map((name) => `ALTER ${what} DEPENDS ON EXTENSION ${quoteName(name)}`);

/** What an index has beside its definition; of one that is made anew some is there already, which does no harm. */
export function indexTraits(
  table: TableDefinition,
  before: IndexTraits,
  after: IndexTraits | null,
): readonly string[] {
  const at = named(before);
  const alter = `ALTER TABLE ONLY ${named(table)}`;
  const loses = !before.clustered && after?.clustered === true && !clusters(table);
  return [
    ...(before.tablespace !== (after?.tablespace ?? null) && before.tablespace !== null
      ? [`ALTER INDEX ${at} SET TABLESPACE ${quoteName(before.tablespace)}`]
      : []),
    ...options(`ALTER INDEX ${at}`, before.options ?? [], after?.options ?? []),
    ...(before.statistics ?? []).map(
      ({ number, target }) => `ALTER INDEX ${at} ALTER COLUMN ${number} SET STATISTICS ${target}`,
    ),
    ...(before.comment !== (after?.comment ?? null) ? commentBack(`INDEX ${at}`, before.comment) : []),
    ...(after === null ? extended(`INDEX ${at}`, before) : []),
    ...(before.clustered && after?.clustered !== true
      ? [`${alter} CLUSTER ON ${quoteName(before.name)}`]
      : []),
    ...(loses ? [`${alter} SET WITHOUT CLUSTER`] : []),
    ...(before.replica && after?.replica !== true
      ? [`${alter} REPLICA IDENTITY USING INDEX ${quoteName(before.name)}`]
      : []),
  ];
}

function clusters({ indexes, constraints }: TableDefinition): boolean {
  return [...Object.values(indexes), ...Object.values(constraints).map(({ index }) => index)].some(
    (index) => index?.clustered === true,
  );
}

/** What is made along with a whole has a name of the server's choice. */
export function namedAsBefore(
  table: string,
  name: string,
  whole: NonNullable<ConstraintPart['whole']>,
): string {
  const body = `DECLARE
  holdfast_name text := (SELECT x.conname FROM pg_constraint x JOIN pg_constraint w ON w.oid = x.conparentid
    WHERE x.conrelid = ${quoteLiteral(table)}::regclass AND w.conrelid = ${quoteLiteral(whole.table)}::regclass AND w.conname = ${quoteLiteral(whole.name)});
BEGIN
  IF holdfast_name <> ${quoteLiteral(name)} THEN
    EXECUTE ${quoteLiteral(`ALTER TABLE ${table} RENAME CONSTRAINT `)} || quote_ident(holdfast_name) || ${quoteLiteral(` TO ${quoteName(name)}`)};
  END IF;
END`;
  return `DO LANGUAGE plpgsql ${quoteLiteral(body)}`;
}
