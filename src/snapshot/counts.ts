import { OID_ARRAY_OID, oidArray } from '../catalog/array-parameter.ts';
import { shapeOf } from '../catalog/queries.ts';
import { textColumns } from '../catalog/row.ts';
import type { HiddenConnection } from './connection.ts';
import type { CapturePlan } from './plan.ts';

/** How many rows were inserted, updated and deleted in a table, as the server itself counts. */
export interface Counts {
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
}

export interface CountsReading {
  readonly tables: ReadonlyMap<number, Counts>;
  /** Tables beyond the plan, by name, where its code may write anywhere. */
  readonly others: ReadonlyMap<string, Counts>;
  /** What the plan rests on, by table, as it is now. */
  readonly shapes: ReadonlyMap<number, string>;
  /** Whether this transaction has changed anything yet. */
  readonly wrote: boolean;
}

export const NO_COUNTS: Counts = Object.freeze({ inserted: 0, updated: 0, deleted: 0 });

export const NOTHING_READ: CountsReading = Object.freeze({
  tables: new Map(),
  others: new Map(),
  shapes: new Map(),
  wrote: false,
});

const COLUMNS = ['inserted', 'updated', 'deleted']
  .map((what) => `pg_catalog.pg_stat_get_xact_tuples_${what}(c.oid)::pg_catalog.text`)
  .join(', ');

const PLANNED = `SELECT c.oid::pg_catalog.text, ${shapeOf('c.oid')}, ${COLUMNS} FROM pg_catalog.unnest($1::pg_catalog.oid[]) c(oid)`;

/** Every table that has a row counted in this transaction, system catalogs left out. */
const OTHERS = `SELECT '', pg_catalog.concat(n.nspname, '.', c.relname), ${COLUMNS}
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 WHERE c.relkind OPERATOR(pg_catalog.=) 'r' AND c.oid OPERATOR(pg_catalog.>=) 16384
   AND c.oid OPERATOR(pg_catalog.<>) ALL ($1::pg_catalog.oid[])
   AND (pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) OPERATOR(pg_catalog.<>) 0
     OR pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) OPERATOR(pg_catalog.<>) 0
     OR pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) OPERATOR(pg_catalog.<>) 0)`;

const WROTE = `SELECT 'wrote', pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text, '', '', ''`;

export async function readCounts(connection: HiddenConnection, plan: CapturePlan): Promise<CountsReading> {
  const tables = new Map<number, Counts>();
  const others = new Map<string, Counts>();
  const shapes = new Map<number, string>();
  let wrote = false;
  const sql = `${PLANNED} UNION ALL ${WROTE}${plan.watchesAll ? ` UNION ALL ${OTHERS}` : ''}`;
  await connection.run(
    {
      sql,
      parameterTypes: [OID_ARRAY_OID],
      parameters: [oidArray(plan.tables.map(({ oid }) => oid))],
      parameterFormats: [1],
      resultFormats: [],
    },
    (row) => {
      const [oid, name, ...numbers] = textColumns(row);
      const [inserted = 0, updated = 0, deleted = 0] = numbers.map(Number);
      if (oid === 'wrote') wrote = name !== null;
      else if (oid === '') others.set(name!, { inserted, updated, deleted });
      else {
        tables.set(Number(oid), { inserted, updated, deleted });
        shapes.set(Number(oid), name ?? '');
      }
    },
  );
  return { tables, others, shapes, wrote };
}

export function countsSince(before: Counts | undefined, after: Counts | undefined): Counts {
  const from = before ?? NO_COUNTS;
  const to = after ?? NO_COUNTS;
  return {
    inserted: to.inserted - from.inserted,
    updated: to.updated - from.updated,
    deleted: to.deleted - from.deleted,
  };
}

export function isNone(counts: Counts): boolean {
  return counts.inserted === 0 && counts.updated === 0 && counts.deleted === 0;
}
