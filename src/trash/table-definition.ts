import { emptyingPath, IS, LIST, pinned } from './queries.ts';
import { json, type TrashSession } from './session.ts';

/**
 * All that ALTER TABLE may change of a table, in parts that can be compared one by one: by what they are, and by a name
 * that stays. Names in it are qualified, so that it is SQL wherever it is read again.
 */
export interface TableDefinition {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly kind: string;
  readonly owner: string;
  readonly temporary: boolean;
  /** Whether the role that asks is its owner, or may act as such. */
  readonly owned: boolean;
  readonly rowSecurity: boolean;
  /** With its indexes. */
  readonly bytes: number;
  /** The file of its rows; null where there is none. A change of it is a writing anew. */
  readonly file: string | null;
  /** How many levels of parents it has. */
  readonly depth: number;
  readonly isPartition: boolean;
  readonly settings: Readonly<Record<string, Part>>;
  readonly columns: Readonly<Record<string, ColumnPart>>;
  readonly constraints: Readonly<Record<string, ConstraintPart>>;
  readonly indexes: Readonly<Record<string, IndexPart>>;
  readonly triggers: Readonly<Record<string, StatedPart>>;
  readonly rules: Readonly<Record<string, StatedPart>>;
  readonly policies: Readonly<Record<string, PolicyPart>>;
  readonly statistics: Readonly<Record<string, Part>>;
  /** Foreign keys of other tables that refer to it. */
  readonly referrers: Readonly<Record<string, ReferrerPart>>;
}

export const SECTIONS = [
  'settings',
  'columns',
  'constraints',
  'indexes',
  'triggers',
  'rules',
  'policies',
  'statistics',
  'referrers',
] as const;
export type Section = (typeof SECTIONS)[number];

export type Part = Readonly<Record<string, unknown>>;

export interface ColumnPart extends Part {
  readonly name: string;
  readonly type: string;
  readonly typeOid: number;
  readonly collation: string | null;
  readonly notNull: boolean;
  readonly identity: string;
  readonly generated: string;
  readonly expression: string | null;
  readonly storage: string;
  readonly compression: string | null;
  readonly statistics: number | null;
  readonly options: readonly string[] | null;
  readonly sequence: SequencePart | null;
}

/** Behind an identity. */
export interface SequencePart {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly type: string;
  readonly start: string;
  readonly increment: string;
  readonly min: string;
  readonly max: string;
  readonly cache: string;
  readonly cycle: boolean;
  readonly logged: boolean;
  readonly comment: string | null;
  readonly rights: readonly string[] | null;
}

export interface ConstraintPart extends Part {
  /** pg_constraint.contype. */
  readonly type: string;
  readonly definition: string;
  readonly columns: readonly string[] | null;
  readonly inherited: number;
  readonly local: boolean;
  /** That of the whole, where it is a part of one. */
  readonly whole: { readonly table: string; readonly name: string } | null;
  /** A part that was made for itself, and not along with the whole. */
  readonly noInherit: boolean;
  readonly comment: string | null;
  readonly index: IndexTraits | null;
  /** Triggers of a foreign key that were disabled. */
  readonly unenforced: boolean;
}

/** What an index has beside its definition. */
export interface IndexTraits {
  readonly schema: string;
  readonly name: string;
  readonly clustered: boolean;
  readonly replica: boolean;
  readonly tablespace: string | null;
  readonly options: readonly string[] | null;
  readonly comment: string | null;
  readonly statistics: readonly { readonly number: number; readonly target: number }[] | null;
  /** Extensions that take it along. */
  readonly extensions?: readonly string[] | null;
}

export interface IndexPart extends Part, IndexTraits {
  readonly definition: string;
  readonly valid: boolean;
  readonly isPart: boolean;
}

/** A trigger or a rule. */
export interface StatedPart extends Part {
  readonly definition: string;
  /** As pg_trigger.tgenabled. */
  readonly enabled: string;
  readonly isPart: boolean;
  readonly comment: string | null;
  /** Extensions that take it along. */
  readonly extensions: readonly string[] | null;
}

