import type { AuditEntry } from '../audit/event.ts';
import { nowMs } from '../base/clock.ts';
import { LIMITS } from '../base/limits.ts';
import { type HiddenConnection, HiddenQueryError } from '../catalog/connection.ts';
import { textColumns } from '../catalog/row.ts';
import { type Capture, plainQuery } from '../snapshot/capture.ts';
import type { CapturePlan } from '../snapshot/plan.ts';
import { captureAfter } from '../snapshot/prove.ts';
import type { SnapshotFacts, SnapshotWriter } from '../snapshot/snapshot-writer.ts';
import {
  type ErrorFields,
  encodeErrorResponse,
  encodeMessage,
  encodeReadyForQuery,
  rowsOfCommandTag,
} from '../wire/backend.ts';
import { Backend } from '../wire/message-type.ts';
import { HiddenQueryEnded } from './hidden-exchange.ts';
import { noted } from './noted.ts';
import { driftError, nativeError, snapshotFailedError } from './refusal.ts';
import type { SessionState } from './state.ts';

/** What was captured of a statement that is about to run. */
export interface Prepared {
  readonly plan: CapturePlan;
  readonly capture: Capture;
  readonly writer: SnapshotWriter;
  readonly facts: (read: ServerFacts) => SnapshotFacts;
  /** The transaction is the gateway's own, which it commits. */
  readonly opened: boolean;
  readonly required: boolean;
}

export interface ServerFacts {
  readonly versionNum: number;
  readonly encoding: string;
  readonly xid: string;
}

const SERVER_FACTS = `SELECT pg_catalog.current_setting('server_version_num'),
  pg_catalog.current_setting('client_encoding'), pg_catalog.pg_current_xact_id()::pg_catalog.text`;

