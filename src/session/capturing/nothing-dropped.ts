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
import { nativeError } from '../ruling/refusal.ts';
import type { SessionState } from '../state.ts';
import type { CaptureOutcome } from './capture-run.ts';
import type { Lossless } from './lossless.ts';
import { runLossless } from './lossless-run.ts';

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
 */
async function dropNothing(
  state: SessionState,
  hidden: HiddenQueries,
  text: Buffer,
  entry: AuditEntry,
): Promise<CaptureOutcome | null> {
  const sought = await state.services.snapshots!.readIfExists(text);
  if (sought === null) return null;
  return await runLossless(state, hidden, entry, async (connection) =>
    runForNothing(state, connection, text, sought),
  );
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
