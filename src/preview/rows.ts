import { LIMITS } from '../base/limits.ts';
import type { HiddenConnection, HiddenQuery } from '../catalog/connection.ts';
import { textColumns } from '../catalog/row.ts';
import type { StatementParameters } from '../snapshot/plan.ts';
import { type RowCount, type Unknown, unknown } from './preview.ts';
import type { Sandbox } from './sandbox.ts';

/** A query that may name the statement's own parameters. */
export function withParameters(sql: string, { types, values, formats }: StatementParameters): HiddenQuery {
  return {
    sql,
    parameterTypes: types,
    parameters: values,
    parameterFormats: formats,
    resultFormats: [],
  };
}

/** Counts the rows of queries of places, each up to a limit. */
export async function countRows(
  connection: HiddenConnection,
  clauses: string,
  queries: readonly string[],
  parameters: StatementParameters,
  rowsMax: number,
): Promise<RowCount[]> {
  const counts = queries.map(
    (places) =>
      `(SELECT pg_catalog.count(*)::pg_catalog.text FROM (${places}\n LIMIT ${rowsMax + 1}) counted)`,
  );
  let found: readonly (string | null)[] = [];
  await connection.run(withParameters(`${clauses}SELECT ${counts.join(',\n')}`, parameters), (row) => {
    found = textColumns(row);
  });
  return found.map((text): RowCount => {
    const rows = Number(text);
    return rows > rowsMax ? { kind: 'at_least', rows: rowsMax } : { kind: 'exact', rows };
  });
}

/** The rows that the planner expects the statement to change. */
export async function estimateRows(
  sandbox: Sandbox,
  text: string,
  parameters: StatementParameters,
): Promise<number | Unknown> {
  return await sandbox.step(async (connection) => {
    const lines: string[] = [];
    await connection.run(withParameters(`EXPLAIN (FORMAT JSON, COSTS) ${text}`, parameters), (row) => {
      lines.push(textColumns(row)[0] ?? '');
    });
    const rows = plannedRows(lines.join('\n'));
    return rows ?? unknown('the plan does not say');
  });
}

interface PlanNode {
  readonly 'Node Type'?: string;
  readonly 'Plan Rows'?: number;
  readonly 'Parent Relationship'?: string;
  readonly Plans?: readonly PlanNode[];
}

/** What stands below ModifyTable; that node itself says 0. Other children of it are of WITH. */
function plannedRows(json: string): number | null {
  const [explained] = JSON.parse(json) as readonly { readonly Plan?: PlanNode }[];
  const modify = findModify(explained?.Plan);
  const below = (modify?.Plans ?? []).filter((node) => {
    const how = node['Parent Relationship'];
    return how === undefined || how === 'Outer' || how === 'Member';
  });
  if (below.length === 0) return null;
  return below.reduce((sum, node) => sum + (node['Plan Rows'] ?? 0), 0);
}

function findModify(node: PlanNode | undefined): PlanNode | null {
  if (node === undefined) return null;
  if (node['Node Type'] === 'ModifyTable') return node;
  for (const each of node.Plans ?? []) {
    const found = findModify(each);
    if (found !== null) return found;
  }
  return null;
}

/** A count where there is one, else the guess with why it is none. */
export function countOrEstimate(count: RowCount, estimate: number | Unknown): RowCount {
  if (count.kind !== 'unknown') return count;
  if (typeof estimate === 'number') return { kind: 'estimate', rows: estimate, reason: count.reason };
  return count;
}

/** How many rows a query of places gives, or why they are not counted. */
export async function countOf(
  sandbox: Sandbox,
  problem: string | null,
  places: string,
  parameters: StatementParameters,
  rowsMax: number = LIMITS.previewCountRows,
): Promise<RowCount> {
  if (problem !== null) return unknown(problem);
  return await sandbox.step(async (connection): Promise<RowCount> => {
    const [count] = await countRows(connection, '', [places], parameters, rowsMax);
    return count ?? unknown('the server did not say');
  });
}
