import type { RowKeys } from '../../snapshot/drift.ts';
import type { ErrorFields } from '../../wire/backend.ts';

/** What is to be done otherwise about what triggers change in other tables. */
export interface LooksNext {
  /** Rows that others have changed. */
  readonly locked: RowKeys;
}

/** How a captured statement ends for the client and for the audit. */
export type Ending =
  | { readonly kind: 'done'; readonly snapshotId: string | null; readonly why: string }
  /** `passes`: it may succeed the next time. `looks`: more is looked at then, or locked ahead of it. */
  | {
      readonly kind: 'failed';
      readonly error: ErrorFields;
      readonly passes?: boolean;
      readonly looks?: LooksNext;
    }
  /** The server has told the client itself. */
  | { readonly kind: 'told' }
  /** Nobody knows whether it was committed; `snapshotId` where the snapshot is durable. */
  | { readonly kind: 'lost'; readonly snapshotId?: string | null };
