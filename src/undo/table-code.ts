import type { UndoSession } from './session.ts';

/**
 * Code of users that runs when rows of a table are written: functions of triggers, checks, defaults, generated
 * columns, indexes and partition keys, and domains, composite and base types, whose owner may give them code at any
 * time. It runs with the rights of whoever writes, and so of the connection that undoes.
 */
export interface ForeignCode {
  /** What leads to it, like `trigger t on table s.t`. */
  readonly from: string;
  /** Like `function s.f()`. */
  readonly what: string;
  readonly owner: string;
}

/** What is written, or read only: then it is the types alone that count. */
export interface Reach {
  /** Tables that rows are put into, changed in or removed from. */
  readonly tables: readonly number[];
  /** Those of them where rows change or go, so that foreign keys may carry that on. */
  readonly acting: readonly number[];
  /** Types of rows that are only loaded, and functions that are in play besides. */
  readonly types: readonly number[];
  readonly functions: readonly number[];
  /** Relations whose own makings count alone: indexes, and the keys of partitioned tables. */
  readonly relations: readonly number[];
  /** Types whose values are cast to others. Whoever owns one may give it casts at any time. */
  readonly cast: readonly number[];
  readonly triggers: Firing;
}

/** `none` where they are disabled. */
export type Firing = 'fire' | 'skip' | 'none';

const ENABLED: Readonly<Record<Firing, string>> = { fire: '{O,A}', skip: '{R,A}', none: '{}' };

/** With the parts of the wholes that they are of, which rows may be put into, and what foreign keys act on. */
const TOUCHED = `
  written(oid) AS (
    SELECT w.oid FROM unnest($1::oid[]) w(oid)
    UNION SELECT a.relid::oid FROM unnest($1::oid[]) w(oid), pg_partition_ancestors(w.oid) a(relid)
    UNION SELECT p.relid::oid FROM unnest($1::oid[]) w(oid), pg_partition_tree(pg_partition_root(w.oid)) p
  ), acted(oid) AS (
    SELECT w.oid FROM unnest($2::oid[]) w(oid)
    UNION SELECT f.conrelid FROM acted t JOIN pg_constraint f ON f.confrelid = t.oid
     WHERE f.contype = 'f' AND (f.confdeltype IN ('c', 'n', 'd') OR f.confupdtype IN ('c', 'n', 'd'))
  ), touched(oid) AS (SELECT oid FROM written UNION SELECT oid FROM acted)`;

/** Tables that the undo does not lock by itself, and which must not be given other code meanwhile. */
export const BESIDES = `WITH RECURSIVE ${TOUCHED}
  SELECT c.oid::int8, n.nspname, c.relname, c.relkind = 'p',
      has_table_privilege(c.oid, 'UPDATE') OR has_table_privilege(c.oid, 'DELETE') OR has_table_privilege(c.oid, 'TRUNCATE')
    FROM touched t JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p') AND c.oid <> ALL ($1::oid[]) ORDER BY c.oid`;

/** Objects that initdb has made are the server's own, and no row of pg_depend leads to them. */
const USERS = '16384';

/**
 * From what hangs on the tables along pg_depend. Where a trusted owner's function calls others, or writes somewhere,
 * that is the owner's doing, as it is for all who write to the table.
 */
