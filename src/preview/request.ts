import type { CatalogAnswer } from '../catalog/catalog.ts';
import type { Relation } from '../catalog/relation.ts';
import type { ColumnPattern } from '../policy/name-pattern.ts';
import type { RowSet } from '../policy/row-set.ts';
import type { ChangedRows } from '../snapshot/cascade.ts';
import type { StatementParameters } from '../snapshot/plan.ts';
import type { Analysis, StatementEffects } from '../sql/effects.ts';
import type { WriteSlice } from '../sql/slices/slice.ts';
import { type Cascades, type RowCount, type Sample, unknown } from './preview.ts';

/** A held statement, as its preview is asked for. */
export interface PreviewRequest {
  /** Whose answers of the catalog may be shared: the database. */
  readonly scope: string;
  readonly text: string;
  readonly analysis: Analysis;
  readonly parameters: StatementParameters;
  readonly snapshot: 'required' | 'best_effort' | 'off';
  /** Why there will be no snapshot, where that is known. */
  readonly noSnapshot: string | null;
  readonly masks: readonly ColumnPattern[];
}

/** The one statement of the text, and what the catalog says of what it names. */
export interface PreviewSubject {
  readonly request: PreviewRequest;
  readonly effects: StatementEffects;
  readonly slice: WriteSlice;
  readonly answer: CatalogAnswer;
  readonly targets: readonly Relation[];
  /** Of the view that it names, where the rest is said of the table behind. */
  readonly definition?: string;
}

/** What is found of the rows. */
export interface FoundRows {
  readonly rows: RowCount;
  /** Which they are; null where that is not known. */
  readonly set: RowSet | null;
  readonly sample: Sample;
  readonly cascades: Cascades;
  /** How rows of which relations change, the targets' first; null where that is not known. */
  readonly changes: readonly Pick<ChangedRows, 'relation' | 'only' | 'change' | 'level'>[] | null;
  /** Rows are inserted, or tables emptied, besides. */
  readonly besides: 'insert' | 'truncate' | null;
}

export function nothingFound(reason: string): FoundRows {
  const why = unknown(reason);
  return { rows: why, set: null, sample: why, cascades: why, changes: null, besides: null };
}
