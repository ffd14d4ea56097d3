import type { SignedCut, SignedHeadRow } from './control-store.ts';

/** The stored audit as it was at one moment, for whoever verifies it. */
export interface AuditSource {
  /** In the order of their numbers, one at a time. */
  rows(): Iterable<AuditRow>;
  /** In the order of their numbers. */
  heads(): Iterable<SignedHeadRow>;
  /** Where the oldest records were dropped, as the store says, or null. */
  cut(): SignedCut | null;
  /** The number of the last event now, which is later than the moment of the rest; 0 where there is none. */
  lastSeqNow(): number;
  close(): void;
}

/** A row as it is stored, with all that a search relies on. */
export interface AuditRow {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly firstTimeMs: number;
  readonly lastTimeMs: number;
  readonly rawBytes: number;
  /** Null where what is stored cannot be decompressed. */
  readonly bytes: Uint8Array | null;
  /** Null where the row was written before there was a chain. */
  readonly hash: Uint8Array | null;
}
