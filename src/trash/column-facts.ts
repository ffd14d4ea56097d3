import type { Grant } from './facts.ts';
import { ACL, emptyingPath, GIVEN, IS, LIST, pinned } from './queries.ts';

/** What there is to know of columns that are to be dropped. */
export interface ColumnFacts {
  readonly table: {
    readonly oid: number;
    readonly schema: string;
    readonly name: string;
    readonly kind: string;
    readonly owner: string;
    /** It has parents, children or partitions. */
    readonly related: boolean;
    readonly rowSecurity: boolean;
    /** With its indexes. */
    readonly bytes: number;
  };
  readonly columns: readonly {
    readonly name: string;
    readonly type: string;
    readonly collation: string | null;
    readonly notNull: boolean;
    readonly identity: string;
    readonly generated: string;
    /** Its default, or what it is computed by. */
    readonly expression: string | null;
    /** Where it is not that of its type. */
    readonly storage: string | null;
    readonly compression: string | null;
    readonly statistics: number | null;
    /** As `name=value`. */
    readonly options: readonly string[] | null;
    readonly comment: string | null;
    readonly acl: readonly Grant[] | null;
  }[];
  /** The columns that stay, but for generated ones. */
  readonly kept: readonly string[];
  /** The columns of a key that stays; null where there is none. */
  readonly key: readonly string[] | null;
  /** Of the table itself, whatever their kind. */
  readonly constraints:
    | readonly { readonly name: string; readonly definition: string; readonly comment: string | null }[]
    | null;
  /** Those that no constraint has. */
  readonly indexes:
    | readonly {
        readonly schema: string;
        readonly name: string;
        readonly definition: string;
        readonly comment: string | null;
      }[]
    | null;
  /** Where values of its row type are stored, of which a column that goes takes a part that does not come back. */
  readonly storedRows: string | null;
  /** What would go that is no constraint, index or default of the table. */
  readonly strangers: readonly string[] | null;
}

/** $1, $2: the objects that would go. $3: the table. $4: its columns that would. */
const ROOT = '$3::oid';
const DROPPED = 'a.attnum > 0 AND NOT a.attisdropped AND a.attname::text = ANY ($4::text[])';

const KEPT = `
  SELECT ${LIST('a.attname', 'a.attnum')} FROM pg_attribute a
   WHERE a.attrelid = ${ROOT} AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND NOT (${DROPPED})`;

const STORAGES = `CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END`;

const COLUMNS = `
  SELECT ${LIST(
    `pg_catalog.jsonb_build_object('name', a.attname, 'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
      'collation', (SELECT pg_catalog.quote_ident(cn.nspname) || '.' || pg_catalog.quote_ident(l.collname)
         FROM pg_collation l JOIN pg_namespace cn ON cn.oid = l.collnamespace
         WHERE l.oid = a.attcollation AND a.attcollation <> t.typcollation),
      'notNull', a.attnotnull, 'identity', a.attidentity, 'generated', a.attgenerated,
      'expression', (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum),
      'storage', CASE WHEN a.attstorage <> t.typstorage THEN ${STORAGES} END,
      'compression', CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END,
      'statistics', CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END, 'options', pg_catalog.to_jsonb(a.attoptions),
      'comment', pg_catalog.col_description(a.attrelid, a.attnum), 'acl', ${ACL('a.attacl')})`,
    'a.attnum',
  )} FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = ${ROOT} AND ${DROPPED}`;

/** Its types are PostgreSQL's own, so that their equality needs no search_path. */
const KEY = `
  SELECT k.names FROM pg_index i CROSS JOIN LATERAL (
    SELECT ${LIST('a.attname', 'a.attnum')} AS names, pg_catalog.bool_and(a.attnotnull AND a.atttypid < 16384 AND NOT (${DROPPED})) AS good,
           pg_catalog.count(*) AS columns
      FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
  ) k
  WHERE i.indrelid = ${ROOT} AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
    AND i.indnatts = i.indnkeyatts AND k.good AND k.columns = i.indnatts
  ORDER BY i.indisprimary DESC, k.columns LIMIT 1`;

