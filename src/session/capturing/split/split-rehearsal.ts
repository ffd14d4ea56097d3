import { newId } from '../../../base/ids.ts';
import { LIMITS } from '../../../base/limits.ts';
import { type HiddenConnection, HiddenQueryError } from '../../../catalog/connection.ts';
import { namesStanding } from '../../../catalog/temporary.ts';
import { plainQuery } from '../../../snapshot/capture.ts';
import { planCapture } from '../../../snapshot/plan.ts';
import { mayReachTrash, reachedInTrash } from '../../../trash/reached.ts';
import { endsStatements } from '../../../trash/trial.ts';
import { OwnEncoding } from '../../hidden/own-encoding.ts';
import { planRequest } from '../../known/prepared-text.ts';
import { NOT_ASCII, utf8Of } from '../../known/text-encoding.ts';
import { nativeError, reachesTrashError } from '../../ruling/refusal.ts';
import { isDrop, SEVERAL } from '../capturable.ts';
import { type CaptureOutcome, failure } from '../capture-run.ts';
import { keep, whyNotKept } from '../drop-run.ts';
import type { Lossless } from '../lossless.ts';
import type { SplitRun } from './split-run.ts';
import type { Part } from './split-text.ts';

const SAVEPOINT = 'holdfast_rehearsal';
/** Columns that are dropped are copied twice, so that less is. */
const COPIED_BYTES = LIMITS.trashRehearsalBytes;
const SYNTAX_ERROR = '42601';

/**
 * What can be said of a text of several statements before any of it runs: whether the server can read all of it, and
 * whether there is an exact plan for each statement as things stand. What only those in front of a statement bring about
 * shows when it is captured; by then all there is to do is to refuse it, and so to take all of them back.
 *
 * Invariant: it leaves no trace in the client's transaction, and no transaction of ours open. Null where nothing stands
 * against the text.
 */
export async function rehearse(run: SplitRun): Promise<CaptureOutcome | null> {
  const { connection, block, decision, entry } = run;
  const isInside = block === 'client';
  try {
    if (isInside) await connection.run(plainQuery(`SAVEPOINT ${SAVEPOINT}`), () => {});
    const outcome = (await readWhole(run)) ?? (await planAll(run));
    if (isInside) await back(connection, true);
    return outcome;
  } catch (error) {
    return failure(error, decision, entry.analysis);
  }
}

async function back(connection: HiddenConnection, forGood: boolean): Promise<void> {
  await connection.run(plainQuery(`ROLLBACK TO SAVEPOINT ${SAVEPOINT}`), () => {});
  if (forGood) await connection.run(plainQuery(`RELEASE SAVEPOINT ${SAVEPOINT}`), () => {});
}

/** The server reads all of a text before it runs any of it, and a Parse of several statements does no more than that. */
async function readWhole({ hidden, text, connection, block }: SplitRun): Promise<CaptureOutcome | null> {
  const { error, warned } = await hidden.parse(text);
  if (block === 'client') await back(connection, false);
  const isRead = error?.sqlstate === SYNTAX_ERROR && error.fields['P'] === undefined;
  if (error !== null && !isRead) return { kind: 'refused', error: error.fields };
  if (!warned) return null;
  // What it says ahead of all it would say one by one.
  return { kind: 'unplanned', reason: 'the server has something to say of its text before any of it runs' };
}

async function planAll(run: SplitRun): Promise<CaptureOutcome | null> {
  for (const part of run.parts) {
    if (part.lossless !== null && !(await mayStand(run, part, part.lossless)))
      return unplanned('it changes more than temporary tables');
    if (part.decision?.snapshot !== 'required') continue;
    let outcome: CaptureOutcome | null = null;
    try {
      outcome = isDrop(part.analysis) ? await tryDrop(run, part) : await tryPlan(run, part);
    } catch (error) {
      if (!(error instanceof HiddenQueryError)) throw error;
      // Whatever else it is, the statement itself will meet it, or one in front of it sees to that.
      if (run.block === 'client') await back(run.connection, false);
      if (endsStatements(error)) return { kind: 'refused', error: nativeError(error) };
    }
    if (outcome !== null) return outcome;
  }
  return null;
}

