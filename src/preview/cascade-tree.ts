import { LIMITS } from '../base/limits.ts';
import type { HiddenConnection } from '../catalog/connection.ts';
import { cascadeSql } from '../snapshot/capture-sql.ts';
import type { CascadeGraph, ChangedRows } from '../snapshot/cascade.ts';
import type { StatementParameters } from '../snapshot/plan.ts';
import type { Seed } from '../snapshot/seed.ts';
import type { CascadeNode, Cascades, RowCount, Unknown } from './preview.ts';
import { problemOfReading } from './purity.ts';
import { countRows } from './rows.ts';
import type { Sandbox } from './sandbox.ts';

/** What foreign keys carry on to other tables, as a tree with its counts. */
export async function cascadeTree(
  sandbox: Sandbox,
  graph: CascadeGraph,
  seed: Seed,
  parameters: StatementParameters,
  problem: string | null,
): Promise<Cascades> {
  const carried = graph.nodes.filter(({ level }) => level > 0);
  if (carried.length === 0) return { kind: 'tree', nodes: [] };
  const counted = await sandbox.step(async (connection): Promise<readonly RowCount[] | Unknown> => {
    const reason = problem ?? (await problemOfCascades(connection, graph, seed));
    if (reason !== null) return { kind: 'unknown', reason };
    const sql = cascadeSql(graph, seed.seeds);
    const places = carried.map(({ id }) => sql.places(id));
    return await countRows(connection, sql.clauses, places, parameters, LIMITS.previewCountRows);
  });
  return {
    kind: 'tree',
    nodes: carried.map((node, i) => nodeOf(node, graph, 'kind' in counted ? counted : counted[i]!)),
  };
}

async function problemOfCascades(
  connection: HiddenConnection,
  graph: CascadeGraph,
  seed: Seed,
): Promise<string | null> {
  for (const edge of graph.edges) {
    const origin = graph.nodes[edge.from]!;
    const problem = origin.level === 0 && origin.change.kind === 'update' ? seed.keyProblem(edge) : null;
    if (problem !== null) return problem;
  }
  const oids = new Set(graph.edges.flatMap(({ referenced, referrer }) => [referenced.oid, referrer.oid]));
  return await problemOfReading(connection, [...oids]);
}

function nodeOf(node: ChangedRows, graph: CascadeGraph, rows: RowCount): CascadeNode {
  const edge = graph.edges.find(({ to }) => to === node.id)!;
  const { change } = node;
  return {
    id: node.id,
    parent: graph.nodes[edge.from]!.level === 0 ? null : edge.from,
    constraint: edge.reference.name,
    schema: node.relation.schema,
    table: node.relation.name,
    change: change.kind,
    columns: change.kind === 'update' ? change.columns : [],
    level: node.level,
    rows,
  };
}
