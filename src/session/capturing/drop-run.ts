import { withinMs } from '../../base/deadline.ts';
import { newId } from '../../base/ids.ts';
import type { HiddenConnection } from '../../catalog/connection.ts';
import { discardManifest } from '../../snapshot/discard-manifest.ts';
import { type Manifest, snapshotFolder, writeManifest } from '../../snapshot/manifest.ts';
import { markInTrash } from '../../snapshot/snapshots.ts';
import type { DropReading } from '../../sql/named/drop-target.ts';
import { alterKept, dropPartKept } from '../../trash/alter.ts';
import { alterMixed } from '../../trash/alter-mixed.ts';
import { dropColumns } from '../../trash/drop-columns.ts';
import { dropDatabase } from '../../trash/drop-database.ts';
import { type MoveOutcome, moveDrop } from '../../trash/move.ts';
import { changeOwner } from '../../trash/owner.ts';
import { mayReachTrash, reachedInTrash } from '../../trash/reached.ts';
import { replaceKept } from '../../trash/replace-routine.ts';
import { onHidden } from '../../trash/session.ts';
import { systemOf } from '../../trash/system.ts';
import { encodeMessage } from '../../wire/backend.ts';
import { Backend } from '../../wire/message-type.ts';
import { HiddenQueryEnded } from '../hidden/hidden-exchange.ts';
import { OwnEncoding } from '../hidden/own-encoding.ts';
import { OwnTransaction, type Unkept } from '../hidden/own-transaction.ts';
import { readServerFacts } from '../hidden/server-facts.ts';
import { doneOtherwise } from '../known/session-effects.ts';
import { NOT_ASCII, problemOfNames, utf8Of } from '../known/text-encoding.ts';
import { auditFailedError, nativeError, reachesTrashError } from '../ruling/refusal.ts';
import { heldBackSince } from '../ruling/restrained.ts';
import { SEVERAL } from './capturable.ts';
import { type CaptureOutcome, type CaptureRun, factsOf, failure, withoutPlan } from './capture-run.ts';
import { tagsTold } from './takes-nothing.ts';

type Dropped = NonNullable<Manifest['dropped']>;
type DropRun = Pick<
  CaptureRun,
  'state' | 'services' | 'hidden' | 'text' | 'entry' | 'analysis' | 'decision' | 'gaveUp'
>;

/**
 * Does a Query's DROP as a move into the trash, before anything of it is sent: in the client's transaction, or in one
 * of the gateway's own, which is committed only after the snapshot is durable.
 *
 * Invariant: what it says other than `done` and `lost` leaves nothing done and no transaction of the gateway's open.
 */
export async function dropInstead(run: DropRun): Promise<CaptureOutcome> {
  const { state, services, hidden, text, analysis, decision } = run;
  const utf8 = utf8Of(state, text);
  const problem = problemOf(run) ?? (utf8 === null ? NOT_ASCII : null);
  if (problem !== null) return withoutPlan(decision, problem);
  const reading = await services.readDrop(utf8!);
  const why = whyNotKept(reading, analysis.operation);
  if (why !== null && !mayReachTrash(utf8!.toString('utf8'))) return withoutPlan(decision, why);
  const connection = hidden.ending('sync');
  const own = OwnTransaction.of(state, hidden, connection);
  const encoding = new OwnEncoding(state, connection);
  let outcome: CaptureOutcome;
  try {
    await own.begin(run.entry);
    await encoding.begin();
    outcome = await moveAndStore({ ...run, utf8: utf8!, encoding, own }, connection, reading);
  } catch (error) {
    outcome = failure(error, decision, analysis);
  }
  if (outcome.kind !== 'done' && outcome.kind !== 'lost') await own.takeBack();
  encoding.end();
  return outcome;
}

