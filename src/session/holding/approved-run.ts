import type { AuditEntry } from '../../audit/event.ts';
import { type HiddenConnection, HiddenQueryError } from '../../catalog/connection.ts';
import { quoteQualified } from '../../catalog/quote.ts';
import { textColumns } from '../../catalog/row.ts';
import { plainQuery } from '../../snapshot/capture.ts';
import type { StatementEffects } from '../../sql/effects.ts';
import type { ErrorFields } from '../../wire/backend.ts';
import { type CaptureOutcome, failure } from '../capturing/capture-run.ts';
import { lockInSegment } from '../capturing/in-segment.ts';
import type { CaptureWay, Prepared } from '../capturing/prepared.ts';
import type { Captured } from '../capturing/snapshot-desk.ts';
import { StatementGate } from '../capturing/statement-gate.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { leave } from '../hidden/own-transaction.ts';
import { segmentFits, untilQuiet, untilSegmentFits } from '../hidden/segment-fits.ts';
import { outsideCount } from '../ruling/counted-rows.ts';
import { isolatedTruncateError, uncountedRowsError, unlockedRowsError } from '../ruling/refusal.ts';
import { heldBackSince } from '../ruling/restrained.ts';
import type { SessionState } from '../state.ts';
import {
  approvedRowsOf,
  type Compared,
  comparedWith,
  exceeding,
  type LocatedRows,
  locatedRows,
  type SeenRows,
} from './approved-rows.ts';

const AFTER_COPY = 'It follows a COPY of which it is not clear what it has swallowed';

/** A Query, in a transaction of ours where the client has none. */
export async function watchQuery(
  state: SessionState,
  hidden: HiddenQueries,
  text: Buffer,
  entry: AuditEntry,
): Promise<Captured> {
  return { entry, ...(await watchedQuery(state, hidden, text, entry)) };
}

async function watchedQuery(
  state: SessionState,
  hidden: HiddenQueries,
  text: Buffer,
  entry: AuditEntry,
): Promise<CaptureOutcome> {
  if (state.inImplicitBlock || state.replies.segmentOpen)
    return { kind: 'refused', error: uncountedRowsError('It follows messages that no Sync has ended') };
  await untilQuiet(state);
  if (state.copyingIn) return { kind: 'discarded' };
  if (!state.owesNothing()) return { kind: 'refused', error: uncountedRowsError(AFTER_COPY) };
  if (state.transactionStatus === 'E') return { kind: 'without', why: 'its transaction had failed' };
  const connection = hidden.ending('sync');
  const opened = state.transactionStatus === 'I';
  try {
    if (opened) await connection.run(plainQuery('BEGIN'), () => {});
    const looked = await lookBefore(connection, entry, { locking: (lock) => lock, isFirst: opened, text });
    const refusal = heldBackSince(state, entry) ?? ('refusal' in looked ? looked.refusal : null);
    if (refusal === null && 'seen' in looked)
      return taken(state, hidden, connection, entry, opened ? 'own' : 'block', looked.seen);
    if (opened) await leave(state, connection, ['ROLLBACK']);
    return { kind: 'refused', error: refusal! };
  } catch (error) {
    if (opened && state.transactionStatus !== 'I') await leave(state, connection, ['ROLLBACK']);
    return failed(error, entry);
  }
}

/** An Execute, in the transaction of its segment. */
export async function watchExecute(
  state: SessionState,
  hidden: HiddenQueries,
  entry: AuditEntry,
): Promise<Captured> {
  return { entry, ...(await watchedExecute(state, hidden, entry)) };
}

async function watchedExecute(
  state: SessionState,
  hidden: HiddenQueries,
  entry: AuditEntry,
): Promise<CaptureOutcome> {
  await untilSegmentFits(state);
  if (state.copyingIn || state.discarding) return { kind: 'discarded' };
  if (!segmentFits(state)) return { kind: 'refused', error: uncountedRowsError(AFTER_COPY) };
  const connection = hidden.ending('flush');
  try {
    const looked = await lookBefore(connection, entry, {
      locking: lockInSegment,
      isFirst: false,
      text: null,
    });
    if ('refusal' in looked) return { kind: 'refused', error: looked.refusal };
    const heldBack = heldBackSince(state, entry);
    if (heldBack !== null) return { kind: 'refused', error: heldBack };
    return taken(state, hidden, connection, entry, 'segment', looked.seen);
  } catch (error) {
    return failed(error, entry);
  }
}

function taken(
  state: SessionState,
  hidden: HiddenQueries,
  connection: HiddenConnection,
  entry: AuditEntry,
  way: CaptureWay,
  seen: SeenRows | null,
): CaptureOutcome {
  const prepared: Prepared = {
    snapshot: null,
    seen,
    way,
    hidden,
    connection,
    part: null,
    again: null,
    sharesSnapshot: false,
  };
  return { kind: 'taken', gate: new StatementGate(state, prepared, entry) };
}

