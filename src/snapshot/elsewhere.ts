import { OID_ARRAY_OID, oidArray } from '../catalog/array-parameter.ts';
import type { Catalog, CatalogAnswer } from '../catalog/catalog.ts';
import { quoteLiteral, quoteName, quoteQualified } from '../catalog/quote.ts';
import { bestKey, type Relation } from '../catalog/relation.ts';
import { textColumns } from '../catalog/row.ts';
import { type ByKeys, byKeysOf, thenByKeys } from './by-keys.ts';
import { capturedColumns, from } from './capture-sql.ts';
import { type HiddenConnection, together } from './connection.ts';
import type { RowKeys } from './drift.ts';
import { mayBeEnded } from './look.ts';
import type { CapturePlan, CaptureSource, PlannedTable, PlanRequest } from './plan.ts';
import { captured, formatsOf, isAscii, problemOfTexts } from './plan-parts.ts';

/**
 * Tables beyond the plan whose rows code of the user's updates or deletes. Which rows these will be nobody can tell before
 * it has run. So a cursor is opened over each such table before the statement runs: it reads by the snapshot of that moment,
 * and what it is asked for when the statement has run are the rows as they were that this transaction has ended since.
 */

export interface TableName {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
}

/** A table that is looked at by the snapshot of before. */
export interface ElsewhereTable {
  readonly table: PlannedTable;
  readonly source: CaptureSource;
  /** Where its rows are found by their keys. */
  readonly byKeys: (ByKeys & { readonly cursor: Cursor }) | null;
  /** Where it may be read through. */
  readonly search: Search | null;
  /** Whether the role may lock its rows. */
  readonly mayLock: boolean;
}

/** Cursors that read a whole table. */
export interface Search {
  /** The rows that may have changed by the time that they are fetched. */
  readonly cursor: Cursor;
  /** How many rows it had. */
  readonly counting: Cursor;
  /** It takes long, so that it is not done ahead of the statement. */
  readonly slow: boolean;
}

export interface Cursor {
  readonly name: string;
  readonly opening: string;
}

export interface Elsewhere {
  readonly tables: readonly ElsewhereTable[];
  /** Why of others nothing is kept, by their OIDs; words that read well behind "it changed x as well, and". */
  readonly unkept: ReadonlyMap<number, string>;
  /** pg_current_snapshot(), no later than the cursors', and the number of the next multixact then. */
  readonly snapshot: string;
  readonly nextMulti: string;
  /** The transaction ends with the statement, and the cursors with it. */
  readonly endsAtOnce?: boolean;
  /** Rows that others have changed the last time, which are locked ahead of the cursors, so that these see them. */
  readonly locked?: RowKeys;
}

/** How large tables may be, for what is done with them. */
export interface Sizes {
  /** Smaller ones are read through as soon as they are looked for a few keys. */
  readonly byKeysMin: number;
  /** Larger ones are not read through ahead of a statement where there is another way. */
  readonly quickMax: number;
  /** Larger ones are not read through, for which the client would wait, and others for its locks. */
  readonly searchedMax: number;
}

const MIB = 1024 * 1024;

const SIZES: Sizes = { byKeysMin: MIB / 4, quickMax: 64 * MIB, searchedMax: 512 * MIB };

/** Tables that are looked at for one statement. */
const TABLES_MAX = 16;

let serial = 0;

/** The plan, which looks at these tables as well. */
export async function widened(
  connection: HiddenConnection,
  catalog: Catalog,
  { scope, asciiNames }: Pick<PlanRequest, 'scope' | 'asciiNames'>,
  plan: CapturePlan,
  names: readonly TableName[],
  sizes: Sizes = SIZES,
): Promise<CapturePlan> {
  const others = names.filter(({ oid }) => !plan.tables.some((table) => table.oid === oid));
  if (others.length === 0) return plan;
  const relations = others.map(({ schema, name }) => ({ schema, name }));
  let answer: CatalogAnswer | null = null;
  let marks: Marks | null = null;
  await together(connection, [
    async () => {
      answer = await catalog.ask(connection, { scope, relations, allReferrers: false, functions: [] });
    },
    async () => {
      marks = await readMarks(connection, others);
    },
  ]);
  return widenedBy(plan, others, answer!, marks!, asciiNames === true, sizes);
}

function widenedBy(
  plan: CapturePlan,
  names: readonly TableName[],
  answer: CatalogAnswer,
  marks: Marks,
  asciiNames: boolean,
  sizes: Sizes,
): CapturePlan {
  const tables: ElsewhereTable[] = [];
  const unkept = new Map<number, string>();
  for (const [i, { oid }] of names.entries()) {
    const relation = answer.relations.get(answer.roots[i] ?? 0);
    const bytes = marks.bytes[i] ?? 0;
    const problem =
      tables.length === TABLES_MAX
        ? `more than ${TABLES_MAX} tables are not looked at`
        : problemOf(relation, oid, bytes, answer, asciiNames, sizes);
    if (problem !== null) unkept.set(oid, problem);
    else
      tables.push(
        elsewhereTable(relation!, plan.sources.length + tables.length, marks.nextMulti, bytes, sizes),
      );
  }
  const { snapshot, nextMulti } = marks;
  return {
    ...plan,
    bases: [...plan.bases, answer.basis],
    elsewhere: { tables, unkept, snapshot, nextMulti },
  };
}

