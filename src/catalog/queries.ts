/**
 * The catalog's queries. They run inside transactions of clients, so nothing in them may depend on search_path,
 * and nothing may fail that the client's own statement would not fail with as well.
 */

/** One of letters, by PostgreSQL's own operator: IN and CASE … WHEN would ask search_path for one. */
function among(...letters: readonly string[]): string {
  return `OPERATOR(pg_catalog.=) ANY (ARRAY[${letters.join(', ')}]::pg_catalog."char"[])`;
}

const ACTS = among("'c'", "'n'", "'d'");

/** What fires in this session: a replica fires other triggers and rules than an origin does. */
const REPLICA = `pg_catalog.current_setting('session_replication_role') OPERATOR(pg_catalog.=) 'replica'`;
const FIRES = among("'A'", `CASE WHEN ${REPLICA} THEN 'R' ELSE 'O' END`);

/** Relations that decide what happens to rows of the roots ($1), and those that refer to them ($2: all of them). */
const CLOSURE = `
closure(oid) AS (
  SELECT r FROM pg_catalog.unnest($1::pg_catalog.oid[]) r
  UNION
  SELECT next.oid FROM closure c CROSS JOIN LATERAL (
    SELECT con.conrelid AS oid
      FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_constraint con ON con.oid OPERATOR(pg_catalog.=) g.tgconstraint
     WHERE g.tgrelid OPERATOR(pg_catalog.=) c.oid AND con.contype OPERATOR(pg_catalog.=) 'f'
       AND con.confrelid OPERATOR(pg_catalog.=) c.oid
       AND ($2::pg_catalog.bool OR con.confdeltype ${ACTS} OR con.confupdtype ${ACTS})
    UNION ALL
    SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent OPERATOR(pg_catalog.=) c.oid
    UNION ALL
    SELECT i.inhparent
      FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class k ON k.oid OPERATOR(pg_catalog.=) i.inhrelid
     WHERE i.inhrelid OPERATOR(pg_catalog.=) c.oid AND k.relispartition
  ) next
)`;

/**
 * What relations have none of as long as their rows of pg_class stay the same, which the first trigger, rule or child and
 * the switch of row security change: then it need not be looked for.
 */
export interface Lacking {
  readonly triggers: boolean;
  readonly rules: boolean;
  readonly rowSecurity: boolean;
  /** Neither parents nor children. A table that is no partition changes nothing of its own as it gets a parent. */
  readonly kin: boolean;
}

export const LACKS_NOTHING: Lacking = Object.freeze({
  triggers: false,
  rules: false,
  rowSecurity: false,
  kin: false,
});

/** What the role may do is no more in the rows of its tables alone: it may be a member of others. */
export const RIGHTS = `pg_catalog.row_security_active(x.oid), pg_catalog.has_table_privilege(x.oid, 'SELECT'),
  pg_catalog.has_schema_privilege(x.relnamespace, 'USAGE'), pg_catalog.has_any_column_privilege(x.oid, 'UPDATE')`;

/**
 * Versions of all catalog rows that describe the relations of an array: it changes whenever one of them does. Inside
 * one transaction a row may have several versions of one xmin, which their places tell apart. What they lack gives no
 * rows, so that it is the same however much of that is left out. Each part is an array of its own, which the server plans
 * in half the time that it would take for their union. Only a TRUNCATE asks for the sequences that they own.
 */
