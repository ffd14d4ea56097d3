import { LIMITS } from '../base/limits.ts';
import { type HiddenConnection, HiddenQueryError } from '../catalog/connection.ts';
import { quoteName, quoteQualified } from '../catalog/quote.ts';
import type { DropStatement } from '../sql/named/drop-target.ts';
import { tryBesideTrash } from './beside-trash.ts';
import type { Altered } from './definition-changes.ts';
import { TRASH_SCHEMA } from './definitions.ts';
import { DETAILS } from './details.ts';
import { type Facts, factsOf } from './facts.ts';
import { lockGone } from './lock.ts';
import { type MovePlan, planMove } from './plan.ts';
import { AFTERWARDS, FACTS, PRECHECK } from './queries.ts';
import type { Replaced } from './replace-routine.ts';
import { RIGHTS, takenAway } from './rights.ts';
import { json, onHidden, type TrashSession } from './session.ts';
import { movedWithStates } from './standing.ts';
import type { RestoreStep } from './steps.ts';
import {
  endsStatements,
  given,
  keyOf,
  type Refused,
  type Root,
  reachOf,
  SAVEPOINT,
  type Standing,
  TAKE_BACK,
  type Trial,
  textArray,
} from './trial.ts';

export interface MoveRequest {
  /** The client's own statement, which is tried first. */
  readonly text: string;
  readonly drop: DropStatement;
  /** That of the snapshot, which names in the trash begin with. */
  readonly id: string;
}

/** What the objects that were moved still rest on, so that it cannot be dropped before they are. */
export interface Moved extends MovePlan {
  readonly binds: readonly string[];
  /** Of an ALTER, where nothing or only values are in the trash. */
  readonly altered?: Altered;
  /** Of a CREATE OR REPLACE. */
  readonly replaced?: Replaced;
  /** For values that an undo has left over. */
  readonly rest?: readonly RestoreStep[];
}

export type MoveOutcome =
  /** Everything is as after the DROP; the client is owed the notices (bodies of NoticeResponse) and the tag. */
  | {
      readonly kind: 'moved';
      readonly tag: string;
      readonly notices: readonly Buffer[];
      readonly moved: Moved;
    }
  /** Everything is as after the DROP, by which nothing was lost that could be kept; the client is owed the same. */
  | Harmless
  | Refused
  /** It cannot be undone exactly; nothing has been changed. A clause that reads well behind "because". */
  | {
      readonly kind: 'none';
      readonly reason: string;
      /** What others have done since it was tried may be why. */
      readonly mayPass?: true;
    };

export interface Harmless {
  readonly kind: 'harmless';
  readonly why: string;
  readonly tag: string;
  readonly notices: readonly Buffer[];
}

export interface Precheck {
  readonly catalogFirst: boolean | null;
  readonly eventTriggers: readonly string[] | null;
  /** Whether the role may use the trash; null where there is none. */
  readonly trash: boolean | null;
  /** Whose the trash is, unless it is a superuser's, or of the owner of the database. */
  readonly trashOwner: string | null;
  /** Whether what others have done to the catalogs since its first statement is hidden from the transaction. */
  readonly oneSnapshot: boolean;
  readonly mayCreate: boolean;
  readonly allTables: readonly string[] | null;
  readonly version: number;
  readonly roots: readonly (readonly [classid: number, objid: number | null, temporary: boolean | null])[];
}

/** Others have changed meanwhile what the statement means, so that it has to be looked at anew. */
export const CHANGED = 'changed';
export type Changed = typeof CHANGED;

/**
 * Moves what a DROP would take into the trash, in the transaction that is open: the DROP is tried for real, which
 * tells its errors, its notices and what it takes along; it is rolled back, and what it took is moved instead.
 * Whatever goes wrong in that leaves the transaction as it was.
 */
export async function moveDrop(connection: HiddenConnection, request: MoveRequest): Promise<MoveOutcome> {
  return await orAsBefore(connection, (session) =>
    untilUnchanged(session, () => attempt(connection, session, request)),
  );
}

const RELEASE = `RELEASE SAVEPOINT ${SAVEPOINT}`;

/** Runs it in a savepoint, which takes back whatever it was unless all has been done. */
export async function orAsBefore(
  connection: HiddenConnection,
  work: (session: TrashSession) => Promise<MoveOutcome>,
): Promise<MoveOutcome> {
  const session = onHidden(connection);
  await session.query(`SAVEPOINT ${SAVEPOINT}`);
  try {
    const outcome = await work(session);
    if (outcome.kind === 'moved' || outcome.kind === 'harmless') await session.query(RELEASE);
    else for (const sql of [TAKE_BACK, RELEASE]) await session.query(sql);
    return outcome;
  } catch (error) {
    if (!(error instanceof HiddenQueryError)) throw error;
    for (const sql of [TAKE_BACK, RELEASE]) await session.query(sql);
    if (endsStatements(error) || error.sqlstate.startsWith('XX'))
      return { kind: 'refused', error, notices: [] };
    return { kind: 'none', reason: `it could not be moved away: ${error.message}` };
  }
}

