import { createHash } from 'node:crypto';
import type { AuditEntry } from '../audit/event.ts';
import { newId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { type HiddenConnection, HiddenQueryError } from '../catalog/connection.ts';
import type { Decision, Snapshot } from '../policy/decision.ts';
import { captureBefore, plainQuery, StalePlan } from '../snapshot/capture.ts';
import { snapshotFolder } from '../snapshot/manifest.ts';
import { NO_PARAMETERS, type PlanOutcome, planCapture } from '../snapshot/plan.ts';
import { type SnapshotFacts, SnapshotWriter } from '../snapshot/snapshot-writer.ts';
import type { WriteSlice } from '../sql/slice.ts';
import type { ErrorFields } from '../wire/backend.ts';
import { HiddenQueryEnded } from './hidden-exchange.ts';
import type { HiddenQueries } from './hidden-queries.ts';
import { holdEndedError, nativeError, noPlanError, snapshotFailedError } from './refusal.ts';
import type { SessionState, SnapshotServices } from './state.ts';
import { type Prepared, type ServerFacts, StatementGate } from './statement-gate.ts';

/** What has come of the capture of a statement that has not run yet. */
export type Captured = { readonly entry: AuditEntry } & (
  | { readonly kind: 'taken'; readonly gate: StatementGate }
  | { readonly kind: 'without'; readonly why: string }
  | { readonly kind: 'refused'; readonly error: ErrorFields }
);

type Outcome =
  | { readonly kind: 'taken'; readonly gate: StatementGate }
  | { readonly kind: 'without'; readonly why: string }
  | { readonly kind: 'refused'; readonly error: ErrorFields };

/**
 * Takes the rows that a statement will change while the client's stream waits with it, in the transaction that it
 * will run in: the client's where one is open, and otherwise one of the gateway's own.
 *
 * Invariant: what it says other than `taken` leaves no transaction of the gateway's open.
 */
export class SnapshotDesk {
  private readonly state: SessionState;
  private readonly hidden: HiddenQueries;
  private preparing = false;
  private gaveUp = false;

  constructor(state: SessionState, hidden: HiddenQueries) {
    this.state = state;
    this.hidden = hidden;
  }

  /** Whether rows are to be captured for such a decision. */
  takes(decision: Decision): decision is Snapshot {
    return decision.action === 'snapshot' && this.state.services.snapshots !== null;
  }

  /** The client is gone; once its statement runs, that no longer matters. */
  giveUp(): void {
    if (!this.preparing) return;
    this.gaveUp = true;
    this.hidden.giveUp();
  }

  async capture(text: Buffer, entry: AuditEntry, decision: Snapshot): Promise<Captured> {
    this.preparing = true;
    this.gaveUp = false;
    try {
      return { entry, ...(await this.prepare(text, entry, decision)) };
    } finally {
      this.preparing = false;
    }
  }

  private async prepare(text: Buffer, entry: AuditEntry, decision: Snapshot): Promise<Outcome> {
    const { state } = this;
    const services = state.services.snapshots!;
    while (!state.owesNothing()) await state.untilAnswered();
    // What the server is going to refuse by itself loses nothing.
    if (state.transactionStatus === 'E') return { kind: 'without', why: 'its transaction had failed' };
    const problem = problemOf(state, entry);
    const slice: WriteSlice =
      problem === null ? await services.slice(text) : { kind: 'inexact', reason: problem };
    if (slice.kind === 'inexact') return withoutPlan(decision, slice.reason);
    const connection = this.hidden.ending('sync');
    const opened = state.transactionStatus === 'I';
    // What is asked next is sent along with it.
    const begun = opened ? connection.run(plainQuery('BEGIN'), () => {}) : Promise.resolve(null);
    begun.catch(() => {});
    let outcome: Outcome;
    try {
      outcome = await this.inTransaction(connection, services, slice, text, entry, decision, opened);
      await begun;
    } catch (error) {
      outcome = failure(error, decision);
    }
    if (this.gaveUp) outcome = { kind: 'refused', error: canceled(decision) };
    if (opened && outcome.kind !== 'taken')
      await connection.run(plainQuery('ROLLBACK'), () => {}).catch(() => {});
    return outcome;
  }

  private async inTransaction(
    connection: HiddenConnection,
    services: SnapshotServices,
    slice: WriteSlice,
    text: Buffer,
    entry: AuditEntry,
    decision: Snapshot,
    opened: boolean,
  ): Promise<Outcome> {
    const request = { scope: this.state.facts.database, slice, parameters: NO_PARAMETERS };
    for (let attempt = 1; ; attempt++) {
      const planned: PlanOutcome = await planCapture(connection, services.catalog, request);
      if (planned.kind === 'needless') return { kind: 'without', why: planned.reason };
      if (planned.kind === 'none') return withoutPlan(decision, planned.reason);
      const { plan } = planned;
      const id = newId('snap');
      const createdAtMs = Date.now();
      const writer = new SnapshotWriter(services.store, snapshotFolder(id, createdAtMs));
      try {
        const capture = await captureBefore(connection, plan, writer);
        const facts = (server: ServerFacts) => factsOf(id, createdAtMs, services, text, entry, server);
        const required = decision.snapshot === 'required';
        const prepared: Prepared = { plan, capture, writer, facts, opened, required };
        if (this.gaveUp) throw new HiddenQueryEnded('given up');
        return { kind: 'taken', gate: new StatementGate(this.state, connection, prepared, entry) };
      } catch (error) {
        void writer.abort();
        if (!(error instanceof StalePlan) || attempt >= LIMITS.snapshotPlansMax) throw error;
        services.catalog.invalidate(request.scope);
      }
    }
  }
}

/** Why no capture is tried at all. */
function problemOf(state: SessionState, { analysis }: AuditEntry): string | null {
  if (state.replies.segmentOpen) return 'it follows messages that no Sync has ended';
  if (analysis.status !== 'parsed') return 'its text is not understood';
  if (analysis.statements.length !== 1) return 'it is one of several statements in one text';
  if (state.textFacts.encoding !== 'utf8') return 'the client does not write UTF-8';
  return null;
}

function withoutPlan(decision: Snapshot, reason: string): Outcome {
  if (decision.snapshot === 'best_effort') return { kind: 'without', why: reason };
  return { kind: 'refused', error: noPlanError(decision, reason) };
}

/** What fails a query of ours would fail the statement; and what fails the storage is for the rule to say. */
function failure(error: unknown, decision: Snapshot): Outcome {
  if (error instanceof HiddenQueryError) return { kind: 'refused', error: nativeError(error) };
  if (error instanceof HiddenQueryEnded) return { kind: 'refused', error: canceled(decision) };
  const why = error instanceof Error ? error.message : String(error);
  if (decision.snapshot === 'best_effort') return { kind: 'without', why };
  return { kind: 'refused', error: snapshotFailedError(why) };
}

function canceled(decision: Snapshot): ErrorFields {
  return holdEndedError({ kind: 'canceled' }, decision, null);
}

function factsOf(
  id: string,
  createdAtMs: number,
  services: SnapshotServices,
  text: Buffer,
  entry: AuditEntry,
  server: ServerFacts,
): SnapshotFacts {
  const { session, analysis, decision } = entry;
  return {
    id,
    created_at: new Date(createdAtMs).toISOString(),
    gateway: services.version,
    session,
    server: { version_num: server.versionNum, encoding: server.encoding },
    xid: server.xid,
    statement: {
      text: analysis.redacted ?? text.toString('utf8'),
      sha256: createHash('sha256').update(text).digest('hex'),
      operation: analysis.operation,
      parameters: entry.parameters,
    },
    decision: { rule: decision.rule, risk: decision.risk },
    approval_id: entry.approvalId,
  };
}
