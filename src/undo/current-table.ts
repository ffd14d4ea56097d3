import type { UndoSession } from './session.ts';

/** What a table is by now, as far as putting rows back is concerned. */
export interface CurrentTable {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly kind: 'table' | 'partitioned table' | 'other';
  /** The whole that it is a partition of, and what is between, the nearest first. */
  readonly wholes: readonly { readonly oid: number; readonly schema: string; readonly name: string }[];
  readonly columns: readonly CurrentColumn[];
  readonly indexes: readonly UniqueIndex[];
  /** Whether rules would do other things than they are told. */
  readonly rewritten: boolean;
  /** Whether row security would hide rows from this role. */
  readonly rowSecurity: boolean;
  /** Of SELECT, INSERT, UPDATE and DELETE, those that this role may not. */
  readonly denied: readonly string[];
}

export interface CurrentColumn {
  readonly name: string;
  readonly attribute: number;
  readonly typeOid: number;
  readonly modifier: number;
  readonly formatted: string;
  /** The type below all domains, as SQL writes it. */
  readonly base: string;
  readonly collation: string | null;
  readonly notNull: boolean;
  readonly generated: '' | 's' | 'v';
  readonly identity: '' | 'a' | 'd';
  /** Whether a row that is put in without it is refused, as far as its declaration tells. */
  readonly demanding: boolean;
}

/** A unique or exclusion index of plain columns and no condition. */
export interface UniqueIndex {
  readonly name: string;
  /** Whether it looks at once, and what it keeps apart is equal. */
  readonly immediate: boolean;
  readonly columns: readonly string[];
  /** What two rows may not be to each other, for each column; null where that is not known. */
  readonly operators: readonly (string | null)[];
  readonly nullsEqual: boolean;
}

/** The type below all domains, with the modifier that counts there. */
const BASE = `(WITH RECURSIVE below(oid, modifier) AS (
      SELECT a.atttypid, a.atttypmod
      UNION ALL
      SELECT t.typbasetype, CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE d.modifier END
        FROM below d JOIN pg_type t ON t.oid = d.oid WHERE t.typtype = 'd')
    SELECT format_type(d.oid, d.modifier) FROM below d JOIN pg_type t ON t.oid = d.oid WHERE t.typtype <> 'd')`;

/**
 * Neither null nor given a value: by the whole, which rows of a partition are put into, or by a domain, whose own default
 * counts where the column has none.
 */
const DEMANDING = `(WITH RECURSIVE below(oid, base, not_null, has_default) AS (
      SELECT t.oid, t.typbasetype, t.typnotnull, t.typdefaultbin IS NOT NULL FROM pg_type t WHERE t.oid = a.atttypid AND t.typtype = 'd'
      UNION ALL
      SELECT t.oid, t.typbasetype, t.typnotnull, false
        FROM below d JOIN pg_type t ON t.oid = d.base WHERE t.typtype = 'd')
    SELECT (a.attnotnull OR coalesce((SELECT bool_or(not_null) FROM below), false))
      AND NOT coalesce((SELECT bool_or(has_default) FROM below), false)
      AND NOT EXISTS (SELECT FROM pg_attribute w WHERE w.attrelid = coalesce(pg_partition_root(c.oid), c.oid)
        AND w.attname = a.attname AND (w.atthasdef OR w.attidentity <> '')))`;

const COLUMNS = `(SELECT jsonb_agg(jsonb_build_object(
      'name', a.attname, 'attribute', a.attnum, 'typeOid', a.atttypid::int8, 'modifier', a.atttypmod,
      'formatted', format_type(a.atttypid, a.atttypmod), 'base', ${BASE},
      'collation', (SELECT quote_ident(n.nspname) || '.' || quote_ident(l.collname)
        FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace WHERE l.oid = a.attcollation),
      'notNull', a.attnotnull, 'generated', a.attgenerated, 'identity', a.attidentity, 'demanding', ${DEMANDING})
      ORDER BY a.attnum)
    FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)`;

