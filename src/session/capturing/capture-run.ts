import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { AuditEntry } from '../../audit/event.ts';
import { LIMITS } from '../../base/limits.ts';
import { type HiddenConnection, HiddenQueryError, together } from '../../catalog/connection.ts';
import { quoteQualified } from '../../catalog/quote.ts';
import { textColumns } from '../../catalog/row.ts';
import type { Decision } from '../../policy/decision.ts';
import { ManyRows, plainQuery, StalePlan } from '../../snapshot/capture.ts';
import type { CountsReading, ServerFacts } from '../../snapshot/counts.ts';
import { type TableName, widened } from '../../snapshot/elsewhere.ts';
import { elsewhereOf, rememberElsewhere } from '../../snapshot/elsewhere-names.ts';
import { foreseePlan, isForeseen, keptPlan } from '../../snapshot/foresee.ts';
import { type CapturePlan, type PlanRequest, planCapture } from '../../snapshot/plan.ts';
import type { SnapshotFacts } from '../../snapshot/snapshot-writer.ts';
import type { Analysis } from '../../sql/effects.ts';
import type { ErrorFields } from '../../wire/backend.ts';
import { HiddenQueryEnded } from '../hidden/hidden-exchange.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import type { Capturing } from '../ruling/noted.ts';
import {
  driftError,
  holdEndedError,
  nativeError,
  noPlanError,
  snapshotFailedError,
} from '../ruling/refusal.ts';
import { heldBackSince } from '../ruling/restrained.ts';
import type { SnapshotServices } from '../services.ts';
import type { SessionState } from '../state.ts';
import {
  type Begun,
  beginCapture,
  isOwn,
  mayBeginEarly,
  notePlanned,
  refusalOfCaptured,
  whyNotPlanned,
} from './begun-capture.ts';
import { againOf, type Rebind } from './capture-again.ts';
import type { LooksNext } from './ending.ts';
import { lockingInSegment } from './in-segment.ts';
import type { CapturedPart, CaptureWay, Prepared } from './prepared.ts';
import { StatementGate } from './statement-gate.ts';

/** What has come of the capture of a statement that has not run yet. */
export type CaptureOutcome =
  | { readonly kind: 'taken'; readonly gate: StatementGate }
  /** `begun`: the audit has been told already that it is about to run. */
  | { readonly kind: 'without'; readonly why: string; readonly begun?: true }
  /** No snapshot is wanted, and the audit has it durably that it is about to run. */
  | { readonly kind: 'recorded' }
  | { readonly kind: 'refused'; readonly error: ErrorFields }
  /** No exact plan exists, so that it is decided again; nothing has been done. */
  | { readonly kind: 'unplanned'; readonly reason: string }
  /** It was done otherwise, and the client is to be answered as if it had run. */
  | { readonly kind: 'done'; readonly done: Done }
  /** The connection went while it was committed otherwise, so that nobody knows whether it was. */
  | { readonly kind: 'lost'; readonly snapshotId: string | null; readonly why: string }
  /** It has been sent in parts, and the client has been told all there is to tell. */
  | { readonly kind: 'told' }
  /** An error in front of it, which the client knows of, has the server discard it. */
  | { readonly kind: 'discarded' };

export interface Done {
  readonly tag: string;
  /** Bodies of NoticeResponses. */
  readonly notices: readonly Buffer[];
  readonly snapshotId: string | null;
  /** Why there is none. */
  readonly why: string;
}

export interface CaptureRun {
  readonly state: SessionState;
  readonly services: SnapshotServices;
  readonly hidden: HiddenQueries;
  readonly connection: HiddenConnection;
  readonly request: PlanRequest;
  readonly text: Buffer;
  readonly entry: AuditEntry;
  readonly decision: Capturing;
  readonly way: CaptureWay;
  /** The one statement that it is, where the text has several. */
  readonly analysis: Analysis;
  readonly part: CapturedPart | null;
  /** Nobody waits for it any more. */
  readonly gaveUp: () => boolean;
  /** Rows are locked however many there are. */
  readonly locksAll?: true;
  /** What was learnt when it ran before of what its triggers change. */
  readonly looks?: LooksNext;
  /** The server is reading the statement in this transaction, which locks its target as the statement will. */
  readonly readAhead?: boolean;
  /** What was counted in front of the Bind, by the plan that is known. */
  readonly counted?: CountsReading | null;
  /** Whether the Sync of an Execute has come, and commits nothing, so that it may go with it. */
  readonly mayEndAtSync?: () => boolean;
  /** What is needed to run an Execute once more; null where more than that would be taken back. */
  readonly rebind?: () => Rebind | null;
}

