import { LIMITS } from '../base/limits.ts';
import { OID_ARRAY_OID, oidArray } from './array-parameter.ts';
import type { HiddenConnection } from './connection.ts';
import { fromHex, inUtf8 } from './exact-words.ts';
import { textColumns } from './row.ts';
import { isTrusted, RANGE_CONSTRUCTORS } from './trusted-code.ts';

/**
 * What a database has of code that runs as something is read and nothing in the text says so. Names of functions and
 * operators are left out that are known to be harmless, and are those of all schemas.
 */
export interface ReadCode {
  /** Views, tables with policies, and tables of whose columns' types code runs, by their names. */
  readonly relations: ReadonlyMap<string, readonly CodedRelation[]>;
  readonly byOid: ReadonlyMap<number, CodedRelation>;
  /** Functions that may be written as columns of a row, or of any value. */
  readonly ofRows: ReadonlySet<string>;
  readonly ofValues: ReadonlySet<string>;
  /** Functions that have the name of one of PostgreSQL's own. */
  readonly asCatalog: ReadonlySet<string>;
  /** The same of operators. */
  readonly operators: ReadonlySet<string>;
  /** Types of which a check or a cast runs code. */
  readonly types: ReadonlySet<string>;
  readonly typeOids: ReadonlySet<number>;
  /** Casts between types of PostgreSQL's own run code. */
  readonly castsAnything: boolean;
  /** There is a name among them that cannot be told from another one that is not ASCII. */
  readonly hasUnreadable: boolean;
  /** It is of the moment at which the transaction began to read. */
  readonly oneSnapshot: boolean;
  /** That may be long ago. */
  readonly isOld: boolean;
  /** It was asked in a transaction that cannot write. */
  readonly isReadOnly: boolean;
}

export interface CodedRelation {
  readonly schema: string;
  readonly oid: number;
  /** Moves with what runs; null where its definition does not tell it. */
  readonly version: string | null;
}

/** What runs as a relation is read, as SQL. */
export interface Definition {
  readonly oid: number;
  readonly version: string;
  readonly of: 'view' | 'policy';
  readonly sql: string;
  /** OIDs of the user's relations and types that it names, by whatever names they go now. */
  readonly relations: readonly number[];
  readonly types: readonly number[];
}

const IS = 'OPERATOR(pg_catalog.=)';
const OWN = 'OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid';
const NOT_OWN = 'OPERATOR(pg_catalog.<) 16384::pg_catalog.oid';
const TEXT = 'pg_catalog.text';
const char = (letter: string) => `'${letter}'::pg_catalog."char"`;
/** As the database has it, whatever the client reads in. */
const raw = (name: string) =>
  `pg_catalog.encode(pg_catalog.convert_to(${name}::${TEXT}, pg_catalog.getdatabaseencoding()), 'hex')`;

/** What belongs to extensions. All of it is read at once, so that the server does not take the query for a costly one. */
const MEMBERS = `
members(class, oid, extension) AS MATERIALIZED (
  SELECT d.classid, d.objid, e.extname::${TEXT} FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid ${IS} d.refobjid
   WHERE d.refclassid ${IS} 3079 AND d.deptype ${IS} ${char('e')} AND d.classid ${IS} ANY (ARRAY[1255, 2617]::pg_catalog.oid[])
)`;

/** regproc, regprocedure, regoper, regoperator, and arrays of them. */
const CALLABLE = 'ARRAY[24, 2202, 2203, 2204, 1008, 2207, 2208, 2209]::pg_catalog.oid[]';
/** Of a function: its language, C and internal alone, its extension, and what tells whether that is trusted with it. */
const CODE = `CASE p.prolang WHEN 12 THEN 'internal' WHEN 13 THEN 'c' ELSE '' END, m.extension,
    p.provolatile::${TEXT}, (p.proargtypes::pg_catalog.oid[] OPERATOR(pg_catalog.&&) ${CALLABLE})::${TEXT},
    CASE WHEN p.prolang ${IS} 12::pg_catalog.oid THEN p.prosrc END`;