export interface PolicyPart extends Part {
  /** pg_policy.polcmd. */
  readonly command: string;
  readonly permissive: boolean;
  /** Null for PUBLIC. */
  readonly roles: readonly (string | null)[];
  readonly using: string | null;
  readonly check: string | null;
  readonly comment: string | null;
}

export interface ReferrerPart extends Part {
  /** As SQL has it. */
  readonly table: string;
  readonly name: string;
  readonly definition: string;
  readonly comment: string | null;
  readonly unenforced: boolean;
}

const OBJECT = (key: string, value: string, from: string) =>
  `coalesce((SELECT pg_catalog.jsonb_object_agg(${key}, ${value}) FROM ${from}), '{}')`;
const NAMED = (relation: string, namespace: string) =>
  `pg_catalog.quote_ident(${namespace}) || '.' || pg_catalog.quote_ident(${relation})`;
const TARGET = (of: string) => `CASE WHEN ${of} >= 0 THEN ${of}::pg_catalog.int4 END`;
const STORAGE =
  "CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END";

const SEQUENCE = `(SELECT pg_catalog.jsonb_build_object('oid', q.oid::int8, 'schema', qn.nspname, 'name', q.relname,
    'type', pg_catalog.format_type(s.seqtypid, NULL), 'start', s.seqstart::text, 'increment', s.seqincrement::text, 'min', s.seqmin::text,
    'max', s.seqmax::text, 'cache', s.seqcache::text, 'cycle', s.seqcycle, 'logged', q.relpersistence <> 'u',
    'comment', pg_catalog.obj_description(q.oid, 'pg_class'), 'rights', pg_catalog.to_jsonb(q.relacl::text[]))
   FROM pg_depend d JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S' JOIN pg_namespace qn ON qn.oid = q.relnamespace
     JOIN pg_catalog.pg_sequence s ON s.seqrelid = q.oid
  WHERE d.classid = ${IS('pg_class')} AND d.refclassid = ${IS('pg_class')} AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
    AND d.deptype = 'i')`;

const COLUMNS = OBJECT(
  'a.attnum::text',
  `pg_catalog.jsonb_build_object('name', a.attname, 'type', pg_catalog.format_type(a.atttypid, a.atttypmod), 'typeOid', a.atttypid::int8,
    'collation', (SELECT ${NAMED('l.collname', 'cn.nspname')} FROM pg_collation l JOIN pg_namespace cn ON cn.oid = l.collnamespace
       WHERE l.oid = a.attcollation AND a.attcollation <> t.typcollation),
    'notNull', a.attnotnull, 'identity', a.attidentity, 'generated', a.attgenerated,
    'expression', (SELECT pg_catalog.pg_get_expr(x.adbin, x.adrelid) FROM pg_attrdef x WHERE x.adrelid = a.attrelid AND x.adnum = a.attnum),
    'storage', ${STORAGE}, 'compression', CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END,
    'statistics', ${TARGET('a.attstattarget')}, 'options', pg_catalog.to_jsonb(a.attoptions),
    'sequence', CASE WHEN a.attidentity <> '' THEN ${SEQUENCE} END)`,
  `pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped`,
);

const EXTENSIONS = (catalog: string, oid: string) =>
  `(SELECT ${LIST('e.extname', 'e.extname')} FROM pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
     WHERE d.classid = ${IS(catalog)} AND d.objid = ${oid} AND d.deptype = 'x')`;
const TRAITS = `pg_catalog.jsonb_build_object('schema', kn.nspname, 'name', k.relname, 'clustered', i.indisclustered, 'replica', i.indisreplident,
    'tablespace', (SELECT s.spcname FROM pg_tablespace s WHERE s.oid = k.reltablespace), 'options', pg_catalog.to_jsonb(k.reloptions),
    'comment', pg_catalog.obj_description(k.oid, 'pg_class'),
    'statistics', (SELECT ${LIST(
      `pg_catalog.jsonb_build_object('number', a.attnum, 'target', ${TARGET('a.attstattarget')})`,
      'a.attnum',
    )}
       FROM pg_attribute a WHERE a.attrelid = k.oid AND a.attstattarget >= 0), 'extensions', ${EXTENSIONS('pg_class', 'k.oid')})`;
