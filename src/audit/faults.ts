import { LIMITS } from '../base/limits.ts';

/**
 * What is wrong with a record or several: `missing`; `changed`; `misplaced`, it stands where another belongs;
 * `unchained`, it says to be older than the chain and is not; `head` and `anchor`, they do not fit the records.
 */
export type FaultKind = 'missing' | 'changed' | 'misplaced' | 'unchained' | 'head' | 'anchor';

export interface Fault {
  readonly kind: FaultKind;
  /** The first and the last record that it is about. */
  readonly first: number;
  readonly last: number;
  /** Of the record as it is now stored, or of the head; null where neither tells. */
  readonly time: string | null;
  readonly what: string;
}

/** What was found, the first of it in full. */
export class Faults {
  readonly listed: Fault[] = [];
  count = 0;

  add(fault: Fault): void {
    this.count++;
    if (this.listed.length < LIMITS.auditFaultsMax) this.listed.push(fault);
  }
}
