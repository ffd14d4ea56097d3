import { TEXT_ARRAY_OID, textArray } from '../catalog/array-parameter.ts';
import { textColumns } from '../catalog/row.ts';
import type { RowsSlice, WriteSlice } from '../sql/slices/slice.ts';
import type { HiddenConnection } from './connection.ts';
import type { CapturePlan, PlanOutcome, StatementParameters } from './plan.ts';
import { exact } from './plan-parts.ts';

/**
 * What was prepared keeps the table that it has found, also where a temporary one of the name has come to stand in front of
 * that since: nothing has altered what it found, so that the server does not look again. What it has found bears the name by
 * which it would be found, since the server looks again for what was renamed.
 *
 * By one snapshot a table of that name may not be seen.
 */
const MAY_BE_ANOTHER = `
SELECT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.name[])
    AND c.relpersistence OPERATOR(pg_catalog.<>) 't')
  OR pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.!~~) 'read %'`;

/** Whether what was prepared may have found another table than a temporary one, by the names that it gives. */
export async function mayBeOfAnother(
  connection: HiddenConnection,
  names: readonly { readonly name: string }[],
): Promise<boolean> {
  let told = '';
  const query = {
    sql: MAY_BE_ANOTHER,
    parameterTypes: [TEXT_ARRAY_OID],
    parameters: [textArray(names.map(({ name }) => name))],
    parameterFormats: [1 as const],
    resultFormats: [],
  };
  await connection.run(query, (row) => {
    told = textColumns(row)[0] ?? '';
  });
  return told !== 'f';
}

/** Of a statement that was prepared, what is needless only where it is of the tables that its names stand for now. */
export async function unlessOfAnother(
  connection: HiddenConnection,
  planned: PlanOutcome,
  slice: WriteSlice,
  parameters: StatementParameters,
): Promise<PlanOutcome> {
  if (planned.kind !== 'needless' || !('target' in slice)) return planned;
  if (!(await mayBeOfAnother(connection, [slice.target]))) return planned;
  const operation: RowsSlice['operation'] | 'insert' = slice.kind === 'upsert' ? 'insert' : slice.operation;
  return exact(nothingElse(operation, parameters, planned.reason));
}

/** Nothing is captured, and it is proved that no table but temporary ones has changed. */
export function nothingElse(
  operation: CapturePlan['operation'],
  parameters: StatementParameters,
  nothingBecause: string,
): CapturePlan {
  return {
    operation,
    lock: null,
    sequences: [],
    sources: [],
    tables: [],
    parameters,
    bases: [],
    nothingBecause,
    opaque: false,
    watchesAll: true,
    ownRowOnly: false,
    keptBy: 'locks',
    countedByTag: false,
    keptByTargetLock: false,
  };
}
