import { TEXT_ARRAY_OID, textArray } from './array-parameter.ts';
import type { HiddenConnection } from './connection.ts';
import { fromHex, inUtf8 } from './exact-words.ts';
import { textColumns } from './row.ts';

/**
 * By what a piece of code is looked for. `own`: functions of a name that PostgreSQL has itself, other than that.
 * `attribute`: functions that may be written as an attribute of a value. `id`: functions by their OIDs. `catalog`: other
 * relations of the name of one that PostgreSQL has itself.
 */
export type AskedKind = 'function' | 'own' | 'attribute' | 'operator' | 'relation' | 'catalog' | 'id';

export interface AskedCode {
  readonly kind: AskedKind;
  /** Null for whatever schema the search_path leads to. */
  readonly schema: string | null;
  readonly name: string;
  /** In any schema, because it is not known where the name is looked up. */
  readonly anywhere: boolean;
}

/** A function that may be meant. */
export interface FunctionPart {
  readonly oid: string;
  readonly schema: string;
  readonly name: string;
  readonly language: string;
  /** As the catalog has them. */
  readonly volatility: string;
  readonly kind: string;
  /** It came with PostgreSQL. */
  readonly builtIn: boolean;
  readonly extension: string | null;
  readonly runsAsOwner: boolean;
  readonly isTrigger: boolean;
  /** It is given functions or operators. */
  readonly takesCode: boolean;
  /** Settings made for it, as name=value. */
  readonly settings: readonly string[];
  readonly body: string;
  /** A CREATE FUNCTION, as it is now. */
  readonly definition: string | null;
  /** What it is made of where that is no text, as SQL. */
  readonly parsedBody: string | null;
  /** The values of arguments that are left out, as SQL. */
  readonly defaults: string | null;
  /** OIDs of what an aggregate runs. */
  readonly runs: readonly string[];
  /** Asked of the server as it is now: whether what was asked for means it and nothing else. */
  readonly isAlone: boolean;
}

/** An expression or a query that runs as a relation is read, or a value is cast to a domain. */
export interface TextPart {
  readonly of: 'view' | 'policy' | 'domain';
  readonly name: string;
  readonly sql: string;
}

export interface CodeParts {
  readonly functions: readonly FunctionPart[];
  readonly texts: readonly TextPart[];
  /** What runs without a name. */
  readonly unnamed: readonly (FunctionPart | TextPart)[];
  /** What was asked for and is not there. */
  readonly missing: readonly AskedCode[];
  /** One that is there by now, although it was not found. */
  readonly unseen: string | null;
  /** One that does not fit an attribute, unless it has been altered since. */
  readonly unfit: string | null;
  /** A relation of PostgreSQL's own of whose name there is another. */
  readonly hidden: string | null;
  /** The catalog is read as it was when the transaction began. */
  readonly oneSnapshot: boolean;
  readonly isReadOnly: boolean;
}

const BOOL_OID = 16;

const IS = 'OPERATOR(pg_catalog.=)';
const OWN = 'OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid';
const COMPILED = 'ARRAY[12, 13]::pg_catalog.oid[]';
const fits = (namespace: string) => `CASE WHEN a.anywhere THEN true
  WHEN a.schema ${IS} '' THEN ${namespace} ${IS} ANY (ARRAY(SELECT n.oid FROM path n))
  WHEN a.schema ${IS} 'pg_temp' THEN ${namespace} ${IS} pg_catalog.pg_my_temp_schema()
  ELSE ${namespace} ${IS} (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname ${IS} a.schema) END`;

/** Functions of the user's that run without a name; those in C are a superuser's. */
const unnamed = (table: string, code: string) =>
  `SELECT p.oid, '' FROM pg_catalog.${table} x JOIN pg_catalog.pg_proc p ON p.oid ${IS} x.${code}::pg_catalog.oid
    WHERE p.oid ${OWN} AND p.prolang OPERATOR(pg_catalog.<>) ALL (${COMPILED})`;

/** Looked up for each object by the index: joined, it is every operator of an extension with every function of it. */
const extensionsOf = (catalog: string, oid: string) =>
  `ARRAY(SELECT d.refobjid FROM pg_catalog.pg_depend d WHERE d.classid ${IS} ${catalog} AND d.objid ${IS} ${oid}
      AND d.refclassid ${IS} 3079 AND d.deptype ${IS} 'e'::pg_catalog."char")`;

/**
 * Operators of what is compiled: anybody may make one of a function that PostgreSQL or an extension has, for which the
 * extension itself has no such operator.
 */