function problemOf({ state, analysis }: DropRun): string | null {
  if (state.replies.segmentOpen) return 'it follows messages that no Sync has ended';
  if (analysis.status !== 'parsed') return 'its text is not understood';
  if (analysis.statements.length > 1) return SEVERAL;
  return problemOfNames(state);
}

type Kept = Exclude<DropReading, { kind: 'other drop' | 'no drop' }>;

const isKept = (reading: DropReading): reading is Kept =>
  reading.kind !== 'other drop' && reading.kind !== 'no drop';

/** Null where it is tried. */
export function whyNotKept(reading: DropReading, operation: string): string | null {
  if (reading.kind === 'other drop') return reading.reason;
  return isKept(reading) ? null : `this version takes none of ${operation}`;
}

/** A run of which the text has been read. */
type ReadRun = DropRun & {
  readonly utf8: Buffer;
  readonly encoding: OwnEncoding;
  readonly own: OwnTransaction;
};

async function moveAndStore(
  run: ReadRun,
  connection: HiddenConnection,
  reading: DropReading,
): Promise<CaptureOutcome> {
  const { state, decision, encoding } = run;
  const createdAtMs = Date.now();
  const id = newId('snap', createdAtMs);
  const text = run.utf8.toString('utf8');
  const kept = await keep(run, connection, reading, text, id, !run.own.isOwn);
  const outcome = kept.kind === 'none' ? kept : { ...kept, notices: encoding.said(kept.notices) };
  switch (outcome.kind) {
    case 'none': {
      const reached = await reachedInTrash(connection, text);
      if (reached === null) return withoutPlan(decision, outcome.reason);
      return { kind: 'refused', error: reachesTrashError(reached, outcome.reason) };
    }
    case 'harmless':
      return await conclude(run, outcome);
    case 'refused':
      // Its error follows them, in the place of the statement.
      if (outcome.notices.length > 0)
        state.inject(
          Buffer.concat(outcome.notices.map((notice) => encodeMessage(Backend.NoticeResponse, notice))),
        );
      return { kind: 'refused', error: nativeError(outcome.error) };
    case 'moved':
      return await store(run, connection, id, createdAtMs, outcome);
    default:
      throw outcome satisfies never;
  }
}

/** Does it, in the transaction that is open, with whatever is needed to undo it. */
export async function keep(
  { state, analysis }: Pick<DropRun, 'state' | 'analysis'>,
  connection: HiddenConnection,
  reading: DropReading,
  text: string,
  id: string,
  inTransaction: boolean,
  bytesMax?: number,
): Promise<MoveOutcome> {
  // A default or a check is computed for rows at once, and whatever that does is no part of a definition.
  const alters = analysis.statements.some(({ operations }) => operations.includes('alter table'));
  const code = alters ? await state.called.askCalls(connection, analysis) : null;
  if (code !== null) return { kind: 'none', reason: code };
  switch (reading.kind) {
    case 'drop database':
      return await dropDatabase(connection, { drop: reading.drop, id, inTransaction });
    case 'drop':
      return await moveDrop(connection, { text, drop: reading.drop, id });
    case 'drop columns':
      return await dropColumns(connection, { text, drop: reading.drop, id, bytesMax });
    case 'drop columns and more':
      return await alterMixed(connection, { text, parts: reading, id, bytesMax });
    case 'drop part':
      return await dropPartKept(connection, { text, part: reading.part, id });
    case 'alter':
      return await alterKept(connection, { text, alter: reading.alter, id });
    case 'replace':
      return await replaceKept(connection, { text, name: reading.name });
    case 'owner': {
      const told = await state.called.askTold(connection, tagsTold(analysis));
      return told === null
        ? await changeOwner(connection, { text, owned: reading.owned })
        : { kind: 'none', reason: told };
    }
    case 'other drop':
    case 'no drop':
      return { kind: 'none', reason: whyNotKept(reading, analysis.operation)! };
    default:
      return reading satisfies never;
  }
}

