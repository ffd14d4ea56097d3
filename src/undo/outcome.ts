import type { ManifestAdded } from '../snapshot/manifest.ts';
import type { Conflict, TableCounts } from './compare.ts';
import type { Problem } from './undo-table.ts';

/** How an undo ended. Whatever is not `done` has changed nothing. */
export type UndoOutcome =
  | {
      readonly kind: 'done';
      /** All of it was tried, and taken back. */
      readonly dryRun: boolean;
      readonly tables: readonly TableCounts[];
      /** Sequences that were moved on. */
      readonly sequences: readonly string[];
      /** What the undo of a DROP has brought back. */
      readonly dropped?: BroughtBack;
      readonly added?: Stays;
    }
  /** Rows are not as the statement has left them, and nobody said what to do about them; the first ones. */
  | {
      readonly kind: 'conflicts';
      readonly tables: readonly TableCounts[];
      readonly conflicts: readonly Conflict[];
    }
  /** It cannot be done as things are. */
  | { readonly kind: 'refused'; readonly problems: readonly Problem[] }
  /** It was begun, and given up. */
  | {
      readonly kind: 'failed';
      readonly step: UndoStep;
      readonly table: string | null;
      readonly reason: string;
      /** The same for those who may not see rows, where the reason has the server's words, which may have values of them. */
      readonly bareReason?: string;
      readonly sqlstate: string | null;
    };

/** What code of the user's has put into other tables as the statement ran, which an undo leaves there. */
type Stays = readonly ManifestAdded[];

export interface BroughtBack {
  readonly objects: readonly { readonly kind: string; readonly schema: string; readonly name: string }[];
  /** What is not back, or not as it was, although all else is. */
  readonly lacking: readonly {
    readonly what: string;
    readonly reason: string;
    readonly bareReason?: string;
  }[];
  /** What was known beforehand to come back otherwise than it was. */
  readonly notes: readonly string[];
}

export type UndoPreview =
  | {
      readonly kind: 'preview';
      readonly tables: readonly TableCounts[];
      readonly conflicts: readonly Conflict[];
      readonly dropped?: BroughtBack;
      readonly added?: Stays;
    }
  | Extract<UndoOutcome, { kind: 'refused' | 'failed' }>;

export type UndoStep = 'find' | 'lock' | 'load' | 'compare' | 'keep' | 'apply' | 'check' | 'commit';

export interface Progress {
  readonly step: UndoStep;
  readonly table: string | null;
  /** Tables that this step is through with, and those it has. */
  readonly done: number;
  readonly of: number;
}

/** Ends an undo with what there is to say; what it had begun is rolled back. */
export class UndoEnded extends Error {
  readonly outcome: Extract<UndoOutcome, { kind: 'conflicts' | 'refused' | 'failed' }>;

  constructor(outcome: UndoEnded['outcome']) {
    super(`the undo ended: ${outcome.kind}`);
    this.name = 'UndoEnded';
    this.outcome = outcome;
  }
}

export function refuse(...problems: Problem[]): never {
  throw new UndoEnded({ kind: 'refused', problems });
}
