import { LIMITS } from '../base/limits.ts';
import { OID_ARRAY_OID, OID_OID, oidArray, oidValue, TEXT_ARRAY_OID, textArray } from './array-parameter.ts';
import { briefQuery, stillSoQuery } from './brief-query.ts';
import { type HiddenConnection, type HiddenQuery, HiddenQueryError } from './connection.ts';
import { type Lookup, readLookup } from './lookup.ts';
import {
  describeQuery,
  fingerprintOfOldQuery,
  fingerprintQuery,
  LACKS_NOTHING,
  type Lacking,
  lookupQuery,
  NO_OWN_CODE,
} from './queries.ts';
import { quoteQualified } from './quote.ts';
import { readRelation } from './read-relation.ts';
import type { Relation } from './relation.ts';
import { textColumns } from './row.ts';

/** A name as a statement gives it; without a schema it is looked for on the session's search_path. */
export interface AskedName {
  readonly schema: string | null;
  readonly name: string;
}

export interface CatalogQuestion {
  /** Whose answers may be shared: the database, and whatever else the session knows to matter. */
  readonly scope: string;
  readonly relations: readonly AskedName[];
  /**
   * Whether what refers to the relations matters also where it follows no change (TRUNCATE … CASCADE), and what is altered
   * of the sequences that they own (RESTART IDENTITY).
   */
  readonly allReferrers: boolean;
  readonly functions: readonly AskedName[];
}

export type Volatility = 'immutable' | 'stable' | 'volatile' | 'unknown';

export interface FunctionFacts extends AskedName {
  /** The worst of all functions that the call may mean. */
  readonly volatility: Volatility;
  /** Whether it may be one that is not PostgreSQL's own. */
  readonly own: boolean;
}

/** What an answer rests on: versions of the catalog's rows, which change with whatever is said of the relations. */
export interface Basis {
  /** The relations, as a parameter. */
  readonly oids: Buffer;
  readonly fingerprint: string;
  /** What none of them has, so that it is not looked for. */
  readonly lacking: Lacking;
  /** Whether the sequences that they own are looked at as well. */
  readonly sequences: boolean;
  /** It was read by a snapshot that the transaction keeps, so that what others alter meanwhile does not show in it. */
  readonly kept?: true;
}

export interface CatalogAnswer {
  /** One for each relation asked for, in order; null where there is none of the name. */
  readonly roots: readonly (number | null)[];
  /** The roots, their partitions and descendants, and all that refers to them, by their OIDs. */
  readonly relations: ReadonlyMap<number, Relation>;
  readonly functions: readonly FunctionFacts[];
  readonly basis: Basis;
  /** Whether the server counts what is changed (track_counts), without which nothing can be proved. */
  readonly counts: boolean;
  /**
   * Whether the transaction reads by one snapshot, the catalog included: then there may be foreign keys that others
   * have added since, which fire although nothing here tells of them.
   */
  readonly oneSnapshot: boolean;
  /** Whether operators, casts and functions between PostgreSQL's own types, without a schema, are surely its own. */
  readonly catalogFirst: boolean;
  /** Whether text, as the session's settings have it, can be read back as the same value. */
  readonly textExact: boolean;
}

/** An answer that is recalled. */
export interface SureAnswer {
  readonly answer: CatalogAnswer;
  /**
   * Has the server fail where it would be answered otherwise by now, so that nothing of what is sent behind it, in one
   * transaction, is done; and gives the columns that are asked besides, in which the table is `THE_TABLE`. `how` says whether
   * it may be kept.
   */
  readonly ask: (
    connection: HiddenConnection,
    besides: string,
    how?: Pick<HiddenQuery, 'kept'>,
  ) => Promise<(string | null)[]>;
}

interface Known extends Basis {
  /** What was answered last by it. */
  last: CatalogAnswer | null;
  /** An answer, and all that it rests on as one text, for it to be the answer again; null where that is not known, and doubted where it was another. */
  sure: { readonly answer: CatalogAnswer; readonly said: string } | 'doubted' | null;
  readonly roots: readonly (number | null)[];
  readonly circumstances: string;
  readonly relations: ReadonlyMap<number, Relation>;
}

const VOLATILITIES: readonly Volatility[] = ['immutable', 'stable', 'volatile'];
const NOTHING_KNOWN = oidArray([]);

/**
 * What databases say about their relations. An answer costs one round trip where what was learnt before still
 * holds, which the server tells by the versions of the catalog's own rows, and two otherwise. So no event has to
 * be waited for, and what other sessions change is seen as well; `invalidate` only frees what is surely stale.
 */
export class Catalog {
  readonly #known = new Map<string, Known>();

