import type { Decision } from '../policy/decision.ts';
import type { Analysis } from '../sql/effects.ts';
import type { ShapePieces } from '../sql/recent/shape-pieces.ts';
import type { KeptLiterals } from './kept-literals.ts';
import type { Piece } from './piece.ts';

/** The part of an event that is the same for all statements of a session. */
export interface AuditSession {
  readonly id: string;
  readonly role: string;
  readonly database: string;
  readonly application: string;
  /** Address and port. */
  readonly client: string;
  /** The log's own: how this very object is written, once it was. */
  written?: { readonly of: AuditSession; readonly piece: Piece };
}

/** How a statement ended. `lost`: the connection went before the server had answered. */
export type AuditEnd = 'completed' | 'suspended' | 'failed' | 'blocked' | 'not-run' | 'lost';

/**
 * A statement in flight. The session makes one when it decides, fills in the outcome when the server has
 * answered, and hands the same object to both calls of AuditLog; it may be reused after `finish`.
 */
export interface AuditEntry {
  session: AuditSession;
  analysis: Analysis;
  decision: Decision;
  /** The text as it was sent, or null where `analysis.redacted` stands for it, or `literals` do. */
  text: string | null;
  /** In the place of `text`: the literals of one that has `shape`. */
  literals: KeptLiterals | null;
  /** The shape that the text was proven to have, or null where none is known. */
  shape: ShapePieces | null;
  /** How it came: a simple Query, an Execute of the extended protocol, a FunctionCall; or no client's at all. */
  protocol: 'simple' | 'extended' | 'function' | 'admin';
  /** Which statement of a Query this is, from 0. */
  statementIndex: number;
  /** Milliseconds since the epoch, with a fraction. */
  startedAtMs: number;
  parameters: number;
  approvalId: string | null;
  holdMs: number;
  // The outcome:
  end: AuditEnd;
  durationMs: number;
  /** Rows as the command tag tells them, or -1 where it does not. */
  rows: number;
  /** Five characters, or null on success. */
  sqlstate: string | null;
  /** Transaction status after the statement's segment as ReadyForQuery tells it; '?' until then. */
  transactionStatus: 'I' | 'T' | 'E' | '?';
  /** It was found to change nothing, although its text does not tell: no record of it is owed before it runs. */
  onlyReads?: true;
  /** The log's own: 0 from `begin` on, then the record that it is in while it runs, and -1 or nothing otherwise. */
  openId?: number;
}

export interface AuditLog {
  /** A statement that may change something is about to be sent; it is recorded even if its outcome never comes. */
  begin(entry: AuditEntry): void;
  /** What was begun has been taken back, and is decided or begun anew. */
  withdraw(entry: AuditEntry): void;
  /** The statement has ended; its event is written. */
  finish(entry: AuditEntry): void;
  /** True while more is queued than the store keeps up with: read no further from clients until `drained`. */
  readonly saturated: boolean;
  /** The store has refused to write, and has not written since: what changes something must not be sent or committed. */
  readonly failing: boolean;
  /** Whether all that the session has begun is durable, so that it may be committed. */
  isRecorded(session: AuditSession): boolean;
  /** Resolves when it is; or with false as soon as the store fails, or after LIMITS.auditRecordMs. */
  whenRecorded(session: AuditSession): Promise<boolean>;
  /** What the session has begun and is not durable yet is taken back, so that nothing commits it. */
  abandon(session: AuditSession): void;
  /** Resolves when the store writes again, or with false after LIMITS.auditRefuseMs. */
  whenWorking(): Promise<boolean>;
  /** Calls back once, when the queue is short again. */
  onceDrained(callback: () => void): void;
}
