import type { AuditEntry } from '../../audit/event.ts';
import { type HiddenConnection, HiddenQueryError } from '../../catalog/connection.ts';
import type { Analysis, StatementEffects } from '../../sql/effects.ts';
import type { Sought } from '../../sql/named/if-exists.ts';
import { NOTHING_DROPPED } from '../../trash/move.ts';
import { hiddenQuery, onHidden } from '../../trash/session.ts';
import { isAnyThere, numberedTransactions } from '../../trash/sought.ts';
import { encodeMessage } from '../../wire/backend.ts';
import { Backend } from '../../wire/message-type.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { OwnTransaction } from '../hidden/own-transaction.ts';
import { untilQuiet } from '../hidden/segment-fits.ts';
import { doneOtherwise } from '../known/session-effects.ts';
import { auditFailedError, nativeError } from '../ruling/refusal.ts';
import { heldBackSince } from '../ruling/restrained.ts';
import type { SessionState } from '../state.ts';
import { type CaptureOutcome, failure } from './capture-run.ts';
import type { Lossless } from './lossless.ts';

const IF_EXISTS = /\bif\b[\s\S]*\bexists\b/i;
const NOTHING = 'drops nothing, since what it names is not there';

const KNOWN = new WeakMap<Analysis, Analysis>();

/** The statement as it is to be decided where none of what it names is there. */
function asNothing(analysis: Analysis): Analysis {
  let known = KNOWN.get(analysis);
  if (known === undefined) {
    const [only] = analysis.statements;
    const statement: StatementEffects = Object.freeze({ ...only!, risk: 'low', reasons: [NOTHING] });
    known = Object.freeze({ ...analysis, risk: 'low', statements: Object.freeze([statement]) });
    KNOWN.set(analysis, known);
  }
  return known;
}

/** A statement with IF EXISTS, which drops nothing where none of what it names is there. Null for any other. */
export function nothingOf(analysis: Analysis, text: string): Lossless | null {
  const { operation } = analysis;
  if (!operation.startsWith('drop ') && !operation.startsWith('alter ')) return null;
  if (!IF_EXISTS.test(text)) return null;
  const utf8 = Buffer.from(text, 'utf8');
  return {
    analysis: asNothing(analysis),
    isSo: async (connection, { services }) => {
      const sought = await services.snapshots!.readIfExists(utf8);
      return sought !== null && !(await isAnyThere(onHidden(connection), sought));
    },
    run: async (state, hidden, entry) => await dropNothing(state, hidden, utf8, entry),
  };
}

/**
 * Runs a Query with IF EXISTS for what it is where none of what it names is there, and takes it back where it has written
 * anything: what it names may have come to be there since it was looked for. Null where it would drop something.
 *
 * Invariant: what it says other than `done` and `lost` leaves nothing done and no transaction of the gateway's open.
 */
async function dropNothing(
  state: SessionState,
  hidden: HiddenQueries,
  text: Buffer,
  entry: AuditEntry,
): Promise<CaptureOutcome | null> {
  if (!(await isQuiet(state))) return null;
  const sought = await state.services.snapshots!.readIfExists(text);
  if (sought === null) return null;
  const connection = hidden.ending('sync');
  const own = OwnTransaction.of(state, hidden, connection);
  let outcome: CaptureOutcome | null;
  try {
    await own.begin(entry);
    outcome = await runForNothing(state, connection, text, sought);
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

async function runForNothing(
  state: SessionState,
  connection: HiddenConnection,
  text: Buffer,
  sought: readonly Sought[],
): Promise<Extract<CaptureOutcome, { kind: 'done' | 'refused' }> | null> {
  const session = onHidden(connection);
  if (await isAnyThere(session, sought)) return null;
  const before = await numberedTransactions(session);
  const notices: Buffer[] = [];
  const takeNotice = (notice: Buffer) => void notices.push(Buffer.from(notice));
  let tag: string;
  try {
    tag = (await connection.run(hiddenQuery(text.toString('utf8')), () => {}, takeNotice)).tag;
  } catch (error) {
    if (!(error instanceof HiddenQueryError)) throw error;
    for (const notice of notices) state.inject(encodeMessage(Backend.NoticeResponse, notice));
    return { kind: 'refused', error: nativeError(error) };
  }
  if ((await numberedTransactions(session)) !== before) return null;
  return { kind: 'done', done: { tag, notices, snapshotId: null, why: NOTHING_DROPPED } };
}

/** Keeps what was done without a snapshot, when the record of it is durable. */
export async function conclude(
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