/** Captures the rows by that plan, or by a new one where there is none or it is no longer true. */
export async function captureRows(
  run: CaptureRun,
  known: CapturePlan | null,
  early: Begun | null = null,
): Promise<CaptureOutcome> {
  const prepared = await prepareRows(run, known, early);
  if ('kind' in prepared) return prepared;
  return { kind: 'taken', gate: new StatementGate(run.state, prepared, run.entry) };
}

async function prepareRows(
  run: CaptureRun,
  known: CapturePlan | null,
  early: Begun | null,
): Promise<Prepared | CaptureOutcome> {
  const { state, connection, services, request, decision } = run;
  let plan = known;
  let sharesSnapshot = false;
  let mayShare = run.locksAll !== true;
  for (let attempt = 1; ; attempt++) {
    let begun = attempt === 1 ? early : null;
    if (plan === null) {
      const foreseen =
        attempt === 1 && run.readAhead === true ? foreseePlan(services.catalog, request) : null;
      const planning = planCapture(connection, services.catalog, request);
      // It is sent along with what tells whether the plan is still true.
      if (foreseen !== null && mayBeginEarly(run, foreseen)) begun = beginCapture(run, foreseen, mayShare);
      const planned = await planning.catch((error: unknown) => whyNotPlanned(error, begun));
      if (planned === null) {
        await beginAnew(connection, 'BEGIN');
        continue;
      }
      const asForeseen = planned.kind === 'exact' && isForeseen(planned.plan, foreseen);
      if (begun !== null && !asForeseen) {
        void begun.writer.abort();
        if (planned.kind === 'exact') await beginAnew(connection, 'BEGIN');
        begun = null;
      }
      if (planned.kind === 'needless') return { kind: 'without', why: planned.reason };
      if (planned.kind === 'none') {
        await planned.refuse?.(connection);
        return withoutPlan(decision, planned.reason);
      }
      notePlanned(run, planned.plan);
      plan = asForeseen ? keptPlan(planned.plan) : planned.plan;
    }
    if (plan.opaque && plan.elsewhere === undefined) plan = await lookingElsewhere(run, plan);
    if (run.way === 'segment') plan = lockingInSegment(plan);
    const counted = attempt === 1 && known !== null ? (run.counted ?? null) : null;
    begun ??= beginCapture(run, plan, mayShare, counted === null ? null : Promise.resolve(counted));
    const { id, createdAtMs, folder, writer, plan: capturedBy } = begun;
    try {
      const capture = await begun.capture;
      const error = await refusalOfCaptured(run, begun);
      if (error !== null) {
        void writer.abort();
        return { kind: 'refused', error };
      }
      if (run.gaveUp()) throw new HiddenQueryEnded('given up');
      if (state.serverIsGone) throw new HiddenQueryEnded('lost');
      const { hidden, part } = run;
      const atSync = run.way === 'segment' && run.mayEndAtSync?.() === true;
      const ends = atSync ? ({ way: 'block', connection: hidden.ending('sync') } as const) : run;
      const facts = (server: ServerFacts) => factsOf(id, createdAtMs, run, server);
      const required = decision.snapshot === 'required';
      const again = againOf(run, (anew) => prepareRows(anew, null, null));
      const { catalog } = services;
      const remember = (tables: readonly TableName[]) =>
        rememberElsewhere(catalog, request.scope, capturedBy, tables);
      const snapshot = { plan, capture, writer, folder, facts, required, remember };
      const { way, connection } = ends;
      return { snapshot, seen: null, way, hidden, connection, part, again, sharesSnapshot };
    } catch (error) {
      void writer.abort();
      if (error instanceof ManyRows) {
        plan = await planByOneSnapshot(run, plan);
        sharesSnapshot = plan !== null;
        mayShare = false;
        continue;
      }
      const isOld = readsOldCatalog(plan);
      const isMisnamed = isOld && isOfNames(error);
      if (!(error instanceof StalePlan || isMisnamed) || attempt >= LIMITS.snapshotPlansMax) throw error;
      // By the same snapshot the catalog would say the same again.
      if (isOld) {
        if (isMisnamed && !isOwn(run)) throw new HiddenQueryError(driftError('a table was altered', false));
        if (!isOwn(run)) throw error;
        await beginAnew(connection, 'BEGIN');
      }
      services.catalog.invalidate(request.scope);
      plan = null;
      sharesSnapshot = false;
    }
  }
}

