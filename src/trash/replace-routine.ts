import type { HiddenConnection } from '../catalog/connection.ts';
import type { Deviation } from './altered.ts';
import {
  CHANGED,
  type Changed,
  type MoveOutcome,
  orAsBefore,
  precheckOf,
  problemToTry,
  untilUnchanged,
} from './move.ts';
import { type Routine, routinesByOid, routinesNamed } from './routines.ts';
import type { TrashSession } from './session.ts';
import type { RestoreStep } from './steps.ts';
import { runDrop } from './trial.ts';

/** What a CREATE OR REPLACE has replaced, as its manifest has it. */
export interface Replaced extends Omit<Routine, 'definition'> {
  readonly before: string;
  readonly after: string;
}

export interface ReplaceRequest {
  /** The client's own statement, and the name in it without its schema. */
  readonly text: string;
  readonly name: string;
}

const NOTHING_REPLACED = 'it makes what was not there, or leaves it as it was';
const REHEARSAL = 'holdfast_rehearsal';

/** A body is not looked at as it comes back: what it names may be gone, and a language may run code to look. */
const UNCHECKED: RestoreStep = {
  sql: `SELECT pg_catalog.set_config('check_function_bodies', 'off', true)`,
  what: 'that bodies are not looked at',
};

/**
 * Runs a CREATE OR REPLACE of a function or a procedure, with the definition kept that it replaces. Which one it was is told
 * by comparing all of its name before and after; nobody can lock a function, so that what another session replaces between
 * those two is not told from what this one does.
 */
export async function replaceKept(
  connection: HiddenConnection,
  request: ReplaceRequest,
): Promise<MoveOutcome> {
  return await orAsBefore(connection, (session) =>
    untilUnchanged(session, () => attempt(connection, session, request)),
  );
}

async function attempt(
  connection: HiddenConnection,
  session: TrashSession,
  { text, name }: ReplaceRequest,
): Promise<MoveOutcome | Changed> {
  const problem = problemToTry(await precheckOf(session, [], 'relation'), 'ALTER');
  if (problem !== null) return { kind: 'none', reason: problem };
  const before = new Map((await routinesNamed(session, name)).map((each) => [each.oid, each]));
  const run = await runDrop(connection, session, text, []);
  if (run.kind === 'refused') return run;
  const { tag, notices } = run;
  const now = await routinesNamed(session, name);
  const replaced = now.flatMap((after) => {
    const was = before.get(after.oid);
    return was === undefined || was.definition === after.definition ? [] : [replacedOf(was, after)];
  });
  if (replaced.length > 1) return CHANGED;
  const [one] = replaced;
  if (one === undefined) return { kind: 'harmless', why: NOTHING_REPLACED, tag, notices };
  const restores = stepsBack(one);
  const wrong = await rehearse(session, one, restores);
  if (wrong !== null) return { kind: 'none', reason: wrong };
  const moved = { moves: [], restores, objects: [], notes: [], binds: [], replaced: one };
  return { kind: 'moved', tag, notices, moved };
}

function replacedOf(
  { definition: before, ...was }: Routine,
  { definition: after }: Pick<Routine, 'definition'>,
): Replaced {
  return { ...was, before, after };
}

export const nameOf = ({
  kind,
  schema,
  name,
  arguments: types,
}: Omit<Replaced, 'before' | 'after'>): string => `the ${kind} ${schema}.${name}(${types})`;

export const stepsBack = (replaced: Replaced): readonly RestoreStep[] => [
  UNCHECKED,
  { sql: replaced.before, what: nameOf(replaced) },
];

/** Null where it comes back as it was. */
async function rehearse(
  session: TrashSession,
  { oid, before }: Replaced,
  steps: readonly RestoreStep[],
): Promise<string | null> {
  await session.query(`SAVEPOINT ${REHEARSAL}`);
  try {
    for (const { sql } of steps) await session.query(sql);
  } catch (error) {
    const reason = session.refusal(error);
    if (reason === null) throw error;
    return `its undo was tried, and fails: ${reason}`;
  }
  const [back] = await routinesByOid(session, [oid]);
  await session.query(`ROLLBACK TO SAVEPOINT ${REHEARSAL}`);
  await session.query(`RELEASE SAVEPOINT ${REHEARSAL}`);
  return back?.definition === before ? null : 'its undo was tried, and does not bring it back as it was';
}

/** What is not as the statement has left it. With `bearing`, only what stands in the way of any undo of it. */
export async function replacedSince(
  session: TrashSession,
  replaced: Replaced,
  { bearing }: { readonly bearing: boolean },
): Promise<readonly Deviation[]> {
  const what = nameOf(replaced);
  const [now] = await routinesByOid(session, [replaced.oid]);
  if (now === undefined) return [{ what, reason: 'it was dropped since' }];
  if (nameOf(now) !== what) return [{ what, reason: `it is ${nameOf(now)} by now; give it its name back` }];
  return bearing || now.definition === replaced.after
    ? []
    : [{ what, reason: 'it is not as the statement has left it' }];
}

/** Null where it is as it was before the statement, when all has been done for it. */
export async function notReplaced(session: TrashSession, replaced: Replaced): Promise<Deviation | null> {
  const [now] = await routinesByOid(session, [replaced.oid]);
  if (now?.definition === replaced.before) return null;
  return { what: nameOf(replaced), reason: 'it would not come back as it was' };
}
