/**
 * Code of the user's that runs without its name: by an operator, a cast, the check of a domain, a support function of an
 * index or of a range, an event trigger, or a function that is written as a column. Which of them a text runs nobody
 * can tell who does not know the types of all that stands in it; and another may come to fit better. So all are looked at.
 */

/** Functions of PostgreSQL's own language and of C, behind which nothing is to be followed. */
const COMPILED = 'ARRAY[12, 13]::pg_catalog.oid[]';

const IS = 'OPERATOR(pg_catalog.=)';
const OWN = 'OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid';

const among = (...letters: readonly string[]) =>
  `${IS} ANY (ARRAY[${letters.map((letter) => `'${letter}'`).join(', ')}]::pg_catalog."char"[])`;

/** Those of a catalog table whose function, of the user's, is followed further. */
const running = (ofClass: number, table: string, code: string) =>
  `SELECT ${ofClass}::pg_catalog.oid, x.oid FROM pg_catalog.${table} x
     JOIN pg_catalog.pg_proc p ON p.oid ${IS} x.${code}::pg_catalog.oid
    WHERE x.oid ${OWN} AND p.oid ${OWN} AND p.prolang OPERATOR(pg_catalog.<>) ALL (${COMPILED})`;

/** Where `BEHIND` starts from, besides what a statement names. */
export const OWN_ROOTS = [
  running(2617, 'pg_operator', 'oprcode'),
  running(2605, 'pg_cast', 'castfunc'),
  running(2603, 'pg_amproc', 'amproc'),
  'SELECT 3466::pg_catalog.oid, x.oid FROM pg_catalog.pg_event_trigger x',
  `SELECT 1247::pg_catalog.oid, x.oid FROM pg_catalog.pg_type x WHERE x.oid ${OWN} AND x.typtype ${among('d', 'r', 'm')}`,
  `SELECT 1255::pg_catalog.oid, x.oid FROM pg_catalog.pg_proc x JOIN pg_catalog.pg_type t ON t.oid ${IS} x.proargtypes[0]
    WHERE x.oid ${OWN} AND x.prolang OPERATOR(pg_catalog.<>) ALL (${COMPILED}) AND x.pronargs OPERATOR(pg_catalog.-) x.pronargdefaults OPERATOR(pg_catalog.<=) 1
      AND (t.typtype ${among('d', 'p')} OR t.typrelid OPERATOR(pg_catalog.>) 0::pg_catalog.oid)`,
].join('\nUNION ALL ');

const versions = (letter: string, table: string, code: string | null = null, where = `x.oid ${OWN}`) =>
  code === null
    ? `SELECT pg_catalog.concat('${letter}', x.oid, ' ', x.xmin, ' ', x.ctid) FROM pg_catalog.${table} x WHERE ${where}`
    : `SELECT pg_catalog.concat('${letter}', x.oid, ' ', x.xmin, ' ', x.ctid, ' ', p.xmin, ' ', p.ctid) FROM pg_catalog.${table} x
         LEFT JOIN pg_catalog.pg_proc p ON p.oid ${IS} x.${code}::pg_catalog.oid WHERE ${where}`;

/** Types that are made beside tables and other types mean what these do. */
const NAMED_TYPE = `x.oid ${OWN} AND NOT (x.typtype ${IS} 'b' AND x.typelem OPERATOR(pg_catalog.>) 0::pg_catalog.oid)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_class k WHERE k.oid ${IS} x.typrelid AND k.relkind OPERATOR(pg_catalog.<>) 'c')`;

/** Versions of all of it; and of what PostgreSQL has itself, where somebody may have replaced it. */
export const OWN_CODE = `SELECT pg_catalog.md5(pg_catalog.string_agg(v.version, ',' ORDER BY v.version)) FROM (
  ${[
    versions('o', 'pg_operator', 'oprcode'),
    versions('k', 'pg_cast', 'castfunc'),
    versions('a', 'pg_amproc', 'amproc'),
    versions('b', 'pg_amop'),
    versions('c', 'pg_opclass'),
    versions('l', 'pg_language', 'lanplcallfoid'),
    versions('n', 'pg_collation'),
    versions('e', 'pg_event_trigger', 'evtfoid'),
    versions('t', 'pg_type', null, NAMED_TYPE),
    versions('v', 'pg_enum'),
    versions('w', 'pg_foreign_data_wrapper', 'fdwhandler'),
    versions('s', 'pg_foreign_server'),
    versions(
      'p',
      'pg_proc',
      null,
      `x.oid OPERATOR(pg_catalog.<) 16384::pg_catalog.oid AND x.prolang OPERATOR(pg_catalog.<>) ALL (${COMPILED})`,
    ),
    `SELECT pg_catalog.concat('f', x.ftrelid, ' ', x.xmin, ' ', x.ctid) FROM pg_catalog.pg_foreign_table x`,
  ].join('\n  UNION ALL ')}
) v(version)`;