const CONSTRAINTS = `
  SELECT ${LIST(
    `pg_catalog.jsonb_build_object('name', c.conname, 'definition', pg_catalog.pg_get_constraintdef(c.oid),
      'comment', pg_catalog.obj_description(c.oid, 'pg_constraint'))`,
    `c.contype = 'f', c.oid`,
  )} FROM given o JOIN pg_constraint c ON c.oid = o.objid WHERE o.classid = ${IS('pg_constraint')} AND c.conrelid = ${ROOT}`;

const INDEXES = `
  SELECT ${LIST(
    `pg_catalog.jsonb_build_object('schema', n.nspname, 'name', c.relname, 'definition', pg_catalog.pg_get_indexdef(c.oid),
      'comment', pg_catalog.obj_description(c.oid, 'pg_class'))`,
    'c.oid',
  )} FROM given o JOIN pg_class c ON c.oid = o.objid JOIN pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_index i ON i.indexrelid = c.oid AND i.indrelid = ${ROOT}
   WHERE o.classid = ${IS('pg_class')} AND NOT EXISTS (SELECT FROM pg_constraint x WHERE x.conindid = c.oid AND x.conrelid = ${ROOT})`;

const STRANGERS = `
  SELECT ${LIST('pg_catalog.pg_describe_object(o.classid, o.objid, 0)', `o.classid <> ${IS('pg_class')}, o.classid, o.objid`)} FROM given o
   WHERE NOT EXISTS (SELECT FROM pg_constraint c WHERE o.classid = ${IS('pg_constraint')} AND c.oid = o.objid AND c.conrelid = ${ROOT})
     AND NOT EXISTS (SELECT FROM pg_index i WHERE o.classid = ${IS('pg_class')} AND i.indexrelid = o.objid AND i.indrelid = ${ROOT}
                        AND NOT i.indisclustered AND NOT i.indisreplident)
     AND NOT EXISTS (SELECT FROM pg_attrdef d WHERE o.classid = ${IS('pg_attrdef')} AND d.oid = o.objid AND d.adrelid = ${ROOT})
     AND NOT EXISTS (SELECT FROM pg_trigger g WHERE o.classid = ${IS('pg_trigger')} AND g.oid = o.objid AND g.tgisinternal)`;

const STORED_ROWS = `
  SELECT pg_catalog.min(pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)) FROM pg_class c
    JOIN pg_type t ON t.oid = c.reltype OR t.typelem = c.reltype JOIN pg_depend d ON d.refclassid = ${IS('pg_type')} AND d.refobjid = t.oid
   WHERE c.oid = ${ROOT} AND d.deptype = 'n'::pg_catalog."char" AND (d.classid = ${IS('pg_type')}
     OR (d.objsubid > 0 AND EXISTS (SELECT FROM pg_class k WHERE d.classid = ${IS('pg_class')} AND k.oid = d.objid AND k.relkind <> 'v')))`;

export const COLUMN_FACTS = pinned(
  emptyingPath(
    GIVEN,
    `pg_catalog.jsonb_build_object(
      'table', (SELECT pg_catalog.jsonb_build_object('oid', c.oid::int8, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
          'owner', pg_catalog.pg_get_userbyid(c.relowner), 'rowSecurity', pg_catalog.row_security_active(c.oid),
          'bytes', pg_catalog.pg_total_relation_size(c.oid),
          'related', EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid OR i.inhparent = c.oid))
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ${ROOT}),
      'columns', coalesce((${COLUMNS} AND e.now IS NOT NULL), '[]'), 'kept', coalesce((${KEPT}), '[]'), 'key', (${KEY}), 'constraints', (${CONSTRAINTS} AND e.now IS NOT NULL),
      'indexes', (${INDEXES} AND e.now IS NOT NULL), 'strangers', (${STRANGERS}), 'storedRows', (${STORED_ROWS}))`,
  ),
);
