import { LIMITS } from '../base/limits.ts';
import type { AskedName, Basis, Catalog, CatalogAnswer } from '../catalog/catalog.ts';
import type { Column, OwnedSequence, Relation, TriggerEvent } from '../catalog/relation.ts';
import type { CursorSlice, RowsSlice, UpsertSlice, WriteSlice } from '../sql/slices/slice.ts';
import { type CascadeGraph, followCascades } from './cascade.ts';
import type { HiddenConnection } from './connection.ts';
import { problemOfCalls, problemOfGraph, problemOfGroup } from './eligibility.ts';
import type { Elsewhere } from './elsewhere.ts';
import { groupOverlapping } from './group.ts';
import { problemOfImplied } from './implied-code.ts';
import { CHANGED_BEFORE, leaveKeys } from './insert-triggers.ts';
import { keptBySnapshot } from './kept.ts';
import { givesTheSame, knowsAllCode, mayCallAsColumn, runsOwnCode } from './plan-code.ts';
import { cursorRows, problemOfCursor, whereCursorStands } from './plan-cursor.ts';
import { type PreparedText, whatIsExecuted } from './plan-execute.ts';
import { remembered } from './plan-memory.ts';
import { areTemporary, exact, first, isAscii, NEEDLESS, none, problemOfTexts } from './plan-parts.ts';
import { allSources, isReachedAgain } from './plan-sources.ts';
import { nothingElse, unlessOfAnother } from './plan-stale.ts';
import { planTruncate } from './plan-truncate.ts';
import { problemOfView, throughView } from './plan-view.ts';
import { type Seed, seedOf } from './seed.ts';

/** What a statement will change, as queries to run before it; or why that cannot be told. */
export type PlanOutcome =
  | { readonly kind: 'exact'; readonly plan: CapturePlan }
  /** `reason` is a clause that reads well behind "there is no exact plan, because". */
  | {
      readonly kind: 'none';
      readonly reason: string;
      /** It has no target yet. */
      readonly missing?: true;
      /** Has the server refuse it for that, which it would do no earlier than it runs the statement. */
      readonly refuse?: (connection: HiddenConnection) => Promise<never>;
    }
  /** There is nothing to lose that anybody could put back. */
  | { readonly kind: 'needless'; readonly reason: string };

/** The client's own parameters, which the queries of a capture are given as they are. */
export interface StatementParameters {
  /** OIDs, all of them known: the server tells them when the statement is described. */
  readonly types: readonly number[];
  readonly values: readonly (Buffer | null)[];
  /** One for each value. */
  readonly formats: readonly (0 | 1)[];
}

export const NO_PARAMETERS: StatementParameters = Object.freeze({ types: [], values: [], formats: [] });

export interface CapturePlan {
  readonly operation: 'update' | 'delete' | 'merge' | 'insert' | 'truncate';
  /** Run first: what takes the locks that the statement itself will take. */
  readonly lock: string | null;
  readonly sources: readonly CaptureSource[];
  /** The tables in which rows of the sources are stored. */
  readonly tables: readonly PlannedTable[];
  /** Those that the statement starts anew. */
  readonly sequences: readonly OwnedSequence[];
  readonly parameters: StatementParameters;
  /** What it rests on: locks of rows do not keep away all that would give the statement other tables. */
  readonly bases: readonly Basis[];
  /** What else it rests on where the statement ends without a command tag that counts its rows. */
  readonly basesUncounted?: readonly Basis[];
  /** Code of the user's runs, which may write anywhere, and undo what it did. */
  readonly opaque: boolean;
  /** More may follow than the plan knows of, so that the counts of all tables are compared. */
  readonly watchesAll: boolean;
  /** The condition looks at the row alone, so that it holds as long as the row is locked. */
  readonly ownRowOnly: boolean;
  /** What keeps rows as they were captured until the statement changes them. */
  readonly keptBy: KeptBy;
  /** Whether the command tag counts the rows of the target alone, and nothing else reaches them. */
  readonly countedByTag: boolean;
  /** What it rests on stays so as long as its only table is locked as the statement locks it. */
  readonly keptByTargetLock: boolean;
  /** Why nothing is captured, where it is only proved that nothing of worth has changed. */
  readonly nothingBecause?: string;
  /** Its tables are locked, by their OIDs, so that no row can be another table's than its source says. */
  readonly tablesAreLocked?: true;
  /** What code of the user's is expected to change besides. */
  readonly elsewhere?: Elsewhere;
}

