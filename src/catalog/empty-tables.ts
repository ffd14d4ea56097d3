import type { HiddenConnection } from './connection.ts';
import { quoteQualified } from './quote.ts';
import { textColumns } from './row.ts';

/** What the session has locked as TRUNCATE locks what it empties, of what can be emptied or stands for it. */
const LOCKED = `pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) l.relation
 WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND l.mode OPERATOR(pg_catalog.=) 'AccessExclusiveLock'
   AND l.locktype OPERATOR(pg_catalog.=) 'relation'
   AND l.database OPERATOR(pg_catalog.=) (SELECT d.oid FROM pg_catalog.pg_database d
     WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
   AND c.relkind OPERATOR(pg_catalog.<>) ALL (ARRAY['i', 'I', 't', 'S', 'c', 'm']::"char"[])`;

/** No rows are hidden from the role, by a snapshot or a policy, and no code runs with a TRUNCATE. */
const SEES_ALL = `
SELECT pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.=) 'read committed'
   AND pg_catalog.bool_and(c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p']::"char"[])
     AND NOT pg_catalog.row_security_active(c.oid)
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid OPERATOR(pg_catalog.=) c.oid
       AND (t.tgtype OPERATOR(pg_catalog.&) 32::pg_catalog.int2) OPERATOR(pg_catalog.<>) 0::pg_catalog.int2)),
  pg_catalog.string_agg(c.oid::pg_catalog.text, ',' ORDER BY c.oid)
  FROM ${LOCKED}`;

const LOCKED_NOW = `SELECT pg_catalog.string_agg(c.oid::pg_catalog.text, ',' ORDER BY c.oid) FROM ${LOCKED}`;

/** Tables that are to be emptied, and may have no rows. */
export class EmptyTables {
  private readonly relations: string;
  private readonly anyRow: string;
  private locked: string | null = null;

  constructor(
    tables: readonly { readonly schema: string | null; readonly name: string }[],
    /** Without what inherits from it. */
    isOnly: boolean,
  ) {
    const names = tables.map(({ schema, name }) => `${isOnly ? 'ONLY ' : ''}${quoteQualified(schema, name)}`);
    this.relations = names.join(', ');
    this.anyRow = names.map((name) => `EXISTS (SELECT FROM ${name})`).join(' OR ');
  }

  /** Whether they have no rows, nor get any before the transaction ends. Waits for nobody, and refuses where it would. */
  async lock(connection: HiddenConnection): Promise<boolean> {
    await oneRow(connection, `LOCK TABLE ${this.relations} IN ACCESS EXCLUSIVE MODE NOWAIT`);
    const [seesAll, locked] = await oneRow(connection, SEES_ALL);
    if (seesAll !== 't') return false;
    this.locked = locked ?? null;
    const [hasRows] = await oneRow(connection, `SELECT ${this.anyRow}`);
    return hasRows === 'f';
  }

  /** Whether anything else has been locked as what is emptied is, since they were. */
  async isElseLocked(connection: HiddenConnection): Promise<boolean> {
    const [locked] = await oneRow(connection, LOCKED_NOW);
    return locked !== this.locked;
  }
}

async function oneRow(connection: HiddenConnection, sql: string): Promise<readonly (string | null)[]> {
  let first: readonly (string | null)[] = [];
  const query = { sql, parameterTypes: [], parameters: [], parameterFormats: [], resultFormats: [] };
  await connection.run(query, (row) => {
    first = textColumns(row);
  });
  return first;
}