/** Whether it rests on what the catalog said when its transaction began to read. */
const readsOldCatalog = ({ bases }: CapturePlan): boolean => bases.some(({ kept }) => kept === true);

/** Whether the server knows names no longer, or types that they had. */
const isOfNames = (error: unknown): boolean =>
  error instanceof HiddenQueryError && error.sqlstate.startsWith('42');

/**
 * A plan in a transaction that reads by one snapshot. The tables are locked as the statement will lock them before that is
 * taken: what others alter or empty until then it shows, and afterwards they wait. Null, in a transaction that reads as the
 * client's would, where that cannot be had.
 */
async function planByOneSnapshot(
  { connection, services, request }: CaptureRun,
  { tables }: CapturePlan,
): Promise<CapturePlan | null> {
  const names = tables.map(({ schema, name }) => `ONLY ${quoteQualified(schema, name)}`);
  const lock = `LOCK TABLE ${names.join(', ')} IN ROW EXCLUSIVE MODE`;
  try {
    await beginAnew(connection, 'BEGIN ISOLATION LEVEL REPEATABLE READ', lock);
    const planned = await planCapture(connection, services.catalog, request);
    if (planned.kind === 'exact' && planned.plan.keptBy === 'snapshot') {
      if (await locksAllOf(connection, planned.plan)) return { ...planned.plan, tablesAreLocked: true };
    }
  } catch (error) {
    if (!(error instanceof HiddenQueryError && NOT_LOCKED.has(error.sqlstate))) throw error;
  }
  await beginAnew(connection, 'BEGIN');
  return null;
}

/**
 * Rights on some columns alone do not let a table be locked, and by now there may be none of the name. What ends the wait,
 * such as a client that cancels, ends the statement.
 */
const NOT_LOCKED: ReadonlySet<string> = new Set(['42501', '42P01', '3F000']);

/** Names may mean other tables by the time that they are locked. */
async function locksAllOf(connection: HiddenConnection, { tables }: CapturePlan): Promise<boolean> {
  const oids = new Set(tables.map(({ oid }) => oid));
  const sql = `SELECT pg_catalog.count(DISTINCT l.relation) FROM pg_catalog.pg_locks l
    WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND l.granted
      AND l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.mode OPERATOR(pg_catalog.=) 'RowExclusiveLock'
      AND l.relation OPERATOR(pg_catalog.=) ANY ('{${[...oids].join(',')}}'::pg_catalog.oid[])`;
  let locked = '';
  await connection.run(plainQuery(sql), (row) => {
    locked = textColumns(row)[0] ?? '';
  });
  return locked === String(oids.size);
}

async function beginAnew(connection: HiddenConnection, ...begins: readonly string[]): Promise<void> {
  await together(
    connection,
    ['ROLLBACK', ...begins].map((sql) => async () => await connection.run(plainQuery(sql), () => {})),
  );
}

/**
 * Captures while the server reads the client's own words, of which it says what is wrong with the places in them; it says
 * nothing of what was sent behind, because that fails with it.
 */
export async function captureRead(
  hidden: HiddenQueries,
  words: Buffer,
  capture: () => Promise<CaptureOutcome>,
): Promise<CaptureOutcome> {
  const reading = hidden.parse(words);
  reading.catch(() => {});
  const capturing = capture();
  capturing.catch(() => {});
  const { error } = await reading;
  if (error === null) return await capturing;
  const outcome = await capturing.catch(() => null);
  if (outcome?.kind === 'taken') outcome.gate.discarded();
  return { kind: 'refused', error: error.fields };
}

/** The plan looks at what code of the user's is expected to change besides. */
async function lookingElsewhere(run: CaptureRun, plan: CapturePlan): Promise<CapturePlan> {
  const { connection, services, request, looks } = run;
  const { catalog } = services;
  const names = await elsewhereOf(connection, catalog, request.scope, plan);
  const wide = await widened(connection, catalog, request, plan, names);
  if (wide.elsewhere === undefined) return wide;
  const locked = looks === undefined ? {} : { locked: looks.locked };
  return { ...wide, elsewhere: { ...wide.elsewhere, endsAtOnce: isOwn(run), ...locked } };
}