/** A function of one argument that may be a row: of a composite type, any type, or one that rows are cast to. */
const TAKES_ROW = `t.typtype ${IS} ANY (ARRAY['c', 'd', 'p']::pg_catalog."char"[]) OR t.oid ${IS} ANY (ARRAY(
    SELECT k.casttarget FROM pg_catalog.pg_cast k JOIN pg_catalog.pg_type s ON s.oid ${IS} k.castsource
     WHERE k.castsource ${OWN} AND s.typtype ${IS} ${char('c')}))`;

/** Written by anybody: not compiled, as what PostgreSQL and extensions have is. */
const WRITTEN = `p.oid ${OWN} AND p.prolang OPERATOR(pg_catalog.<>) ALL (ARRAY[12, 13]::pg_catalog.oid[])`;

/**
 * Types of which code runs that is not PostgreSQL's own, or that does more than compute, and those that are made of them:
 * checks of domains, casts, what compares values and tells how far apart they are. Literals are read as an array, a range
 * or a composite type without a word; as a domain, only where the text says so.
 */
const TYPES = `
types(oid, silently) AS (
  SELECT k.contypid, false FROM pg_catalog.pg_constraint k WHERE k.contypid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid AND k.oid ${OWN}
    AND (EXISTS (SELECT FROM pg_catalog.regexp_matches(k.conbin::${TEXT}, '[{]FUNCEXPR :funcid ([0-9]+)', 'g') f(found)
        JOIN pg_catalog.pg_proc p ON p.oid ${IS} f.found[1]::pg_catalog.oid
       WHERE p.oid ${OWN} OR p.provolatile ${IS} ${char('v')} OR p.proname::${TEXT} OPERATOR(pg_catalog.~) 'to_xml')
      OR EXISTS (SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid ${IS} 2606 AND d.objid ${IS} k.oid AND d.refclassid ${IS} 2617 AND d.refobjid ${OWN}))
  UNION
  SELECT x.oid, true FROM pg_catalog.pg_cast k JOIN pg_catalog.pg_proc p ON p.oid ${IS} k.castfunc
    CROSS JOIN LATERAL (VALUES (k.castsource), (k.casttarget)) x(oid)
   WHERE k.oid ${OWN} AND ${WRITTEN}
  UNION
  SELECT r.rngtypid, true FROM pg_catalog.pg_range r JOIN pg_catalog.pg_proc p
      ON p.oid ${IS} ANY (ARRAY[r.rngcanonical, r.rngsubdiff]::pg_catalog.oid[])
   WHERE r.rngtypid ${OWN} AND ${WRITTEN}
  UNION
  SELECT a.amproclefttype, true FROM pg_catalog.pg_amproc a JOIN pg_catalog.pg_proc p ON p.oid ${IS} a.amproc::pg_catalog.oid
   WHERE a.amproclefttype ${OWN} AND ${WRITTEN}
  UNION
  SELECT n.oid, n.silently OR t.silently FROM types t JOIN pg_catalog.pg_depend d ON d.refclassid ${IS} 1247 AND d.refobjid ${IS} t.oid AND t.oid ${OWN}
    CROSS JOIN LATERAL (
      SELECT y.oid, y.typtype OPERATOR(pg_catalog.<>) ${char('d')} FROM pg_catalog.pg_type y WHERE d.classid ${IS} 1247 AND y.oid ${IS} d.objid
      UNION ALL
      SELECT c.reltype, c.relkind ${IS} ${char('c')} FROM pg_catalog.pg_class c
       WHERE d.classid ${IS} 1259 AND c.oid ${IS} d.objid AND c.reltype OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
    ) n(oid, silently)
)`;