  async ask(connection: HiddenConnection, question: CatalogQuestion): Promise<CatalogAnswer> {
    const key = keyOf(question);
    const known = this.#known.get(key);
    const found = await lookup(connection, question, known);
    const roots = found.oids;
    const functions = question.functions.map((asked, i): FunctionFacts => {
      const facts = found.functions[i];
      return {
        ...asked,
        volatility: VOLATILITIES[facts?.volatility ?? -1] ?? 'unknown',
        own: facts?.own ?? true,
      };
    });
    const same = known !== undefined && holds(known, found, roots);
    // Read before what it is to stand for.
    const lacks = same ? (known.sure === 'doubted' ? known.lacking : null) : LACKS_NOTHING;
    // What is read by one snapshot is no answer for those who read by another.
    const isForOthers = !found.mayOwnCode && !found.oneSnapshot;
    const saying = lacks === null || !isForOthers ? null : brief(connection, question, roots, lacks);
    const current = same
      ? known
      : await describe(connection, question, roots, found.circumstances).catch(async (error: unknown) => {
          await saying;
          throw error;
        });
    const said = saying === null ? null : await saying;
    // It may be sure yet.
    if (!same && found.oneSnapshot && isAlone(current)) current.sure = 'doubted';
    this.#remember(key, current);
    current.last = {
      roots,
      relations: current.relations,
      functions,
      basis: found.oneSnapshot ? keptBasis(current) : current,
      counts: found.counts,
      catalogFirst:
        found.catalogFirst &&
        (!found.mayOwnCode || (await texts(connection, NO_OWN_CODE, [], []))[0] === 'true'),
      textExact: found.textExact,
      oneSnapshot: found.oneSnapshot,
    };
    if (said !== null && isAlone(current)) current.sure = { answer: current.last, said };
    return current.last;
  }

  /** What the question was answered last, which may be so no more; null where that is not remembered. */
  recall(question: CatalogQuestion): CatalogAnswer | null {
    const last = this.#known.get(keyOf(question))?.last ?? null;
    return last !== null && sameNames(last.functions, question.functions) ? last : null;
  }

  /** What may be recalled by a question of which the server can tell, as one text, whether it would be answered so again. */
  sure(question: CatalogQuestion): SureAnswer | null {
    const known = this.#known.get(keyOf(question));
    const { sure = null } = known ?? {};
    if (known === undefined || sure === null || sure === 'doubted' || !isBrief(question)) return null;
    const { answer, said } = sure;
    const oid = known.roots[0]!;
    return {
      answer,
      ask: async (connection, besides, how = {}) => {
        const sql = stillSoQuery(known.lacking, besides);
        const parameters = [namesOf(question), Buffer.from(said), oidValue(oid)];
        const asking = rowsOf(connection, sql, [TEXT_ARRAY_OID, TEXT_OID, OID_OID], parameters, how);
        const [row] = await asking.catch((error: unknown) => {
          if (error instanceof HiddenQueryError && error.sqlstate === OTHERWISE) known.sure = 'doubted';
          throw error;
        });
        return row ?? [];
      },
    };
  }

