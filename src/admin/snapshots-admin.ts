import type { SnapshotFilter } from '../snapshot/filter.ts';
import type { Manifest } from '../snapshot/manifest.ts';
import type { SealState } from '../snapshot/manifest-seal.ts';
import type { SnapshotsFound } from '../snapshot/search.ts';
import type { Verification } from '../snapshot/snapshots.ts';
import type { UndoMark } from '../snapshot/undo-mark.ts';
import type { OnConflict } from '../undo/apply-statement.ts';
import type { TableCounts } from '../undo/compare.ts';
import type { UndoOutcome, UndoPreview } from '../undo/outcome.ts';
import type { TrashPurged } from '../undo/purge-trash.ts';
import type { Name } from '../undo/restore-into.ts';

/** What the API needs of the snapshots. Whatever cannot be done is thrown as a problem. */
export interface SnapshotsAdmin {
  list(page: { filter: SnapshotFilter; before: string | null; limit: number }): Promise<SnapshotsFound>;
  get(id: string): Promise<{
    readonly manifest: Manifest;
    readonly folder: string;
    readonly rolledBack: boolean;
    readonly undone: UndoMark | null;
  }>;
  verify(id: string): Promise<Verification & { readonly signature: SealState }>;
  rows(id: string, asked: RowsAsked): Promise<RowsPage>;
  preview(id: string, asked: PreviewAsked): Promise<Extract<UndoPreview, { kind: 'preview' }>>;
  undo(id: string, asked: UndoAsked, requester: Requester): Promise<UndoDone>;
  remove(id: string, requester: Requester): Promise<void>;
  /** What DROPs have left in the trash of all databases, the oldest first. */
  trash(): Promise<TrashPurged>;
  /** After how long a gateway purges it, or null. */
  readonly trashRetentionMs: number | null;
}

export interface RowsAsked {
  /** Undefined for the one that the statement named. */
  readonly table: string | undefined;
  readonly which: 'before' | 'after';
  readonly form: 'text' | 'json';
  readonly from: number;
  readonly limit: number;
}

export interface RowsPage {
  readonly table: string;
  readonly total: number;
  /** Each is JSON already. */
  readonly rows: readonly string[];
  readonly next: number | null;
}

export interface PreviewAsked {
  readonly onConflict: OnConflict;
  /** What the undo is to do about triggers. */
  readonly triggers: 'fire' | 'skip';
  readonly force: boolean;
  /** Whether rows may be told, as they are in the database by now, read with the rights of `undo.connection`. */
  readonly seesRows: boolean;
  /** Which of the conflicts. */
  readonly from: number;
  readonly limit: number;
}

export interface UndoAsked {
  readonly onConflict: OnConflict;
  readonly triggers: 'fire' | 'skip';
  readonly dryRun: boolean;
  /** Whether the undo itself is snapshotted. */
  readonly snapshot: boolean;
  /** What a preview has counted, or null. */
  readonly expected: readonly TableCounts[] | null;
  /** A new table to put the rows into, or null. */
  readonly into: Name | null;
  readonly table: Name | null;
  /** Also where it is undone already, or its statement was rolled back. */
  readonly force: boolean;
  /** As in PreviewAsked. */
  readonly seesRows: boolean;
}

export type UndoDone = Extract<UndoOutcome, { kind: 'done' }> & {
  /** The snapshot of the undo itself. */
  readonly own: string | null;
};

/** Who asks, and from where. */
export interface Requester {
  readonly name: string;
  readonly client: string;
}