const CODE = `WITH RECURSIVE ${TOUCHED}, start(class, id) AS (
    SELECT 'pg_trigger'::regclass::oid, g.oid FROM touched t JOIN pg_trigger g ON g.tgrelid = t.oid
     WHERE g.tgenabled::text = ANY ($5::text[])
    UNION ALL SELECT 'pg_rewrite'::regclass, r.oid FROM touched t JOIN pg_rewrite r ON r.ev_class = t.oid
     WHERE r.ev_enabled <> 'D'
    UNION ALL SELECT 'pg_constraint'::regclass, k.oid FROM touched t JOIN pg_constraint k ON k.conrelid = t.oid
    UNION ALL SELECT 'pg_attrdef'::regclass, d.oid FROM touched t JOIN pg_attrdef d ON d.adrelid = t.oid
    UNION ALL SELECT 'pg_class'::regclass, i.indexrelid FROM touched t JOIN pg_index i ON i.indrelid = t.oid
    UNION ALL SELECT 'pg_class'::regclass, t.oid FROM touched t
    UNION ALL SELECT 'pg_type'::regclass, y.oid FROM unnest($3::oid[]) y(oid)
    UNION ALL SELECT 'pg_proc'::regclass, f.oid FROM unnest($4::oid[]) f(oid)
    UNION ALL SELECT 'pg_class'::regclass, r.oid FROM unnest($7::oid[]) r(oid)
    UNION ALL SELECT 'pg_type'::regclass, y.oid FROM unnest($8::oid[]) y(oid)
    UNION ALL SELECT 'pg_cast'::regclass, k.oid FROM unnest($8::oid[]) y(oid) JOIN pg_cast k ON k.castsource = y.oid
  ), code(from_class, from_id, class, id) AS (
    SELECT class, id, class, id FROM start
    UNION
    SELECT c.from_class, c.from_id, e.class, e.id FROM code c CROSS JOIN LATERAL (
      SELECT d.refclassid, d.refobjid FROM pg_depend d
       WHERE d.classid = c.class AND d.objid = c.id AND c.class <> 'pg_proc'::regclass
         AND d.refclassid = ANY ('{pg_proc,pg_operator,pg_opclass,pg_type}'::regclass[]::oid[])
      UNION ALL SELECT 'pg_constraint'::regclass, k.oid FROM pg_constraint k
       WHERE c.class = 'pg_type'::regclass AND k.contypid = c.id
      UNION ALL SELECT 'pg_type'::regclass, a.atttypid FROM pg_type y JOIN pg_attribute a ON a.attrelid = y.typrelid
       WHERE c.class = 'pg_type'::regclass AND y.oid = c.id AND y.typrelid <> 0 AND a.attnum > 0 AND NOT a.attisdropped
      UNION ALL SELECT 'pg_type'::regclass, g.rngtypid FROM pg_range g
       WHERE c.class = 'pg_type'::regclass AND (to_jsonb(g) ->> 'rngmultitypid')::oid = c.id
      UNION ALL SELECT 'pg_proc'::regclass, p.amproc::oid FROM pg_opclass o JOIN pg_amproc p ON p.amprocfamily = o.opcfamily
       WHERE c.class = 'pg_opclass'::regclass AND o.oid = c.id
      UNION ALL SELECT 'pg_operator'::regclass, m.amopopr FROM pg_opclass o JOIN pg_amop m ON m.amopfamily = o.opcfamily
       WHERE c.class = 'pg_opclass'::regclass AND o.oid = c.id
    ) e(class, id) WHERE e.id >= ${USERS}
  ), owned AS (
    SELECT c.*, o.owner FROM code c CROSS JOIN LATERAL (
      SELECT f.proowner FROM pg_proc f WHERE c.class = 'pg_proc'::regclass AND f.oid = c.id
      UNION ALL SELECT y.typowner FROM pg_type y WHERE c.class = 'pg_type'::regclass AND y.oid = c.id
        AND (y.typtype IN ('d', 'c') OR y.typtype = 'b' AND NOT (y.typelem <> 0 AND y.typcategory = 'A') OR y.oid = ANY ($8::oid[]))
      UNION ALL SELECT r.relowner FROM pg_rewrite w JOIN pg_class r ON r.oid = w.ev_class
       WHERE c.class = 'pg_rewrite'::regclass AND w.oid = c.id
    ) o(owner)
  )
  SELECT min(pg_describe_object(c.from_class, c.from_id, 0)), pg_describe_object(c.class, c.id, 0), r.rolname
    FROM owned c JOIN pg_roles r ON r.oid = c.owner
   WHERE NOT r.rolsuper AND r.rolname <> ALL ($6::text[])
     AND NOT (pg_has_role(r.oid, (SELECT oid FROM pg_roles WHERE rolname = session_user), 'MEMBER')
          AND pg_has_role(r.oid, (SELECT oid FROM pg_roles WHERE rolname = current_user), 'MEMBER'))
   GROUP BY c.class, c.id, r.rolname ORDER BY r.rolname, 1, 2 LIMIT 20`;

const list = (oids: readonly number[]): string => `{${oids.join(',')}}`;

/**
 * Code that may run, of owners who would get rights by it: not those of superusers, who have them all, nor of who may
 * become the connection's role anyway, nor of those who are trusted.
 */
export async function readForeignCode(
  session: UndoSession,
  { tables, acting, types, functions, relations, cast, triggers }: Reach,
  trusted: readonly string[],
): Promise<ForeignCode[]> {
  const names = `{${trusted.map((name) => `"${name.replaceAll(/["\\]/g, '\\$&')}"`).join(',')}}`;
  const rows = await session.query(CODE, [
    list(tables),
    list(acting),
    list(types),
    list(functions),
    ENABLED[triggers],
    names,
    list(relations),
    list(cast),
  ]);
  return rows.map(([from, what, owner]) => ({ from: from!, what: what!, owner: owner! }));
}
