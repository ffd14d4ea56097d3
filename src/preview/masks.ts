import type { Relation } from '../catalog/relation.ts';
import type { ColumnPattern } from '../policy/name-pattern.ts';
import { matchColumn } from '../policy/name-pattern.ts';

/** Whether values of a column are to be kept from those who look at a preview. */
export function isMasked(
  masks: readonly ColumnPattern[],
  { schema, name }: Pick<Relation, 'schema' | 'name'>,
  column: string,
): boolean {
  return masks.some((mask) => matchColumn(mask, { table: { schema, name }, name: column }) !== 'no');
}