/** Such casts between types that are PostgreSQL's own, which only a superuser makes, may run in whatever reads. */
const CASTS = `SELECT 'cast', NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE EXISTS (
  SELECT FROM pg_catalog.pg_cast k JOIN pg_catalog.pg_proc p ON p.oid ${IS} k.castfunc
   WHERE k.oid ${OWN} AND k.castsource ${NOT_OWN} AND k.casttarget ${NOT_OWN} AND ${WRITTEN})`;

const CODED = `
coded(oid, version) AS (
  SELECT r.ev_class, pg_catalog.concat('v', r.oid, ' ', r.xmin, ' ', r.ctid)
    FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid ${IS} r.ev_class AND c.relkind ${IS} ${char('v')}
   WHERE r.oid ${OWN} AND r.ev_type ${IS} ${char('1')}
  UNION ALL
  SELECT p.polrelid, pg_catalog.string_agg(pg_catalog.concat('p', p.oid, ' ', p.xmin, ' ', p.ctid), ',' ORDER BY p.oid)
    FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid ${IS} p.polrelid AND c.relrowsecurity
   WHERE p.polqual IS NOT NULL GROUP BY p.polrelid
)`;

const RELATIONS = `SELECT 'relation', ${raw('c.relname')}, ${raw('n.nspname')}, c.oid::${TEXT}, x.version, NULL, NULL, NULL
  FROM (
    SELECT oid, version FROM coded
    UNION ALL
    SELECT t.typrelid, NULL FROM types y JOIN pg_catalog.pg_type t ON t.oid ${IS} y.oid
     WHERE y.silently AND t.oid ${OWN} AND t.typrelid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
    UNION ALL
    SELECT d.objid, NULL FROM types y JOIN pg_catalog.pg_depend d ON d.refclassid ${IS} 1247 AND d.refobjid ${IS} y.oid
     WHERE y.silently AND d.classid ${IS} 1259 AND y.oid ${OWN}
  ) x JOIN pg_catalog.pg_class c ON c.oid ${IS} x.oid JOIN pg_catalog.pg_namespace n ON n.oid ${IS} c.relnamespace`;

/** The letters say as what it may be called: of a row, of a value, or by a name of PostgreSQL's own. */
const FUNCTIONS = `SELECT 'function', ${raw('q.proname')}, q.as, q.lang, q.ext, q.vol, q.takes, q.src FROM (
  SELECT p.proname, pg_catalog.concat(CASE WHEN o.one AND (${TAKES_ROW}) THEN 'r' END, CASE WHEN o.one THEN 'v' END,
      CASE WHEN b.name IS NOT NULL THEN 'c' END), ${CODE}
   FROM pg_catalog.pg_proc p CROSS JOIN LATERAL (SELECT p.pronargs OPERATOR(pg_catalog.>) 0::pg_catalog.int2
     AND p.pronargs OPERATOR(pg_catalog.-) p.pronargdefaults OPERATOR(pg_catalog.<=) 1) o(one)
   LEFT JOIN pg_catalog.pg_type t ON t.oid ${IS} p.proargtypes[0]
   LEFT JOIN members m ON m.class ${IS} 1255::pg_catalog.oid AND m.oid ${IS} p.oid
   LEFT JOIN (SELECT DISTINCT b.proname FROM pg_catalog.pg_proc b WHERE b.oid ${NOT_OWN}) b(name) ON b.name ${IS} p.proname
  WHERE p.oid ${OWN} AND p.prokind OPERATOR(pg_catalog.<>) ${char('p')}
 ) q(proname, "as", lang, ext, vol, takes, src) WHERE q.as OPERATOR(pg_catalog.<>) ''`;

const OPERATORS = `SELECT 'operator', ${raw('o.oprname')}, own.extension, ${CODE}
  FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_proc p ON p.oid ${IS} o.oprcode::pg_catalog.oid
  LEFT JOIN members m ON m.class ${IS} 1255::pg_catalog.oid AND m.oid ${IS} p.oid
  LEFT JOIN members own ON own.class ${IS} 2617::pg_catalog.oid AND own.oid ${IS} o.oid
 WHERE o.oid ${OWN} AND o.oprname ${IS} ANY (ARRAY(SELECT b.oprname FROM pg_catalog.pg_operator b WHERE b.oid ${NOT_OWN}))`;