/** It is about to run without. */
export function isLeftOut(outcome: CaptureOutcome): boolean {
  return outcome.kind === 'without' && outcome.begun !== true;
}

export function withoutPlan(
  decision: Capturing,
  reason: string,
): Extract<CaptureOutcome, { kind: 'without' | 'unplanned' }> {
  if (decision.snapshot === 'best_effort') return { kind: 'without', why: reason };
  return { kind: 'unplanned', reason };
}

/** What fails a query of ours would fail the statement; and what fails the storage is for the rule to say. */
export function failure(error: unknown, decision: Decision, analysis: Analysis): CaptureOutcome {
  if (error instanceof HiddenQueryError) {
    return { kind: 'refused', error: nativeError(error, analysis) };
  }
  if (error instanceof HiddenQueryEnded) {
    return error.why === 'discarded' ? { kind: 'discarded' } : canceled(decision);
  }
  const why = error instanceof Error ? error.message : String(error);
  if ('snapshot' in decision && decision.snapshot === 'best_effort') return { kind: 'without', why };
  if (error instanceof StalePlan) return { kind: 'refused', error: driftError(why, false) };
  return { kind: 'refused', error: snapshotFailedError(why) };
}

export function canceled(decision: Decision): CaptureOutcome {
  return { kind: 'refused', error: holdEndedError({ kind: 'canceled' }, decision, null) };
}

/** What is about to run, unless nobody waits for it any more, or a pause or a quarantine has come meanwhile. */
export function unlessGivenUp(
  state: SessionState,
  outcome: CaptureOutcome,
  entry: AuditEntry,
  decision: Decision,
  gaveUp: boolean,
): CaptureOutcome {
  // What has been done already stays so.
  if (outcome.kind === 'done' || outcome.kind === 'lost') return outcome;
  const runs = outcome.kind === 'taken' || outcome.kind === 'without';
  const error = gaveUp || !runs ? null : heldBackSince(state, entry);
  if (!gaveUp && error === null) return outcome;
  if (outcome.kind === 'taken') outcome.gate.discarded();
  return error === null ? canceled(decision) : { kind: 'refused', error };
}

export const COPY_IN_DOUBT = 'it follows a COPY of which it is not clear what it has swallowed';

/** What is to be done about it is known only to the server, so that nobody is asked. */
export function refusedInDoubt(decision: Capturing): CaptureOutcome {
  if (decision.snapshot === 'best_effort') return { kind: 'without', why: COPY_IN_DOUBT };
  return { kind: 'refused', error: noPlanError(decision, COPY_IN_DOUBT) };
}

export function factsOf(
  id: string,
  createdAtMs: number,
  run: Pick<CaptureRun, 'services' | 'text' | 'entry' | 'analysis'>,
  server: ServerFacts,
): SnapshotFacts {
  const { services, text, entry, analysis } = run;
  const { decision } = entry;
  // Named one by one: what the audit keeps in the object beside them is nothing of a manifest, which takes no key more.
  const { id: session, role, database, application, client } = entry.session;
  return {
    id,
    created_at: new Date(createdAtMs).toISOString(),
    gateway: services.version,
    session: { id: session, role, database, application, client },
    server: { version_num: server.versionNum, encoding: server.encoding },
    xid: server.xid,
    statement: {
      // What is no UTF-8 is Latin-1 by then.
      text: analysis.redacted ?? text.toString(isUtf8(text) ? 'utf8' : 'latin1'),
      // By a hash of what is masked, it could be guessed.
      sha256: createHash('sha256')
        .update(analysis.redacted ?? text)
        .digest('hex'),
      operation: analysis.operation,
      parameters: entry.parameters,
    },
    decision: { rule: decision.rule, risk: decision.risk },
    approval_id: entry.approvalId,
  };
}

/** What the client is told of it where nothing else can tell. */
export function errorOf(
  outcome: Extract<CaptureOutcome, { kind: 'without' | 'refused' | 'unplanned' }>,
  decision: Decision,
): ErrorFields {
  switch (outcome.kind) {
    case 'refused':
      return outcome.error;
    case 'without':
      return snapshotFailedError(outcome.why);
    case 'unplanned':
      return noPlanError(decision, outcome.reason);
    default:
      return outcome satisfies never;
  }
}
