/** What the gateway has found out about a statement that waits (GET /v1/approvals/{id}/preview). */

interface Unknown {
  readonly kind: 'unknown';
  readonly reason: string;
}

export type Count =
  | { readonly kind: 'exact'; readonly rows: number }
  | { readonly kind: 'at_least'; readonly rows: number }
  | { readonly kind: 'estimate'; readonly rows: number; readonly reason: string }
  | Unknown;

type Values = readonly (string | null)[];

export interface SampleRows {
  readonly kind: 'rows';
  readonly table: string;
  readonly columns: readonly {
    readonly name: string;
    readonly type: string;
    readonly masked: boolean;
    readonly assigned: boolean;
    /** Why `after` has no value of it. */
    readonly withheld: 'mask' | 'parameters' | null;
  }[];
  readonly rows: readonly { readonly before: Values; readonly after: Values | null }[];
  readonly after: 'removed' | 'computed' | 'unknown';
  readonly after_reason: string | null;
  readonly more: boolean;
}

export interface CascadeNode {
  readonly id: number;
  readonly parent: number | null;
  readonly constraint: string;
  readonly schema: string;
  readonly table: string;
  readonly change: string;
  readonly level: number;
  readonly rows: Count;
}

export interface BlockedSession {
  readonly pid: number;
  readonly role: string | null;
  readonly application: string | null;
  readonly state: string | null;
  readonly table: string;
  readonly mode: string;
  readonly relation: string;
  readonly transaction_s: number | null;
}

export interface StatementPreview {
  readonly computed_at: string;
  readonly took_ms: number;
  readonly rows: Count;
  /** What of these an approval is bound to. */
  readonly rows_bound: 'set' | 'number' | null;
  readonly tables: readonly {
    readonly schema: string;
    readonly name: string;
    readonly kind: string;
    readonly cause: string;
    readonly bytes: number | null;
    readonly estimated_rows: number | null;
  }[];
  readonly sample: SampleRows | Unknown;
  readonly cascades: { readonly kind: 'tree'; readonly nodes: readonly CascadeNode[] } | Unknown;
  readonly triggers:
    | {
        readonly kind: 'list';
        readonly items: readonly {
          readonly table: string;
          readonly name: string;
          readonly function: string;
          readonly timing: string;
          readonly level: string;
          readonly events: readonly string[];
        }[];
      }
    | Unknown;
  readonly locks:
    | {
        readonly kind: 'level';
        readonly mode: string;
        readonly blocks: string;
        readonly sessions:
          | { readonly kind: 'list'; readonly items: readonly BlockedSession[]; readonly more: boolean }
          | Unknown;
      }
    | Unknown;
  readonly undo: { readonly possible: string; readonly reason: string };
  readonly parameters: { readonly count: number; readonly values: Values | null };
}

export interface PreviewAnswer {
  readonly state: 'pending' | 'ready' | 'none';
  readonly preview: StatementPreview | null;
}