/**
 * Tries until nobody has been in the way, with the locks of the attempt before given up. What fails because something is
 * there, or is not, that was otherwise in the trial may be the work of others as well.
 */
export async function untilUnchanged(
  session: TrashSession,
  attempt: () => Promise<MoveOutcome | Changed>,
): Promise<MoveOutcome> {
  for (let attempts = 1; ; attempts++) {
    const isLast = attempts >= LIMITS.trashAttemptsMax;
    let outcome: MoveOutcome | Changed = CHANGED;
    try {
      outcome = await attempt();
    } catch (error) {
      if (isLast || !(error instanceof HiddenQueryError) || !OF_OTHERS.has(error.sqlstate)) throw error;
    }
    if (outcome !== CHANGED && (isLast || !mayPass(outcome))) return outcome;
    if (isLast) return { kind: 'none', reason: 'what it names, or what depends on that, keeps changing' };
    await session.query(TAKE_BACK);
  }
}

function mayPass(outcome: MoveOutcome): boolean {
  if (outcome.kind === 'refused') return AT_ONCE.has(outcome.error.sqlstate);
  return outcome.kind === 'none' && outcome.mayPass === true;
}

/** Two that do the same in the order of a DROP and of its move, where the server would have one wait for the other. */
const DEADLOCK = '40P01';

/** What is neither a table nor a view is not locked by its move, so that a DROP meets it as it is changed. */
const CHANGED_AT_ONCE = 'XX000';

const AT_ONCE: ReadonlySet<string> = new Set([DEADLOCK, CHANGED_AT_ONCE]);

/** SQLSTATEs of what is not there, or is there, or depends on it, or was changed in the catalogs at the same moment. */
const OF_OTHERS: ReadonlySet<string> = new Set([
  ...['42P01', '42704', '42883', '3F000', '42P06', '42710', '23505', '2BP01'],
  ...AT_ONCE,
]);

/**
 * Invariant: the trial finds by itself what the names mean, after it has waited for locks, and what it says is believed
 * only where they mean the same before it and after it, and all that they mean has gone in it.
 */
async function attempt(
  connection: HiddenConnection,
  session: TrashSession,
  { text, drop, id }: MoveRequest,
): Promise<MoveOutcome | Changed> {
  const names = drop.names.map(({ schema, name }) => quoteQualified(schema, name));
  const check = () => precheckOf(session, names, rootKind(drop));
  const precheck = await check();
  const problem = problemToTry(precheck, 'DROP');
  if (problem !== null) return { kind: 'none', reason: problem };
  const roots = foundOf(precheck);
  const reach = await reachOf(session, roots);
  if (reach.length > LIMITS.trashObjectsMax) return { kind: 'none', reason: 'too many objects depend on it' };
  const trial = await tryBesideTrash(connection, session, text, drop, roots, reach);
  if (trial.kind === 'refused') return trial;
  const gone = new Set(trial.gone.map(keyOf));
  if (!roots.every((root) => gone.has(keyOf(root)))) return CHANGED;
  const temporary = !drop.cascade && roots.every((root) => root[2] === true);
  if (roots.length === 0 || temporary) {
    if (!sameRoots(await check(), precheck)) return CHANGED;
    const { tag, notices } = trial;
    if (roots.length === 0) return { kind: 'harmless', why: NOTHING_DROPPED, tag, notices };
    await session.query(dropTemporary(drop, precheck));
    return { kind: 'harmless', why: 'all that it drops is temporary', tag, notices };
  }
  if (trial.lost.length > 0)
    return { kind: 'none', reason: 'it would take along a column of a table that stays' };
  const unable = problemToMove(precheck);
  if (unable !== null) return { kind: 'none', reason: unable };
  if (!(await lockGone(session, roots, trial.gone))) return CHANGED;
  if (!sameRoots(await check(), precheck)) return CHANGED;
  // What depends on it may be otherwise than it was before it was locked.
  if (JSON.stringify(await reachOf(session, roots)) !== JSON.stringify(reach)) return CHANGED;
  return await move(session, id, trial, await read(session, trial.gone), precheck);
}

function rootKind({ kind }: DropStatement): 'relation' | 'schema' | 'type' {
  if (kind === 'schema') return kind;
  return kind === 'type' || kind === 'domain' ? 'type' : 'relation';
}

export const NOTHING_DROPPED = 'it drops nothing';

export async function precheckOf(
  session: TrashSession,
  names: readonly string[],
  kind: 'relation' | 'schema' | 'type',
): Promise<Precheck> {
  return await json<Precheck>(session, PRECHECK, [textArray(names), kind]);
}

