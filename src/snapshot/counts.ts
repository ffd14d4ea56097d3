import { OID_ARRAY_OID, oidArray } from '../catalog/array-parameter.ts';
import { THE_TABLE } from '../catalog/brief-query.ts';
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
  /** Tables beyond the plan, by their OIDs, where its code may write anywhere. */
  readonly others: ReadonlyMap<number, OtherTable>;
  /** What this transaction has locked as only those do that alter or empty it, beyond the plan: each with its OID, 0 of no table. */
  readonly locked: ReadonlyMap<string, number>;
  /** Triggers of the user's that may run as late as at COMMIT, of whatever has a row counted, by their OIDs. */
  readonly late: ReadonlyMap<string, LateTrigger>;
  /** Whether this transaction has changed anything yet. */
  readonly wrote: boolean;
  readonly server: ServerFacts;
  /** When this transaction began, in microseconds, by which it is told from the one before and the one behind. */
  readonly began: string;
}

/** A table beyond the plan; without a schema where its name cannot be read. */
export interface OtherTable {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** A partition of what the plan has partitions of. */
  readonly sibling: boolean;
  /** What it is a partition of, or 0. */
  readonly root: number;
  readonly counts: Counts;
}

export interface LateTrigger {
  readonly name: string;
  /** What it is a trigger of, with its schema. */
  readonly table: string;
  /** As pg_trigger has them. */
  readonly type: number;
  /** Of its table. */
  readonly counts: Counts;
}

export interface ServerFacts {
  readonly versionNum: number;
  /** What texts are sent in. */
  readonly encoding: string;
  /** The transaction's number; empty as long as it has changed nothing. */
  readonly xid: string;
}

export const NO_COUNTS: Counts = Object.freeze({ inserted: 0, updated: 0, deleted: 0 });

export const NOTHING_READ: CountsReading = Object.freeze({
  tables: new Map(),
  others: new Map(),
  locked: new Map(),
  late: new Map(),
  wrote: false,
  server: Object.freeze({ versionNum: 0, encoding: '', xid: '' }),
  began: '',
});

/** What stands with others of a union is all text there. */
const AS_TEXT = '::pg_catalog.text';

const countsOf = (oid: string, cast = ''): string =>
  ['inserted', 'updated', 'deleted']
    .map((what) => `pg_catalog.pg_stat_get_xact_tuples_${what}(${oid})${cast}`)
    .join(', ');

const COLUMNS = countsOf('c.oid', AS_TEXT);

const PLANNED = `SELECT 'planned', c.oid::pg_catalog.text, '', '', ${COLUMNS}, '' FROM pg_catalog.unnest($1::pg_catalog.oid[]) c(oid)`;

/**
 * Another partition of what the plan has partitions of, into which the statement itself may move rows, or put them. This is
 * told as things are now, whichever moment the transaction reads the catalog of.
 */
const IS_SIBLING = `EXISTS (SELECT FROM pg_catalog.unnest($1::pg_catalog.oid[]) p(oid)
  WHERE pg_catalog.pg_partition_root(p.oid) OPERATOR(pg_catalog.=) pg_catalog.pg_partition_root(c.oid))`;

/**
 * Every table that has a row counted in this transaction, of the system's only those of large objects. Temporary ones come
 * and go.
 */
const OTHERS = `SELECT CASE WHEN ${IS_SIBLING} THEN 'sibling' ELSE 'other' END, c.oid::pg_catalog.text, n.nspname::pg_catalog.text, c.relname::pg_catalog.text, ${COLUMNS},
    CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid)::pg_catalog.oid::pg_catalog.text END
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 WHERE c.relkind OPERATOR(pg_catalog.=) 'r' AND c.relpersistence OPERATOR(pg_catalog.<>) 't' AND (c.oid OPERATOR(pg_catalog.>=) 16384
     OR c.oid OPERATOR(pg_catalog.=) 2613 OR c.oid OPERATOR(pg_catalog.=) 2995)
   AND c.oid OPERATOR(pg_catalog.<>) ALL ($1::pg_catalog.oid[])
   AND (pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) OPERATOR(pg_catalog.<>) 0
     OR pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) OPERATOR(pg_catalog.<>) 0
     OR pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) OPERATOR(pg_catalog.<>) 0)`;

