import type { Change } from './definition-changes.ts';
import type { ColumnPart, ConstraintPart, Part } from './table-definition.ts';

export function isRetyped({ section, before, after }: Change): boolean {
  if (section !== 'columns' || before === null || after === null) return false;
  const type = ({ type, typeOid, collation }: ColumnPart) => JSON.stringify([type, typeOid, collation]);
  return type(before as ColumnPart) !== type(after as ColumnPart);
}

/**
 * The statements by which a column has to have a value again, or need not; `wholes` where it is that of the whole. From
 * 18 on a constraint says so, and brings that back.
 */
export function notNull(
  changes: readonly Change[],
  { table, before, after }: Change,
  alter: string,
  wholes: boolean,
): string[] {
  const was = (before as ColumnPart).notNull;
  if (was === (after as ColumnPart).notNull || (wholes && !was)) return [];
  const name = (before as ColumnPart).name;
  const isOf = (part: Part | null) =>
    part?.['type'] === 'n' && (part as ConstraintPart).columns?.includes(name) === true;
  const told = changes.some(
    (each) =>
      each.table === table && each.section === 'constraints' && (isOf(each.before) || isOf(each.after)),
  );
  return told ? [] : [`${alter} ${was ? 'SET' : 'DROP'} NOT NULL`];
}