const BORROWED = `SELECT p.oid, '' FROM pg_catalog.pg_operator x
   JOIN pg_catalog.pg_proc p ON p.oid ${IS} x.oprcode::pg_catalog.oid
  WHERE x.oid ${OWN} AND p.prolang ${IS} ANY (${COMPILED})
    AND NOT ${extensionsOf('2617', 'x.oid')} OPERATOR(pg_catalog.&&) ${extensionsOf('1255', 'p.oid')}`;

const UNNAMED = [
  BORROWED,
  unnamed('pg_operator', 'oprcode'),
  unnamed('pg_cast', 'castfunc'),
  unnamed('pg_range', 'rngcanonical'),
  unnamed('pg_range', 'rngsubdiff'),
  unnamed('pg_amproc', 'amproc'),
].join('\n    UNION ALL ');

const ASKED = `
asked AS MATERIALIZED (
  SELECT k.kind, k.name::pg_catalog.name AS name, k.schema::pg_catalog.name AS schema, k.anywhere ${IS} 't' AS anywhere,
      k.number
    FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[]),
      pg_catalog.unnest($3::pg_catalog.text[]), pg_catalog.unnest($4::pg_catalog.text[]))
      WITH ORDINALITY k(kind, name, schema, anywhere, number)
), path AS MATERIALIZED (
  SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname ${IS} ANY (pg_catalog.current_schemas(true))
)`;

const FUNCTIONS = `
functions(oid, number) AS MATERIALIZED (
  SELECT p.oid, a.number::pg_catalog.text FROM asked a CROSS JOIN LATERAL (
    SELECT x.oid, x.pronamespace, x.pronargs, x.pronargdefaults FROM pg_catalog.pg_proc x
     WHERE x.proname ${IS} a.name OFFSET 0) p
   WHERE a.kind ${IS} ANY (ARRAY['function', 'own', 'attribute']) AND (${fits('p.pronamespace')})
     AND (a.kind ${IS} 'function' OR p.oid ${OWN})
     AND (a.kind OPERATOR(pg_catalog.<>) 'attribute' OR (p.pronargs OPERATOR(pg_catalog.>) 0::pg_catalog.int2
       AND p.pronargs OPERATOR(pg_catalog.-) p.pronargdefaults OPERATOR(pg_catalog.<=) 1))
  UNION ALL
  SELECT o.oprcode::pg_catalog.oid, a.number::pg_catalog.text FROM asked a CROSS JOIN LATERAL (
    SELECT x.oprcode FROM pg_catalog.pg_operator x WHERE x.oprname ${IS} a.name OFFSET 0) o
   WHERE a.kind ${IS} 'operator'
  UNION ALL
  SELECT a.name::pg_catalog.text::pg_catalog.oid, a.number::pg_catalog.text FROM asked a WHERE a.kind ${IS} 'id'
  UNION ALL
  SELECT q.oid, '' FROM (${UNNAMED}) q(oid, number) WHERE $5
)`;

const TEXT = 'pg_catalog.text';
/** As many columns as are told of functions. */
const REST = `${'NULL, '.repeat(15)}NULL`;

/** regproc, regprocedure, regoper, regoperator, and arrays of them. */
const CALLABLE = 'ARRAY[24, 2202, 2203, 2204, 1008, 2207, 2208, 2209]::pg_catalog.oid[]';

const CALLED = `
SELECT 'function', f.number, p.oid::${TEXT}, p.proname::${TEXT}, p.prosrc, n.nspname::${TEXT}, l.lanname::${TEXT},
    p.provolatile::${TEXT}, p.prokind::${TEXT}, (p.oid OPERATOR(pg_catalog.<) 16384::pg_catalog.oid)::${TEXT},
    (SELECT e.extname::${TEXT} FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid ${IS} d.refobjid
      WHERE d.classid ${IS} 1255 AND d.objid ${IS} p.oid AND d.refclassid ${IS} 3079 AND d.deptype ${IS} 'e'::pg_catalog."char"),
    p.prosecdef::${TEXT}, (p.prorettype ${IS} ANY (ARRAY[2279, 3838]::pg_catalog.oid[]))::${TEXT},
    (p.proargtypes::pg_catalog.oid[] OPERATOR(pg_catalog.&&) ${CALLABLE})::${TEXT}, pg_catalog.to_json(p.proconfig)::${TEXT},
    CASE WHEN p.prokind OPERATOR(pg_catalog.<>) 'a'::pg_catalog."char" AND p.prolang OPERATOR(pg_catalog.<>) ALL (${COMPILED})
      THEN pg_catalog.pg_get_functiondef(p.oid) END,
    pg_catalog.pg_get_function_sqlbody(p.oid), pg_catalog.pg_get_expr(p.proargdefaults, 0),
    (SELECT pg_catalog.to_json(ARRAY[g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggserialfn, g.aggdeserialfn, g.aggmtransfn,
        g.aggminvtransfn, g.aggmfinalfn]::pg_catalog.oid[]::${TEXT}[])::${TEXT}
       FROM pg_catalog.pg_aggregate g WHERE g.aggfnoid::pg_catalog.oid ${IS} p.oid),
    (pg_catalog.to_regproc(pg_catalog.quote_ident(p.proname))::pg_catalog.oid ${IS} p.oid)::${TEXT},
    (pg_catalog.to_regproc(pg_catalog.format('%I.%I', n.nspname, p.proname))::pg_catalog.oid ${IS} p.oid)::${TEXT}
  FROM functions f CROSS JOIN LATERAL (SELECT x.* FROM pg_catalog.pg_proc x WHERE x.oid ${IS} f.oid OFFSET 0) p
  JOIN pg_catalog.pg_namespace n ON n.oid ${IS} p.pronamespace JOIN pg_catalog.pg_language l ON l.oid ${IS} p.prolang`;