export function fingerprint(oids: string, lacking: Lacking = LACKS_NOTHING, sequences = false): string {
  const given = (column: string) => `${column} OPERATOR(pg_catalog.=) ANY (${oids})`;
  const versions = (id: readonly string[], from: string, order: string) =>
    `ARRAY(SELECT pg_catalog.concat(${[...id, 'x.xmin', 'x.ctid'].join(", ' ', ")}) FROM ${from} ORDER BY ${order})`;
  const of = (table: string, column: string, id: readonly string[], order = id.join(', ')) =>
    versions(id, `pg_catalog.${table} x WHERE ${given(`x.${column}`)}`, order);
  const parts = [
    of('pg_class', 'oid', ['x.oid', 'x.relnamespace::pg_catalog.regnamespace', RIGHTS], 'x.oid'),
    of('pg_attribute', 'attrelid', ['x.attrelid', 'x.attnum']),
    of('pg_constraint', 'conrelid', ['x.oid']),
    of('pg_index', 'indrelid', ['x.indexrelid']),
    lacking.kin
      ? NO_ROWS
      : versions(
          ['x.inhparent', 'x.inhrelid'],
          `pg_catalog.pg_inherits x WHERE ${given('x.inhparent')} OR ${given('x.inhrelid')}`,
          'x.inhparent, x.inhrelid',
        ),
    lacking.triggers ? NO_ROWS : of('pg_trigger', 'tgrelid', ['x.oid']),
    lacking.triggers
      ? NO_ROWS
      : versions(
          ['x.oid'],
          `pg_catalog.pg_trigger g JOIN pg_catalog.pg_constraint x ON x.oid OPERATOR(pg_catalog.=) g.tgconstraint
            WHERE ${given('g.tgrelid')}`,
          'x.oid',
        ),
    lacking.rules ? NO_ROWS : of('pg_rewrite', 'ev_class', ['x.oid']),
    lacking.rowSecurity
      ? NO_ROWS
      : // Where it is switched off, policies do nothing.
        versions(
          ['x.oid'],
          `pg_catalog.pg_policy x WHERE ${given('x.polrelid')} AND EXISTS (
            SELECT FROM pg_catalog.pg_class k WHERE k.oid OPERATOR(pg_catalog.=) x.polrelid AND k.relrowsecurity)`,
          'x.oid',
        ),
    ...(sequences
      ? [versions(['x.oid', 'd.refobjsubid', READS_SEQUENCE], ownedSequences(oids), 'x.oid')]
      : []),
  ];
  return `pg_catalog.md5(pg_catalog.concat_ws(';', ${parts.join(',\n')}))`;
}

/** As an array without any is written. */
export const NO_ROWS = `'{}'`;

const READS_SEQUENCE = `pg_catalog.has_sequence_privilege(x.oid, 'SELECT')`;

/** The sequences (x) that columns of relations own, which stand in the schemas of these. */
const ownedSequences = (oids: string) => `pg_catalog.pg_depend d
     JOIN pg_catalog.pg_class x ON x.oid OPERATOR(pg_catalog.=) d.objid AND x.relkind OPERATOR(pg_catalog.=) 'S'
    WHERE d.refclassid OPERATOR(pg_catalog.=) 1259 AND d.refobjid OPERATOR(pg_catalog.=) ANY (${oids})
      AND d.refobjsubid OPERATOR(pg_catalog.>) 0
      AND d.classid OPERATOR(pg_catalog.=) 1259 AND d.deptype ${among("'a'", "'i'")}`;

/** Whether what is known of relations ($1) still holds. */
export const fingerprintQuery = (lacking: Lacking, sequences: boolean): string =>
  `SELECT ${fingerprint('$1::pg_catalog.oid[]', lacking, sequences)}`;

/** A transaction's number in full, as those near the snapshot's are. */
const IN_FULL = (xid: string) => `(s.next OPERATOR(pg_catalog.-) 2147483648 OPERATOR(pg_catalog.+)
  ((${xid}::pg_catalog.text::pg_catalog.int8 OPERATOR(pg_catalog.-) (s.next OPERATOR(pg_catalog.%) 4294967296)
    OPERATOR(pg_catalog.+) 6442450944) OPERATOR(pg_catalog.%) 4294967296))`;

/**
 * The same in a transaction that reads the catalog by an old snapshot, while statements go by what it says now: a row
 * that others have put another in the place of since is seen as it was, and tells so itself. It differs then.
 */
export const fingerprintOfOldQuery = (lacking: Lacking, sequences: boolean): string => `
WITH s AS (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text::pg_catalog.int8 AS next),
gone(xid) AS MATERIALIZED (
  SELECT x.xmax FROM pg_catalog.pg_class x
   WHERE x.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[]) AND x.xmax OPERATOR(pg_catalog.<>) 0
  UNION ALL
  SELECT x.xmax FROM pg_catalog.pg_attribute x
   WHERE x.attrelid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[]) AND x.xmax OPERATOR(pg_catalog.<>) 0)
SELECT ${fingerprint('$1::pg_catalog.oid[]', lacking, sequences)} OPERATOR(pg_catalog.||)
  CASE WHEN EXISTS (SELECT FROM gone g CROSS JOIN s
    WHERE pg_catalog.pg_xact_status(${IN_FULL('g.xid')}::pg_catalog.text::pg_catalog.xid8) OPERATOR(pg_catalog.=) 'committed')
  THEN ' and another since' ELSE '' END`;

