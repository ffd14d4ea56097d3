import { bestKey, type Column, type Relation } from '../catalog/relation.ts';
import { capturedColumns, cascadeSql, from, rowsAt, valuesOf } from './capture-sql.ts';
import { type CascadeGraph, type ChangedRows, type Relations, storedIn } from './cascade.ts';
import { mayChangeKeys, type RowGroup } from './group.ts';
import type { CaptureSource, Cause, PlannedTable } from './plan.ts';
import { captured, formatsOf } from './plan-parts.ts';
import { identityOf } from './row-identity.ts';
import type { Seed } from './seed.ts';

/** The queries that read the rows of a plan, and the tables that store them. */

/** Whether foreign keys lead to rows of the statement's own tables. */
export function isReachedAgain(group: RowGroup, graph: CascadeGraph): boolean {
  return graph.edges.some(({ to }) => group.nodes.some(({ id }) => id === to));
}

export function allSources(
  groups: readonly RowGroup[],
  graph: CascadeGraph,
  seed: Seed,
  relations: Relations,
  tables: PlannedTable[],
  isKept = false,
): CaptureSource[] {
  const sources: CaptureSource[] = [];
  for (const group of groups)
    sources.push(...sourcesOf(group, graph, seed, relations, tables, sources.length, isKept));
  return sources;
}

/** `first`: how many sources there are already. A whole without parts has one, and no table. */
function sourcesOf(
  group: RowGroup,
  graph: CascadeGraph,
  seed: Seed,
  relations: Relations,
  tables: PlannedTable[],
  first: number,
  isKept: boolean,
): CaptureSource[] {
  const inherited = group.relation.kind === 'table' && group.stored.length > 1;
  const searched = inherited ? group.stored : [group.relation];
  const own = group.nodes.every(({ level }) => level === 0);
  const statementAlone = own && seed.direct !== null && !inherited && !isReachedAgain(group, graph);
  const sql = statementAlone ? null : cascadeSql(graph, seed.seeds);
  const places = group.nodes.map(({ id }) => sql?.places(id)).join('\n UNION ');
  const lock = mayChangeKeys(group) ? 'FOR UPDATE' : 'FOR NO KEY UPDATE';
  return searched.map((relation, i): CaptureSource => {
    const columns = captured(relation);
    const stored = inherited ? [relation] : group.stored;
    const only = relation.kind !== 'partitioned table';
    const isOne = relation.kind === 'table' && stored.length === 1;
    const isUnplaced = isKept && isOne && !seed.inserts && group.nodes.every(isDeleted);
    for (const table of stored)
      tables.push(planned(table, relation, group, graph, seed, first + i, relations));
    return {
      sql:
        sql === null
          ? seed.direct!(capturedColumns(seed.reference, columns), isKept ? null : lock)
          : rowsAt(relation, only, columns, { clauses: sql.clauses, places }, lock),
      ...(sql === null && isUnplaced
        ? { unplaced: seed.direct!(valuesOf(seed.reference, columns).join(', '), null) }
        : {}),
      from: from(relation, only),
      columns,
      resultFormats: formatsOf(columns),
      tables: stored.map(({ oid }) => oid),
    };
  });
}

const isDeleted = ({ change }: ChangedRows): boolean => change.kind === 'delete';

function planned(
  table: Relation,
  searched: Relation,
  group: RowGroup,
  graph: CascadeGraph,
  seed: Seed,
  source: number,
  relations: Relations,
): PlannedTable {
  const reaching = group.nodes.filter((node) => storesIn(node, table, relations));
  const own = reaching.some(({ level }) => level === 0);
  const inserts = own && seed.inserts;
  const moves =
    searched.kind === 'partitioned table' && reaching.some(({ change }) => change.kind === 'update');
  const ways = graph.edges.filter(({ to }) => reaching.some(({ id }) => id === to)).length + (own ? 1 : 0);
  const changes = new Set<PlannedTable['changes'][number]>(reaching.map(({ change }) => change.kind));
  if (inserts) changes.add('insert');
  // A row that moves to another partition is deleted in one and inserted in the other, as far as triggers see.
  if (moves) changes.add('insert').add('delete');
  return {
    oid: table.oid,
    schema: table.schema,
    name: table.name,
    cause: causeOf(reaching, graph),
    changes: [...changes],
    key: (bestKey(table) ?? bestKey(searched))?.columns ?? null,
    ...(own && !isReachedAgain(group, graph) ? { identity: identityOf(graph.nodes[0]!.relation) } : {}),
    columns: captured(searched).map((column) => ownColumn(table, column)),
    source,
    direct: table.select,
    mayGainRows: inserts || moves || ways > 1 || table.triggers.length > 0,
  };
}

function storesIn(node: ChangedRows, table: Relation, relations: Relations): boolean {
  return storedIn(node.relation, node.only, relations).some(({ oid }) => oid === table.oid);
}

/** A partition may number its columns in another way than what it is a part of. */
function ownColumn(table: Relation, column: Column): Column {
  return table.columns.find(({ name }) => name === column.name) ?? column;
}

function causeOf(nodes: readonly ChangedRows[], graph: CascadeGraph): Cause {
  const nearest = nodes.reduce((a, b) => (b.level < a.level ? b : a));
  if (nearest.level === 0) return { kind: 'target' };
  const edge = graph.edges.find(({ to }) => to === nearest.id)!;
  return { kind: 'cascade', constraint: edge.reference.name, level: nearest.level };
}
