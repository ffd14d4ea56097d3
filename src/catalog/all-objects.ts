/**
 * Versions of all that a user has made in the database, and of who may act as whom: for what takes along, or hands on, what
 * its text does not name, such as DROP SCHEMA, anything with CASCADE, DROP OWNED or GRANT of a role.
 */

const row = (letter: string, table: string, id: string, where = 'true') =>
  `SELECT pg_catalog.concat('${letter}', ${id}, ' ', x.xmin, ' ', x.ctid) FROM pg_catalog.${table} x WHERE ${where}`;

const OWN = 'x.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid';

export const ALL_OBJECTS = `SELECT pg_catalog.md5(pg_catalog.string_agg(v.version, ',' ORDER BY v.version)) FROM (
  ${[
    // A temporary table is its own session's, and many come and go.
    row(
      'c',
      'pg_class',
      'x.oid',
      `x.relpersistence OPERATOR(pg_catalog.<>) 't' AND x.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'v', 'm', 'p', 'f', 'S', 'c']::pg_catalog."char"[])`,
    ),
    row('a', 'pg_attribute', "x.attrelid, ' ', x.attnum", 'x.attacl IS NOT NULL'),
    row('p', 'pg_proc', 'x.oid', `${OWN} OR x.proacl IS NOT NULL`),
    row('n', 'pg_namespace', 'x.oid', `x.nspname OPERATOR(pg_catalog.!~) '^pg_(toast_)?temp_'`),
    row('t', 'pg_trigger', 'x.oid'),
    row('d', 'pg_attrdef', 'x.oid'),
    row('y', 'pg_policy', 'x.oid'),
    row('f', 'pg_default_acl', 'x.oid'),
    row('b', 'pg_database', 'x.oid'),
    row('e', 'pg_extension', 'x.oid'),
    row('k', 'pg_constraint', 'x.oid', OWN),
    row('u', 'pg_rewrite', 'x.oid', OWN),
    row('m', 'pg_auth_members', "x.roleid, ' ', x.member"),
    `SELECT pg_catalog.concat_ws(' ', 'r', x.oid, x.rolname, x.rolsuper, x.rolinherit, x.rolcreaterole, x.rolcreatedb, x.rolcanlogin,
       x.rolreplication, x.rolbypassrls) FROM pg_catalog.pg_roles x`,
  ].join('\n  UNION ALL ')}
) v(version)`;