/**
 * TRUNCATE, DROP and ALTER are counted nowhere, but take such a lock; where this transaction had it before, a table
 * that is emptied gets another file. Temporary tables come and go.
 */
const LOCKED = `SELECT 'locked', coalesce(l.relation, 0)::pg_catalog.text, '', CASE WHEN c.oid IS NULL THEN pg_catalog.concat_ws(' ', l.locktype, l.relation, l.classid, l.objid)
    ELSE pg_catalog.concat(n.nspname, '.', c.relname) END OPERATOR(pg_catalog.||)
    coalesce(', file ' OPERATOR(pg_catalog.||) pg_catalog.pg_relation_filenode(l.relation)::pg_catalog.text, ''), '', '', '', ''
  FROM pg_catalog.pg_locks l
  LEFT JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) l.relation
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND l.mode OPERATOR(pg_catalog.=) 'AccessExclusiveLock'
   AND (l.locktype OPERATOR(pg_catalog.=) 'object' OR l.locktype OPERATOR(pg_catalog.=) 'relation')
   AND coalesce(l.relation, 0) OPERATOR(pg_catalog.<>) ALL ($1::pg_catalog.oid[])
   AND (c.oid IS NULL OR c.relpersistence OPERATOR(pg_catalog.<>) 't'
     AND c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p', 'm', 'v', 'f']::pg_catalog."char"[]))`;

/** What was made after this transaction's snapshot is not in the catalog as it reads it, but has to be locked as well. */
const NEWER = `SELECT 'other', l.relation::pg_catalog.text, '', pg_catalog.concat('table ', l.relation), ${COLUMNS}, ''
  FROM pg_catalog.pg_locks l CROSS JOIN LATERAL (SELECT l.relation) c(oid)
 WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND l.mode OPERATOR(pg_catalog.=) 'RowExclusiveLock'
   AND l.locktype OPERATOR(pg_catalog.=) 'relation'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_class k WHERE k.oid OPERATOR(pg_catalog.=) l.relation)
   AND (pg_catalog.pg_stat_get_xact_tuples_inserted(l.relation) OPERATOR(pg_catalog.<>) 0
     OR pg_catalog.pg_stat_get_xact_tuples_updated(l.relation) OPERATOR(pg_catalog.<>) 0
     OR pg_catalog.pg_stat_get_xact_tuples_deleted(l.relation) OPERATOR(pg_catalog.<>) 0)`;

/** Nothing is counted of what these will do, so that nothing may come to them; of temporary tables neither. */
const LATE = `SELECT 'late', g.oid::pg_catalog.text, pg_catalog.concat(n.nspname, '.', c.relname), g.tgname::pg_catalog.text, ${COLUMNS}, g.tgtype::pg_catalog.text
  FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) g.tgrelid
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
 WHERE g.tgdeferrable AND NOT g.tgisinternal AND g.tgenabled OPERATOR(pg_catalog.<>) 'D'
   AND (pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) OPERATOR(pg_catalog.<>) 0
     OR pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) OPERATOR(pg_catalog.<>) 0
     OR pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) OPERATOR(pg_catalog.<>) 0)`;

const WATCHED = [OTHERS, NEWER, LOCKED, LATE].map((part) => ` UNION ALL ${part}`).join('');

const serverFacts = (cast = ''): string => `pg_catalog.pg_current_xact_id_if_assigned()${cast},
  pg_catalog.current_setting('client_encoding'), pg_catalog.current_setting('server_version_num')`;

/** As a number, since how a time is written is a setting. */
const BEGAN = `(pg_catalog.date_part('epoch', pg_catalog.transaction_timestamp()) OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8`;

const WROTE = `SELECT 'wrote', ${serverFacts(AS_TEXT)}, ${BEGAN}${AS_TEXT}, '', '', ''`;

/** One row has columns for so many tables. */
const TABLES_ALONGSIDE = 100;

/** What is counted: these tables, and all others where they are watched. */
type Counting = Pick<CapturePlan, 'tables' | 'watchesAll'>;