/** A type of PostgreSQL's own; what is made after initdb has a larger OID. */
const isSystem = (type: string) =>
  `(${type} OPERATOR(pg_catalog.>) 0 AND ${type} OPERATOR(pg_catalog.<) 16384)`;

/**
 * Operators of the user's that values of PostgreSQL's own types may be given to, although it has one of the name: the
 * types that fit best win over the search_path. Those of extensions in C are taken for what they say they are.
 */
const OWN_OPERATORS = `EXISTS (SELECT FROM pg_catalog.pg_operator o
    JOIN pg_catalog.pg_namespace s ON s.oid OPERATOR(pg_catalog.=) o.oprnamespace
    LEFT JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) o.oprcode::pg_catalog.oid
   WHERE o.oid OPERATOR(pg_catalog.>=) 16384 AND s.nspname OPERATOR(pg_catalog.=) ANY (pg_catalog.current_schemas(true))
     AND (${isSystem('o.oprleft')} OR ${isSystem('o.oprright')})
     AND NOT (p.prolang OPERATOR(pg_catalog.=) 13 AND EXISTS (SELECT FROM pg_catalog.pg_depend d
       WHERE d.classid OPERATOR(pg_catalog.=) 2617 AND d.objid OPERATOR(pg_catalog.=) o.oid AND d.deptype OPERATOR(pg_catalog.=) 'e')))`;

/** Casts of the user's between PostgreSQL's own types. */
const OWN_CASTS = `EXISTS (SELECT FROM pg_catalog.pg_cast k
   WHERE k.oid OPERATOR(pg_catalog.>=) 16384 AND k.castfunc OPERATOR(pg_catalog.>=) 16384
     AND ${isSystem('k.castsource')} AND ${isSystem('k.casttarget')})`;

/** Whether neither is there, of a database that has operators or casts of its own. */
export const NO_OWN_CODE = `SELECT (NOT ${OWN_OPERATORS} AND NOT ${OWN_CASTS})::pg_catalog.text`;

const SCHEMA_HOLDS = `pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace s ON s.oid OPERATOR(pg_catalog.=) p.pronamespace
               WHERE p.proname OPERATOR(pg_catalog.=) f.name::pg_catalog.name
                 AND CASE WHEN f.schema IS NULL THEN pg_catalog.pg_function_is_visible(p.oid)
                          ELSE s.nspname OPERATOR(pg_catalog.=) f.schema::pg_catalog.name END`;

const FUNCTIONS = `(SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
      'volatility', (SELECT pg_catalog.max(CASE WHEN p.provolatile OPERATOR(pg_catalog.=) 'v' THEN 2
                                            WHEN p.provolatile OPERATOR(pg_catalog.=) 's' THEN 1 ELSE 0 END)
                       FROM ${SCHEMA_HOLDS}),
      'own', (SELECT pg_catalog.bool_or(s.nspname OPERATOR(pg_catalog.<>) 'pg_catalog')
                FROM ${SCHEMA_HOLDS})) ORDER BY f.i)
    FROM ROWS FROM (pg_catalog.unnest($3::pg_catalog.text[]), pg_catalog.unnest($4::pg_catalog.text[]))
         WITH ORDINALITY f(schema, name, i))`;

export const OID_OF_ONE = 'pg_catalog.to_regclass(($1::pg_catalog.text[])[1])::pg_catalog.oid';
const OIDS = `(SELECT pg_catalog.jsonb_agg(pg_catalog.to_regclass(n.name)::pg_catalog.oid::pg_catalog.int8 ORDER BY n.i)
             FROM pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY n(name, i))`;

/** What is asked of a session's settings, in the order of the columns. */
const SETTINGS = [
  'session_replication_role',
  'row_security',
  'track_counts',
  'transaction_isolation',
  'DateStyle',
  'IntervalStyle',
  'extra_float_digits',
].map((name) => `pg_catalog.current_setting('${name}')`);

