import type { RowsTolerance } from '../policy/decision.ts';
import type { KnownRows } from '../policy/row-set.ts';
import type { Risk } from '../sql/effects.ts';

export const APPROVAL_STATES = [
  'pending',
  'approved',
  'denied',
  'canceled',
  'disconnected',
  'timeout',
  'superseded',
  'abandoned',
] as const;
/**
 * `superseded`: its tables have changed since, and it was asked for anew. `abandoned`: of an earlier version, which
 * forgot what it held when it stopped.
 */
export type ApprovalState = (typeof APPROVAL_STATES)[number];

/** One statement that waits, or waited, for people; as it is stored and as the API shows it. */
export interface Approval {
  readonly id: string;
  readonly state: ApprovalState;
  /** `live`: a session waits for it. `ticket`: whoever asks again may run it, once. */
  readonly mode: 'live' | 'ticket';
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly resolvedAtMs: number | null;
  readonly resolvedBy: string | null;
  readonly comment: string | null;
  /** How many must approve, each under another name. */
  readonly approvalsNeeded: number;
  /** The groups of which they must be members; null for anybody. */
  readonly approvers: readonly string[] | null;
  /** In the order in which they were given. */
  readonly votes: readonly Vote[];
  /** Once it is approved. */
  readonly grant: Grant | null;
  readonly binding: Binding;
  /** How it differs from what was approved before of the same statement; empty where nothing was. */
  readonly drift: readonly string[];
  readonly sessionId: string;
  readonly role: string;
  readonly database: string;
  readonly application: string;
  readonly client: string;
  /** Passwords masked, and cut at LIMITS.auditTextBytes; the store has more of it (StoredApprovalDesk.text). */
  readonly statement: string;
  /** How it ends, where it is cut; empty where it is not. */
  readonly statementEnd: string;
  /** Of the whole; null for those of earlier versions. */
  readonly statementBytes: number | null;
  readonly statementSha256: string;
  readonly parameters: number;
  readonly operation: string;
  readonly risk: Risk;
  readonly reasons: readonly string[];
  readonly tables: readonly string[];
  readonly rule: string;
  readonly reason: string;
}

export interface Vote {
  readonly principal: string;
  /** Who that is, under whatever name. */
  readonly person: string;
  /** Who their issuer says that they are; null where none does. */
  readonly subject: string | null;
  readonly verdict: 'approve' | 'deny';
  readonly atMs: number;
  readonly comment: string | null;
  /** It sufficed alone, in an emergency. */
  readonly breakGlass: boolean;
}

/** The right to run what was approved, once. */
export interface Grant {
  readonly untilMs: number;
  readonly consumedAtMs: number | null;
  /** The session that has used it. */
  readonly consumedBy: string | null;
}

/** What an approval is good for, besides the statement, the role and the database. */
export interface Binding {
  /**
   * Hash of the statement, its parameters, role and database: what the same request has again. With a secret as soon as
   * it is stored. Null: it has none.
   */
  readonly key: string | null;
  /** Whose rights the session has, where that is not who logged in; null where the server was not asked. */
  readonly runsAs: string | null;
  /** As the session has set it; null where the server was not asked. */
  readonly searchPath: string | null;
  /** Of the tables and functions that the statement names; null where the server was not asked. */
  readonly schemaSha256: string | null;
  /** How many rows it would change, as far as that was known when it was asked for. */
  readonly rows: number | null;
  readonly rowsTolerance: RowsTolerance;
  /** Why there will be no snapshot of it, where that is known; null otherwise. */
  readonly withoutSnapshot: string | null;
}

/** How a hold ended, told to the session that waits. */
export type HoldOutcome =
  | { readonly kind: 'approved'; readonly by: string; readonly comment: string | null }
  | { readonly kind: 'denied'; readonly by: string; readonly comment: string | null }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'canceled' }
  | { readonly kind: 'disconnected' }
  /** It is to be asked for by running the statement again, once the approval has been given. */
  | { readonly kind: 'ticket'; readonly url: string; readonly drift: readonly string[] }
  /** The server refuses it, as it would without a gateway. */
  | { readonly kind: 'refused'; readonly error: Readonly<Record<string, string>> }
  | { readonly kind: 'failed'; readonly error: Error };

export type NewApproval = Pick<
  Approval,
  | 'mode'
  | 'approvalsNeeded'
  | 'approvers'
  | 'binding'
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
> & {
  readonly timeoutMs: number;
  readonly grantMs: number;
  /** Why what has been approved of it already does not suffice. */
  readonly drift?: readonly string[];
  /**
   * The rows that it would change now, as far as they can be known; asked where others have been approved. With the salt of
   * these they are told from each other, and without it only counted.
   */
  readonly findRows?: (salt: Uint8Array | null) => Promise<KnownRows | null>;
};

/** What was asked for beside what would run now. */
export interface ComparedNow {
  /** How they differ; it is to be asked for again where that is anything. */
  readonly drift: readonly string[];
  /**
   * The rows that those who decided were told of, as they were compared; null where not even their number was exact, or
   * something else has drifted already.
   */
  readonly rowsShown: KnownRows | null;
}

/** A statement being held, as its session sees it. */
export interface HeldStatement {
  readonly id: string;
  /**
   * Settles once, and never rejects; an error of the store is `failed`, which lets nothing through. Null: somebody
   * else has run it on the approval that was waited for, so that it is to be asked for again.
   */
  readonly outcome: Promise<HoldOutcome | null>;
  compare(now: NewApproval): Promise<ComparedNow>;
  /** The client gave up; does nothing once the hold has ended. */
  end(how: 'canceled' | 'disconnected'): void;
}

/** What comes of asking: an answer that is there already, or one to wait for; `isNew` where nobody had asked. */
export type Asked =
  | { readonly kind: 'waits'; readonly id: string; readonly isNew: boolean; readonly held: HeldStatement }
  /** `approval` is what was approved, and is used up now. */
  | { readonly kind: 'granted'; readonly approval: Approval; readonly rowsShown: KnownRows | null }
  | {
      readonly kind: 'answered';
      readonly id: string;
      readonly isNew: boolean;
      readonly outcome: HoldOutcome;
    };

/** What the session asks of approvals. The record is durable before the promise resolves. */
export interface ApprovalDesk {
  request(approval: NewApproval): Promise<Asked>;
}