const READ = `
relations(oid, number) AS MATERIALIZED (
  SELECT c.oid, a.number::${TEXT} FROM asked a CROSS JOIN LATERAL (
    SELECT x.oid, x.relnamespace FROM pg_catalog.pg_class x WHERE x.relname ${IS} a.name OFFSET 0) c
   WHERE a.kind ${IS} ANY (ARRAY['relation', 'catalog']) AND (${fits('c.relnamespace')}) AND c.oid ${OWN}
)`;

const VIEWS = `SELECT 'view', r.number, c.oid::${TEXT}, c.relname::${TEXT}, pg_catalog.pg_get_viewdef(c.oid), ${REST}
  FROM relations r JOIN pg_catalog.pg_class c ON c.oid ${IS} r.oid WHERE c.relkind ${IS} 'v'::pg_catalog."char"`;

const HIDDEN = `SELECT 'hidden', r.number, '', a.name::${TEXT}, '', ${REST}
  FROM relations r JOIN asked a ON a.number::${TEXT} ${IS} r.number AND a.kind ${IS} 'catalog'`;

const POLICIES = `SELECT 'policy', r.number, p.oid::${TEXT}, p.polname::${TEXT}, pg_catalog.pg_get_expr(p.polqual, p.polrelid), ${REST}
  FROM relations r JOIN pg_catalog.pg_class c ON c.oid ${IS} r.oid AND c.relrowsecurity
  JOIN pg_catalog.pg_policy p ON p.polrelid ${IS} r.oid WHERE p.polqual IS NOT NULL`;

const DOMAINS = `SELECT 'domain', '', k.oid::${TEXT}, k.conname::${TEXT}, pg_catalog.pg_get_expr(k.conbin, 0), ${REST}
  FROM pg_catalog.pg_constraint k
 WHERE $5 AND k.contypid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid AND k.oid ${OWN}
   AND k.conbin::${TEXT} OPERATOR(pg_catalog.~~) '%FUNCEXPR%'`;

/**
 * Names of which none is seen, but the server knows one by now. A function that does not fit an attribute is one that is
 * seen, unless it may have been altered since.
 */
const UNSEEN = `SELECT 'unseen', '', '', u.name::${TEXT}, (SELECT 'attribute' FROM pg_catalog.pg_proc p
     WHERE u.kind ${IS} 'attribute' AND p.oid ${IS} u.oid), ${REST}
  FROM (SELECT a.kind, a.name, pg_catalog.to_regproc(CASE WHEN a.schema ${IS} '' THEN pg_catalog.quote_ident(a.name)
      ELSE pg_catalog.format('%I.%I', a.schema, a.name) END)::pg_catalog.oid AS oid
    FROM asked a WHERE a.kind ${IS} ANY (ARRAY['function', 'own', 'attribute'])
     AND NOT EXISTS (SELECT FROM functions f WHERE f.number ${IS} a.number::${TEXT}) OFFSET 0) u
 WHERE u.oid ${OWN}`;

/** The same of relations, where the transaction sees the catalog as it was. */
const UNSEEN_RELATIONS = `SELECT 'unseen', '', '', a.name::${TEXT}, 'relation', ${REST}
  FROM asked a WHERE a.kind ${IS} 'relation' AND NOT EXISTS (SELECT FROM relations r WHERE r.number ${IS} a.number::${TEXT})
   AND pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.<>) ALL (ARRAY['read committed', 'read uncommitted'])
   AND CASE WHEN a.schema ${IS} '' THEN pg_catalog.to_regclass(pg_catalog.quote_ident(a.name))
     WHEN EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname ${IS} a.schema AND pg_catalog.has_schema_privilege(n.oid, 'USAGE'))
     THEN pg_catalog.to_regclass(pg_catalog.format('%I.%I', a.schema, a.name)) END::pg_catalog.oid ${OWN}`;