/**
 * `locks`: of the rows. `snapshot`: the transaction reads by one snapshot, and the statement fails with 40001 at a row
 * that others have changed since. `locks or snapshot`: the latter would do, in a transaction that reads so.
 */
export type KeptBy = 'locks' | 'snapshot' | 'locks or snapshot';

/** One query: a table's OID and ctid in binary, then the columns. */
export interface CaptureSource {
  readonly sql: string;
  /**
   * The columns alone, where the rows are all of one table, and are deleted: the server takes a third of the time that it takes
   * for a row to say where it is, and a third of what it says.
   */
  readonly unplaced?: string;
  /** What stands behind FROM to find the same rows again. */
  readonly from: string;
  readonly columns: readonly Column[];
  readonly resultFormats: readonly (0 | 1)[];
  readonly tables: readonly number[];
}

export type Cause =
  | { readonly kind: 'target' }
  | { readonly kind: 'cascade'; readonly constraint: string; readonly level: number }
  /** Code of the user's has changed it. */
  | { readonly kind: 'code' };

export interface PlannedTable {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly cause: Cause;
  readonly changes: readonly ('update' | 'delete' | 'insert' | 'truncate')[];
  readonly key: readonly string[] | null;
  /** Where all rows of its source are the statement's own: the columns that tell which they are. */
  readonly identity?: readonly string[];
  /** What a row of the files holds, in this order: all columns but generated ones. */
  readonly columns: readonly Column[];
  /** The index of its source; what is beyond the plan's tables has one behind those (`sourceOf`). */
  readonly source: number;
  /** Whether the current role may read it by its own name, not only through what it is a part of. */
  readonly direct: boolean;
  /** Rows may come into it, or change more than once, so that what is new has to be looked for. */
  readonly mayGainRows: boolean;
}

export interface PlanRequest {
  /** Whose answers of the catalog may be shared: the database. */
  readonly scope: string;
  readonly slice: WriteSlice;
  readonly parameters: StatementParameters;
  /** What the session has seen prepared under a name. */
  readonly prepared?: (name: string) => Promise<PreparedText | null>;
  /** The session does not write UTF-8, so that only names in ASCII are understood. */
  readonly asciiNames?: boolean;
  /** The server has read it before, and may have found other tables by its names then. */
  readonly wasRead?: true;
}

export async function planCapture(
  connection: HiddenConnection,
  catalog: Catalog,
  request: PlanRequest,
): Promise<PlanOutcome> {
  const { slice, parameters } = request;
  try {
    const planned = await planSlice(connection, catalog, request);
    if (request.wasRead !== true) return planned;
    return await unlessOfAnother(connection, planned, slice, parameters);
  } catch (error) {
    if (error instanceof UnreadableName) return none(error.message);
    // In some encodings the second byte of a character may be a backslash.
    if (request.asciiNames === true && error instanceof SyntaxError) return none(UNREADABLE);
    throw error;
  }
}

async function planSlice(
  connection: HiddenConnection,
  catalog: Catalog,
  request: PlanRequest,
): Promise<PlanOutcome> {
  const { slice } = request;
  switch (slice.kind) {
    case 'inexact':
      return none(slice.reason);
    case 'cursor':
      return await planCursor(connection, catalog, request, slice);
    case 'execute': {
      const found = await whatIsExecuted(connection, slice, request.prepared ?? null);
      if ('problem' in found) return none(found.problem);
      if (found.slice.kind === 'execute') return none('it executes what executes another');
      const planned = await planSlice(connection, catalog, { ...request, ...found });
      return await unlessOfAnother(connection, planned, found.slice, found.parameters);
    }
    case 'truncate': {
      const answer = await ask(connection, catalog, request, slice.targets, true);
      return planTruncate(slice, answer, request.parameters);
    }
    case 'rows':
    case 'upsert': {
      const { target: named, insertsInto } = slice;
      const targets = insertsInto === undefined ? [named] : [named, insertsInto];
      const answer = await ask(connection, catalog, request, targets, false);
      const target = answer.relations.get(answer.roots[0] ?? 0);
      if (target?.kind !== 'view')
        return unlessInserted(await planTable(connection, slice, answer, request.parameters), slice, answer);
      if (insertsInto !== undefined)
        return none(`${target.name} is a view, and it inserts into another table`);
      return await planView(connection, catalog, request, slice, target, answer.basis);
    }
    default:
      return slice satisfies never;
  }
}

