import type { Relation } from '../catalog/relation.ts';
import { type ChangedRows, isGenerated, type Relations, storedIn } from './cascade.ts';

/** Rows that may be stored in the same tables, which are captured together so that none is captured twice. */
export interface RowGroup {
  /** Through which all of them are found. */
  readonly relation: Relation;
  readonly nodes: readonly ChangedRows[];
  readonly stored: readonly Relation[];
}

/** A partition and what it is a part of may both be reached; then the larger is asked for both. */
export function groupOverlapping(nodes: readonly ChangedRows[], relations: Relations): RowGroup[] {
  const groups: RowGroup[] = [];
  for (const node of nodes) {
    const stored = storedIn(node.relation, node.only, relations);
    const overlapping = groups.filter((group) => group.stored.some((table) => stored.includes(table)));
    const all = [...overlapping, { relation: node.relation, nodes: [node], stored }];
    const largest = all.reduce((a, b) => (isLarger(b, a) ? b : a));
    for (const group of overlapping) groups.splice(groups.indexOf(group), 1);
    groups.push({ ...largest, nodes: all.flatMap((group) => group.nodes) });
  }
  return groups;
}

/** Whether a change may touch what foreign keys could refer to: any column of a unique key. */
export function mayChangeKeys({ nodes, relation, stored }: RowGroup): boolean {
  const keyed = [relation, ...stored].flatMap(({ keys }) => keys.flatMap(({ columns }) => columns));
  return nodes.some(
    ({ change }) =>
      change.kind === 'delete' ||
      keyed.some((name) => change.columns.includes(name) || isGenerated(relation, name)),
  );
}

function isLarger(a: RowGroup, b: RowGroup): boolean {
  if (a.stored.length !== b.stored.length) return a.stored.length > b.stored.length;
  return a.relation.kind === 'partitioned table' && b.relation.kind !== 'partitioned table';
}