async function readServerFacts(connection: HiddenConnection): Promise<ServerFacts> {
  let texts: readonly (string | null)[] = [];
  await connection.run(plainQuery(SERVER_FACTS), (row) => {
    texts = textColumns(row);
  });
  const [version, encoding, xid] = texts;
  return { versionNum: Number(version), encoding: encoding ?? '', xid: xid ?? '' };
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** How the statement ends for the client and for the audit. */
type Ending =
  | { readonly kind: 'done'; readonly snapshotId: string | null; readonly why: string }
  | { readonly kind: 'failed'; readonly error: ErrorFields }
  /** The server has told the client itself. */
  | { readonly kind: 'told' }
  | { readonly kind: 'lost' };

/**
 * Stands between a statement that has run and its commit, for a Query of one statement.
 *
 * States:
 * - running: the server works on the client's Query. Rows, notices and errors pass; CommandComplete is kept.
 * - settling: the server is ready. The capture is proved and stored, and the transaction, if it is ours, committed.
 * - over: the client has been told, and what it sent since is looked at.
 *
 * Invariant: the client reads of success only after the snapshot is durable and, where the transaction is ours, after
 * it has been committed; and it is never committed before.
 */
export class StatementGate {
  /** Resolves when the client's stream may go on. */
  readonly over: Promise<void>;
  private readonly state: SessionState;
  private readonly hidden: HiddenConnection;
  private readonly prepared: Prepared;
  private readonly entry: AuditEntry;
  private tag: string | null = null;
  private end!: () => void;

  constructor(state: SessionState, hidden: HiddenConnection, prepared: Prepared, entry: AuditEntry) {
    this.state = state;
    this.hidden = hidden;
    this.prepared = prepared;
    this.entry = entry;
    this.over = new Promise((resolve) => {
      this.end = resolve;
    });
  }

  /** The statement has run; its CommandComplete is kept from the client for now. */
  completed(tag: string): void {
    this.tag = tag;
  }

  /** The server is ready again; `status` is how it stands. */
  ready(status: 'I' | 'T' | 'E'): void {
    void this.settle(status)
      .catch((error: unknown): Ending => {
        if (error instanceof HiddenQueryEnded) return { kind: 'lost' };
        this.state.services.log.error({ err: error, session: this.state.identity.id }, 'failed to snapshot');
        this.state.upstream.destroy();
        return { kind: 'lost' };
      })
      .then((ending) => this.release(ending));
  }

  /** The server has refused the statement, which the client is told as it is. */
  failed(sqlstate: string | null): void {
    this.entry.end = 'failed';
    this.entry.sqlstate = sqlstate;
  }

  /** The connection went while the statement ran. */
  lost(): void {
    void this.prepared.writer.abort();
    this.release({ kind: 'lost' });
  }

  private async settle(status: 'I' | 'T' | 'E'): Promise<Ending> {
    const { opened, writer } = this.prepared;
    if (this.tag === null || status !== 'T') {
      void writer.abort();
      if (opened && status !== 'I') await this.hidden.run(plainQuery('ROLLBACK'), () => {});
      return { kind: 'told' };
    }
    const outcome = await this.proved();
    if (outcome.kind === 'failed') {
      void writer.abort();
      await this.undo();
      return outcome;
    }
    if (!opened) return outcome;
    try {
      await this.hidden.run(plainQuery('COMMIT'), () => {});
      return outcome;
    } catch (error) {
      // Whether it was committed is not known where the server is gone, so that the snapshot stays.
      if (!(error instanceof HiddenQueryError)) throw error;
      void writer.abort();
      return { kind: 'failed', error: nativeError(error) };
    }
  }

  /** Proves the capture and makes the snapshot durable. */
  private async proved(): Promise<Exclude<Ending, { kind: 'told' | 'lost' }>> {
    const { plan, capture, writer, facts, required } = this.prepared;
    try {
      const [proof, server] = await Promise.all([
        captureAfter(this.hidden, plan, capture, this.tag!, writer),
        readServerFacts(this.hidden),
      ]);
      if (proof.kind === 'drift') return { kind: 'failed', error: driftError(proof.reason) };
      if (proof.tables.every(({ before, after }) => before === 0 && after === 0)) {
        void writer.abort();
        return { kind: 'done', snapshotId: null, why: 'it changed no row' };
      }
      const manifest = await this.stored(writer.finish(plan, proof.tables, facts(server)));
      return { kind: 'done', snapshotId: manifest.id, why: '' };
    } catch (error) {
      if (error instanceof HiddenQueryEnded) {
        void writer.abort();
        throw error;
      }
      if (error instanceof HiddenQueryError) return { kind: 'failed', error: nativeError(error) };
      if (required) return { kind: 'failed', error: snapshotFailedError(messageOf(error)) };
      void writer.abort();
      return { kind: 'done', snapshotId: null, why: messageOf(error) };
    }
  }

  /** What takes longer than the limit is given up, and what it may leave behind is taken away once it has ended. */
  private async stored<T>(storing: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | null = null;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        void storing.catch(() => {}).then(() => this.prepared.writer.abort());
        reject(new Error(`it was not stored within ${LIMITS.snapshotStoreMs} ms`));
      }, LIMITS.snapshotStoreMs);
    });
    try {
      return await Promise.race([storing, late]);
    } finally {
      if (timer !== null) clearTimeout(timer);
    }
  }

  /** Takes the statement back: with its transaction, or by having the transaction fail that it is a part of. */
  private async undo(): Promise<void> {
    if (this.prepared.opened) await this.hidden.run(plainQuery('ROLLBACK'), () => {});
    else if (this.state.transactionStatus === 'T') {
      await this.hidden
        .run(plainQuery('holdfast takes a statement back'), () => {})
        .catch((error: unknown) => {
          if (!(error instanceof HiddenQueryError)) throw error;
        });
    }
  }

  private release(ending: Ending): void {
    const { state, entry } = this;
    const status = state.transactionStatus;
    if (ending.kind === 'done') {
      entry.end = 'completed';
      const complete = Buffer.from(`${this.tag}\0`, 'latin1');
      entry.rows = rowsOfCommandTag(complete, 0, complete.length);
      entry.decision = noted(entry.decision, ending.snapshotId, ending.why);
      state.inject(
        Buffer.concat([encodeMessage(Backend.CommandComplete, complete), encodeReadyForQuery(status)]),
      );
    } else if (ending.kind === 'failed') {
      entry.end = 'failed';
      entry.sqlstate = ending.error['C'] ?? null;
      entry.decision = noted(entry.decision, null, ending.error['M'] ?? '');
      const error = encodeErrorResponse(ending.error, state.clientEncoding);
      state.inject(Buffer.concat([error, encodeReadyForQuery(status)]));
    } else if (ending.kind === 'told') {
      state.inject(encodeReadyForQuery(status));
    }
    entry.durationMs = nowMs() - entry.startedAtMs;
    entry.transactionStatus = ending.kind === 'lost' ? '?' : status;
    state.services.audit.finish(entry);
    this.end();
    state.answered();
  }
}