/** What is inserted besides is named, and only where it lies in a table of its own it can be told from what is changed. */
function unlessInserted(
  planned: PlanOutcome,
  { insertsInto }: RowsSlice | UpsertSlice,
  { relations, roots }: CatalogAnswer,
): PlanOutcome {
  if (insertsInto === undefined || planned.kind !== 'exact') return planned;
  const into = relations.get(roots[1] ?? 0);
  if (into === undefined) return { kind: 'none', reason: 'its target does not exist', missing: true };
  const { name, kind, partition, triggers, rules, ownCode } = into;
  if (kind !== 'table' || partition)
    return none(`it inserts into ${name} as well, which is no table by itself`);
  if (planned.plan.tables.some(({ oid }) => oid === into.oid)) return none(`it inserts into ${name} as well`);
  const runs = triggers.some(({ events }) => events.includes('insert')) || rules.includes('insert');
  return runs || ownCode ? none(`it inserts into ${name} as well, which runs code`) : planned;
}

async function planCursor(
  connection: HiddenConnection,
  catalog: Catalog,
  request: PlanRequest,
  slice: CursorSlice,
): Promise<PlanOutcome> {
  const answer = await ask(connection, catalog, request, [slice.target], false);
  const target = answer.relations.get(answer.roots[0] ?? 0);
  const problem = target === undefined ? null : problemOfCursor(slice, target);
  if (problem !== null) return none(problem);
  // Whatever stands against a capture does so whichever the row is.
  const first = planRows(cursorRows(slice, 'false'), answer, request.parameters);
  if (first.kind !== 'exact' || target === undefined) return first;
  const where = await whereCursorStands(connection, slice, target);
  if (where === null) return none(`${target.name} has no column that could be set`);
  return planRows(cursorRows(slice, where), answer, request.parameters);
}

async function planView(
  connection: HiddenConnection,
  catalog: Catalog,
  request: PlanRequest,
  slice: RowsSlice | UpsertSlice,
  view: Relation,
  viewBasis: Basis,
): Promise<PlanOutcome> {
  if (slice.kind === 'upsert') return none(`${view.name} is a view, and it inserts`);
  const problem = problemOfView(view, slice);
  if (problem !== null) return none(problem);
  const through = await throughView(connection, view, slice);
  if ('kind' in through) return none(through.reason);
  if (request.asciiNames === true && !isAscii(through.slice.target))
    throw new UnreadableName(`the view ${view.name} is not ASCII, and the client does not write UTF-8`);
  const answer = await ask(connection, catalog, { ...request, slice: through.slice }, [through.base], false);
  const base = answer.relations.get(answer.roots[0] ?? 0);
  if (base?.kind === 'view') return none(`${view.name} is a view of a view`);
  return await planTable(connection, through.slice, answer, request.parameters, viewBasis);
}

class UnreadableName extends Error {}

const UNREADABLE = 'a name of its tables is not ASCII, and the client does not write UTF-8';

async function ask(
  connection: HiddenConnection,
  catalog: Catalog,
  { scope, slice, asciiNames }: PlanRequest,
  targets: readonly AskedName[],
  allReferrers: boolean,
): Promise<CatalogAnswer> {
  const functions = 'calls' in slice ? slice.calls : [];
  const answer = await catalog.ask(connection, { scope, relations: targets, allReferrers, functions });
  const implied = 'implied' in slice ? [slice.implied, slice.impliedByValues] : [];
  if (asciiNames === true && !isAscii([targets, functions, implied, [...answer.relations.values()]]))
    throw new UnreadableName(UNREADABLE);
  return answer;
}

async function planTable(
  connection: HiddenConnection,
  slice: RowsSlice | UpsertSlice,
  answer: CatalogAnswer,
  parameters: StatementParameters,
  viewBasis: Basis | null = null,
): Promise<PlanOutcome> {
  let planned = planRows(slice, answer, parameters, viewBasis);
  const target = answer.relations.get(answer.roots[0] ?? 0);
  if (target === undefined) return planned;
  if (planned.kind === 'none' && planned.reason === CHANGED_BEFORE && (await leaveKeys(connection, target)))
    planned = planAnew(slice, answer, parameters, viewBasis, true);
  if (planned.kind !== 'exact' || planned.plan.nothingBecause !== undefined) return planned;
  const problem = await problemOfImplied(connection, slice, target, answer);
  return problem === null ? planned : none(problem);
}

export function planRows(
  slice: RowsSlice | UpsertSlice,
  answer: CatalogAnswer,
  parameters: StatementParameters,
  viewBasis: Basis | null = null,
): PlanOutcome {
  if (viewBasis !== null) return planAnew(slice, answer, parameters, viewBasis);
  return remembered(slice, answer, parameters, () => planAnew(slice, answer, parameters, null));
}

