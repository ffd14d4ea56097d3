import type { RowSet } from '../policy/row-set.ts';

/**
 * What whoever decides on a held statement is shown of it, as it is kept and as the API gives it. Nothing in it is
 * taken for zero that is not known: it is `unknown` then, with the reason.
 */
export interface Preview {
  readonly computed_at: string;
  readonly took_ms: number;
  /** Rows of its own targets. */
  readonly rows: RowCount;
  /** What of the rows an approval is bound to: which they are, only how many, or nothing. */
  readonly rows_bound: RowsBound;
  readonly tables: readonly PreviewTable[];
  readonly sample: Sample;
  readonly cascades: Cascades;
  readonly triggers: Triggers;
  readonly locks: Locks;
  readonly undo: Undo;
  readonly parameters: Parameters;
}

export interface Unknown {
  readonly kind: 'unknown';
  /** A clause that reads well behind "because". */
  readonly reason: string;
}

export type RowCount =
  | { readonly kind: 'exact'; readonly rows: number }
  /** The count was stopped at a limit. */
  | { readonly kind: 'at_least'; readonly rows: number }
  /** The server's guess, and why there is no count. */
  | { readonly kind: 'estimate'; readonly rows: number; readonly reason: string }
  | Unknown;

export type RowsBound = 'set' | 'number' | null;

export function boundBy({ rows, set }: { readonly rows: RowCount; readonly set: RowSet | null }): RowsBound {
  if (rows.kind !== 'exact') return null;
  return set === null ? 'number' : 'set';
}

export interface PreviewTable {
  readonly schema: string;
  readonly name: string;
  readonly kind: string;
  /** Whether the statement names it, or a foreign key leads to it. */
  readonly cause: 'target' | 'cascade';
  /** With its indexes and all that is stored beside it, its partitions included. */
  readonly bytes: number | null;
  /** All of its rows, by the server's statistics. */
  readonly estimated_rows: number | null;
}

export interface SampleColumn {
  readonly name: string;
  readonly type: string;
  /** Its values are kept from the preview by the policy. */
  readonly masked: boolean;
  readonly assigned: boolean;
  /** Why `after` has no value of it. With `parameters` it has one, for those who may see values of parameters. */
  readonly withheld: Withheld;
}

/** `mask`: its new value may tell of a masked column; `parameters`: it may tell of the statement's parameters. */
export type Withheld = 'mask' | 'parameters' | null;

/** The values of one row in text, cut where they are long; null is NULL, or masked. */
export type SampleValues = readonly (string | null)[];

export type Sample =
  | {
      readonly kind: 'rows';
      readonly table: string;
      readonly columns: readonly SampleColumn[];
      /** `after` is null where the row goes, or where it cannot be told: `after_reason` says so. */
      readonly rows: readonly { readonly before: SampleValues; readonly after: SampleValues | null }[];
      readonly after: 'removed' | 'computed' | 'unknown';
      readonly after_reason: string | null;
      /** There are more rows than these. */
      readonly more: boolean;
    }
  | Unknown;

export interface CascadeNode {
  readonly id: number;
  /** The node whose rows carry the change on; null for the statement's own rows. */
  readonly parent: number | null;
  readonly constraint: string;
  readonly schema: string;
  readonly table: string;
  readonly change: 'delete' | 'update';
  /** Columns that are set, of an update. */
  readonly columns: readonly string[];
  readonly level: number;
  readonly rows: RowCount;
}

export type Cascades = { readonly kind: 'tree'; readonly nodes: readonly CascadeNode[] } | Unknown;

export interface FiringTrigger {
  readonly table: string;
  readonly name: string;
  readonly function: string;
  readonly timing: string;
  readonly level: string;
  readonly events: readonly string[];
}

export type Triggers = { readonly kind: 'list'; readonly items: readonly FiringTrigger[] } | Unknown;

export interface Bystander {
  readonly pid: number;
  readonly role: string | null;
  readonly application: string | null;
  readonly state: string | null;
  readonly table: string;
  readonly mode: string;
  /** `holds`: the statement would wait for it; `waits`: it stands in front of the statement. */
  readonly relation: 'holds' | 'waits';
  readonly transaction_s: number | null;
}

export type Locks =
  | {
      readonly kind: 'level';
      /** The strongest that it takes on its tables, by PostgreSQL's name. */
      readonly mode: string;
      /** What it keeps others from, in words. */
      readonly blocks: string;
      readonly sessions:
        | { readonly kind: 'list'; readonly items: readonly Bystander[]; readonly more: boolean }
        | Unknown;
    }
  | Unknown;

export interface Undo {
  readonly possible: 'yes' | 'no' | 'unknown';
  readonly reason: string;
}

export interface Parameters {
  readonly count: number;
  /** In text, cut where they are long; null is NULL. Null as a whole where they are not known. */
  readonly values: readonly (string | null)[] | null;
}

export function unknown(reason: string): Unknown {
  return { kind: 'unknown', reason };
}

/** A preview of which nothing is known, because of one reason. */
export function nothingKnown(reason: string, undo: Undo, parameters: Parameters): Preview {
  const why = unknown(reason);
  return {
    computed_at: new Date().toISOString(),
    took_ms: 0,
    rows: why,
    rows_bound: null,
    tables: [],
    sample: why,
    cascades: why,
    triggers: why,
    locks: why,
    undo,
    parameters,
  };
}