/** Makes the snapshot durable, and then what was done. */
async function store(
  run: ReadRun,
  connection: HiddenConnection,
  id: string,
  createdAtMs: number,
  { tag, notices, moved }: Extract<MoveOutcome, { kind: 'moved' }>,
): Promise<CaptureOutcome> {
  const { state, services, entry, decision } = run;
  // No write is committed before its record is durable, which is waited for while the rest is prepared.
  state.services.audit.begin(entry);
  const recorded = state.services.audit.whenRecorded(entry.session);
  const folder = snapshotFolder(id, createdAtMs);
  const marked = moved.objects.length > 0 ? markInTrash(services.store, folder) : Promise.resolve();
  // The failure is told where it is waited for.
  marked.catch(() => {});
  const facts = factsOf(id, createdAtMs, run, await readServerFacts(connection));
  const { objects, restores, notes, binds, altered, replaced, rest } = moved;
  const system = await systemOf(onHidden(connection));
  const dropped = {
    objects: [...objects],
    restores: restores.map((step) => ({ ...step })),
    notes: [...notes],
    binds: [...binds],
    ...(rest === undefined ? {} : { rest: rest.map((step) => ({ ...step })) }),
    ...(altered === undefined
      ? {}
      : { altered: structuredClone(altered) as NonNullable<Dropped['altered']> }),
    ...(replaced === undefined ? {} : { replaced }),
    ...(system === null ? {} : { system }),
  };
  const manifest: Manifest = { format: 1, ...facts, tables: [], dropped };
  if (!(await recorded)) return { kind: 'refused', error: auditFailedError() };
  const writing = marked.then(() => writeManifest(services.store, folder, manifest));
  const discard = () => void discardManifest(services.store, folder, writing);
  let unkept: Unkept | null;
  try {
    const late = () => new Error(`it was not stored within ${services.patienceMs} ms`);
    await withinMs(services.patienceMs, writing, late);
    if (run.gaveUp()) throw new HiddenQueryEnded('given up');
    unkept = await keepUnlessHeldBack(run);
  } catch (error) {
    discard();
    const outcome = failure(error, decision, run.analysis);
    return outcome.kind === 'without' ? { ...outcome, begun: true } : outcome;
  }
  // Whether it was committed is not known where the server is gone, so that the snapshot stays.
  if (unkept?.kind === 'lost') return { kind: 'lost', snapshotId: id, why: '' };
  if (unkept !== null) {
    discard();
    return unkept;
  }
  if (!run.own.isOwn) state.fates.add(folder, true);
  services.catalog.invalidate(state.facts.database);
  return { kind: 'done', done: { tag, notices, snapshotId: id, why: '' } };
}

/** Of what was done without a snapshot, because there was nothing to keep: it is never left to the server. */
async function conclude(
  run: ReadRun,
  { tag, notices, why }: Extract<MoveOutcome, { kind: 'harmless' }>,
): Promise<CaptureOutcome> {
  const { state, services, entry } = run;
  state.services.audit.begin(entry);
  if (!(await state.services.audit.whenRecorded(entry.session))) {
    return { kind: 'refused', error: auditFailedError() };
  }
  if (run.gaveUp()) throw new HiddenQueryEnded('given up');
  const unkept = await keepUnlessHeldBack(run);
  if (unkept !== null) return unkept.kind === 'lost' ? { kind: 'lost', snapshotId: null, why } : unkept;
  services.catalog.invalidate(state.facts.database);
  return { kind: 'done', done: { tag, notices, snapshotId: null, why } };
}

async function keepUnlessHeldBack({
  state,
  analysis,
  entry,
  encoding,
  own,
}: ReadRun): Promise<Unkept | null> {
  const error = heldBackSince(state, entry);
  if (error !== null) return { kind: 'refused', error };
  await encoding.putBack();
  // What others know of code and tables is forgotten ahead of it, since how it ends may not be told.
  doneOtherwise(state, analysis);
  return await own.keep();
}
