import { newId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import { HiddenQueryError } from '../../catalog/connection.ts';
import { quoteName } from '../../catalog/quote.ts';
import { type Capture, captureBefore } from '../../snapshot/capture.ts';
import type { CountsReading } from '../../snapshot/counts.ts';
import { snapshotFolder } from '../../snapshot/manifest.ts';
import type { CapturePlan } from '../../snapshot/plan.ts';
import { openElsewhere } from '../../snapshot/prove-elsewhere.ts';
import { RowHashes, witnessing } from '../../snapshot/row-identity.ts';
import { SnapshotWriter } from '../../snapshot/snapshot-writer.ts';
import type { WriteSlice } from '../../sql/slices/slice.ts';
import type { ErrorFields } from '../../wire/backend.ts';
import { HiddenQueryEnded } from '../hidden/hidden-exchange.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import { mayEndSegment } from '../hidden/segment-fits.ts';
import { approvedRowsOf, comparedWith, type LocatedRows, locatedRows } from '../holding/approved-rows.ts';
import { ReplyKind } from '../replies.ts';
import type { SessionState } from '../state.ts';
import type { CaptureRun } from './capture-run.ts';

/** A capture that is under way, and what it will be a part of. */
export interface Begun {
  readonly plan: CapturePlan;
  readonly id: string;
  readonly createdAtMs: number;
  readonly folder: string;
  readonly writer: SnapshotWriter;
  /** Tells the rows from each other where they are compared with those that were approved. */
  readonly witness: RowHashes | null;
  readonly capture: Promise<Capture>;
}

export function beginCapture(
  run: CaptureRun,
  plan: CapturePlan,
  mayShare: boolean,
  counting: Promise<CountsReading> | null = null,
): Begun {
  const { connection, services } = run;
  const id = newId('snap');
  const createdAtMs = Date.now();
  const folder = snapshotFolder(id, createdAtMs);
  const writer = new SnapshotWriter(services.store, folder, services.patienceMs);
  const rowsMax = mayShare && mayShareSnapshot(run, plan) ? LIMITS.snapshotRowsLocked : 0;
  const approved = approvedRowsOf(run.entry.decision);
  const witness = approved === null ? null : witnessOf(approved, plan);
  const sinks = witness === null ? writer : witnessing(writer, witness);
  const capturing = captureBefore(connection, plan, sinks, undefined, rowsMax, counting);
  const looks = (plan.elsewhere?.tables.length ?? 0) > 0;
  const capture = looks ? capturing.then((taken) => openElsewhere(connection, plan, taken)) : capturing;
  // It may have been given up by the time that it fails.
  capture.catch(() => {});
  return { plan, id, createdAtMs, folder, writer, witness, capture };
}

/**
 * Whether rows may be captured before it is known that the plan is true: where that can be taken back, since what fails
 * does so in a transaction of ours, or in a segment that has run nothing, and where it runs nobody's code.
 */
export function mayBeginEarly(run: CaptureRun, plan: CapturePlan): boolean {
  const mayTakeBack = isOwn(run) || (run.way === 'segment' && hasRunNothing(run.state));
  return mayTakeBack && mayBeForeseen(run, plan);
}

/** Whether rows may be captured by a plan that is foreseen, as far as it says so itself: it runs nobody's code. */
export function mayBeForeseen(run: CaptureRun, plan: CapturePlan): boolean {
  if (!plan.ownRowOnly || plan.keptBy === 'snapshot') return false;
  if (approvedRowsOf(run.entry.decision) !== null || !namesAreKnown(run, plan)) return false;
  return plan.lock === null && plan.tables.every(({ mayGainRows }) => !mayGainRows);
}

/**
 * Whether nothing has run since the last transaction ended, and no portal is there: then a Sync of ours takes away all that
 * a query of ours has done, its failure included, and nothing of the client's.
 */
export function hasRunNothing(state: SessionState): boolean {
  const { replies } = state;
  if (state.transactionStatus !== 'I' || state.begunIn === state.segment || !mayEndSegment(state))
    return false;
  for (let i = 0; i < replies.length; i++) if (!NAMES_ONLY.has(replies.at(i).kind)) return false;
  return true;
}

const NAMES_ONLY: ReadonlySet<ReplyKind> = new Set([ReplyKind.Parse, ReplyKind.Describe, ReplyKind.Close]);

/**
 * The tables that sessions have planned for, by the names of their targets, since their role or settings changed last. A plan that is foreseen may be that of another
 * session, whose names and operators mean something else; and a function that is new would be called.
 */
const PLANNED = new WeakMap<
  SessionState,
  { readonly epoch: number; readonly targets: Map<string, string> }
>();

type Asked = Pick<CaptureRun, 'state' | 'request'>;

const targetOf = ({ request: { slice } }: Asked): string | null =>
  slice.kind === 'rows' && slice.calls.length === 0
    ? `${slice.target.schema ?? ''}\0${slice.target.name}`
    : null;

const tablesOf = ({ tables }: CapturePlan): string => tables.map(({ oid }) => oid).join();

function namesAreKnown(run: Asked, plan: CapturePlan): boolean {
  const target = targetOf(run);
  const known = PLANNED.get(run.state);
  return target !== null && known?.epoch === run.state.epoch && known.targets.get(target) === tablesOf(plan);
}

/** Such a plan has been made in this session, by what its names mean now. */
export function notePlanned(run: Asked, plan: CapturePlan): void {
  const target = targetOf(run);
  if (target === null || !plan.ownRowOnly) return;
  const { state } = run;
  const known = PLANNED.get(state);
  if (known?.epoch === state.epoch && known.targets.size < LIMITS.catalogAnswersMax)
    known.targets.set(target, tablesOf(plan));
  else PLANNED.set(state, { epoch: state.epoch, targets: new Map([[target, tablesOf(plan)]]) });
}

/** Null where the plan could not be told only because a capture by another had failed before. */
export async function whyNotPlanned(error: unknown, begun: Begun | null): Promise<null> {
  if (begun === null) throw error;
  void begun.writer.abort();
  if (!(error instanceof HiddenQueryError) || error.sqlstate !== IN_FAILED_TRANSACTION) throw error;
  const first = await begun.capture.then(
    () => error,
    (why: unknown) => why,
  );
  if (first instanceof HiddenQueryEnded) throw first;
  // A row of a table that is not planned for may be met before the query that fails behind it.
  if (!(first instanceof HiddenQueryError)) return null;
  if (first.sqlstate === IN_FAILED_TRANSACTION) throw error;
  if (first.sqlstate === QUERY_CANCELED) throw first;
  return null;
}

/** Whether it is all that its transaction does, which is one of ours. */
export const isOwn = ({ way, part }: CaptureRun): boolean => way === 'own' && part === null;

/**
 * Whether the capture and the statement may read by one snapshot where there are many rows. Rows that the client has been
 * told of could not be taken back should the statement come upon one that others have changed since.
 */
function mayShareSnapshot(run: CaptureRun, plan: CapturePlan): boolean {
  if (!isOwn(run)) return false;
  return plan.keptBy === 'locks or snapshot' && !/returning/i.test(run.text.toString('latin1'));
}

/** Tells the rows that are captured from each other; null where others are captured with them. */
function witnessOf({ set }: LocatedRows, { tables }: CapturePlan): RowHashes | null {
  const own = tables.filter(({ cause }) => cause.kind === 'target');
  const isAlone = own.every(({ identity }) => identity !== undefined);
  return set !== null && isAlone ? new RowHashes(set.salt, LIMITS.rowHashesMax) : null;
}

/** Why the rows that have been captured, and are locked, are not those that were approved. */
export async function refusalOfCaptured(
  { connection, entry }: CaptureRun,
  { witness }: Begun,
): Promise<ErrorFields | null> {
  const approved = approvedRowsOf(entry.decision);
  if (approved === null) return null;
  if (witness === null && (approved.set === null || approved.lookups.length === 0)) return null;
  const now = witness === null ? await locatedRows(connection, approved, 'query') : witness.set();
  const compared = comparedWith(approved, now);
  return 'refusal' in compared ? compared.refusal : null;
}

/**
 * Has the server lock the table as the statement will, by reading what is never run, where a plan that is foreseen rests on
 * no more; tells whether it has. It fails where the client's Bind would fail as well.
 */
export async function lockTarget(
  hidden: HiddenQueries,
  slice: WriteSlice,
  foreseen: CapturePlan | null,
): Promise<boolean> {
  const text = foreseen?.keptByTargetLock === true ? lockingText(slice) : null;
  if (text === null) return false;
  const { error } = await hidden.parse(Buffer.from(text), 'flush');
  if (error === null) return true;
  // A place in a text that the client has not sent.
  const { P: _, ...fields } = error.fields;
  throw new HiddenQueryError(fields);
}

/** Whether there is something to read that locks its table. */
export const locksTarget = (slice: WriteSlice): boolean => lockingText(slice) !== null;

/** Of the same kind as the statement, since what has the table's name by now may take an UPDATE and no DELETE. */
function lockingText(slice: WriteSlice): string | null {
  if (slice.kind !== 'rows') return null;
  const { operation, target, assigned } = slice;
  switch (operation) {
    case 'delete':
      return `DELETE FROM ${target.text}`;
    case 'update':
      return assigned[0] === undefined
        ? null
        : `UPDATE ${target.text} SET ${quoteName(assigned[0].column)} = DEFAULT`;
    case 'merge':
      return null;
    default:
      return operation satisfies never;
  }
}

const IN_FAILED_TRANSACTION = '25P02';
const QUERY_CANCELED = '57014';
