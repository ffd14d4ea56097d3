import { type HiddenConnection, HiddenQueryError } from '../../catalog/connection.ts';
import type { Analysis } from '../../sql/effects.ts';
import { hiddenQuery } from '../../trash/session.ts';
import { endsStatements } from '../../trash/trial.ts';
import type { SessionState } from '../state.ts';
import type { Lossless } from './lossless.ts';
import { type Attempted, runLossless } from './lossless-run.ts';

const OR_REPLACE = /^(\s*create\s+)(or\s+replace)(?=\s)/i;
const MADE: ReadonlySet<string> = new Set([
  'create function',
  'create procedure',
  'create aggregate',
  'create view',
]);
const NEW = 'it makes what was not there, and replaces nothing';

/** CREATE OR REPLACE of what is not there is the CREATE, which the server refuses where it is there. */
export function mayBeNew(state: SessionState, { operation }: Analysis, text: string): Lossless | null {
  const { analyzer } = state.services;
  if (!MADE.has(operation)) return null;
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
  if (state.decide(analysis).action !== 'allow') return null;
  // Only the server knows, as it runs it.
  return { analysis, isSo: async () => false, run: makeNew(plain) };
}

const makeNew =
  (plain: string): Lossless['run'] =>
  async (state, hidden, entry) =>
    await runLossless(state, hidden, entry, (connection) => made(connection, plain));

/** Null where it is there, or the server refuses the statement as it stands as well. */
async function made(connection: HiddenConnection, plain: string): Promise<Attempted> {
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
