import type { Risk } from '../sql/effects.ts';

export const APPROVAL_STATES = [
  'pending',
  'approved',
  'denied',
  'canceled',
  'disconnected',
  'timeout',
  'abandoned',
] as const;
/** `abandoned`: the gateway stopped while the statement was held. */
export type ApprovalState = (typeof APPROVAL_STATES)[number];

/** One statement that waits, or waited, for a person; as it is stored and as the API shows it. */
export interface Approval {
  readonly id: string;
  readonly state: ApprovalState;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly resolvedAtMs: number | null;
  readonly resolvedBy: string | null;
  readonly comment: string | null;
  /** How many must approve, each under another name. */
  readonly approvalsNeeded: number;
  /** Who has, while it is pending. */
  readonly approvedBy: readonly string[];
  readonly sessionId: string;
  readonly role: string;
  readonly database: string;
  readonly application: string;
  readonly client: string;
  /** Passwords masked, and cut at LIMITS.auditTextBytes. */
  readonly statement: string;
  readonly statementSha256: string;
  readonly parameters: number;
  readonly operation: string;
  readonly risk: Risk;
  readonly reasons: readonly string[];
  readonly tables: readonly string[];
  readonly rule: string;
  readonly reason: string;
}

/** How a hold ended, told to the session that waits. */
export type HoldOutcome =
  | { readonly kind: 'approved'; readonly by: string; readonly comment: string | null }
  | { readonly kind: 'denied'; readonly by: string; readonly comment: string | null }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'canceled' }
  | { readonly kind: 'disconnected' }
  | { readonly kind: 'failed'; readonly error: Error };

export type NewApproval = Pick<
  Approval,
  | 'approvalsNeeded'
  | 'sessionId'
  | 'role'
  | 'database'
  | 'application'
  | 'client'
  | 'statement'
  | 'parameters'
  | 'operation'
  | 'risk'
  | 'reasons'
  | 'tables'
  | 'rule'
  | 'reason'
> & { readonly timeoutMs: number };

/** A statement being held, as its session sees it. */
export interface HeldStatement {
  readonly id: string;
  /** Settles once, and never rejects; an error of the store is `failed`, which lets nothing through. */
  readonly outcome: Promise<HoldOutcome>;
  /** The client gave up; does nothing once the hold has ended. */
  end(how: 'canceled' | 'disconnected'): void;
}

/** What the session asks of approvals. The record is durable before the promise resolves. */
export interface ApprovalDesk {
  request(approval: NewApproval): Promise<HeldStatement>;
}
