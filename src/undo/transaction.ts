import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { REFUSED } from '../trash/restore.ts';
import { type Progress, UndoEnded, type UndoOutcome, type UndoStep } from './outcome.ts';
import { UndoQueryError, type UndoSession } from './session.ts';

export type Ending = 'commit' | 'roll back';

/** What goes before and after the work of a transaction, whatever that is. */
export interface Bounds {
  /** Before anything else; it may refuse. */
  readonly first?: () => Promise<void>;
  /** When all is done and only the COMMIT is left, with the transaction's number. */
  readonly last?: (xid: string) => Promise<void>;
}

/** Where the work is, so that a failure can be told with its place. */
export class Whereabouts {
  step: UndoStep = 'find';
  table: string | null = null;
  readonly bounds: Bounds;
  readonly #onProgress: (progress: Progress) => void;

  constructor(onProgress: (progress: Progress) => void = () => {}, bounds: Bounds = {}) {
    this.#onProgress = onProgress;
    this.bounds = bounds;
  }

  at(step: UndoStep, table: string | null = null, done = 0, of = 0): void {
    this.step = step;
    this.table = table;
    this.#onProgress({ step, table, done, of });
  }
}

/**
 * Nothing that a role or a database has set may change what the queries mean. Rows that row security hides make a
 * query fail instead of being left out.
 */
const SETTINGS: Readonly<Record<string, string>> = {
  search_path: 'pg_catalog',
  row_security: 'off',
  client_encoding: 'UTF8',
  DateStyle: 'ISO, YMD',
  IntervalStyle: 'postgres',
  extra_float_digits: '1',
  xmloption: 'content',
  standard_conforming_strings: 'on',
  client_min_messages: 'warning',
  statement_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  jit: 'off',
};

/** PostgreSQL 15 and 16 do not have it. */
const WITHOUT_TIMEOUT = `SELECT pg_catalog.set_config(s.name, '0', true) FROM pg_catalog.pg_settings s
  WHERE s.name OPERATOR(pg_catalog.=) 'transaction_timeout'`;

/** Runs all of an undo in one transaction, which ends as the work says, or is rolled back whatever happens. */
export async function inTransaction<T>(
  session: UndoSession,
  isolation: 'READ COMMITTED' | 'REPEATABLE READ',
  where: Whereabouts,
  work: () => Promise<{ readonly ending: Ending; readonly value: T }>,
): Promise<T | UndoEnded['outcome']> {
  try {
    await session.query(`BEGIN ISOLATION LEVEL ${isolation} READ WRITE`);
    await session.query(WITHOUT_TIMEOUT);
    for (const [name, value] of Object.entries(SETTINGS)) await setLocally(session, name, value);
    await setLocally(session, 'lock_timeout', `${LIMITS.undoLockWaitMs}ms`);
    await where.bounds.first?.();
    const { ending, value } = await work();
    if (ending === 'commit') await commit(session, where);
    else await session.query('ROLLBACK');
    return value;
  } catch (error) {
    if (where.step !== 'commit' || error instanceof UndoQueryError)
      await session.query('ROLLBACK').catch(() => {});
    return outcomeOf(error, where);
  }
}

export async function setLocally(session: UndoSession, name: string, value: string): Promise<void> {
  await session.query('SELECT pg_catalog.set_config($1, $2, true)', [name, value]);
}

/** Where the answer to COMMIT is lost, only the server knows; with the transaction's number it can be asked. */
async function commit(session: UndoSession, where: Whereabouts): Promise<void> {
  const [row] = await session.query('SELECT pg_catalog.pg_current_xact_id()::pg_catalog.text');
  await where.bounds.last?.(row![0]!);
  where.at('commit');
  try {
    await session.query('COMMIT');
  } catch (cause) {
    if (cause instanceof UndoQueryError) throw cause;
    throw new HoldfastError('UPSTREAM_LOST', 'the connection was lost while the undo was being committed', {
      detail: `Whether it was is told by: SELECT pg_xact_status('${row?.[0]}')`,
      cause,
    });
  }
}

function outcomeOf(error: unknown, { step, table }: Whereabouts): UndoEnded['outcome'] {
  if (error instanceof UndoEnded) return error.outcome;
  if (error instanceof UndoQueryError) {
    const { message, detail, sqlstate, schema, table: name, constraint } = error.refusal;
    const at = name === null ? table : `${schema}.${name}`;
    const reason = detail === null ? message : `${message}: ${detail}`;
    const bareReason = constraint === null ? REFUSED : `${REFUSED} by the constraint ${constraint}`;
    return { kind: 'failed', step, table: at, reason, bareReason, sqlstate } satisfies UndoOutcome;
  }
  if (error instanceof HoldfastError && error.code.startsWith('BLOB')) {
    const reason = error.detail === undefined ? error.message : `${error.message}: ${error.detail}`;
    return { kind: 'failed', step, table, reason, sqlstate: null };
  }
  throw error;
}
