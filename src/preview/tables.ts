import { OID_ARRAY_OID, oidArray } from '../catalog/array-parameter.ts';
import type { HiddenConnection } from '../catalog/connection.ts';
import type { Relation } from '../catalog/relation.ts';
import { textColumns } from '../catalog/row.ts';
import type { PreviewTable } from './preview.ts';
import type { Sandbox } from './sandbox.ts';

const SIZES = `SELECT o.oid::pg_catalog.text, coalesce(
    (SELECT pg_catalog.sum(pg_catalog.pg_total_relation_size(t.relid)) FROM pg_catalog.pg_partition_tree(o.oid) t),
    pg_catalog.pg_total_relation_size(o.oid))::pg_catalog.text
  FROM pg_catalog.unnest($1::pg_catalog.oid[]) o(oid)`;

/** The tables that are touched, with their sizes. */
export async function tablesOf(
  sandbox: Sandbox,
  related: readonly Relation[],
  targets: readonly Relation[],
): Promise<PreviewTable[]> {
  const sizes = await sandbox.step((connection) => sizesOf(connection, related));
  return related.map((relation): PreviewTable => {
    const { oid, schema, name, kind, estimatedRows } = relation;
    return {
      schema,
      name,
      kind,
      cause: targets.includes(relation) ? 'target' : 'cascade',
      bytes: 'kind' in sizes ? null : (sizes.get(oid) ?? null),
      estimated_rows: estimatedRows < 0 ? null : Math.round(estimatedRows),
    };
  });
}

async function sizesOf(
  connection: HiddenConnection,
  related: readonly Relation[],
): Promise<Map<number, number>> {
  const out = new Map<number, number>();
  const query = {
    sql: SIZES,
    parameterTypes: [OID_ARRAY_OID],
    parameters: [oidArray(related.map(({ oid }) => oid))],
    parameterFormats: [1] as const,
    resultFormats: [],
  };
  await connection.run(query, (row) => {
    const [oid, bytes] = textColumns(row);
    if (bytes != null) out.set(Number(oid), Number(bytes));
  });
  return out;
}