export async function readCounts(connection: HiddenConnection, plan: Counting): Promise<CountsReading> {
  const { tables, watchesAll } = plan;
  return watchesAll || tables.length > TABLES_ALONGSIDE
    ? await readManyCounts(connection, plan)
    : await readFewCounts(connection, plan);
}

/** In one row, without a table to select from: planning the other query takes the server longer than to run it. */
async function readFewCounts(connection: HiddenConnection, plan: Counting): Promise<CountsReading> {
  const sql = `SELECT ${fewCounts(plan)}`;
  let counts = NOTHING_READ;
  const query = { sql, parameterTypes: [], parameters: [], parameterFormats: [], resultFormats: [] };
  await connection.run(query, (row) => {
    counts = countsIn(plan, textColumns(row));
  });
  return counts;
}

/** The columns by which few tables are counted. */
const fewCounts = ({ tables }: Counting): string =>
  [serverFacts(), BEGAN, ...tables.map(({ oid }) => countsOf(`'${oid}'`))].join(', ');

/** The same of one table, which the question whether its plan is true has as a parameter. */
export const COUNTS_OF_ONE: string = [serverFacts(), BEGAN, countsOf(THE_TABLE)].join(', ');

/** What these columns say, which come first. */
export function countsIn(plan: Counting, columns: readonly (string | null)[]): CountsReading {
  const tables = new Map<number, Counts>();
  const [xid = null, encoding, version, began, ...numbers] = columns;
  const server = { versionNum: Number(version), encoding: encoding ?? '', xid: xid ?? '' };
  for (const [i, { oid }] of plan.tables.entries()) {
    const [inserted = 0, updated = 0, deleted = 0] = numbers.slice(i * 3, i * 3 + 3).map(Number);
    tables.set(oid, { inserted, updated, deleted });
  }
  return {
    tables,
    others: new Map(),
    locked: new Map(),
    late: new Map(),
    wrote: xid !== null,
    server,
    began: began ?? '',
  };
}

async function readManyCounts(connection: HiddenConnection, plan: Counting): Promise<CountsReading> {
  const tables = new Map<number, Counts>();
  const others = new Map<number, OtherTable>();
  const locked = new Map<string, number>();
  const late = new Map<string, LateTrigger>();
  let { wrote, server, began } = NOTHING_READ;
  const sql = `${PLANNED} UNION ALL ${WROTE}${plan.watchesAll ? WATCHED : ''}`;
  await connection.run(
    {
      sql,
      parameterTypes: [OID_ARRAY_OID],
      parameters: [oidArray(plan.tables.map(({ oid }) => oid))],
      parameterFormats: [1],
      resultFormats: [],
    },
    (row) => {
      const [kind, ...columns] = textColumns(row);
      if (kind === 'wrote') {
        const [xid = null, encoding, version, start] = columns;
        wrote = xid !== null;
        server = { versionNum: Number(version), encoding: encoding ?? '', xid: xid ?? '' };
        began = start ?? '';
        return;
      }
      const [oid, schema, name, inserted, updated, deleted, root] = columns;
      if (kind === 'locked') locked.set(name!, Number(oid));
      else {
        const table = Number(oid);
        const counts = { inserted: Number(inserted), updated: Number(updated), deleted: Number(deleted) };
        if (kind === 'planned') tables.set(table, counts);
        else if (kind === 'late') late.set(oid!, { name: name!, table: schema!, type: Number(root), counts });
        else
          others.set(table, {
            oid: table,
            schema: schema!,
            name: name!,
            sibling: kind === 'sibling',
            root: Number(root ?? 0),
            counts,
          });
      }
    },
  );
  return { tables, others, locked, late, wrote, server, began };
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

const INSERT = 4;
const DELETE = 8;
const UPDATE = 16;

/** Those that will run, since rows of their tables have changed so since. */
export function toRunLate(before: CountsReading, after: CountsReading): readonly LateTrigger[] {
  return [...after.late].flatMap(([oid, trigger]) => {
    const { inserted, updated, deleted } = countsSince(before.late.get(oid)?.counts, trigger.counts);
    const made = (inserted > 0 ? INSERT : 0) | (deleted > 0 ? DELETE : 0) | (updated > 0 ? UPDATE : 0);
    return (trigger.type & made) === 0 ? [] : [trigger];
  });
}