/** By the operator classes, for each column of the index `x`. */
const EQUALITIES = `(SELECT jsonb_agg((SELECT quote_ident(n.nspname) || '.' || o.oprname
        FROM pg_opclass f JOIN pg_amop m ON m.amopfamily = f.opcfamily AND m.amopmethod = 403
         AND m.amopstrategy = 3 AND m.amoplefttype = f.opcintype AND m.amoprighttype = f.opcintype
        JOIN pg_operator o ON o.oid = m.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace
       WHERE f.oid = q.class) ORDER BY q.i)
     FROM unnest((x.indclass::oid[])[0:x.indnkeyatts - 1]) WITH ORDINALITY q(class, i))`;

const EXCLUSION_OPERATORS = `(SELECT jsonb_agg(quote_ident(n.nspname) || '.' || o.oprname ORDER BY e.i)
  FROM pg_constraint f CROSS JOIN unnest(f.conexclop) WITH ORDINALITY e(op, i)
  JOIN pg_operator o ON o.oid = e.op JOIN pg_namespace n ON n.oid = o.oprnamespace
 WHERE f.conindid = x.indexrelid AND f.conrelid = x.indrelid AND f.contype IN ('p', 'u', 'x'))`;

const INDEXES = `(SELECT jsonb_agg(jsonb_build_object(
      'name', k.relname, 'immediate', x.indimmediate AND NOT x.indisexclusion,
      'nullsEqual', coalesce((to_jsonb(x) ->> 'indnullsnotdistinct')::bool, false),
      'columns', (SELECT jsonb_agg(a.attname ORDER BY p.i)
         FROM unnest((x.indkey::int2[])[0:x.indnkeyatts - 1]) WITH ORDINALITY p(n, i)
         JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = p.n),
      'operators', CASE WHEN x.indisexclusion THEN ${EXCLUSION_OPERATORS} ELSE ${EQUALITIES} END) ORDER BY k.oid)
    FROM pg_index x JOIN pg_class k ON k.oid = x.indexrelid
   WHERE x.indrelid = c.oid AND (x.indisunique OR x.indisexclusion) AND x.indisvalid AND x.indpred IS NULL AND x.indexprs IS NULL)`;

const TABLES = `SELECT jsonb_build_object(
    'oid', c.oid::int8, 'schema', s.nspname, 'name', c.relname,
    'kind', CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' ELSE 'other' END,
    'wholes', (SELECT jsonb_agg(jsonb_build_object('oid', w.oid::int8, 'schema', n.nspname, 'name', w.relname))
       FROM pg_partition_ancestors(c.oid) u(oid) JOIN pg_class w ON w.oid = u.oid
       JOIN pg_namespace n ON n.oid = w.relnamespace WHERE u.oid <> c.oid),
    'columns', ${COLUMNS}, 'indexes', ${INDEXES},
    'rewritten', EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = c.oid AND w.ev_enabled <> 'D'),
    'rowSecurity', row_security_active(c.oid),
    'denied', (SELECT jsonb_agg(p) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
                WHERE NOT has_table_privilege(c.oid, p)))::text
  FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
 WHERE c.oid = ANY ($1::oid[])`;

/** The tables that are there of these, by their OIDs. */
export async function readCurrentTables(
  session: UndoSession,
  oids: readonly number[],
): Promise<ReadonlyMap<number, CurrentTable>> {
  const rows = await session.query(TABLES, [`{${oids.join(',')}}`]);
  const tables = rows.map(([json]) => readTable(json!));
  return new Map(tables.map((table) => [table.oid, table]));
}

/** The server gives NULL for a list that is empty. */
function readTable(json: string): CurrentTable {
  const raw = JSON.parse(json) as { [K in keyof CurrentTable]: CurrentTable[K] | null };
  return {
    ...(raw as CurrentTable),
    wholes: raw.wholes ?? [],
    columns: raw.columns ?? [],
    indexes: raw.indexes ?? [],
    denied: raw.denied ?? [],
  };
}
