import type { ErrorFields } from '../../wire/backend.ts';

/** How a captured statement ends for the client and for the audit. */
export type Ending =
  | { readonly kind: 'done'; readonly snapshotId: string | null; readonly why: string }
  /** `passes`: it may succeed the next time. */
  | { readonly kind: 'failed'; readonly error: ErrorFields; readonly passes?: boolean }
  /** The server has told the client itself. */
  | { readonly kind: 'told' }
  /** Nobody knows whether it was committed; `snapshotId` where the snapshot is durable. */
  | { readonly kind: 'lost'; readonly snapshotId?: string | null };
