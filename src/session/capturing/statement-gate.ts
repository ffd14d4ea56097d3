import type { AuditEntry } from '../../audit/event.ts';
import { nowMs } from '../../base/clock.ts';
import { LIMITS } from '../../base/limits.ts';
import { HiddenQueryError } from '../../catalog/connection.ts';
import { plainQuery } from '../../snapshot/capture.ts';
import { captureAfter, type Proof } from '../../snapshot/prove.ts';
import {
  decodeErrorFields,
  type ErrorFields,
  encodeErrorResponse,
  encodeMessage,
  encodeReadyForQuery,
  rowsOfCommandTag,
} from '../../wire/backend.ts';
import { Backend } from '../../wire/message-type.ts';
import { failTransaction } from '../hidden/fail-transaction.ts';
import { HiddenQueryEnded } from '../hidden/hidden-exchange.ts';
import { readServerFacts } from '../hidden/server-facts.ts';
import {
  approvedRowsOf,
  countingTag,
  exceedsByCapture,
  exceedsByTag,
  isCounted,
  uncounted,
} from '../holding/approved-rows.ts';
import { outsideByCapture, outsideUnproved, untoldRows } from '../ruling/counted-rows.ts';
import { noted } from '../ruling/noted.ts';
import {
  auditFailedError,
  canceledError,
  driftError,
  nativeError,
  snapshotFailedError,
} from '../ruling/refusal.ts';
import { heldBackSince } from '../ruling/restrained.ts';
import type { SessionState } from '../state.ts';
import type { Ending, LooksNext } from './ending.ts';
import type { Prepared, PreparedSnapshot } from './prepared.ts';
import { StoringCanceled, storedInTime } from './stored-in-time.ts';

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/**
 * Stands between a captured statement that has run and its commit.
 *
 * States:
 * - running: the server works on the client's message. Rows, notices and errors pass; what tells of success is kept.
 * - settling: the statement has run. The capture is proved and stored, and a transaction of ours committed. Where others
 *   have changed meanwhile what was captured, such a transaction, or one that a segment has for it alone, is rolled back, and
 *   it is captured and running once more.
 * - over: the client has been told, and what it sent since is looked at.
 *
 * Invariant: the client reads of success only after the snapshot is durable and, where the transaction is ours, after
 * it has been committed; and it is never committed before, because nothing that could commit it is sent before.
 */
export class StatementGate {
  /** Resolves when the client's stream may go on. */
  readonly over: Promise<void>;
  private readonly state: SessionState;
  private prepared: Prepared;
  private tries = 1;
  /** What the client had been sent when the statement was about to run. */
  private toldBytes: number;
  private readonly entry: AuditEntry;
  /** Null until the statement has run, and where it has but its portal has rows left. */
  tag: string | null = null;
  private proving: Promise<Proof> | null = null;
  /** What the server has refused it with, and the client has not been told. */
  private untold: ErrorFields | null = null;
  /** Null until it is over. */
  ending: Ending | null = null;
  private end!: () => void;
  private isSent = false;

  constructor(state: SessionState, prepared: Prepared, entry: AuditEntry) {
    this.state = state;
    this.prepared = prepared;
    this.entry = entry;
    this.toldBytes = state.client.bytesOut;
    this.over = new Promise((resolve) => {
      this.end = resolve;
    });
  }

  /**
   * The statement has been sent. What proves its capture is asked right behind it, which saves a round trip; where it
   * fails, that fails with it, or is discarded.
   */
  sent(): void {
    const { way, snapshot, part } = this.prepared;
    this.isSent = true;
    if (snapshot === null || (part !== null && way !== 'own')) return;
    this.proving = this.prove(snapshot);
    this.proving.catch(() => {});
  }

  private prove({ plan, capture, writer }: PreparedSnapshot): Promise<Proof> {
    const { connection } = this.prepared;
    return captureAfter(connection, plan, capture, () => this.tag ?? '', writer);
  }

  /** A Query's statement has run; its CommandComplete is kept from the client for now. */
  completed(tag: string): void {
    this.tag = tag;
  }

  /** The server is ready again behind a Query; `status` is how it stands. */
  ready(status: 'I' | 'T' | 'E'): void {
    this.conclude(this.settleQuery(status));
  }

  /** An Execute has run; the tag is null where it was suspended, which a write is only with all of it done. */
  executed(tag: string | null): void {
    this.tag = tag;
    if (!this.endsAtSync) this.conclude(this.settleExecute());
  }