const NAMED_TYPES = `SELECT DISTINCT 'type', ${raw('t.typname')}, t.oid::${TEXT}, NULL, NULL, NULL, NULL, NULL
  FROM types y JOIN pg_catalog.pg_type t ON t.oid ${IS} y.oid WHERE t.oid ${OWN}`;

const TRANSACTION = `SELECT 'transaction', pg_catalog.current_setting('transaction_isolation'),
  pg_catalog.getdatabaseencoding()::${TEXT}, pg_catalog.current_setting('transaction_read_only'), NULL, NULL, NULL, NULL`;

const QUESTION = `WITH RECURSIVE ${MEMBERS}, ${TYPES}, ${CODED}
${[TRANSACTION, CASTS, RELATIONS, FUNCTIONS, OPERATORS, NAMED_TYPES].join('\nUNION ALL\n')}`;

const LEVELS: ReadonlySet<string> = new Set(['read committed', 'read uncommitted']);

/** Null where there is more than is kept. `seesNow`: also what reads by one snapshot sees the catalog as it is. */
export async function readReadCode(connection: HiddenConnection, seesNow: boolean): Promise<ReadCode | null> {
  const relations = new Map<string, CodedRelation[]>();
  const byOid = new Map<number, CodedRelation>();
  const sets = { r: new Set<string>(), v: new Set<string>(), c: new Set<string>() };
  const operators = new Set<string>();
  const types = new Set<string>();
  const typeOids = new Set<number>();
  let oneSnapshot = false;
  let isUtf8 = false;
  let castsAnything = false;
  let isReadOnly = false;
  let hasUnreadable = false;
  let rows = 0;
  const nameOf = (hex: string | null): string => {
    const bytes = Buffer.from(hex ?? '', 'hex');
    if (!isUtf8 && bytes.some((byte) => byte > 0x7f)) hasUnreadable = true;
    return bytes.utf8Slice();
  };
  const query = {
    sql: QUESTION,
    parameterTypes: [],
    parameters: [],
    parameterFormats: [],
    resultFormats: [],
    neverCompiled: true as const,
  };
  await connection.run(query, (row) => {
    const [of, text, as, ...rest] = textColumns(row);
    if (++rows > LIMITS.tableCodesMax) return;
    switch (of) {
      case 'transaction':
        oneSnapshot = !LEVELS.has(text ?? '');
        isUtf8 = as === 'UTF8';
        isReadOnly = rest[0] === 'on';
        return;
      case 'cast':
        castsAnything = true;
        return;
      case 'relation': {
        const name = nameOf(text ?? null);
        const found = relations.get(name) ?? [];
        relations.set(name, found);
        const relation = { schema: nameOf(as ?? null), oid: Number(rest[0]), version: rest[1] ?? null };
        found.push(relation);
        // What is in doubt by its columns' types is so whatever defines it.
        if (byOid.get(relation.oid)?.version !== null) byOid.set(relation.oid, relation);
        return;
      }
      case 'type':
        // A cast may be written as a column as well.
        for (const set of [types, sets.r, sets.v]) set.add(nameOf(text ?? null));
        typeOids.add(Number(as));
        return;
      default: {
        const name = nameOf(text ?? null);
        const isTold = isKnown(name, of === 'operator' ? (as ?? '') : null, rest);
        if (isTold) return;
        if (of === 'operator') operators.add(name);
        else for (const letter of as ?? '') sets[letter as keyof typeof sets].add(name);
      }
    }
  });
  if (rows > LIMITS.tableCodesMax) return null;
  const { r: ofRows, v: ofValues, c: asCatalog } = sets;
  const isOld = oneSnapshot && !seesNow;
  const names = { ofRows, ofValues, asCatalog, operators, types };
  return {
    ...names,
    relations,
    byOid,
    typeOids,
    castsAnything,
    hasUnreadable,
    oneSnapshot,
    isOld,
    isReadOnly,
  };
}