const TRANSACTION = `SELECT 'transaction', '', '', pg_catalog.current_setting('transaction_read_only'),
  pg_catalog.current_setting('transaction_isolation'), ${REST}`;

const COLUMNS = Array.from({ length: 21 }, (_, i) => `c${i}`);

/** Its words come as bytes in UTF-8, since not all of them may have an equivalent in what the client reads. */
const QUESTION = `WITH ${ASKED}, ${FUNCTIONS}, ${READ}
SELECT ${COLUMNS.map((name) => inUtf8(`q.${name}`)).join(', ')} FROM (
${[CALLED, VIEWS, HIDDEN, POLICIES, DOMAINS, UNSEEN, UNSEEN_RELATIONS, TRANSACTION].join('\nUNION ALL\n')}
) q(${COLUMNS.join(', ')})`;

/** What the catalog has of these; `withUnnamed` also what runs without a name wherever a statement of any kind does. */
export async function readCodeParts(
  connection: HiddenConnection,
  asked: readonly AskedCode[],
  withUnnamed: boolean,
): Promise<CodeParts> {
  const functions: FunctionPart[] = [];
  const texts: TextPart[] = [];
  const unnamed: (FunctionPart | TextPart)[] = [];
  const found = new Set<number>();
  let unseen: string | null = null;
  let unfit: string | null = null;
  let hidden: string | null = null;
  let oneSnapshot = false;
  let isReadOnly = false;
  const parameters = [
    textArray(asked.map(({ kind }) => kind)),
    textArray(asked.map(({ name }) => name)),
    textArray(asked.map(({ schema }) => schema ?? '')),
    textArray(asked.map(({ anywhere }) => (anywhere ? 't' : 'f'))),
    Buffer.from([withUnnamed ? 1 : 0]),
  ];
  const query = {
    sql: QUESTION,
    parameterTypes: [TEXT_ARRAY_OID, TEXT_ARRAY_OID, TEXT_ARRAY_OID, TEXT_ARRAY_OID, BOOL_OID],
    parameters,
    parameterFormats: [1, 1, 1, 1, 1] as const,
    resultFormats: [],
    neverCompiled: true as const,
  };
  await connection.run(query, (row) => {
    const columns = textColumns(row).map(fromHex);
    const [of, number, , name, sql, ...rest] = columns;
    if (number !== '' && number !== null && number !== undefined) found.add(Number(number) - 1);
    switch (of) {
      case 'function':
        (number === '' ? unnamed : functions).push(
          functionPart(columns, rest, asked[Number(number) - 1] ?? null),
        );
        break;
      case 'view':
      case 'policy':
        texts.push({ of, name: name ?? '', sql: sql ?? '' });
        break;
      case 'domain':
        unnamed.push({ of, name: name ?? '', sql: sql ?? '' });
        break;
      case 'hidden':
        hidden = name ?? '';
        break;
      case 'unseen':
        if (sql === 'attribute') unfit = name ?? '';
        else unseen = name ?? '';
        break;
      default:
        isReadOnly = name === 'on';
        oneSnapshot = sql !== 'read committed' && sql !== 'read uncommitted';
    }
  });
  const missing = asked.filter((_, i) => !found.has(i));
  return { functions, texts, unnamed, missing, unseen, unfit, hidden, oneSnapshot, isReadOnly };
}

function functionPart(
  [, , oid, name, body]: readonly (string | null)[],
  rest: readonly (string | null)[],
  asked: AskedCode | null,
): FunctionPart {
  const [schema, language, volatility, kind, builtIn, extension, owner, trigger, taken, settings, ...texts] =
    rest;
  const [definition, parsedBody, defaults, runs, alone, aloneInSchema] = texts;
  return {
    oid: oid ?? '',
    schema: schema ?? '',
    name: name ?? '',
    language: language ?? '',
    volatility: volatility ?? '',
    kind: kind ?? '',
    builtIn: builtIn === 'true',
    extension: extension ?? null,
    runsAsOwner: owner === 'true',
    isTrigger: trigger === 'true',
    takesCode: taken === 'true',
    settings: strings(settings),
    body: body ?? '',
    definition: definition ?? null,
    parsedBody: parsedBody ?? null,
    defaults: defaults ?? null,
    runs: strings(runs).filter((each) => each !== '0'),
    isAlone:
      (asked?.kind === 'function' || asked?.kind === 'attribute') &&
      (asked.schema === null ? alone : aloneInSchema) === 'true',
  };
}

const strings = (json: string | null | undefined) =>
  json === null || json === undefined ? [] : (JSON.parse(json) as string[]);