  /** Of an Execute: that its Sync goes with it, whose ReadyForQuery is kept from the client for now, as a Query's. */
  get endsAtSync(): boolean {
    return this.prepared.way !== 'segment';
  }

  /**
   * The server has refused the statement, which the client is told as it is. False where it is not, because only the
   * snapshot that it shares with its capture was in the way.
   */
  failed(sqlstate: string | null, body: Buffer): boolean {
    if (sqlstate === '40001' && this.prepared.sharesSnapshot && this.mayRunAgain()) {
      this.untold = decodeErrorFields(body) ?? {};
      return false;
    }
    this.entry.end = 'failed';
    this.entry.sqlstate = sqlstate;
    if (this.prepared.way !== 'segment') return true;
    this.abort();
    this.release({ kind: 'told' });
    return true;
  }

  /** It never runs. */
  discarded(): void {
    this.entry.end = 'not-run';
    this.abort();
    if (!this.isSent) this.end();
    // Where its Sync has gone with it, that is still to be answered.
    else if (!this.endsAtSync) this.release({ kind: 'told' });
  }

  /** The connection went while the statement ran. */
  lost(): void {
    if (this.ending !== null) return;
    this.abort();
    this.release({ kind: 'lost' });
  }

  /**
   * It has run already, in a transaction of ours or a segment that runs nothing else, and the client has been told nothing,
   * nor what stands in front of its tag. False where its transaction has been made to fail because others have changed what
   * was captured, so that it may be captured and run once more.
   */
  async hasRun(tag: string, proof: Promise<Proof>, front: Buffer | null = null): Promise<boolean> {
    this.tag = tag;
    this.proving = proof;
    proof.catch(() => {});
    const ending = await this.orLost(this.endsAtSync ? this.settleQuery('T') : this.settleExecute());
    if (ending === null || (ending.kind === 'failed' && ending.passes === true)) return false;
    if (front !== null && ending.kind === 'done') this.state.inject(front);
    this.release(ending);
    return true;
  }

  /** Null where it runs once more. */
  private conclude(settling: Promise<Ending | null>): void {
    void this.orLost(settling)
      .then((ending) => ending !== null && this.release(ending))
      .catch((error: unknown) => this.state.fail(error));
  }

  private async orLost(settling: Promise<Ending | null>): Promise<Ending | null> {
    try {
      return await settling;
    } catch (error) {
      // A server that is there would leave the client waiting for what it is not going to say.
      if (error instanceof HiddenQueryEnded && error.why === 'lost') return { kind: 'lost' };
      this.state.services.log.error({ err: error, session: this.state.identity.id }, 'failed to snapshot');
      this.state.upstream.destroy();
      return { kind: 'lost' };
    }
  }

  private async settleQuery(status: 'I' | 'T' | 'E'): Promise<Ending | null> {
    const { way, hidden, connection } = this.prepared;
    // Before a ROLLBACK of ours, behind which the client is sent notifications that have waited for it.
    const mayRunAgain = this.mayRunAgain();
    if (this.tag === null || status !== 'T') {
      this.abort();
      if (way === 'own' && status !== 'I') await connection.run(plainQuery('ROLLBACK'), () => {});
      const { untold } = this;
      if (way !== 'own') await this.state.untilHiddenOver();
      if (untold === null) return { kind: 'told' };
      this.untold = null;
      return mayRunAgain && (await this.runsAgain()) ? null : { kind: 'failed', error: untold };
    }
    const outcome = await this.provedInFull();
    if (outcome.kind === 'failed') {
      const { looks } = outcome;
      const passes = outcome.passes === true && (mayRunAgain || this.mayRunAgain(looks));
      this.abort();
      if (way === 'own') await connection.run(plainQuery('ROLLBACK'), () => {});
      else if (this.state.transactionStatus === 'T') await failTransaction(this.prepared.connection);
      if (passes && (await this.runsAgain(looks))) return null;
      if (way === 'own') this.state.services.audit.abandon(this.entry.session);
      return outcome;
    }
    if (way !== 'own') return outcome;
    const isRecorded = await this.state.services.audit.whenRecorded(this.entry.session);
    const refused = isRecorded ? heldBackSince(this.state, this.entry) : auditFailedError();
    if (refused !== null) {
      this.abort();
      await connection.run(plainQuery('ROLLBACK'), () => {});
      return { kind: 'failed', error: refused };
    }
    try {
      await hidden.commit();
      return outcome;
    } catch (error) {
      // Whether it was committed is not known where the server is gone, so that the snapshot stays.
      if (error instanceof HiddenQueryEnded) return { kind: 'lost', snapshotId: outcome.snapshotId };
      if (!(error instanceof HiddenQueryError)) {
        this.entry.decision = noted(this.entry.decision, outcome.snapshotId, outcome.why);
        throw error;
      }
      this.abort();
      return { kind: 'failed', error: nativeError(error) };
    }
  }

