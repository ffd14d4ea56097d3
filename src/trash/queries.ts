/**
 * What the trash asks the catalogs. The relations are named with their schema; functions and operators are those of
 * pg_catalog because nothing is asked where search_path has another schema before it, which PRECHECK tells first.
 */

/** Names of system tables and types get their schema, which a temporary table could otherwise stand before. */
export function pinned(sql: string): string {
  return sql
    .replaceAll(
      /(?<![.\w'])(pg_(?:class|database|enum|namespace|depend|attribute|attrdef|constraint|trigger|rewrite|policy|proc|type|inherits|index|statistic_ext|publication|publication_rel|publication_namespace|subscription_rel|event_trigger|am|tablespace|collation|roles|seclabel|description|range))\b(?!\()/g,
      'pg_catalog.$1',
    )
    .replaceAll(/::(oid|text|int8|name|regclass|regnamespace|regtype|bool)\b/g, '::pg_catalog.$1');
}

/** Before anything else: who stands in the way. $1: the names, quoted. $2: `schema`, `type`, or any other for relations. */
export const PRECHECK = pinned(`
SELECT pg_catalog.jsonb_build_object(
  'catalogFirst', (SELECT s OPERATOR(pg_catalog.=) 'pg_catalog'
     FROM pg_catalog.unnest(pg_catalog.current_schemas(true)) WITH ORDINALITY u(s, i)
    WHERE s OPERATOR(pg_catalog.!~) '^pg_temp' ORDER BY i LIMIT 1),
  'eventTriggers', (SELECT pg_catalog.jsonb_agg(evtname ORDER BY evtname) FROM pg_event_trigger
                     WHERE evtenabled OPERATOR(pg_catalog.<>) 'D'),
  'trash', (SELECT pg_catalog.has_schema_privilege(n.oid, 'CREATE') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
              FROM pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.=) 'holdfast_trash'),
  'oneSnapshot', pg_catalog.current_setting('transaction_isolation')
    OPERATOR(pg_catalog.<>) ALL (ARRAY['read committed', 'read uncommitted']),
  'trashOwner', (SELECT pg_catalog.pg_get_userbyid(n.nspowner) FROM pg_namespace n CROSS JOIN pg_database d
                  WHERE n.nspname OPERATOR(pg_catalog.=) 'holdfast_trash' AND d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
                    AND NOT pg_catalog.pg_has_role(n.nspowner, d.datdba, 'USAGE')
                    AND pg_catalog.pg_get_userbyid(n.nspowner) OPERATOR(pg_catalog.<>) 'pg_database_owner'),
  'mayCreate', (SELECT pg_catalog.has_database_privilege(d.oid, 'CREATE') AND pg_catalog.pg_has_role(d.datdba, 'USAGE')
                  FROM pg_database d WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()),
  'allTables', (SELECT pg_catalog.jsonb_agg(pubname ORDER BY pubname) FROM pg_publication WHERE puballtables),
  'version', pg_catalog.current_setting('server_version_num')::int8,
  'roots', (SELECT pg_catalog.jsonb_agg(CASE WHEN $2::text OPERATOR(pg_catalog.=) 'schema'
        THEN pg_catalog.jsonb_build_array('pg_catalog.pg_namespace'::regclass::oid::int8,
          pg_catalog.to_regnamespace(a.name)::oid::int8, false)
        WHEN $2::text OPERATOR(pg_catalog.=) 'type'
        THEN pg_catalog.jsonb_build_array('pg_catalog.pg_type'::regclass::oid::int8,
          pg_catalog.to_regtype(a.name)::oid::int8,
          (SELECT t.typnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() FROM pg_type t
            WHERE t.oid OPERATOR(pg_catalog.=) pg_catalog.to_regtype(a.name)::oid))
        ELSE pg_catalog.jsonb_build_array('pg_catalog.pg_class'::regclass::oid::int8,
          pg_catalog.to_regclass(a.name)::oid::int8,
          (SELECT c.relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() FROM pg_class c
            WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(a.name)::oid)) END ORDER BY a.i)
      FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY a(name, i)))::text`);

/** The objects of $1 (their classes) and $2 (their OIDs). */
export const GIVEN = `given AS MATERIALIZED (SELECT g.classid, g.objid FROM ROWS FROM (pg_catalog.unnest($1::oid[]), pg_catalog.unnest($2::oid[])) g(classid, objid))`;

/** How many columns a relation has by now, because a column may be dropped of one that stays. */
const LIVE_COLUMNS = `(SELECT pg_catalog.count(*) FROM pg_attribute a
  WHERE p.classid = 'pg_catalog.pg_class'::regclass::oid AND a.attrelid = p.objid AND a.attnum > 0 AND NOT a.attisdropped)`;

/** Everything that may go with the roots, and more: what depends on it, and what it is a part of. $3: at most. */
export const REACH = pinned(`
WITH RECURSIVE reach(classid, objid) AS (
  SELECT r.classid, r.objid FROM ROWS FROM (pg_catalog.unnest($1::oid[]), pg_catalog.unnest($2::oid[])) r(classid, objid)
  UNION
  SELECT x.classid, x.objid FROM reach r CROSS JOIN LATERAL (
    SELECT d.classid, d.objid FROM pg_depend d WHERE d.refclassid = r.classid AND d.refobjid = r.objid
    UNION ALL
    SELECT d.refclassid, d.refobjid FROM pg_depend d
     WHERE d.classid = r.classid AND d.objid = r.objid AND d.deptype = ANY ('{i,P,S}'::pg_catalog."char"[])
  ) x
), few AS MATERIALIZED (SELECT * FROM reach LIMIT $3::int8)
SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(p.classid::int8, p.objid::int8, ${LIVE_COLUMNS}) ORDER BY p.classid, p.objid)::text
  FROM few p`);

/** What is left of the given objects. */
export const REMAINS = pinned(`
WITH ${GIVEN}
SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(p.classid::int8, p.objid::int8, ${LIVE_COLUMNS}) ORDER BY p.classid, p.objid)::text
  FROM given p WHERE pg_catalog.pg_describe_object(p.classid, p.objid, 0) IS NOT NULL`);

export const IS = (name: string) => `'pg_catalog.${name}'::regclass::oid`;
export const GONE = (name: string, oid: string) =>
  `EXISTS (SELECT FROM given g WHERE g.classid = ${IS(name)} AND g.objid = ${oid})`;
export const LIST = (items: string, order: string) => `pg_catalog.jsonb_agg(${items} ORDER BY ${order})`;
export const NAME_OF = (
  oid: string,
) => `(SELECT pg_catalog.jsonb_build_object('oid', k.oid::int8, 'schema', n.nspname, 'name', k.relname, 'kind', k.relkind)
   FROM pg_class k JOIN pg_namespace n ON n.oid = k.relnamespace WHERE k.oid = ${oid})`;
export const ACL = (acl: string) =>
  `(SELECT ${LIST(
    `pg_catalog.jsonb_build_object('grantee', CASE WHEN x.grantee = 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(x.grantee) END,
      'privilege', x.privilege_type, 'grantable', x.is_grantable, 'grantor', pg_catalog.pg_get_userbyid(x.grantor))`,
    'x.grantee, x.privilege_type',
  )} FROM pg_catalog.aclexplode(${acl}) x)`;

const RELATIONS = `
  SELECT ${LIST(
    `pg_catalog.jsonb_build_object('oid', c.oid::int8, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind,
      'owner', pg_catalog.pg_get_userbyid(c.relowner), 'persistence', c.relpersistence,
      'method', (SELECT m.amname FROM pg_am m WHERE m.oid = c.relam),
      'tablespace', (SELECT s.spcname FROM pg_tablespace s WHERE s.oid = c.reltablespace),
      'options', pg_catalog.to_jsonb(c.reloptions), 'comment', pg_catalog.obj_description(c.oid, 'pg_class'),
      'aclIsSet', c.relacl IS NOT NULL, 'acl', CASE WHEN c.relkind = 'm' THEN ${ACL('c.relacl')} END,
      'populated', c.relispopulated,
      'bound', pg_catalog.pg_get_expr(c.relpartbound, c.oid),
      'parents', (SELECT ${LIST(NAME_OF('i.inhparent'), 'i.inhseqno')} FROM pg_inherits i
                   WHERE i.inhrelid = c.oid AND c.relkind = ANY ('{r,p,f}'::pg_catalog."char"[]) AND NOT ${GONE('pg_class', 'i.inhparent')}),
      'definition', CASE WHEN c.relkind = ANY ('{v,m}'::pg_catalog."char"[]) THEN pg_catalog.pg_get_viewdef(c.oid) END,
      'uses', CASE WHEN c.relkind = ANY ('{v,m}'::pg_catalog."char"[]) THEN
        (SELECT ${LIST('DISTINCT d.refobjid::int8', 'd.refobjid::int8')} FROM pg_rewrite w
           JOIN pg_depend d ON d.classid = ${IS('pg_rewrite')} AND d.objid = w.oid
          WHERE w.ev_class = c.oid AND d.refclassid = ${IS('pg_class')} AND d.refobjid <> c.oid AND ${GONE('pg_class', 'd.refobjid')}) END,
      'restsOnOthers', c.relkind = 'm' AND EXISTS (SELECT FROM pg_rewrite w
         JOIN pg_depend d ON d.classid = ${IS('pg_rewrite')} AND d.objid = w.oid
        WHERE w.ev_class = c.oid AND d.refobjid >= 16384
          AND NOT EXISTS (SELECT FROM given g WHERE g.classid = d.refclassid AND g.objid = d.refobjid)),
      'columns', CASE WHEN c.relkind = ANY ('{v,m}'::pg_catalog."char"[]) THEN
        (SELECT ${LIST(
          `pg_catalog.jsonb_build_object('name', a.attname, 'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
            'collation', (SELECT pg_catalog.quote_ident(cn.nspname) || '.' || pg_catalog.quote_ident(l.collname)
               FROM pg_collation l JOIN pg_namespace cn ON cn.oid = l.collnamespace
               WHERE l.oid = a.attcollation AND a.attcollation <> t.typcollation),
            'comment', pg_catalog.col_description(c.oid, a.attnum), 'acl', ${ACL('a.attacl')})`,
          'a.attnum',
        )} FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) END,
      'indexes', CASE WHEN c.relkind = 'm' THEN
        (SELECT ${LIST(
          `pg_catalog.jsonb_build_object('schema', n.nspname, 'name', x.relname, 'definition', pg_catalog.pg_get_indexdef(x.oid),
            'comment', pg_catalog.obj_description(x.oid, 'pg_class'), 'clustered', i.indisclustered)`,
          'x.oid',
        )} FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid) END,
      'exclusions', (SELECT ${LIST('x.conname', 'x.conname')} FROM pg_constraint x
         WHERE x.conrelid = c.oid AND x.contype = 'x'::pg_catalog."char" AND x.conparentid <> 0),
      'rowType', (SELECT pg_catalog.jsonb_build_object('schema', tn.nspname, 'name', t.typname) FROM pg_type t JOIN pg_namespace tn ON tn.oid = t.typnamespace
         WHERE t.oid = c.reloftype AND NOT ${GONE('pg_type', 'c.reloftype')}),
      'indexOf', (SELECT ${NAME_OF('i.indrelid')} FROM pg_index i WHERE i.indexrelid = c.oid),
      'ownedBy', (SELECT pg_catalog.jsonb_build_object('table', ${NAME_OF('d.refobjid')}, 'column', a.attname, 'gone', ${GONE('pg_class', 'd.refobjid')})
         FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE c.relkind = 'S' AND d.classid = ${IS('pg_class')} AND d.objid = c.oid AND d.refclassid = ${IS('pg_class')}
          AND d.deptype = ANY ('{a,i}'::pg_catalog."char"[])),
      'subscribed', EXISTS (SELECT FROM pg_subscription_rel s WHERE s.srrelid = c.oid),
      'labelled', EXISTS (SELECT FROM pg_seclabel s WHERE s.classoid = ${IS('pg_class')} AND s.objoid = c.oid))`,
    'c.oid',
  )} FROM given o JOIN pg_class c ON c.oid = o.objid JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE o.classid = ${IS('pg_class')}`;

const CONSTRAINTS = `
  SELECT ${LIST(
    `pg_catalog.jsonb_build_object('oid', c.oid::int8, 'name', c.conname, 'type', c.contype, 'table', ${NAME_OF('c.conrelid')},
      'tableGone', ${GONE('pg_class', 'c.conrelid')}, 'otherGone', ${GONE('pg_class', 'c.confrelid')},
      'typeGone', ${GONE('pg_type', 'c.contypid')},
      'child', c.conparentid <> 0, 'parentGone', ${GONE('pg_constraint', 'c.conparentid')},
      'ownWay', EXISTS (SELECT FROM pg_constraint a WHERE a.oid = c.conparentid AND (a.conname <> c.conname OR NOT c.convalidated)),
      'definition', CASE WHEN c.contype = 'f' THEN pg_catalog.pg_get_constraintdef(c.oid) END,
      'comment', pg_catalog.obj_description(c.oid, 'pg_constraint'))`,
    'c.oid',
  )} FROM given o JOIN pg_constraint c ON c.oid = o.objid WHERE o.classid = ${IS('pg_constraint')}`;

const DEFAULTS = `
  SELECT ${LIST(
    `pg_catalog.jsonb_build_object('table', ${NAME_OF('d.adrelid')}, 'column', a.attname, 'generated', a.attgenerated <> '',
      'expression', pg_catalog.pg_get_expr(d.adbin, d.adrelid))`,
    'd.oid',
  )} FROM given o JOIN pg_attrdef d ON d.oid = o.objid
     JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
   WHERE o.classid = ${IS('pg_attrdef')} AND (NOT ${GONE('pg_class', 'd.adrelid')} OR (a.attgenerated = '' AND EXISTS (
     SELECT FROM pg_depend x WHERE x.classid = ${IS('pg_attrdef')} AND x.objid = d.oid
        AND x.refclassid = ANY (ARRAY[${IS('pg_class')}, ${IS('pg_proc')}])
        AND NOT EXISTS (SELECT FROM given g WHERE g.classid = x.refclassid AND g.objid = x.refobjid))))`;

const TRIGGERS = `
  SELECT ${LIST(
    `pg_catalog.jsonb_build_object('name', t.tgname, 'table', ${NAME_OF('t.tgrelid')}, 'tableGone', ${GONE('pg_class', 't.tgrelid')},
      'definition', pg_catalog.pg_get_triggerdef(t.oid), 'enabled', t.tgenabled,
      'comment', pg_catalog.obj_description(t.oid, 'pg_trigger'))`,
    't.oid',
  )} FROM given o JOIN pg_trigger t ON t.oid = o.objid
   WHERE o.classid = ${IS('pg_trigger')} AND NOT t.tgisinternal AND t.tgparentid = 0
     AND (NOT ${GONE('pg_class', 't.tgrelid')} OR NOT ${GONE('pg_proc', 't.tgfoid')})`;

const RULES = `
  SELECT ${LIST(
    `pg_catalog.jsonb_build_object('name', w.rulename, 'table', ${NAME_OF('w.ev_class')}, 'definition', pg_catalog.pg_get_ruledef(w.oid),
      'enabled', w.ev_enabled, 'comment', pg_catalog.obj_description(w.oid, 'pg_rewrite'))`,
    'w.oid',
  )} FROM given o JOIN pg_rewrite w ON w.oid = o.objid
   WHERE o.classid = ${IS('pg_rewrite')} AND w.rulename <> '_RETURN'`;

const POLICIES = `
  SELECT ${LIST(
    `pg_catalog.jsonb_build_object('name', y.polname, 'table', ${NAME_OF('y.polrelid')}, 'command', y.polcmd, 'permissive', y.polpermissive,
      'roles', (SELECT ${LIST('CASE WHEN u.role = 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(u.role) END', 'u.i')}
                  FROM pg_catalog.unnest(y.polroles) WITH ORDINALITY u(role, i)),
      'using', pg_catalog.pg_get_expr(y.polqual, y.polrelid), 'check', pg_catalog.pg_get_expr(y.polwithcheck, y.polrelid),
      'comment', pg_catalog.obj_description(y.oid, 'pg_policy'))`,
    'y.oid',
  )} FROM given o JOIN pg_policy y ON y.oid = o.objid
   WHERE o.classid = ${IS('pg_policy')}`;

const PUBLISHED = `
  SELECT ${LIST(
    `pg_catalog.jsonb_build_object('publication', p.pubname, 'table', ${NAME_OF('r.prrelid')},
      'columns', (SELECT ${LIST('a.attname', 'a.attnum')} FROM pg_attribute a WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs)),
      'condition', pg_catalog.pg_get_expr(r.prqual, r.prrelid))`,
    'r.oid',
  )} FROM given o JOIN pg_publication_rel r ON r.oid = o.objid JOIN pg_publication p ON p.oid = r.prpubid
   WHERE o.classid = ${IS('pg_publication_rel')}`;

const STATISTICS = `
  SELECT ${LIST(
    `pg_catalog.jsonb_build_object('oid', s.oid::int8, 'schema', n.nspname, 'name', s.stxname, 'table', ${NAME_OF('s.stxrelid')},
      'tableGone', ${GONE('pg_class', 's.stxrelid')}, 'owner', pg_catalog.pg_get_userbyid(s.stxowner), 'definition', pg_catalog.pg_get_statisticsobjdef(s.oid),
      'target', CASE WHEN s.stxstattarget >= 0 THEN s.stxstattarget END, 'comment', pg_catalog.obj_description(s.oid, 'pg_statistic_ext'))`,
    's.oid',
  )} FROM given o JOIN pg_statistic_ext s ON s.oid = o.objid JOIN pg_namespace n ON n.oid = s.stxnamespace
   WHERE o.classid = ${IS('pg_statistic_ext')}`;

const FUNCTIONS = `
  SELECT ${LIST(
    `pg_catalog.jsonb_build_object('oid', f.oid::int8, 'schema', n.nspname, 'name', f.proname,
      'arguments', pg_catalog.pg_get_function_identity_arguments(f.oid))`,
    'f.oid',
  )} FROM given o JOIN pg_proc f ON f.oid = o.objid JOIN pg_namespace n ON n.oid = f.pronamespace
   WHERE o.classid = ${IS('pg_proc')}`;

const TYPES = `
  SELECT ${LIST(
    `pg_catalog.jsonb_build_object('oid', t.oid::int8, 'schema', n.nspname, 'name', t.typname, 'type', t.typtype)`,
    't.oid',
  )} FROM given o JOIN pg_type t ON t.oid = o.objid JOIN pg_namespace n ON n.oid = t.typnamespace
   WHERE o.classid = ${IS('pg_type')}
     AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
     AND NOT EXISTS (SELECT FROM pg_class k WHERE k.oid = t.typrelid AND k.relkind <> 'c')`;

const SCHEMAS = `
  SELECT ${LIST(
    `pg_catalog.jsonb_build_object('name', n.nspname, 'owner', pg_catalog.pg_get_userbyid(n.nspowner),
      'aclIsSet', n.nspacl IS NOT NULL, 'acl', ${ACL('n.nspacl')}, 'comment', pg_catalog.obj_description(n.oid, 'pg_namespace'),
      'labelled', EXISTS (SELECT FROM pg_seclabel s WHERE s.classoid = ${IS('pg_namespace')} AND s.objoid = n.oid))`,
    'n.oid',
  )} FROM given o JOIN pg_namespace n ON n.oid = o.objid WHERE o.classid = ${IS('pg_namespace')}`;

/** Where the role may make nothing, and so rename nothing. */
const CLOSED = `
  SELECT ${LIST('n.nspname', 'n.nspname')} FROM pg_namespace n WHERE NOT pg_catalog.has_schema_privilege(n.oid, 'CREATE') AND (
    EXISTS (SELECT FROM given o JOIN pg_class c ON c.oid = o.objid WHERE o.classid = ${IS('pg_class')} AND c.relnamespace = n.oid)
    OR EXISTS (SELECT FROM given o JOIN pg_proc c ON c.oid = o.objid WHERE o.classid = ${IS('pg_proc')} AND c.pronamespace = n.oid)
    OR EXISTS (SELECT FROM given o JOIN pg_type c ON c.oid = o.objid WHERE o.classid = ${IS('pg_type')} AND c.typnamespace = n.oid)
    OR EXISTS (SELECT FROM given o JOIN pg_statistic_ext c ON c.oid = o.objid WHERE o.classid = ${IS('pg_statistic_ext')} AND c.stxnamespace = n.oid))`;

/** All of a kind that nothing here knows how to keep. */
const STRANGERS = `
  SELECT ${LIST('pg_catalog.pg_describe_object(o.classid, o.objid, 0)', `o.classid <> ${IS('pg_extension')}, o.classid, o.objid`)} FROM given o
   WHERE o.classid <> ALL (ARRAY[${[
     'pg_class',
     'pg_constraint',
     'pg_attrdef',
     'pg_trigger',
     'pg_rewrite',
     'pg_policy',
     'pg_publication_rel',
     'pg_statistic_ext',
     'pg_proc',
     'pg_type',
     'pg_namespace',
   ]
     .map(IS)
     .join(', ')}])`;

/**
 * All that has to be known of the objects that would go. Definitions come with their names qualified, for which
 * search_path is emptied while they are read and set back by the same statement, so that no client is told of it.
 */
export function emptyingPath(given: string, facts: string): string {
  return `
WITH ${given},
emptied AS MATERIALIZED (
  SELECT s.path, pg_catalog.set_config('search_path', 'pg_catalog', true) AS now
    FROM (SELECT pg_catalog.current_setting('search_path') AS path OFFSET 0) s
),
read AS MATERIALIZED (
  SELECT e.path, f.facts FROM emptied e CROSS JOIN LATERAL (
    SELECT ${facts} AS facts OFFSET 0
  ) f
)
SELECT r.facts::text, pg_catalog.set_config('search_path', r.path, true) FROM read r WHERE r.facts IS NOT NULL`;
}

export const FACTS = pinned(
  emptyingPath(
    GIVEN,
    `pg_catalog.jsonb_build_object('relations', (${RELATIONS} AND e.now IS NOT NULL), 'constraints', (${CONSTRAINTS} AND e.now IS NOT NULL),
      'defaults', (${DEFAULTS} AND e.now IS NOT NULL), 'triggers', (${TRIGGERS} AND e.now IS NOT NULL),
      'rules', (${RULES} AND e.now IS NOT NULL), 'policies', (${POLICIES} AND e.now IS NOT NULL),
      'published', (${PUBLISHED} AND e.now IS NOT NULL), 'statistics', (${STATISTICS} AND e.now IS NOT NULL),
      'functions', (${FUNCTIONS} AND e.now IS NOT NULL), 'types', (${TYPES}), 'schemas', (${SCHEMAS}),
      'closed', (${CLOSED}), 'strangers', (${STRANGERS}))`,
  ),
);

/** Whether the object x is in the trash, or a part of what is; a rule of a view, a key's trigger and TOAST are parts of theirs. */
const IN_TRASH = (classid: string, objid: string) => {
  const relation = (oid: string) =>
    `${oid} IN (SELECT c.oid FROM pg_class c WHERE c.relnamespace = ANY (ARRAY(SELECT t.oid FROM trash t)))`;
  const part = (catalog: string, column: string) =>
    `EXISTS (SELECT FROM ${catalog} c WHERE ${classid} = ${IS(catalog)} AND c.oid = ${objid} AND ${relation(`c.${column}`)})`;
  const named = (catalog: string, column: string) =>
    `EXISTS (SELECT FROM ${catalog} c WHERE ${classid} = ${IS(catalog)} AND c.oid = ${objid} AND c.${column} = ANY (ARRAY(SELECT t.oid FROM trash t)))`;
  return `(${[
    named('pg_class', 'relnamespace'),
    `EXISTS (SELECT FROM pg_class c WHERE ${classid} = ${IS('pg_class')} AND ${relation('c.oid')}
      AND c.reltoastrelid = ANY (ARRAY[${objid}, (SELECT i.indrelid FROM pg_index i WHERE i.indexrelid = ${objid})]))`,
    named('pg_type', 'typnamespace'),
    named('pg_proc', 'pronamespace'),
    named('pg_statistic_ext', 'stxnamespace'),
    part('pg_attrdef', 'adrelid'),
    part('pg_constraint', 'conrelid'),
    part('pg_trigger', 'tgrelid'),
    part('pg_rewrite', 'ev_class'),
    part('pg_policy', 'polrelid'),
    `EXISTS (SELECT FROM pg_constraint c JOIN pg_type t ON t.oid = c.contypid WHERE ${classid} = ${IS('pg_constraint')} AND c.oid = ${objid}
      AND t.typnamespace = ANY (ARRAY(SELECT t.oid FROM trash t)))`,
  ].join('\n      OR ')})`;
};

const TRASH = `trash AS MATERIALIZED (SELECT n.oid FROM pg_namespace n WHERE n.nspname = 'holdfast_trash')`;

/** Of the given objects: those that are the types $3 themselves, and those that are in the trash. */
export const BESIDE_TRASH = pinned(`
WITH ${GIVEN}, ${TRASH},
own AS MATERIALIZED (
  SELECT g.classid, g.objid FROM given g
   WHERE EXISTS (SELECT FROM pg_type t WHERE g.classid = ${IS('pg_type')} AND g.objid = ANY (ARRAY[t.oid, t.typarray]) AND t.oid = ANY ($3::oid[]))
      OR EXISTS (SELECT FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid
                  WHERE g.classid = ${IS('pg_class')} AND c.oid = g.objid AND c.relkind = 'c' AND t.oid = ANY ($3::oid[]))
      OR EXISTS (SELECT FROM pg_constraint c WHERE g.classid = ${IS('pg_constraint')} AND c.oid = g.objid AND c.contypid = ANY ($3::oid[]))
)
SELECT pg_catalog.jsonb_build_object(
  'own', (SELECT ${LIST('pg_catalog.jsonb_build_array(o.classid::int8, o.objid::int8)', 'o.classid, o.objid')} FROM own o),
  'inTrash', (SELECT ${LIST('pg_catalog.jsonb_build_array(g.classid::int8, g.objid::int8)', 'g.classid, g.objid')} FROM given g
     WHERE ${IN_TRASH('g.classid', 'g.objid')}))::text`);

/** How the server names the given objects, and their columns, where it says what goes with a DROP. */
export const DESCRIBED = pinned(`
WITH ${GIVEN}
SELECT pg_catalog.jsonb_agg(DISTINCT pg_catalog.pg_describe_object(x.classid, x.objid, x.objsubid))::text FROM (
  SELECT g.classid, g.objid, 0 FROM given g
  UNION ALL
  SELECT d.classid, d.objid, d.objsubid FROM given g JOIN pg_depend d ON d.classid = g.classid AND d.objid = g.objid
) x(classid, objid, objsubid)`);

/**
 * Afterwards: what of the given objects stands outside the trash still, what outside it depends on them, and what
 * they go on depending on, which therefore cannot be dropped before they are.
 */
export const AFTERWARDS = pinned(`
WITH ${GIVEN},
trash AS MATERIALIZED (SELECT n.oid FROM pg_namespace n WHERE n.nspname = ANY ('{holdfast_trash,pg_toast}'::name[])),
outside AS (
  SELECT g.classid, g.objid FROM given g
   WHERE EXISTS (SELECT FROM pg_class c WHERE g.classid = ${IS('pg_class')} AND c.oid = g.objid AND NOT c.relnamespace = ANY (ARRAY(SELECT t.oid FROM trash t)))
      OR EXISTS (SELECT FROM pg_type c WHERE g.classid = ${IS('pg_type')} AND c.oid = g.objid AND NOT c.typnamespace = ANY (ARRAY(SELECT t.oid FROM trash t)))
      OR EXISTS (SELECT FROM pg_proc c WHERE g.classid = ${IS('pg_proc')} AND c.oid = g.objid AND NOT c.pronamespace = ANY (ARRAY(SELECT t.oid FROM trash t)))
      OR EXISTS (SELECT FROM pg_statistic_ext c WHERE g.classid = ${IS('pg_statistic_ext')} AND c.oid = g.objid AND NOT c.stxnamespace = ANY (ARRAY(SELECT t.oid FROM trash t)))
      OR EXISTS (SELECT FROM pg_namespace c WHERE g.classid = ${IS('pg_namespace')} AND c.oid = g.objid)
      OR EXISTS (SELECT FROM pg_publication_rel c WHERE g.classid = ${IS('pg_publication_rel')} AND c.oid = g.objid)
      OR EXISTS (SELECT FROM pg_attrdef c WHERE g.classid = ${IS('pg_attrdef')} AND c.oid = g.objid AND NOT ${GONE('pg_class', 'c.adrelid')})
      OR EXISTS (SELECT FROM pg_rewrite c WHERE g.classid = ${IS('pg_rewrite')} AND c.oid = g.objid AND c.rulename <> '_RETURN')
      OR EXISTS (SELECT FROM pg_policy c WHERE g.classid = ${IS('pg_policy')} AND c.oid = g.objid)
      OR EXISTS (SELECT FROM pg_trigger c WHERE g.classid = ${IS('pg_trigger')} AND c.oid = g.objid AND NOT ${GONE('pg_class', 'c.tgrelid')})
      OR EXISTS (SELECT FROM pg_constraint c WHERE g.classid = ${IS('pg_constraint')} AND c.oid = g.objid AND c.contype = 'f'
           AND NOT (${GONE('pg_class', 'c.conrelid')} AND ${GONE('pg_class', 'c.confrelid')}))
)
SELECT pg_catalog.jsonb_build_object(
  'outside', (SELECT ${LIST('pg_catalog.pg_describe_object(o.classid, o.objid, 0)', 'o.objid')} FROM outside o),
  'dependents', (SELECT ${LIST('DISTINCT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)', 'pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)')}
     FROM given g JOIN pg_depend d ON d.refclassid = g.classid AND d.refobjid = g.objid
    WHERE d.deptype = ANY ('{n,a}'::pg_catalog."char"[]) AND NOT EXISTS (SELECT FROM given x WHERE x.classid = d.classid AND x.objid = d.objid)
      AND NOT ${IN_TRASH('d.classid', 'd.objid')}),
  'binds', (SELECT ${LIST('DISTINCT pg_catalog.pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)', 'pg_catalog.pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)')}
     FROM given g JOIN pg_depend d ON d.classid = g.classid AND d.objid = g.objid
    WHERE d.refclassid <> ${IS('pg_namespace')} AND NOT EXISTS (SELECT FROM given x WHERE x.classid = d.refclassid AND x.objid = d.refobjid)
      AND NOT EXISTS (SELECT FROM pg_class c WHERE d.refclassid = ${IS('pg_class')} AND c.oid = d.refobjid AND c.relnamespace = ANY (ARRAY(SELECT t.oid FROM trash t)))
      AND d.refobjid >= 16384))::text`);