const IF_EXISTS = /\bif\s+exists\b/i;
const MAKES_TEMPORARY = /\bcreate\s+(?:(?:global|local)\s+)?temp(?:orary)?\b/i;

/** Whether it is of temporary tables alone as things stand, or as those in front of it make them. */
async function mayStand(
  { state, hidden, connection, parts }: SplitRun,
  part: Part,
  lossless: Lossless,
): Promise<boolean> {
  const earlier = parts.slice(0, parts.indexOf(part));
  const makes = earlier.flatMap(({ analysis, text }) =>
    MAKES_TEMPORARY.test(text.toString('utf8')) ? analysis.statements : [],
  );
  const made = new Set(
    makes
      .filter(({ operation }) => operation.startsWith('create '))
      .flatMap(({ writes }) => writes.map(({ name }) => name)),
  );
  const [statement] = part.analysis.statements;
  if (statement!.writes.every(({ name }) => made.has(name))) return true;
  const { names } = await namesStanding(connection, statement!.writes);
  if (
    names.includes('other') &&
    !statement!.writes.every(({ name }, i) => names[i] !== 'other' || made.has(name))
  )
    return false;
  const mayMiss = IF_EXISTS.test(part.text.toString('utf8'));
  if (!mayMiss && statement!.writes.some(({ name }, i) => names[i] === 'nothing' && !made.has(name)))
    return false;
  return (
    statement!.writes.some(({ name }) => made.has(name)) || (await lossless.isSo(connection, state, hidden))
  );
}

const unplanned = (reason: string): CaptureOutcome => ({ kind: 'unplanned', reason });

/** Why there is no exact plan; null where there is one, or may be by the time. */
async function tryPlan(
  { state, services, connection }: SplitRun,
  { text, analysis }: Part,
): Promise<CaptureOutcome | null> {
  const utf8 = utf8Of(state, text);
  if (utf8 === null) return unplanned(NOT_ASCII);
  const uncounted = await state.called.askUncounted(connection, analysis);
  if (uncounted !== null) return unplanned(uncounted);
  const request = planRequest(state, await services.slice(utf8));
  const planned = await planCapture(connection, services.catalog, request);
  return planned.kind === 'none' && planned.missing !== true ? unplanned(planned.reason) : null;
}

async function tryDrop(run: SplitRun, { text, analysis }: Part): Promise<CaptureOutcome | null> {
  const { state, services, connection, block } = run;
  const utf8 = utf8Of(state, text);
  if (utf8 === null) return unplanned(NOT_ASCII);
  const reading = await services.readDrop(utf8);
  if (reading.kind === 'drop database') return unplanned(`${SEVERAL}, one of which drops a database`);
  const sql = utf8.toString('utf8');
  const why = whyNotKept(reading, analysis.operation);
  if (why !== null && !mayReachTrash(sql)) return unplanned(why);
  if (block !== 'client') await connection.run(plainQuery('BEGIN'), () => {});
  const encoding = new OwnEncoding(state, connection);
  try {
    await encoding.begin();
    const given = { state, analysis };
    const outcome = await keep(given, connection, reading, sql, newId('snap'), true, COPIED_BYTES);
    if (outcome.kind === 'refused' && endsStatements(outcome.error)) throw outcome.error;
    if (outcome.kind !== 'none') return null;
    const reached = await reachedInTrash(connection, sql);
    if (reached === null) return unplanned(outcome.reason);
    return { kind: 'refused', error: reachesTrashError(reached, outcome.reason) };
  } finally {
    if (block === 'client') await back(connection, false);
    else await connection.run(plainQuery('ROLLBACK'), () => {});
    encoding.end();
  }
}