  /**
   * Runs it once more if nothing of it has been told, such as rows, and it has no code of the user's, which may have
   * done more than a rollback takes back; with such code only where what that has changed elsewhere is to be kept.
   */
  private async runsAgain(looks?: LooksNext): Promise<boolean> {
    const { state } = this;
    const { again, connection, way } = this.prepared;
    if (again === null || state.client.socket.destroyed) return false;
    this.tries++;
    const next = await again(looks).catch((error: unknown) => {
      if (error instanceof HiddenQueryEnded) throw error;
      return null;
    });
    await state.untilHiddenOver();
    if (next === null || !this.stands) {
      if (next !== null) void next.prepared.snapshot?.writer.abort();
      if (way === 'own' && state.transactionStatus !== 'I')
        await connection.run(plainQuery('ROLLBACK'), () => {});
      return false;
    }
    this.prepared = next.prepared;
    this.tag = null;
    this.toldBytes = state.client.bytesOut;
    next.send(this);
    this.sent();
    return true;
  }

  private mayRunAgain(looks?: LooksNext): boolean {
    const { client } = this.state;
    const { again, snapshot, way } = this.prepared;
    if (again === null || snapshot === null) return false;
    if (snapshot.plan.opaque && looks === undefined) return false;
    if (this.tries >= LIMITS.snapshotTriesMax) return false;
    // An Execute that may run again gives no rows; what its Bind is answered with may be told meanwhile.
    const isUntold = way === 'segment' || client.bytesOut === this.toldBytes;
    return isUntold && !client.socket.destroyed;
  }

  private async settleExecute(): Promise<Ending | null> {
    const outcome = await this.provedInFull();
    if (outcome.kind !== 'failed') return outcome;
    this.abort();
    if (!this.state.discarding) await failTransaction(this.prepared.connection);
    const passes = outcome.passes === true && this.mayRunAgain(outcome.looks);
    return passes && (await this.runsAgain(outcome.looks)) ? null : outcome;
  }

  /** As `proved`; but a query of ours that was given up may have failed since, and the transaction with it. */
  private async provedInFull(): Promise<Exclude<Ending, { kind: 'told' | 'lost' }>> {
    const { state } = this;
    const outcome = await this.proved();
    await state.untilHiddenOver();
    if (outcome.kind === 'failed') return outcome;
    if (!this.stands) return { kind: 'failed', error: snapshotFailedError(outcome.why) };
    // What a transaction of the client's has written it may commit.
    const mayCommit = this.prepared.way !== 'segment' || state.isInBlock;
    const refused = mayCommit ? null : heldBackSince(state, this.entry);
    return refused === null ? outcome : { kind: 'failed', error: refused };
  }

  private get stands(): boolean {
    const { discarding, transactionStatus } = this.state;
    return this.prepared.way === 'segment' ? !discarding : transactionStatus === 'T';
  }

  private readonly abort = (): void => void this.prepared.snapshot?.writer.abort();

