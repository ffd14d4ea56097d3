import type { AuditEntry } from './event.ts';

/**
 * An entry of a dictionary, encoded once for as long as what it describes lives. `generation` and `ref` say
 * where it is in the block that was written to last, which spares a table for each block.
 */
export interface Piece {
  readonly bytes: Uint8Array;
  generation: number;
  ref: number;
  /** Of a statement: what events of it had in common lately. */
  readonly patterns: Pattern[];
}

/** What events of one statement have in common, and where that is in the block of a generation. */
export interface Pattern {
  readonly generation: number;
  readonly ref: number;
  readonly decision: Piece;
  readonly protocol: AuditEntry['protocol'];
  readonly statementIndex: number;
  readonly parameters: number;
  readonly end: AuditEntry['end'];
  readonly sqlstate: string | null;
  readonly transactionStatus: AuditEntry['transactionStatus'];
}