/** Whether the function is known to be harmless. What calls it belongs to the same extension, where there is one. */
function isKnown(
  name: string,
  caller: string | null,
  [language, extension, volatility, takesCode, source]: readonly (string | null | undefined)[],
): boolean {
  if (language === 'internal' && RANGE_CONSTRUCTORS.has(source ?? '')) return caller === null;
  if (language !== 'c' || typeof extension !== 'string') return false;
  if (caller !== null && caller !== extension) return false;
  return isTrusted(extension, name, volatility ?? 'v', takesCode === 'true');
}

const named = (classOid: number, object: string, of: number) =>
  `(SELECT pg_catalog.string_agg(DISTINCT d.refobjid::${TEXT}, ' ') FROM pg_catalog.pg_depend d WHERE d.classid ${IS} ${classOid}
     AND d.objid ${IS} ${object} AND d.refclassid ${IS} ${of} AND d.refobjid ${OWN} AND d.refobjid OPERATOR(pg_catalog.<>) c.oid)`;
const RULE = `(SELECT r.oid FROM pg_catalog.pg_rewrite r WHERE r.ev_class ${IS} c.oid AND r.ev_type ${IS} ${char('1')})`;

/** The server would wait for that to tell the definition, which may be that of a view of the same name in a schema of others. */
const IS_LOCKED = `EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_locks l ON l.relation ${IS} d.refobjid
   WHERE d.classid ${IS} 2618 AND d.objid ${IS} ${RULE} AND d.refclassid ${IS} 1259 AND l.mode ${IS} 'AccessExclusiveLock'
     AND l.granted AND l.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid())`;

const DEFINITIONS = `WITH ${CODED}
SELECT x.oid::${TEXT}, x.version, 'view', ${inUtf8('pg_catalog.pg_get_viewdef(c.oid)')}, ${named(2618, RULE, 1259)}, ${named(2618, RULE, 1247)}
  FROM coded x JOIN pg_catalog.pg_class c ON c.oid ${IS} x.oid AND c.relkind ${IS} ${char('v')}
 WHERE x.oid ${IS} ANY ($1) AND NOT ${IS_LOCKED}
UNION ALL
SELECT x.oid::${TEXT}, x.version, 'policy', ${inUtf8('pg_catalog.pg_get_expr(p.polqual, p.polrelid)')}, ${named(3256, 'p.oid', 1259)}, ${named(3256, 'p.oid', 1247)}
  FROM coded x JOIN pg_catalog.pg_class c ON c.oid ${IS} x.oid AND c.relrowsecurity
  JOIN pg_catalog.pg_policy p ON p.polrelid ${IS} x.oid
 WHERE x.oid ${IS} ANY ($1) AND p.polqual IS NOT NULL`;

/** What these are defined by, each part of it by itself; not of views for which the server would wait. */
export async function readDefinitions(
  connection: HiddenConnection,
  oids: readonly number[],
): Promise<readonly Definition[]> {
  const found: Definition[] = [];
  const query = {
    sql: DEFINITIONS,
    parameterTypes: [OID_ARRAY_OID],
    parameters: [oidArray(oids)],
    parameterFormats: [1] as const,
    resultFormats: [],
    neverCompiled: true as const,
  };
  await connection.run(query, (row) => {
    const [oid, version, of, sql, relations, types] = textColumns(row);
    if (of !== 'view' && of !== 'policy') return;
    const named = { relations: oidsOf(relations), types: oidsOf(types) };
    found.push({ oid: Number(oid), version: version ?? '', of, sql: fromHex(sql ?? '') ?? '', ...named });
  });
  return found;
}

const oidsOf = (list: string | null | undefined) =>
  list === null || list === undefined ? [] : list.split(' ').map(Number);