  /** Proves the capture and makes the snapshot durable. */
  private async proved(): Promise<Exclude<Ending, { kind: 'told' | 'lost' }>> {
    const { snapshot, connection, seen } = this.prepared;
    const approved = approvedRowsOf(this.entry.decision);
    const { analysis, decision } = this.entry;
    const tag = countingTag(this.tag, analysis);
    const mayBeUntold = snapshot !== null || !isCounted(analysis);
    const exceeds = approved === null ? null : exceedsByTag(approved, tag, seen, mayBeUntold);
    if (exceeds !== null) {
      // What proves it has been sent, and may not meet what the client sends next.
      await this.proving?.catch(() => {});
      return { kind: 'failed', error: exceeds };
    }
    const outside = outsideUnproved(this.entry, this.tag, snapshot !== null);
    if (outside !== null) {
      await this.proving?.catch(() => {});
      return { kind: 'failed', error: outside };
    }
    if (snapshot === null) return { kind: 'done', snapshotId: null, why: '' };
    const { plan, writer, facts, required } = snapshot;
    const recorded = this.state.services.audit.whenRecorded(this.entry.session);
    let unknown =
      (approved === null ? null : uncounted(approved, tag, snapshot)) ?? untoldRows(decision, this.tag);
    try {
      const proof = await (this.proving ?? this.prove(snapshot));
      if (proof.kind === 'drift') {
        const exceeds = proof.exceeds === true;
        const { unlooked } = proof;
        if (unlooked !== undefined) snapshot.remember?.(unlooked);
        if (required) {
          const error = driftError(proof.reason, exceeds, proof.ownCode, unlooked !== undefined);
          const { overtaken } = proof;
          if (unlooked === undefined && overtaken === undefined)
            return { kind: 'failed', error, passes: !exceeds };
          return { kind: 'failed', error, passes: true, looks: { locked: overtaken ?? new Map() } };
        }
        if (unknown !== null) return { kind: 'failed', error: unknown, passes: !exceeds };
        void writer.abort();
        return { kind: 'done', snapshotId: null, why: proof.reason };
      }
      const more =
        (approved === null ? null : exceedsByCapture(approved, proof.tables)) ??
        outsideByCapture(decision, this.tag, proof.tables);
      if (more !== null) return { kind: 'failed', error: more };
      unknown = null;
      const none = proof.tables.every(({ before, after }) => before === 0 && after === 0);
      if (none && plan.sequences.length === 0) {
        void writer.abort();
        return { kind: 'done', snapshotId: null, why: plan.nothingBecause ?? 'it changed no row' };
      }
      const server = proof.server.xid === '' ? await readServerFacts(connection) : proof.server;
      const storing = storedInTime(this.state, writer.finish(plan, proof, facts(server)), this.abort);
      // Where the record fails, that tells why.
      storing.catch(() => {});
      if (!(await recorded)) return { kind: 'failed', error: auditFailedError() };
      const manifest = await storing;
      return { kind: 'done', snapshotId: manifest.id, why: '' };
    } catch (error) {
      if (error instanceof HiddenQueryEnded) {
        void writer.abort();
        throw error;
      }
      if (error instanceof HiddenQueryError) return { kind: 'failed', error: nativeError(error) };
      if (error instanceof StoringCanceled) return { kind: 'failed', error: canceledError() };
      if (required) return { kind: 'failed', error: snapshotFailedError(messageOf(error)) };
      if (unknown !== null) return { kind: 'failed', error: unknown };
      void writer.abort();
      return { kind: 'done', snapshotId: null, why: messageOf(error) };
    }
  }

  private release(ending: Ending): void {
    const { state, entry } = this;
    const { part, snapshot } = this.prepared;
    this.ending = ending;
    const isQuery = this.prepared.way !== 'segment';
    const parts: Buffer[] = [];
    if (ending.kind === 'done') {
      const complete = Buffer.from(`${this.tag ?? ''}\0`, 'latin1');
      entry.end = this.tag === null ? 'suspended' : 'completed';
      entry.rows = this.tag === null ? -1 : rowsOfCommandTag(complete, 0, complete.length);
      if (snapshot !== null) entry.decision = noted(entry.decision, ending.snapshotId, ending.why);
      // Before anything is sent that ends the transaction.
      if (ending.snapshotId !== null && snapshot !== null && this.prepared.way !== 'own')
        state.fates.add(snapshot.folder, isQuery);
      if (part?.keepsTag !== true) {
        parts.push(
          this.tag === null
            ? encodeMessage(Backend.PortalSuspended, Buffer.alloc(0))
            : encodeMessage(Backend.CommandComplete, complete),
        );
      }
    } else if (ending.kind === 'failed') {
      entry.end = entry.decision.action === 'block' ? 'blocked' : 'failed';
      entry.sqlstate = ending.error['C'] ?? null;
      entry.decision = noted(entry.decision, null, ending.error['M'] ?? '');
      parts.push(encodeErrorResponse(ending.error, state.clientEncoding));
      state.failedUntold = null;
    } else if (ending.kind === 'lost' && typeof ending.snapshotId === 'string') {
      entry.decision = noted(entry.decision, ending.snapshotId, '');
    }
    if (isQuery && part === null && ending.kind !== 'lost')
      parts.push(encodeReadyForQuery(state.transactionStatus));
    if (parts.length > 0) state.inject(Buffer.concat(parts));
    entry.durationMs = nowMs() - entry.startedAtMs;
    if (ending.kind === 'lost' || (isQuery && part === null)) {
      entry.transactionStatus = ending.kind === 'lost' ? '?' : state.transactionStatus;
      state.services.audit.finish(entry);
    } else {
      // The segment's ReadyForQuery tells the status.
      state.ended.push(entry);
    }
    this.end();
    state.answered();
  }
}
