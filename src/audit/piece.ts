/**
 * An entry of a dictionary, encoded once for as long as what it describes lives. `generation` and `ref` say
 * where it is in the block that was written to last, which spares a table for each block.
 */
export interface Piece {
  readonly bytes: Uint8Array;
  generation: number;
  ref: number;
}
