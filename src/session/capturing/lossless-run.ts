import type { AuditEntry } from '../../audit/event.ts';
import type { HiddenConnection } from '../../catalog/connection.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { OwnTransaction } from '../hidden/own-transaction.ts';
import { untilQuiet } from '../hidden/segment-fits.ts';
import { doneOtherwise } from '../known/session-effects.ts';
import { auditFailedError } from '../ruling/refusal.ts';
import { heldBackSince } from '../ruling/restrained.ts';
import type { SessionState } from '../state.ts';
import { type CaptureOutcome, failure } from './capture-run.ts';

/** What has come of a statement that may lose nothing; null where it would, and is to be taken back. */
export type Attempted = Extract<CaptureOutcome, { kind: 'done' | 'refused' }> | null;

/**
 * Runs what may lose nothing in a transaction of the gateway's, or within one of the client's, and keeps it where it has lost
 * nothing and its record is durable. Null where it would lose something, or the server cannot be asked now.
 *
 * Invariant: what it says other than `done` and `lost` leaves nothing done and no transaction of the gateway's open.
 */
export async function runLossless(
  state: SessionState,
  hidden: HiddenQueries,
  entry: AuditEntry,
  attempt: (connection: HiddenConnection) => Promise<Attempted>,
): Promise<CaptureOutcome | null> {
  if (!(await isQuiet(state))) return null;
  const connection = hidden.ending('sync');
  const own = OwnTransaction.of(state, hidden, connection);
  let outcome: CaptureOutcome | null;
  try {
    await own.begin(entry);
    outcome = await attempt(connection);
    if (outcome?.kind === 'done') outcome = await conclude(state, own, entry, outcome);
  } catch (error) {
    outcome = failure(error, entry.decision, entry.analysis);
  }
  if (outcome?.kind !== 'done' && outcome?.kind !== 'lost') await own.takeBack();
  return outcome;
}

/** Whether the server can be asked, when it has answered all that was sent. */
export async function isQuiet(state: SessionState): Promise<boolean> {
  if (state.inImplicitBlock || state.replies.segmentOpen) return false;
  await untilQuiet(state);
  return state.owesNothing() && !state.copyingIn && state.transactionStatus !== 'E';
}

/** Keeps what was done without a snapshot, when the record of it is durable. */
async function conclude(
  state: SessionState,
  own: OwnTransaction,
  entry: AuditEntry,
  outcome: Extract<CaptureOutcome, { kind: 'done' }>,
): Promise<CaptureOutcome> {
  const { audit } = state.services;
  audit.begin(entry);
  const isRecorded = await audit.whenRecorded(entry.session);
  const error = isRecorded ? heldBackSince(state, entry) : auditFailedError();
  if (error !== null) return { kind: 'refused', error };
  // What others know of code and tables is forgotten ahead of it, since how it ends may not be told.
  doneOtherwise(state, entry.analysis);
  const unkept = await own.keep();
  if (unkept === null) return outcome;
  return unkept.kind === 'lost' ? { kind: 'lost', snapshotId: null, why: outcome.done.why } : unkept;
}
