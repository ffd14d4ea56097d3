import type { AuditEntry } from '../../audit/event.ts';
import { type HiddenConnection, HiddenQueryError } from '../../catalog/connection.ts';
import type { Analysis } from '../../sql/effects.ts';
import { hiddenQuery } from '../../trash/session.ts';
import { endsStatements } from '../../trash/trial.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { OwnTransaction } from '../hidden/own-transaction.ts';
import { refusedByRestraint } from '../ruling/restrained.ts';
import type { SessionState } from '../state.ts';
import { type CaptureOutcome, failure } from './capture-run.ts';
import { conclude, dropNothing, isQuiet, mayBeNothing } from './nothing-dropped.ts';

/** A statement that may lose nothing as things stand, which is to be proved by running it. */
export interface Lossless {
  /** As which it is decided then. */
  readonly analysis: Analysis;
  /** Null where it would lose something after all, and nothing has been done. */
  run(state: SessionState, hidden: HiddenQueries, entry: AuditEntry): Promise<CaptureOutcome | null>;
}

/** Null where the statement is decided as any other. */
export function losslessOf(state: SessionState, analysis: Analysis, text: string | null): Lossless | null {
  if (state.decide(analysis).action === 'allow') return null;
  const nothing = mayBeNothing(state, analysis, text);
  if (nothing === null || text === null) return mayBeNew(state, analysis, text);
  const utf8 = Buffer.from(text, 'utf8');
  return { analysis: nothing, run: (...of) => dropNothing(of[0], of[1], utf8, of[2]) };
}

const OR_REPLACE = /^(\s*create\s+)(or\s+replace)(?=\s)/i;
const MADE: ReadonlySet<string> = new Set([
  'create function',
  'create procedure',
  'create aggregate',
  'create view',
]);
const NEW = 'it makes what was not there, and replaces nothing';

/** CREATE OR REPLACE of what is not there is the CREATE, which the server refuses where it is there. */
function mayBeNew(state: SessionState, read: Analysis, text: string | null): Lossless | null {
  const { operation, statements, status } = read;
  if (!MADE.has(operation) || status !== 'parsed' || statements.length !== 1 || text === null) return null;
  const { snapshots, audit, analyzer } = state.services;
  if (snapshots === null || !state.takesQueries || audit.failing) return null;
  if (state.textFacts.encoding !== 'utf8' || state.decide(read).action === 'allow') return null;
  // Blanks keep the places of all that follows.
  const plain = text.replace(
    OR_REPLACE,
    (_, create: string, words: string) => create + ' '.repeat(words.length),
  );
  if (plain === text) return null;
  const utf8 = Buffer.from(plain, 'utf8');
  const analysis = analyzer.analyze(utf8, 0, utf8.length, state.textFacts);
  if (analysis instanceof Promise || analysis.status !== 'parsed') return null;
  if (analysis.statements.length !== 1 || analysis.operation !== operation) return null;
  if (state.decide(analysis).action !== 'allow' || refusedByRestraint(state, analysis) !== null) return null;
  return { analysis, run: makeNew(plain) };
}

const makeNew =
  (plain: string): Lossless['run'] =>
  async (state, hidden, entry) => {
    if (!(await isQuiet(state))) return null;
    const connection = hidden.ending('sync');
    const own = OwnTransaction.of(state, hidden, connection);
    let outcome: CaptureOutcome | null;
    try {
      await own.begin(entry);
      outcome = await made(connection, plain);
      if (outcome?.kind === 'done') outcome = await conclude(state, own, entry, outcome);
    } catch (error) {
      outcome = failure(error, entry.decision, entry.analysis);
    }
    if (outcome?.kind !== 'done' && outcome?.kind !== 'lost') await own.takeBack();
    return outcome;
  };

/** Null where it is there, or the server refuses the statement as it stands as well. */
async function made(
  connection: HiddenConnection,
  plain: string,
): Promise<Extract<CaptureOutcome, { kind: 'done' }> | null> {
  const notices: Buffer[] = [];
  const takeNotice = (notice: Buffer) => void notices.push(Buffer.from(notice));
  try {
    const { tag } = await connection.run(hiddenQuery(plain), () => {}, takeNotice);
    return { kind: 'done', done: { tag, notices, snapshotId: null, why: NEW } };
  } catch (error) {
    if (error instanceof HiddenQueryError && !endsStatements(error)) return null;
    throw error;
  }
}