export function foundOf({ roots }: Precheck): readonly Root[] {
  return roots.flatMap(([classid, objid, temporary]) =>
    objid === null ? [] : [[classid, objid, temporary] as const],
  );
}

export function sameRoots(one: Precheck, other: Precheck): boolean {
  return JSON.stringify(one.roots) === JSON.stringify(other.roots);
}

/** In words that can mean nothing but temporary tables of this session, whatever has come to bear their names. */
function dropTemporary(drop: DropStatement, { roots }: Precheck): string {
  const names = drop.names.filter((_, i) => roots[i]?.[1] !== null).map(({ name }) => name);
  return `DROP ${drop.kind.toUpperCase()} ${names.map((name) => quoteQualified('pg_temp', name)).join(', ')}`;
}

/** An ALTER runs in the end, and its event triggers with it; a DROP is moved instead. */
export function problemToTry(
  { catalogFirst, oneSnapshot, eventTriggers }: Precheck,
  verb: 'DROP' | 'ALTER',
): string | null {
  if (catalogFirst !== true) return 'search_path has another schema before pg_catalog';
  if (oneSnapshot) return 'its transaction is not READ COMMITTED, and may not see all that depends on it';
  if (eventTriggers === null) return null;
  const [name] = eventTriggers;
  return verb === 'DROP'
    ? `the event trigger ${name} would not be told of the DROP`
    : `the event trigger ${name} may change what is not kept, as the ALTER runs`;
}

export function problemToMove({ trash, trashOwner, mayCreate, allTables }: Precheck): string | null {
  if (allTables !== null) return `the publication ${allTables[0]}, of all tables, would publish the trash`;
  if (trashOwner !== null)
    return `the schema ${TRASH_SCHEMA} is ${trashOwner}'s, who could exchange what others have dropped; a superuser gives it to the owner of the database: ${GIVE_TRASH}`;
  if (trash === false)
    return `the role may not use and create in the schema ${TRASH_SCHEMA}; its owner lets everybody: ${MAKE_TRASH[1]}`;
  if (trash === null && !mayCreate)
    return `there is no schema ${TRASH_SCHEMA}; the owner of the database, or a superuser, makes it: ${MAKE_TRASH.join('; ')}`;
  return null;
}

async function read(session: TrashSession, gone: readonly Standing[]): Promise<Facts> {
  const facts = await json<Parameters<typeof factsOf>[0]>(session, FACTS, given(gone));
  const rights = await json<Facts['rights']>(session, RIGHTS, given(gone));
  return factsOf({ ...facts, rights, details: await json<Facts['details']>(session, DETAILS, given(gone)) });
}

async function move(
  session: TrashSession,
  id: string,
  { tag, notices, gone }: Trial,
  facts: Facts,
  { trash }: Precheck,
): Promise<MoveOutcome> {
  const planned = planMove(id, facts);
  if (planned.kind === 'none') return planned;
  if (trash === null) for (const sql of MAKE_TRASH) await session.query(sql);
  for (const sql of planned.plan.moves) await session.query(sql);
  const after = await json<Record<'outside' | 'dependents' | 'binds', readonly string[] | null>>(
    session,
    AFTERWARDS,
    given(gone),
  );
  if (after.outside !== null)
    return {
      kind: 'none',
      reason: `it could not be moved away whole: ${after.outside[0]} is left`,
      mayPass: true,
    };
  if (after.dependents !== null)
    return { kind: 'none', reason: `${after.dependents[0]} would depend on the trash`, mayPass: true };
  const rights = await json<Facts['rights']>(session, RIGHTS, given(gone));
  const open = rights.find((each) => takenAway(each).length > 0);
  if (open !== undefined)
    return { kind: 'none', reason: `others may use ${open.schema}.${open.name} in the trash` };
  const objects = await movedWithStates(session, planned.plan.objects);
  if (objects === null) return { kind: 'none', reason: 'others move what it drops', mayPass: true };
  return { kind: 'moved', tag, notices, moved: { ...planned.plan, objects, binds: after.binds ?? [] } };
}

/**
 * Who owns a schema may drop what is in it, whoever's it is, and put other things in its place. So it has to be somebody
 * who may do as much without it, and never the first who happens to drop something.
 *
 * Everybody may move what is theirs, and only that, since the rights of others are taken away.
 */
export const MAKE_TRASH = [
  `CREATE SCHEMA ${quoteName(TRASH_SCHEMA)}`,
  `GRANT USAGE, CREATE ON SCHEMA ${quoteName(TRASH_SCHEMA)} TO PUBLIC`,
];

const GIVE_TRASH = `ALTER SCHEMA ${quoteName(TRASH_SCHEMA)} OWNER TO pg_database_owner`;
