import { OID_ARRAY_OID, oidArray } from '../catalog/array-parameter.ts';
import type { HiddenConnection } from '../catalog/connection.ts';
import { textColumns } from '../catalog/row.ts';
import type { StatementEffects } from '../sql/effects.ts';
import type { Bystander } from './preview.ts';

/** PostgreSQL's table locks from the weakest to the strongest, each with those that it does not go together with. */
const CONFLICTS: Readonly<Record<string, readonly string[]>> = (() => {
  const all = [
    'AccessShareLock',
    'RowShareLock',
    'RowExclusiveLock',
    'ShareUpdateExclusiveLock',
    'ShareLock',
    'ShareRowExclusiveLock',
    'ExclusiveLock',
    'AccessExclusiveLock',
  ];
  return {
    AccessShareLock: all.slice(7),
    RowShareLock: all.slice(6),
    RowExclusiveLock: all.slice(4),
    ShareUpdateExclusiveLock: all.slice(3),
    ShareLock: all.slice(2).filter((mode) => mode !== 'ShareLock'),
    ShareRowExclusiveLock: all.slice(2),
    ExclusiveLock: all.slice(1),
    AccessExclusiveLock: all,
  };
})();

const BLOCKS: Readonly<Record<string, string>> = {
  AccessShareLock: 'what drops, truncates or alters the table',
  RowExclusiveLock:
    'what locks the whole table against writes (CREATE INDEX, most ALTER TABLE, DROP, TRUNCATE), and writers of the same rows',
  ShareUpdateExclusiveLock: 'VACUUM, ANALYZE and changes of the definition; neither reads nor writes',
  ShareLock: 'all writes to the table; not reads',
  ShareRowExclusiveLock: 'all writes to the table; not reads',
  ExclusiveLock: 'all writes to the table, and SELECT FOR UPDATE; not plain reads',
  AccessExclusiveLock: 'everything, plain reads too',
};

const ROWS = new Set(['insert', 'update', 'delete', 'merge', 'copy from']);
const SHARED_UPDATE = new Set(['vacuum', 'analyze', 'comment', 'create statistics']);

/** The strongest lock that a statement takes on what it names; null where its text does not tell. */
export function lockOf({ operation, operations }: StatementEffects): string | null {
  if (operation === 'select' && operations.some((each) => ROWS.has(each))) return 'RowExclusiveLock';
  if (ROWS.has(operation)) return 'RowExclusiveLock';
  if (SHARED_UPDATE.has(operation)) return 'ShareUpdateExclusiveLock';
  if (operation === 'create index') return 'ShareLock';
  if (operation === 'create trigger') return 'ShareRowExclusiveLock';
  if (operation === 'refresh materialized view' || operation === 'truncate') return 'AccessExclusiveLock';
  // Some forms of ALTER TABLE take less; what is said is what is surely enough.
  return /^(drop|alter|cluster|reindex|lock)\b/.test(operation) ? 'AccessExclusiveLock' : null;
}

export function blockedBy(mode: string): string {
  return BLOCKS[mode] ?? 'not known';
}

const EQUALS = 'OPERATOR(pg_catalog.=)';

function sessionsQuery(mode: string, max: number): string {
  const modes = (CONFLICTS[mode] ?? []).map((each) => `'${each}'`).join(', ');
  return `SELECT l.pid::pg_catalog.text, a.usename::pg_catalog.text, a.application_name, a.state,
    l.relation::pg_catalog.oid::pg_catalog.text, l.mode, l.granted::pg_catalog.text,
    pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) a.xact_start)::pg_catalog.int8::pg_catalog.text
  FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid ${EQUALS} l.pid
  WHERE l.locktype ${EQUALS} 'relation' AND l.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
    AND l.database ${EQUALS} (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname ${EQUALS} pg_catalog.current_database())
    AND l.relation ${EQUALS} ANY ($1::pg_catalog.oid[]) AND l.mode ${EQUALS} ANY (ARRAY[${modes}]::pg_catalog.text[])
  ORDER BY l.granted DESC, a.xact_start, l.pid LIMIT ${max + 1}`;
}

/** Sessions that hold, or wait for, what does not go together with the lock. What they run is not for approvers to read. */
export async function bystanders(
  connection: HiddenConnection,
  mode: string,
  tables: ReadonlyMap<number, string>,
  max: number,
): Promise<Bystander[]> {
  const out: Bystander[] = [];
  const query = {
    sql: sessionsQuery(mode, max),
    parameterTypes: [OID_ARRAY_OID],
    parameters: [oidArray([...tables.keys()])],
    parameterFormats: [1] as const,
    resultFormats: [],
  };
  await connection.run(query, (row) => {
    const [pid, role, application, state, oid, held, granted, age] = textColumns(row);
    out.push({
      pid: Number(pid),
      role: role ?? null,
      application: application ?? null,
      state: state ?? null,
      table: tables.get(Number(oid)) ?? oid ?? '',
      mode: held ?? '',
      relation: granted === 'true' ? 'holds' : 'waits',
      transaction_s: age == null ? null : Number(age),
    });
  });
  return out;
}
