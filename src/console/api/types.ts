/** What the API answers, as far as the console shows it. Fields of later versions are optional. */

export type Risk = 'safe' | 'low' | 'high' | 'critical' | 'forbidden';
export type Action = 'allow' | 'snapshot' | 'hold' | 'block';

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly next: string | null;
}

export interface Approval {
  readonly id: string;
  readonly state: string;
  readonly created_at: string;
  readonly expires_at: string;
  readonly resolved_at: string | null;
  readonly resolved_by: string | null;
  readonly comment: string | null;
  readonly approvals_needed: number;
  readonly approved_by: readonly string[];
  readonly session: string;
  readonly role: string;
  readonly database: string;
  readonly application: string;
  readonly client: string;
  readonly statement: string;
  /** How it ends, where `statement` is cut. */
  readonly statement_end?: string;
  /** Of the whole, of which `statement` may be the beginning. */
  readonly statement_bytes?: number | null;
  readonly statement_sha256: string;
  readonly parameters: number;
  readonly operation: string;
  readonly risk: Risk;
  readonly reasons: readonly string[];
  readonly tables: readonly string[];
  readonly rule: string;
  readonly reason: string;
  readonly mode?: 'live' | 'ticket';
  readonly approvers?: readonly string[] | null;
  readonly votes?: readonly {
    readonly principal: string;
    readonly verdict: string;
    readonly at: string;
    readonly comment: string | null;
    readonly break_glass?: boolean;
  }[];
  readonly grant?: {
    readonly until: string;
    readonly consumed_at: string | null;
    readonly consumed_by: string | null;
  } | null;
  readonly binding?: {
    readonly runs_as: string | null;
    readonly search_path: string | null;
    readonly schema_sha256: string | null;
    readonly rows: number | null;
    readonly rows_tolerance: string;
    readonly without_snapshot: string | null;
  };
  readonly drift?: readonly string[];
}

/** As much of its statement as the gateway keeps. */
export type ApprovalText = Pick<Approval, 'id' | 'statement' | 'statement_bytes' | 'statement_sha256'>;

export interface AuditEvent {
  readonly id: string;
  readonly time: string;
  readonly session: string;
  readonly role: string;
  readonly database: string;
  readonly application: string;
  readonly client: string;
  readonly sql: string | null;
  readonly sql_truncated: boolean;
  readonly sql_sha256: string | null;
  readonly statement_index: number;
  readonly parameters: number;
  readonly protocol: string;
  readonly operation: string;
  readonly operations: readonly string[];
  readonly tables: readonly string[];
  readonly risk: Risk;
  readonly reasons: readonly string[];
  readonly problem: string | null;
  readonly action: Action;
  readonly would_be: string | null;
  readonly rule: string;
  readonly reason: string;
  readonly snapshot: string | null;
  readonly approval_id: string | null;
  readonly hold_ms: number;
  readonly end: string;
  readonly rows: number | null;
  readonly sqlstate: string | null;
  readonly duration_ms: number | null;
  readonly transaction_status: string | null;
  readonly context: Readonly<Record<string, string>>;
}

export interface SnapshotSummary {
  readonly id: string;
  readonly created_at: string;
  readonly role: string;
  readonly database: string;
  readonly application: string;
  readonly client: string;
  readonly operation: string;
  readonly statement: string;
  readonly tables: readonly string[];
  readonly table_count: number;
  readonly dropped: number;
  readonly rows_before: number;
  readonly rows_after: number;
  readonly bytes: number;
  readonly rolled_back: boolean;
  readonly undone: boolean;
}

export interface UnreadableSnapshot {
  readonly id: string;
  readonly problem: string;
}

interface RowFile {
  readonly rows: number;
  readonly bytes: number;
  readonly raw_bytes: number;
}

export interface SnapshotTable {
  readonly schema: string;
  readonly name: string;
  readonly cause: { readonly kind: string; readonly constraint?: string; readonly level?: number };
  readonly columns: readonly {
    readonly name: string;
    readonly type: { readonly schema: string; readonly name: string };
    readonly not_null: boolean;
    readonly generated: string;
    readonly identity: string;
  }[];
  readonly key: readonly string[] | null;
  readonly before: RowFile | null;
  readonly after: RowFile | null;
}