  invalidate(scope: string): void {
    for (const key of this.#known.keys()) if (key.startsWith(`${scope}\0`)) this.#known.delete(key);
  }

  #remember(key: string, known: Known): void {
    this.#known.delete(key);
    this.#known.set(key, known);
    if (this.#known.size <= LIMITS.catalogAnswersMax) return;
    const oldest = this.#known.keys().next().value;
    if (oldest !== undefined) this.#known.delete(oldest);
  }
}

/** Nothing else of what is known: that has the last answer, which has the basis before this one, and so on for ever. */
function keptBasis({ oids, fingerprint, lacking, sequences }: Basis): Basis {
  return { oids, fingerprint, lacking, sequences, kept: true };
}

/** What the basis of an answer would be by now. */
export async function fingerprintNow(
  connection: HiddenConnection,
  { oids, lacking, sequences, kept }: Basis,
): Promise<string> {
  const sql =
    kept === true ? fingerprintOfOldQuery(lacking, sequences) : fingerprintQuery(lacking, sequences);
  const rows = await texts(connection, sql, [OID_ARRAY_OID], [oids]);
  return rows[0] ?? '';
}

function sameNames(a: readonly AskedName[], b: readonly AskedName[]): boolean {
  return (
    a.length === b.length && a.every(({ schema, name }, i) => schema === b[i]!.schema && name === b[i]!.name)
  );
}

/** Whether two answers to one question say the same: of relations that is known by what they were read from. */
export function sameAnswer(a: CatalogAnswer, b: CatalogAnswer): boolean {
  return (
    a === b ||
    (a.relations === b.relations &&
      a.counts === b.counts &&
      a.oneSnapshot === b.oneSnapshot &&
      a.catalogFirst === b.catalogFirst &&
      a.textExact === b.textExact &&
      a.roots.length === b.roots.length &&
      a.roots.every((root, i) => root === b.roots[i]) &&
      sameNames(a.functions, b.functions) &&
      a.functions.every(
        ({ volatility, own }, i) => volatility === b.functions[i]!.volatility && own === b.functions[i]!.own,
      ))
  );
}

function keyOf(question: CatalogQuestion): string {
  const names = question.relations.map(({ schema, name }) => quoteQualified(schema, name));
  return [question.scope, question.allReferrers, ...names].join('\0');
}

function holds(known: Known, found: Lookup, roots: readonly (number | null)[]): boolean {
  return (
    known.fingerprint === found.fingerprint &&
    known.circumstances === found.circumstances &&
    known.roots.length === roots.length &&
    known.roots.every((root, i) => root === roots[i])
  );
}

/** Null where there is none that could be told so. */
function brief(
  connection: HiddenConnection,
  question: CatalogQuestion,
  [oid = null]: readonly (number | null)[],
  lacking: Lacking,
): Promise<string | null> | null {
  if (oid === null || connection.overlaps !== true || !isBrief(question)) return null;
  const saying = texts(connection, briefQuery(oid, lacking), [TEXT_ARRAY_OID], [namesOf(question)]);
  const said = saying.then(([text]) => text ?? null);
  // It fails what is asked behind it, of which may be heard before.
  said.catch(() => {});
  return said;
}

const isAlone = ({ relations }: Known): boolean => relations.size === 1;

/** SQLSTATE of a division by zero; see stillSoQuery. */
const OTHERWISE = '22012';

const isBrief = ({ relations, functions, allReferrers }: CatalogQuestion): boolean =>
  relations.length === 1 && functions.length === 0 && !allReferrers;

const namesOf = ({ relations }: CatalogQuestion): Buffer =>
  textArray(relations.map(({ schema, name }) => quoteQualified(schema, name)));

async function lookup(
  connection: HiddenConnection,
  question: CatalogQuestion,
  known: Basis | undefined,
): Promise<Lookup> {
  const { relations, allReferrers, functions } = question;
  const parameters = [namesOf(question), known?.oids ?? NOTHING_KNOWN];
  const types = [TEXT_ARRAY_OID, OID_ARRAY_OID];
  const asksFunctions = functions.length > 0;
  if (asksFunctions) {
    parameters.push(textArray(functions.map(({ schema }) => schema)));
    parameters.push(textArray(functions.map(({ name }) => name)));
    types.push(TEXT_ARRAY_OID, TEXT_ARRAY_OID);
  }
  const lacking = known?.lacking ?? LACKS_NOTHING;
  const sql = lookupQuery(relations.length, lacking, allReferrers, asksFunctions);
  const [columns] = await rowsOf(connection, sql, types, parameters);
  return readLookup(relations.length, columns ?? []);
}

async function describe(
  connection: HiddenConnection,
  { allReferrers }: CatalogQuestion,
  roots: readonly (number | null)[],
  circumstances: string,
): Promise<Known> {
  const found = roots.filter((oid) => oid !== null);
  const all = Buffer.of(allReferrers ? 1 : 0);
  const sql = describeQuery(allReferrers);
  const types = [OID_ARRAY_OID, BOOL_OID];
  const told = await rowsOf(connection, sql, types, [oidArray(found), all], { neverCompiled: true });
  const rows = told.map(([text]) => text ?? '');
  const fingerprint = rows.pop() ?? '';
  const relations = new Map(rows.map((row) => readRelation(row)).map((relation) => [relation.oid, relation]));
  const lacking = lackedByAll([...relations.values()]);
  const oids = oidArray([...relations.keys()]);
  return {
    roots,
    circumstances,
    fingerprint,
    oids,
    lacking,
    sequences: allReferrers,
    relations,
    last: null,
    sure: null,
  };
}

function lackedByAll(relations: readonly Relation[]): Lacking {
  return {
    triggers: relations.every(({ lacking }) => lacking.triggers),
    rules: relations.every(({ lacking }) => lacking.rules),
    rowSecurity: relations.every(({ lacking }) => lacking.rowSecurity),
    kin: relations.every(({ lacking }) => lacking.kin),
  };
}

const BOOL_OID = 16;
const TEXT_OID = 25;

/** Runs a query of one column of text, its parameters in binary. */
async function texts(
  connection: HiddenConnection,
  sql: string,
  parameterTypes: readonly number[],
  parameters: readonly Buffer[],
): Promise<string[]> {
  const rows = await rowsOf(connection, sql, parameterTypes, parameters);
  return rows.map(([text]) => text ?? '');
}

async function rowsOf(
  connection: HiddenConnection,
  sql: string,
  parameterTypes: readonly number[],
  parameters: readonly Buffer[],
  how: Pick<HiddenQuery, 'neverCompiled' | 'kept'> = {},
): Promise<(string | null)[][]> {
  const rows: (string | null)[][] = [];
  const parameterFormats = parameters.map(() => 1 as const);
  const query = { sql, parameterTypes, parameters, parameterFormats, resultFormats: [], ...how };
  await connection.run(query, (row) => {
    rows.push(textColumns(row));
  });
  return rows;
}
