import { type HiddenConnection, HiddenQueryError } from '../../catalog/connection.ts';
import { EmptyTables } from '../../catalog/empty-tables.ts';
import type { Analysis, StatementEffects } from '../../sql/effects.ts';
import { hiddenQuery } from '../../trash/session.ts';
import { endsStatements } from '../../trash/trial.ts';
import type { Lossless } from './lossless.ts';
import { type Attempted, runLossless } from './lossless-run.ts';

/** A TRUNCATE of tables without rows, as `pg_restore -j` sends ahead of what it loads. */

/** Who has the table locked is shown to whoever is asked. */
const LOCK_NOT_AVAILABLE = '55P03';

const ONLY = /\bonly\b/i;
const RESTART = /\brestart\b/i;
const NOTHING = 'empties nothing, since the tables have no rows';

const KNOWN = new WeakMap<Analysis, Analysis>();

/** The statement as it is to be decided where its tables have no rows. */
function asEmpty(analysis: Analysis, only: StatementEffects): Analysis {
  let known = KNOWN.get(analysis);
  if (known === undefined) {
    const statement: StatementEffects = Object.freeze({ ...only, risk: 'low', reasons: [NOTHING] });
    known = Object.freeze({ ...analysis, risk: 'low', statements: Object.freeze([statement]) });
    KNOWN.set(analysis, known);
  }
  return known;
}

/** Null for any other statement, and where sequences would begin anew. */
export function ofEmptyTables(analysis: Analysis, text: string): Lossless | null {
  const [only, ...others] = analysis.statements;
  if (only?.operation !== 'truncate' || others.length > 0 || only.writes.length === 0) return null;
  if (RESTART.test(text) || only.operations.some((each) => each !== 'truncate')) return null;
  // Which of several is meant is not told; what is not locked shows behind it.
  const isOnly = ONLY.test(text);
  if (isOnly && only.writes.length > 1) return null;
  const tables = new EmptyTables(only.writes, isOnly);
  return {
    analysis: asEmpty(analysis, only),
    // Only who has locked them knows.
    isSo: async () => false,
    run: async (state, hidden, entry) =>
      await runLossless(state, hidden, entry, (connection) => empty(connection, tables, text)),
  };
}

/** Null where there are rows, or anything else would be emptied, or code would run. */
async function empty(connection: HiddenConnection, tables: EmptyTables, text: string): Promise<Attempted> {
  const notices: Buffer[] = [];
  const takeNotice = (notice: Buffer) => void notices.push(Buffer.from(notice));
  try {
    if (!(await tables.lock(connection))) return null;
    const { tag } = await connection.run(hiddenQuery(text), () => {}, takeNotice);
    if (await tables.isElseLocked(connection)) return null;
    return { kind: 'done', done: { tag, notices, snapshotId: null, why: NOTHING } };
  } catch (error) {
    if (!(error instanceof HiddenQueryError)) throw error;
    if (error.sqlstate === LOCK_NOT_AVAILABLE || !endsStatements(error)) return null;
    throw error;
  }
}