export const CIRCUMSTANCES = `CURRENT_USER, ${SETTINGS.join(', ')}, pg_catalog.current_schemas(true),
  EXISTS (SELECT FROM pg_catalog.pg_operator o WHERE o.oid OPERATOR(pg_catalog.>=) 16384)
    OR EXISTS (SELECT FROM pg_catalog.pg_cast k WHERE k.oid OPERATOR(pg_catalog.>=) 16384)`;

/**
 * Resolves names ($1) as a statement of the session would, tells whether what is known of relations ($2) still
 * holds, and what functions ($3 their schemas, $4 their names; left out where there are none) may do. One round trip, and
 * no more tables and no more words than have to be: planning it costs the server more than running it. What its columns
 * say is read in lookup.ts.
 */
export const lookupQuery = (
  names: number,
  lacking: Lacking,
  sequences: boolean,
  asksFunctions: boolean,
): string => `
SELECT ${names === 1 ? OID_OF_ONE : OIDS}, ${fingerprint('$2::pg_catalog.oid[]', lacking, sequences)},
  ${CIRCUMSTANCES}, ${asksFunctions ? FUNCTIONS : 'NULL'}`;

const NAMES_OF = (keys: string, relation: string) => `
  (SELECT pg_catalog.jsonb_agg(a.attname ORDER BY k.i)
     FROM pg_catalog.unnest(${keys}) WITH ORDINALITY k(n, i)
     JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) ${relation} AND a.attnum OPERATOR(pg_catalog.=) k.n)`;

/** The OID of xml, of which the server sends another declaration than is stored. */
const XML = `'142'::pg_catalog.oid`;

const COLUMNS = `
  (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
      'name', a.attname, 'attribute', a.attnum, 'notNull', a.attnotnull, 'generated', a.attgenerated,
      'identity', a.attidentity, 'hasDefault', a.atthasdef, 'binary', b.binary AND NOT b.xml,
      'xml', CASE WHEN NOT b.xml THEN NULL
        WHEN ${XML} OPERATOR(pg_catalog.=) ANY (ARRAY[a.atttypid, t.typbasetype]) AND t.typelem OPERATOR(pg_catalog.=) 0 THEN 'plain' ELSE 'within' END,
      'collation', CASE WHEN a.attcollation OPERATOR(pg_catalog.<>) t.typcollation
        THEN pg_catalog.quote_ident(ln.nspname) OPERATOR(pg_catalog.||) '.' OPERATOR(pg_catalog.||) pg_catalog.quote_ident(l.collname) END,
      'type', pg_catalog.jsonb_build_object('oid', a.atttypid::pg_catalog.int8, 'schema', tn.nspname, 'name', t.typname,
        'modifier', a.atttypmod, 'formatted', pg_catalog.format_type(a.atttypid, a.atttypmod))) ORDER BY a.attnum)
     FROM pg_catalog.pg_attribute a
     JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
     JOIN pg_catalog.pg_namespace tn ON tn.oid OPERATOR(pg_catalog.=) t.typnamespace
     JOIN binaries b ON b.root OPERATOR(pg_catalog.=) a.atttypid
     LEFT JOIN pg_catalog.pg_collation l ON l.oid OPERATOR(pg_catalog.=) a.attcollation
     LEFT JOIN pg_catalog.pg_namespace ln ON ln.oid OPERATOR(pg_catalog.=) l.collnamespace
    WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped)`;

const KEYS = `
  (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
      'name', k.relname, 'primary', x.indisprimary, 'deferrable', NOT x.indimmediate, 'nullsEqual', x.indnullsnotdistinct,
      'columns', ${NAMES_OF('(x.indkey::pg_catalog.int2[])[0:x.indnkeyatts OPERATOR(pg_catalog.-) 1]', 'x.indrelid')},
      'notNull', NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
        WHERE a.attrelid OPERATOR(pg_catalog.=) x.indrelid AND NOT a.attnotnull
          AND a.attnum OPERATOR(pg_catalog.=) ANY ((x.indkey::pg_catalog.int2[])[0:x.indnkeyatts OPERATOR(pg_catalog.-) 1])))
      ORDER BY k.oid)
     FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class k ON k.oid OPERATOR(pg_catalog.=) x.indexrelid
    WHERE x.indrelid OPERATOR(pg_catalog.=) c.oid AND x.indisunique AND x.indisvalid
      AND x.indpred IS NULL AND x.indexprs IS NULL)`;