function problemOf(
  relation: Relation | undefined,
  oid: number,
  bytes: number,
  answer: CatalogAnswer,
  asciiNames: boolean,
  { searchedMax }: Sizes,
): string | null {
  if (relation === undefined || relation.oid !== oid) return 'its name means another table';
  if (relation.kind !== 'table' || !relation.heap) return `it is not stored in PostgreSQL's own way`;
  if (!relation.select) return 'this role may not read it';
  if (relation.rowSecurity) return 'row security hides rows of it from this role';
  if (bytes > searchedMax && byKeysOf(relation) === null)
    return `it takes more than ${searchedMax / MIB} MiB, which are not searched for what has changed`;
  if (asciiNames && !isAscii(relation)) return 'its names are not ASCII, and the client does not write UTF-8';
  return problemOfTexts([{ columns: captured(relation) }], answer);
}

function elsewhereTable(
  relation: Relation,
  source: number,
  nextMulti: string,
  bytes: number,
  { byKeysMin, quickMax, searchedMax }: Sizes,
): ElsewhereTable {
  const { oid, schema, name } = relation;
  const columns = captured(relation);
  const byKeys = bytes < byKeysMin ? null : byKeysOf(relation);
  return {
    table: {
      oid,
      schema,
      name,
      cause: { kind: 'code' },
      changes: ['insert', 'update', 'delete'],
      key: bestKey(relation)?.columns ?? null,
      columns,
      source,
      direct: true,
      mayGainRows: true,
    },
    source: {
      sql: '',
      from: from(relation, true),
      columns,
      resultFormats: formatsOf(columns),
      tables: [oid],
    },
    byKeys:
      byKeys === null
        ? null
        : { ...byKeys, cursor: cursorFor(thenByKeys(relation, columns, byKeys, nextMulti)) },
    search:
      bytes > searchedMax
        ? null
        : {
            cursor: cursorFor(touchedRows(relation, nextMulti)),
            counting: cursorFor(rowCount(relation)),
            slow: byKeys !== null && bytes > quickMax,
          },
    mayLock: relation.update,
  };
}

const BEHIND = 'NO SCROLL CURSOR WITHOUT HOLD FOR';

function cursorFor(query: string): Cursor {
  const name = `holdfast then ${++serial}`;
  return { name, opening: `DECLARE ${quoteName(name)} ${BEHIND} ${query}` };
}

export const rowCount = ({ schema, name }: Pick<Relation, 'schema' | 'name'>): string =>
  `SELECT pg_catalog.count(*)::pg_catalog.text FROM ONLY ${quoteQualified(schema, name)}`;

/**
 * The rows as they were that this transaction may have ended or locked since, with what stands in xmax by the time that they
 * are fetched: conditions are computed then, although the rows are those of the cursor's snapshot.
 */
function touchedRows(relation: Relation, nextMulti: string): string {
  return `SELECT ${capturedColumns('r', captured(relation))}, r.xmax FROM ${from(relation, true)} r WHERE ${mayBeEnded(nextMulti)}`;
}

/** The same where no BEGIN has come, in which DECLARE is refused: what a function opens stays open as well. */
export function openingInSegment({ name, opening }: Cursor): string {
  const query = opening.slice(opening.indexOf(BEHIND) + BEHIND.length);
  return `DECLARE "holdfast cursor" pg_catalog.refcursor := ${quoteLiteral(name)};
    BEGIN OPEN "holdfast cursor" NO SCROLL FOR EXECUTE ${quoteLiteral(query)}; END`;
}

interface Marks {
  readonly snapshot: string;
  readonly nextMulti: string;
  readonly bytes: readonly number[];
}

/** What has to be older than the cursors; and how much there is to be searched. */
async function readMarks(connection: HiddenConnection, tables: readonly TableName[]): Promise<Marks> {
  let columns: (string | null)[] = [];
  const query = {
    sql: `SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text,
      (pg_catalog.mxid_age('1'::pg_catalog.xid)::pg_catalog.int8 OPERATOR(pg_catalog.+) 4294967297) OPERATOR(pg_catalog.%) 4294967296,
      pg_catalog.array_to_string(ARRAY(SELECT coalesce(pg_catalog.pg_relation_size(o.oid), 0)
        FROM pg_catalog.unnest($1::pg_catalog.oid[]) WITH ORDINALITY o(oid, i) ORDER BY o.i), ',')`,
    parameterTypes: [OID_ARRAY_OID],
    parameters: [oidArray(tables.map(({ oid }) => oid))],
    parameterFormats: [1 as const],
    resultFormats: [],
  };
  await connection.run(query, (row) => {
    columns = textColumns(row);
  });
  const [snapshot, nextMulti, bytes] = columns;
  return { snapshot: snapshot!, nextMulti: nextMulti!, bytes: (bytes ?? '').split(',').map(Number) };
}

/** The source of a table of the plan, or of one beyond it. */
export function sourceOf({ sources, elsewhere }: CapturePlan, { source }: PlannedTable): CaptureSource {
  return sources[source] ?? elsewhere!.tables[source - sources.length]!.source;
}
