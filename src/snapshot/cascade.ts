import type { Reference, Relation } from '../catalog/relation.ts';

/** What happens to rows, as far as foreign keys look at it. */
export type Change =
  | { readonly kind: 'delete' }
  | { readonly kind: 'update'; readonly columns: readonly string[] };

/** Rows of one relation that change in one way: those of the statement itself, or those that follow. */
export interface ChangedRows {
  readonly id: number;
  readonly relation: Relation;
  /** Without its partitions and descendants. */
  readonly only: boolean;
  readonly change: Change;
  /** 0 for the statement's own rows. */
  readonly level: number;
}

/** A foreign key that carries a change on: from rows of what it refers to, to rows that refer to them. */
export interface CascadeEdge {
  readonly from: number;
  readonly to: number;
  readonly reference: Reference;
  readonly referenced: Relation;
  readonly referrer: Relation;
}

export interface CascadeGraph {
  readonly nodes: readonly ChangedRows[];
  readonly edges: readonly CascadeEdge[];
  /** Some rows are reached from themselves. */
  readonly cyclic: boolean;
}

export type Relations = ReadonlyMap<number, Relation>;

/** Follows the changes of a statement's own rows along the foreign keys, as PostgreSQL will. */
export function followCascades(
  relation: Relation,
  only: boolean,
  changes: readonly Change[],
  relations: Relations,
): CascadeGraph {
  const nodes: ChangedRows[] = changes.map((change, id) => ({ id, relation, only, change, level: 0 }));
  const edges: CascadeEdge[] = [];
  for (let at = 0; at < nodes.length; at++) {
    const from = nodes[at]!;
    for (const { reference, referenced } of referencesTo(from, relations)) {
      const referrer = relations.get(reference.referrer);
      const change = carriedOn(from, reference);
      if (referrer === undefined || change === null) continue;
      const to = nodeOf(nodes, referrer, change, from.level + 1);
      edges.push({ from: from.id, to, reference, referenced, referrer });
    }
  }
  return { nodes, edges, cyclic: isCyclic(nodes, edges) };
}

/** Foreign keys to a relation are those to the partitioned tables above it, to itself, and to what is below. */
function referencesTo(rows: ChangedRows, relations: Relations) {
  const below = rows.only ? [] : descendants(rows.relation, relations);
  return [...partitionAncestors(rows.relation, relations), rows.relation, ...below].flatMap((referenced) =>
    referenced.references
      .filter(({ parent }) => parent === 0)
      .map((reference) => ({ reference, referenced })),
  );
}

function carriedOn(rows: ChangedRows, reference: Reference): Change | null {
  const { change } = rows;
  const deletes = change.kind === 'delete';
  if (!(deletes ? reference.deleteActive : reference.updateActive)) return null;
  if (change.kind === 'update' && !touchesKey(rows.relation, change.columns, reference)) return null;
  const action = deletes ? reference.onDelete : reference.onUpdate;
  switch (action) {
    case 'no action':
    case 'restrict':
      return null;
    case 'cascade':
      return deletes ? { kind: 'delete' } : { kind: 'update', columns: reference.referrerColumns };
    case 'set null':
    case 'set default':
      return { kind: 'update', columns: deletes ? reference.setColumns : reference.referrerColumns };
    default:
      return action satisfies never;
  }
}

/** A generated column may change with any other. */
function touchesKey(relation: Relation, changed: readonly string[], reference: Reference): boolean {
  return reference.columns.some((name) => changed.includes(name) || isGenerated(relation, name));
}

export function isGenerated(relation: Relation, name: string): boolean {
  return relation.columns.some((column) => column.name === name && column.generated !== '');
}

function nodeOf(nodes: ChangedRows[], relation: Relation, change: Change, level: number): number {
  const only = relation.kind !== 'partitioned table';
  const same = nodes.find(
    (node) =>
      node.relation.oid === relation.oid &&
      (node.only === only || node.relation.children.length === 0) &&
      sameChange(node.change, change),
  );
  if (same !== undefined) return same.id;
  nodes.push({ id: nodes.length, relation, only, change, level });
  return nodes.length - 1;
}

function sameChange(a: Change, b: Change): boolean {
  if (a.kind === 'delete' || b.kind === 'delete') return a.kind === b.kind;
  return a.columns.length === b.columns.length && a.columns.every((name) => b.columns.includes(name));
}

function isCyclic(nodes: readonly ChangedRows[], edges: readonly CascadeEdge[]): boolean {
  const waiting = new Map(nodes.map(({ id }) => [id, edges.filter(({ to }) => to === id).length]));
  const free = nodes.filter(({ id }) => waiting.get(id) === 0).map(({ id }) => id);
  for (let at = 0; at < free.length; at++) {
    for (const { to } of edges.filter(({ from }) => from === free[at])) {
      const left = waiting.get(to)! - 1;
      waiting.set(to, left);
      if (left === 0) free.push(to);
    }
  }
  return free.length < nodes.length;
}

function partitionAncestors(relation: Relation, relations: Relations): Relation[] {
  if (!relation.partition) return [];
  return relation.parents.flatMap((oid) => {
    const parent = relations.get(oid);
    return parent === undefined ? [] : [parent, ...partitionAncestors(parent, relations)];
  });
}

export function descendants(relation: Relation, relations: Relations): Relation[] {
  const children = relation.children.map((oid) => relations.get(oid)).filter((child) => child !== undefined);
  return [...new Set(children.flatMap((child) => [child, ...descendants(child, relations)]))];
}

/** The tables in which rows of a relation are stored. */
export function storedIn(relation: Relation, only: boolean, relations: Relations): Relation[] {
  const all = only ? [relation] : [relation, ...descendants(relation, relations)];
  return all.filter(({ kind }) => kind !== 'partitioned table');
}
