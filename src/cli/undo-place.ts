import type { ShownManifest } from '../snapshot/manifest.ts';
import type { TableCounts } from '../undo/compare.ts';
import type { UndoOutcome, UndoPreview } from '../undo/outcome.ts';
import type { Name } from '../undo/restore-into.ts';

/** A snapshot that was found, and where it is undone: by a running gateway, or past it. */
export interface UndoPlace {
  readonly manifest: ShownManifest;
  readonly rolledBack: boolean;
  /** Whether the gateway's audit has what is done. */
  readonly audited: boolean;
  /** With so many of the conflicts. */
  preview(conflicts: number): Promise<UndoPreview>;
  undo(expected: readonly TableCounts[]): Promise<Undone>;
  /** Puts rows into a table of their own; those of the tables that the statement named, without a table. */
  into(into: Name, table: Name | null): Promise<UndoOutcome>;
}

export interface Undone {
  readonly outcome: UndoOutcome;
  /** The snapshot of the undo itself. */
  readonly own: string | null;
}