const INDEX =
  'pg_index i JOIN pg_class k ON k.oid = i.indexrelid JOIN pg_namespace kn ON kn.oid = k.relnamespace';

/** What stands for the parts of a partitioned table that a foreign key refers to is not told: it comes with the key. */
const CONSTRAINTS = OBJECT(
  'x.conname',
  `pg_catalog.jsonb_build_object('type', x.contype, 'definition', pg_catalog.pg_get_constraintdef(x.oid), 'inherited', x.coninhcount,
    'local', x.conislocal, 'noInherit', x.connoinherit, 'comment', pg_catalog.obj_description(x.oid, 'pg_constraint'),
    'columns', (SELECT ${LIST('a.attname', 'a.attnum')} FROM pg_attribute a WHERE a.attrelid = x.conrelid AND a.attnum = ANY (x.conkey)),
    'whole', (SELECT pg_catalog.jsonb_build_object('table', ${NAMED('p.relname', 'pn.nspname')}, 'name', w.conname) FROM pg_constraint w
       JOIN pg_class p ON p.oid = w.conrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE w.oid = x.conparentid),
    'unenforced', EXISTS (SELECT FROM pg_trigger g WHERE g.tgconstraint = x.oid AND g.tgenabled <> 'O'),
    'index', (SELECT ${TRAITS} FROM ${INDEX} WHERE i.indexrelid = x.conindid AND x.contype = ANY ('{p,u,x}'::pg_catalog."char"[])))`,
  `pg_constraint x WHERE x.conrelid = c.oid AND x.contype <> 't' AND NOT (x.contype = 'f' AND EXISTS (
     SELECT FROM pg_constraint y WHERE y.oid = x.conparentid AND y.conrelid = x.conrelid))`,
);

const INDEXES = OBJECT(
  'k.relname',
  `${TRAITS} || pg_catalog.jsonb_build_object('definition', pg_catalog.pg_get_indexdef(k.oid), 'valid', i.indisvalid,
    'isPart', EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = k.oid))`,
  `${INDEX} WHERE i.indrelid = c.oid AND NOT EXISTS (SELECT FROM pg_constraint x WHERE x.conindid = k.oid AND x.conrelid = c.oid
     AND x.contype = ANY ('{p,u,x}'::pg_catalog."char"[]))`,
);

const TRIGGERS = OBJECT(
  'g.tgname',
  `pg_catalog.jsonb_build_object('definition', pg_catalog.pg_get_triggerdef(g.oid), 'enabled', g.tgenabled, 'isPart', g.tgparentid <> 0,
    'comment', pg_catalog.obj_description(g.oid, 'pg_trigger'), 'extensions', ${EXTENSIONS('pg_trigger', 'g.oid')})`,
  'pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal',
);

const RULES = OBJECT(
  'w.rulename',
  `pg_catalog.jsonb_build_object('definition', pg_catalog.pg_get_ruledef(w.oid), 'enabled', w.ev_enabled, 'isPart', false,
    'comment', pg_catalog.obj_description(w.oid, 'pg_rewrite'), 'extensions', NULL)`,
  'pg_rewrite w WHERE w.ev_class = c.oid',
);

const POLICIES = OBJECT(
  'y.polname',
  `pg_catalog.jsonb_build_object('command', y.polcmd, 'permissive', y.polpermissive,
    'roles', (SELECT ${LIST('CASE WHEN u.role = 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(u.role) END', 'u.i')}
                FROM pg_catalog.unnest(y.polroles) WITH ORDINALITY u(role, i)),
    'comment', pg_catalog.obj_description(y.oid, 'pg_policy'), 'using', pg_catalog.pg_get_expr(y.polqual, y.polrelid), 'check', pg_catalog.pg_get_expr(y.polwithcheck, y.polrelid))`,
  'pg_policy y WHERE y.polrelid = c.oid',
);

const STATISTICS = OBJECT(
  NAMED('s.stxname', 'sn.nspname'),
  `pg_catalog.jsonb_build_object('definition', pg_catalog.pg_get_statisticsobjdef(s.oid), 'comment', pg_catalog.obj_description(s.oid, 'pg_statistic_ext'),
    'target', ${TARGET('s.stxstattarget')})`,
  'pg_statistic_ext s JOIN pg_namespace sn ON sn.oid = s.stxnamespace WHERE s.stxrelid = c.oid',
);

