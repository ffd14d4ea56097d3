import type { Risk } from '../sql/effects.ts';
import type { RowCount } from './row-limit.ts';
import type { KnownRows } from './row-set.ts';

/** Who runs a statement and from where. `application` is the client's word and unauthenticated. */
export interface SessionFacts {
  readonly role: string;
  readonly database: string;
  readonly application: string;
  /** IP address without port, or `local`. */
  readonly client: string;
}

export const MODES = ['monitor', 'protect', 'block'] as const;
export type Mode = (typeof MODES)[number];

export interface Draft {
  readonly rule: string;
  readonly action: 'allow' | 'snapshot' | 'hold' | 'block';
}

/** What came of counting the rows of a statement before it was decided. */
export type CountedRows =
  | {
      readonly kind: 'counted';
      readonly rows: RowCount;
      /** Decided no more strictly than with so many; with others it may not be committed. */
      readonly within: RowCount;
    }
  /** They might be any number. */
  | { readonly kind: 'uncounted'; readonly reason: string };

interface Ground {
  /** The rule's name, or `default:<risk>`, or `mode:block`. */
  readonly rule: string;
  readonly reason: string;
  readonly risk: Risk;
  /** In monitor mode, the action that protect would have taken; otherwise null. */
  readonly wouldBe: 'snapshot' | 'hold' | 'block' | null;
  /** What a rule that is only a draft would have done, had it been in force. */
  readonly draft?: Draft;
  /** Where it hung on the number of rows. */
  readonly counted?: CountedRows;
}

export const HOLD_MODES = ['live', 'ticket', 'auto'] as const;
/** `auto` is live where no transaction is open, and a ticket inside one. */
export type HoldMode = (typeof HOLD_MODES)[number];

/** How many rows more or fewer than were approved a statement may change. */
export type RowsTolerance =
  | { readonly unit: 'percent'; readonly percent: number }
  | { readonly unit: 'rows'; readonly rows: number };

/** The rows that were approved. */
export interface ApprovedRows extends KnownRows {
  readonly tolerance: RowsTolerance;
}

/** How a statement is held, and who may let it go. */
export interface HoldTerms {
  readonly mode: HoldMode;
  /** How long an answer is waited for. */
  readonly timeoutMs: number;
  readonly approvals: number;
  /** The groups of which those who approve must be members; null for anybody. */
  readonly approvers: readonly string[] | null;
  /** How long what was approved by a ticket may be run. */
  readonly grantMs: number;
  /** How often a client that waits is told so. */
  readonly noticeMs: number;
  readonly rowsTolerance: RowsTolerance;
}

/** What becomes of a statement whose snapshot is required, where no exact plan for it exists. */
export type WithoutPlan =
  | { readonly kind: 'allow' }
  | { readonly kind: 'block' }
  | ({ readonly kind: 'hold' } & HoldTerms);

export interface Allow extends Ground {
  readonly action: 'allow';
}
export interface Snapshot extends Ground {
  readonly action: 'snapshot';
  readonly snapshot: 'required' | 'best_effort';
  /** Blocked where it is left out, and of no meaning with best_effort. */
  readonly withoutPlan?: WithoutPlan;
  /** Which snapshot was taken, or why none; unset as long as that is open. */
  readonly taken?: string;
}
export interface Hold extends Ground, HoldTerms {
  readonly action: 'hold';
  readonly snapshot: 'required' | 'best_effort' | 'off';
  /** As of a Snapshot. */
  readonly withoutPlan?: WithoutPlan;
  /** As of a Snapshot, once the statement has been approved. */
  readonly taken?: string;
  /** Once it has been approved, and what those who did were shown was exact. */
  readonly approvedRows?: ApprovedRows;
}
export interface Block extends Ground {
  readonly action: 'block';
  readonly hint: string;
}

/** What policy says of a statement: frozen, and the same object for the same statement and session facts. */
export type Decision = Allow | Snapshot | Hold | Block;
export type Action = Decision['action'];