const FIRING = (suffix: string) => `
  EXISTS (SELECT FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) g.tgfoid
           WHERE g.tgrelid OPERATOR(pg_catalog.=) c.oid AND g.tgconstraint OPERATOR(pg_catalog.=) con.oid
             AND p.proname OPERATOR(pg_catalog.~) '^RI_FKey_.*_${suffix}$' AND g.tgenabled ${FIRES})`;

const REFERENCES = `
  (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
      'oid', con.oid::pg_catalog.int8, 'name', con.conname, 'parent', con.conparentid::pg_catalog.int8,
      'referrer', con.conrelid::pg_catalog.int8,
      'columns', ${NAMES_OF('con.confkey', 'con.confrelid')},
      'referrerColumns', ${NAMES_OF('con.conkey', 'con.conrelid')},
      'setColumns', ${NAMES_OF('con.confdelsetcols', 'con.conrelid')},
      'operators', (SELECT pg_catalog.jsonb_agg(pg_catalog.quote_ident(n.nspname) OPERATOR(pg_catalog.||) '.' OPERATOR(pg_catalog.||) o.oprname ORDER BY e.i)
         FROM pg_catalog.unnest(con.conpfeqop) WITH ORDINALITY e(op, i)
         JOIN pg_catalog.pg_operator o ON o.oid OPERATOR(pg_catalog.=) e.op
         JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) o.oprnamespace),
      'onDelete', con.confdeltype, 'onUpdate', con.confupdtype, 'matchType', con.confmatchtype,
      'deferrable', con.condeferrable, 'deleteActive', ${FIRING('del')}, 'updateActive', ${FIRING('upd')}) ORDER BY con.oid)
     FROM pg_catalog.pg_constraint con
    WHERE con.contype OPERATOR(pg_catalog.=) 'f' AND con.confrelid OPERATOR(pg_catalog.=) c.oid
      AND con.oid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT g.tgconstraint FROM pg_catalog.pg_trigger g
                                 WHERE g.tgrelid OPERATOR(pg_catalog.=) c.oid)))`;

const TRIGGERS = `
  (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', g.tgname, 'function', p.proname, 'type', g.tgtype,
      'deferrable', g.tgdeferrable)
      ORDER BY g.tgname)
     FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) g.tgfoid
    WHERE g.tgrelid OPERATOR(pg_catalog.=) c.oid AND NOT g.tgisinternal AND g.tgenabled ${FIRES})`;

const SEQUENCES = `
  (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('oid', s.oid::pg_catalog.int8, 'schema', sn.nspname,
      'name', s.relname, 'column', a.attname, 'select', s.readable) ORDER BY s.oid)
     FROM (SELECT x.oid, x.relnamespace, x.relname, d.refobjsubid, ${READS_SEQUENCE} AS readable
             FROM ${ownedSequences('ARRAY[c.oid]')}) s
     JOIN pg_catalog.pg_namespace sn ON sn.oid OPERATOR(pg_catalog.=) s.relnamespace
     JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.=) s.refobjsubid)`;

/**
 * Functions, operators and operator classes that came after initdb; what is PostgreSQL's own has no entries. By the keys of
 * the wholes that it is a part of it is told whether a row belongs there.
 */
const OWN_CODE = `
  EXISTS (SELECT FROM pg_catalog.pg_depend d
           WHERE d.refclassid OPERATOR(pg_catalog.=) ANY (ARRAY[1255, 2617, 2616, 2753]::pg_catalog.oid[])
             AND (d.classid OPERATOR(pg_catalog.=) 2604 AND d.objid OPERATOR(pg_catalog.=) ANY (ARRAY(
                    SELECT x.oid FROM pg_catalog.pg_attrdef x WHERE x.adrelid OPERATOR(pg_catalog.=) c.oid))
               OR d.classid OPERATOR(pg_catalog.=) 2606 AND d.objid OPERATOR(pg_catalog.=) ANY (ARRAY(
                    SELECT x.oid FROM pg_catalog.pg_constraint x WHERE x.conrelid OPERATOR(pg_catalog.=) c.oid))
               OR d.classid OPERATOR(pg_catalog.=) 1259 AND d.objid OPERATOR(pg_catalog.=) ANY (ARRAY(
                    SELECT x.indexrelid FROM pg_catalog.pg_index x WHERE x.indrelid OPERATOR(pg_catalog.=) c.oid
                    UNION ALL SELECT a.relid FROM pg_catalog.pg_partition_ancestors(c.oid) a(relid)))))`;