const REFERRERS = OBJECT(
  `${NAMED('r.relname', 'rn.nspname')} || ' ' || x.conname`,
  `pg_catalog.jsonb_build_object('table', ${NAMED('r.relname', 'rn.nspname')}, 'name', x.conname, 'definition', pg_catalog.pg_get_constraintdef(x.oid),
    'comment', pg_catalog.obj_description(x.oid, 'pg_constraint'),
    'unenforced', EXISTS (SELECT FROM pg_trigger g WHERE g.tgconstraint = x.oid AND g.tgenabled <> 'O'))`,
  `pg_constraint x JOIN pg_class r ON r.oid = x.conrelid JOIN pg_namespace rn ON rn.oid = r.relnamespace
    WHERE x.confrelid = c.oid AND x.contype = 'f' AND x.conparentid = 0 AND x.conrelid <> ALL (ARRAY(SELECT t.oid FROM tree t))`,
);

const PARENTS = `(SELECT ${LIST(NAMED('p.relname', 'pn.nspname'), 'h.inhseqno')} FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhparent
   JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE h.inhrelid = c.oid)`;

const SETTINGS = `pg_catalog.jsonb_build_object(
    'options', pg_catalog.jsonb_build_object('is', pg_catalog.to_jsonb(c.reloptions), 'toast', (SELECT pg_catalog.to_jsonb(z.reloptions) FROM pg_class z WHERE z.oid = c.reltoastrelid)),
    'replica identity', pg_catalog.jsonb_build_object('is', c.relreplident),
    'row security', pg_catalog.jsonb_build_object('is', c.relrowsecurity), 'forced row security', pg_catalog.jsonb_build_object('is', c.relforcerowsecurity),
    'place', pg_catalog.jsonb_build_object('parents', ${PARENTS}, 'bound', pg_catalog.pg_get_expr(c.relpartbound, c.oid)))`;

/** A table, and what is below it by inheritance or as its partitions. */
const TREE = `tree(oid, depth) AS (
  SELECT o.oid, 0 FROM pg_catalog.unnest($1::oid[]) o(oid)
  UNION SELECT h.inhrelid, t.depth + 1 FROM tree t JOIN pg_inherits h ON h.inhparent = t.oid
)`;

/** $1: the tables. */
export const DEFINITIONS = pinned(
  emptyingPath(
    `RECURSIVE ${TREE}`,
    `(SELECT ${LIST(
      `pg_catalog.jsonb_build_object('oid', c.oid::int8, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
        'owner', pg_catalog.pg_get_userbyid(c.relowner), 'temporary', c.relpersistence = 't', 'owned', pg_catalog.pg_has_role(c.relowner, 'USAGE'),
        'rowSecurity', pg_catalog.row_security_active(c.oid), 'bytes', pg_catalog.pg_total_relation_size(c.oid),
        'file', pg_catalog.pg_relation_filenode(c.oid)::text, 'isPartition', c.relispartition, 'depth', f.depth,
        'settings', ${SETTINGS}, 'columns', ${COLUMNS}, 'constraints', ${CONSTRAINTS}, 'indexes', ${INDEXES}, 'triggers', ${TRIGGERS},
        'rules', ${RULES}, 'policies', ${POLICIES}, 'statistics', ${STATISTICS}, 'referrers', ${REFERRERS})`,
      'f.depth, c.oid',
    )} FROM (SELECT t.oid, pg_catalog.max(t.depth) AS depth FROM tree t GROUP BY t.oid) f JOIN pg_class c ON c.oid = f.oid
       JOIN pg_namespace n ON n.oid = c.relnamespace WHERE e.now IS NOT NULL)`,
  ),
);

/** The tables, and those below them; the upper ones first. */
export async function definitionsOf(
  session: TrashSession,
  oids: readonly number[],
): Promise<readonly TableDefinition[]> {
  return (await json<readonly TableDefinition[] | null>(session, DEFINITIONS, [`{${oids.join(',')}}`])) ?? [];
}