function failed(error: unknown, { decision, analysis }: AuditEntry): CaptureOutcome {
  // What is looked at never runs without.
  return failure(error, 'snapshot' in decision ? { ...decision, snapshot: 'required' } : decision, analysis);
}

interface Place {
  /** How a lock is taken there. */
  readonly locking: (lock: string) => string;
  /** Nothing has run in its transaction, and its locks take no snapshot. */
  readonly isFirst: boolean;
  /** What the server has not planned yet. */
  readonly text: Buffer | null;
}

/** What it is about to change, looked at under the locks that it will take; those of what was bound are taken. */
async function lookBefore(
  connection: HiddenConnection,
  { decision, analysis }: AuditEntry,
  { locking, isFirst, text }: Place,
): Promise<Compared> {
  const approved = approvedRowsOf(decision);
  const [statement] = analysis.statements;
  if (statement === undefined) return { seen: null };
  if (statement.operation === 'truncate') {
    const rows = await rowsToTruncate(connection, statement, { locking, isFirst });
    if (rows === null) return { refusal: isolatedTruncateError() };
    const refusal = (approved === null ? null : exceeding(approved, rows)) ?? outsideCount(decision, rows);
    if (refusal !== null) return { refusal };
  }
  if (approved === null || approved.set === null || approved.lookups.length === 0) return { seen: null };
  const unlocked = await keepOut(connection, approved, locking);
  if (unlocked !== null) return { refusal: unlocked };
  if (text !== null && statement.operation !== 'truncate') await lockAsPlanned(connection, text);
  let compared = comparedWith(approved, await locatedRows(connection, approved, 'locking'));
  // Behind a lock the server looks at the locked row as it is by now, and at all others as they were.
  if ('seen' in compared && approved.lookups.some(({ readsOthers }) => readsOthers))
    compared = comparedWith(approved, await locatedRows(connection, approved, 'query'));
  return compared;
}

/** Rights on some columns alone do not let a table be locked. */
const NO_RIGHT = '42501';

async function keepOut(
  connection: HiddenConnection,
  { lookups }: LocatedRows,
  locking: (lock: string) => string,
): Promise<ErrorFields | null> {
  for (const { keepingOut } of lookups) {
    if (keepingOut === null) continue;
    try {
      await connection.run(plainQuery(locking(keepingOut)), () => {});
    } catch (error) {
      if (!(error instanceof HiddenQueryError && error.sqlstate === NO_RIGHT)) throw error;
      return unlockedRowsError(error.fields['M'] ?? 'permission denied');
    }
  }
  return null;
}

/**
 * Has the server plan it, and so lock all relations that it will lock: partitions, what is behind views, and what it only
 * reads as well. Whoever keeps one from it would else have all the time between the look and the statement, which reads
 * anew once it has waited. No rights are needed for that but those that it needs itself, as LOCK TABLE would.
 */
async function lockAsPlanned(connection: HiddenConnection, text: Buffer): Promise<void> {
  const statement = text.toString('utf8').replace(/^[\s;]+/, '');
  await connection.run(plainQuery(`EXPLAIN (COSTS OFF) ${statement}`), () => {});
}

/**
 * A TRUNCATE tells no number, and so is counted under the lock that it takes. Null where it is not seen how the tables are
 * behind that lock.
 */
async function rowsToTruncate(
  connection: HiddenConnection,
  { writes, only }: StatementEffects,
  { locking, isFirst }: Pick<Place, 'locking' | 'isFirst'>,
): Promise<number | null> {
  const tables = writes.map((relation) => {
    const isAlone = only?.some(({ schema, name }) => schema === relation.schema && name === relation.name);
    return `${isAlone === true ? 'ONLY ' : ''}${quoteQualified(relation.schema, relation.name)}`;
  });
  const lock = locking(`LOCK TABLE ${tables.join(', ')} IN ACCESS EXCLUSIVE MODE`);
  await connection.run(plainQuery(lock), () => {});
  const counts = tables.map((table) => `(SELECT pg_catalog.count(*) FROM ${table})`);
  let rows: number | null = null;
  const sql = `SELECT pg_catalog.current_setting('transaction_isolation'), ${counts.join(', ')}`;
  await connection.run(plainQuery(sql), (row) => {
    const [isolation, ...found] = textColumns(row);
    if (isFirst || isolation === 'read committed' || isolation === 'read uncommitted')
      rows = found.reduce((sum, count) => sum + Number(count), 0);
  });
  return rows;
}