const INHERITED = (wanted: string, given: string) => `
  (SELECT pg_catalog.jsonb_agg(i.${wanted}::pg_catalog.int8 ORDER BY i.${wanted})
     FROM pg_catalog.pg_inherits i WHERE i.${given} OPERATOR(pg_catalog.=) c.oid)`;

/** What there is to know of the closure of relations: a row each, and last of all its fingerprint. */
export const describeQuery = (sequences: boolean): string => `
WITH RECURSIVE ${CLOSURE},
found AS MATERIALIZED (SELECT k.* FROM pg_catalog.pg_class k WHERE k.oid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT oid FROM closure))),
parts(root, oid) AS (
  SELECT a.atttypid, a.atttypid FROM pg_catalog.pg_attribute a
   WHERE a.attrelid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT oid FROM closure))
     AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
  UNION
  SELECT p.root, inner_type.oid FROM parts p JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) p.oid
   CROSS JOIN LATERAL (
    SELECT t.typelem AS oid WHERE t.typelem OPERATOR(pg_catalog.<>) 0
    UNION ALL SELECT t.typbasetype WHERE t.typbasetype OPERATOR(pg_catalog.<>) 0
    UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r
               WHERE r.rngtypid OPERATOR(pg_catalog.=) t.oid OR r.rngmultitypid OPERATOR(pg_catalog.=) t.oid
    UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a
               WHERE a.attrelid OPERATOR(pg_catalog.=) t.typrelid AND t.typrelid OPERATOR(pg_catalog.<>) 0
                 AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
   ) inner_type
),
binaries AS MATERIALIZED (
  SELECT p.root, pg_catalog.bool_and(t.typsend::pg_catalog.oid OPERATOR(pg_catalog.<>) 0
                                 AND t.typreceive::pg_catalog.oid OPERATOR(pg_catalog.<>) 0) AS binary,
         pg_catalog.bool_or(t.oid OPERATOR(pg_catalog.=) ${XML}) AS xml
    FROM parts p JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) p.oid GROUP BY p.root
)
SELECT pg_catalog.jsonb_build_object(
    'oid', c.oid::pg_catalog.int8, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
    'owner', pg_catalog.pg_get_userbyid(c.relowner), 'temporary', c.relpersistence OPERATOR(pg_catalog.=) 't',
    'partition', c.relispartition,
    'heap', c.relkind OPERATOR(pg_catalog.=) 'p' OR c.relam OPERATOR(pg_catalog.=) 2,
    'parents', ${INHERITED('inhparent', 'inhrelid')}, 'children', ${INHERITED('inhrelid', 'inhparent')},
    'columns', ${COLUMNS}, 'keys', ${KEYS}, 'references', ${REFERENCES}, 'triggers', ${TRIGGERS},
    'rules', (SELECT pg_catalog.jsonb_agg(w.ev_type) FROM pg_catalog.pg_rewrite w
               WHERE w.ev_class OPERATOR(pg_catalog.=) c.oid AND w.rulename OPERATOR(pg_catalog.<>) '_RETURN' AND w.ev_enabled ${FIRES}),
    'rowSecurity', pg_catalog.row_security_active(c.oid),
    'select', pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE'),
    'update', pg_catalog.has_any_column_privilege(c.oid, 'UPDATE'),
    'lacking', pg_catalog.jsonb_build_object('triggers', NOT c.relhastriggers, 'rules', NOT c.relhasrules,
      'rowSecurity', NOT c.relrowsecurity, 'kin', NOT c.relhassubclass AND NOT c.relispartition AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid OPERATOR(pg_catalog.=) c.oid)),
    'sequences', ${SEQUENCES}, 'ownCode', ${OWN_CODE},
    'estimatedRows', c.reltuples, 'estimatedBytes', c.relpages::pg_catalog.int8 OPERATOR(pg_catalog.*) 8192)::pg_catalog.text
  FROM found c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
UNION ALL
SELECT ${fingerprint('ARRAY(SELECT oid FROM closure)', LACKS_NOTHING, sequences)}`;