export interface Snapshot {
  readonly id: string;
  readonly created_at: string;
  readonly gateway: string;
  readonly session: {
    readonly id: string;
    readonly role: string;
    readonly database: string;
    readonly application: string;
    readonly client: string;
  };
  readonly server: { readonly version_num: number; readonly encoding: string };
  readonly xid: string;
  readonly statement: { readonly text: string; readonly operation: string; readonly parameters: number };
  readonly decision: { readonly rule: string; readonly risk: Risk };
  readonly approval_id: string | null;
  readonly tables: readonly SnapshotTable[];
  readonly added?: readonly { readonly schema: string; readonly name: string; readonly rows: number }[];
  readonly dropped?: {
    readonly objects: readonly { readonly kind: string; readonly schema: string; readonly name: string }[];
    readonly notes: readonly string[];
  };
  readonly folder: string;
  readonly rolled_back: boolean;
  readonly undone: {
    readonly undone_at: string;
    readonly by: string;
    readonly undo_snapshot: string | null;
  } | null;
}

export type ShownRow = Readonly<Record<string, string | null>>;

export interface SnapshotRows extends Page<ShownRow> {
  readonly table: string;
  readonly which: 'before' | 'after';
  readonly total: number;
}

export interface UndoCounts {
  readonly table: string;
  readonly put_back: number;
  readonly set_back: number;
  readonly removed: number;
  readonly already: number;
  readonly conflicts: number;
}

export interface UndoConflict {
  readonly table: string;
  readonly undoing: string;
  readonly kind: string;
  readonly before: ShownRow | null;
  readonly after: ShownRow | null;
  readonly current: ShownRow | null;
}

interface BroughtBack {
  readonly objects: readonly { readonly kind: string; readonly schema: string; readonly name: string }[];
  readonly lacking: readonly { readonly what: string; readonly reason: string }[];
  readonly notes: readonly string[];
}

export interface UndoPreview extends BroughtBack {
  readonly tables: readonly UndoCounts[];
  readonly conflicts: readonly UndoConflict[];
  readonly next: string | null;
}

export interface UndoDone extends BroughtBack {
  readonly dry_run: boolean;
  readonly tables: readonly UndoCounts[];
  readonly sequences: readonly string[];
  readonly undo_snapshot: string | null;
}

export interface Policy {
  readonly revision: string;
  readonly mode: string;
  readonly file: string;
  readonly rules: readonly string[];
  readonly source: string;
}

export interface Explanation {
  readonly analysis: {
    readonly status: string;
    readonly problem: string;
    readonly risk: Risk;
    readonly operation: string;
    readonly tables: readonly string[];
    readonly statements: readonly {
      readonly text: string;
      readonly operation: string;
      readonly operations: readonly string[];
      readonly risk: Risk;
      readonly reasons: readonly string[];
      readonly writes: readonly string[];
      readonly reads: readonly string[];
      readonly functions: readonly string[];
      readonly predicate: string;
    }[];
  };
  /** Once rows are counted, where it hangs on their number. */
  readonly by_rows?: readonly {
    readonly least: number;
    readonly most: number | null;
    readonly decision: { readonly action: Action; readonly rule: string };
  }[];
  readonly decision: {
    readonly action: Action;
    readonly rule: string;
    readonly reason: string;
    readonly risk: Risk;
    readonly would_be: string | null;
    readonly snapshot?: string;
    readonly without_plan?: string;
    readonly hold_mode?: string;
    readonly timeout_ms?: number;
    readonly approvals?: number;
    readonly hint?: string;
  };
}

export interface Status {
  readonly version: string;
  readonly started_at: string;
  readonly uptime_s: number;
  readonly ready: boolean;
  readonly problems: readonly string[];
  readonly snapshots_problem: string | null;
  readonly draining: boolean;
  readonly listen: string;
  readonly upstream: string;
  readonly policy: {
    readonly file: string;
    readonly revision: string;
    readonly mode: string;
    readonly rules: number;
  };
  readonly sessions: { readonly open: number; readonly total: number };
  readonly statements: { readonly total: number; readonly held: number };
  readonly audit: {
    readonly events: number;
    readonly queue_bytes: number;
    readonly failures: number;
    readonly anchored_to: number;
    readonly anchor_problem: string | null;
  };
}

export interface ApiToken {
  readonly name: string;
  readonly source: 'file' | 'store' | 'oidc';
  readonly scopes: readonly string[];
  readonly roles: readonly string[];
  readonly groups: readonly string[];
  readonly expires_at: string | null;
  /** Whom its approvals count for. */
  readonly person: string;
  /** `token:` and the name of the one that has made it, or nobody's. */
  readonly made_by: string | null;
  readonly ended_because: string | null;
}

/** With the token itself, which no other answer has. */
export interface MadeToken extends ApiToken {
  readonly token: string;
}