function planAnew(
  slice: RowsSlice | UpsertSlice,
  answer: CatalogAnswer,
  parameters: StatementParameters,
  viewBasis: Basis | null,
  triggersLeaveKeys = false,
): PlanOutcome {
  const target = answer.relations.get(answer.roots[0] ?? 0);
  if (target === undefined) return { kind: 'none', reason: 'its target does not exist', missing: true };
  if (!answer.counts) return none('the server does not count changes (track_counts is off)');
  if (answer.relations.size > LIMITS.snapshotRelationsMax) return none('it may reach too many tables');
  const calls = problemOfCalls(slice, answer.functions);
  if (calls !== null) return none(calls);
  const seed = seedOf(slice, target, answer.functions, viewBasis !== null, triggersLeaveKeys);
  if ('problem' in seed) return none(seed.problem);
  const only = slice.target.only || target.children.length === 0;
  const graph = followCascades(
    target,
    only && target.kind !== 'partitioned table',
    seed.changes,
    answer.relations,
  );
  const groups = groupOverlapping(graph.nodes, answer.relations);
  const problem =
    problemOfGraph(graph, seed) ??
    first(groups, (group) => problemOfGroup(group, seed, graph, answer.relations));
  if (problem !== null) return none(problem);
  const tables: PlannedTable[] = [];
  const locking = allSources(groups, graph, seed, answer.relations, tables);
  const unreadable = problemOfTexts(tables, answer);
  if (unreadable !== null) return none(unreadable);
  const opaque = firesTriggers(graph, seed, tables, answer) || runsOwnCode(slice, graph, tables, answer);
  if (!opaque && areTemporary(tables, answer)) {
    const isOwn = knowsAllCode(tables, answer) && !mayCallAsColumn(slice, target) && !slice.readsOthers;
    if (isOwn) return NEEDLESS;
    // What it runs besides may change others.
    const operation = slice.kind === 'upsert' ? 'insert' : slice.operation;
    return exact(nothingElse(operation, parameters, NEEDLESS.reason));
  }
  const ownRowOnly =
    slice.kind === 'rows' &&
    slice.ownRowOnly &&
    !opaque &&
    knowsAllCode(tables, answer) &&
    answer.functions.every(givesTheSame);
  const keptBy = ownRowOnly ? keptBySnapshot(slice, tables, graph, seed, answer) : 'locks';
  const sources =
    keptBy === 'snapshot' ? allSources(groups, graph, seed, answer.relations, [], true) : locking;
  const ownTables = groups.find(({ nodes }) => nodes.some(({ level }) => level === 0));
  const countedByTag =
    ownTables !== undefined && !seed.inserts && slice.inWith !== true && !isReachedAgain(ownTables, graph);
  return exact({
    operation: slice.kind === 'upsert' ? 'insert' : slice.operation,
    lock: null,
    sequences: [],
    sources,
    tables,
    parameters,
    bases: viewBasis === null ? [answer.basis] : [viewBasis, answer.basis],
    opaque,
    watchesAll:
      opaque ||
      answer.oneSnapshot ||
      slice.readsOthers ||
      mayCallAsColumn(slice, target) ||
      !knowsAllCode(tables, answer),
    ownRowOnly,
    keptBy,
    countedByTag,
    // Other changes of the definition take a lock that this one keeps away, or add rows that the tag would count, as it does
    // where no code of the user's runs. What is read by one snapshot may be older than the lock.
    keptByTargetLock:
      countedByTag && !opaque && !answer.oneSnapshot && viewBasis === null && isAlone(target, answer),
  });
}

/** A table without descendants, which nothing refers to that would follow a change. */
function isAlone({ kind }: Relation, { relations }: CatalogAnswer): boolean {
  return kind === 'table' && relations.size === 1;
}

/** Those of what stores the rows, and those for each statement of the wholes that it names or a foreign key leads to. */
function firesTriggers(
  { nodes }: CascadeGraph,
  { inserts }: Seed,
  tables: readonly PlannedTable[],
  { relations }: CatalogAnswer,
): boolean {
  const isFired = ({ triggers }: Relation, by: readonly TriggerEvent[]) =>
    triggers.some(({ events }) => events.some((event) => by.includes(event)));
  return (
    tables.some(({ oid, changes }) => isFired(relations.get(oid)!, changes)) ||
    nodes.some(({ relation, change, level }) =>
      isFired(relation, level === 0 && inserts ? [change.kind, 'insert'] : [change.kind]),
    )
  );
}
