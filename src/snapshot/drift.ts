import type { Counts } from './counts.ts';

/** What was captured is not what was changed. */
export class Drift extends Error {}

/** More was changed than a plan knows of, which it will be the next time as well. */
export class Excess extends Drift {}

/** Keys of rows, as texts, by their tables. */
export type RowKeys = ReadonlyMap<number, readonly (readonly (string | null)[])[]>;

/** Others have changed meanwhile what code of the user's has changed then; these are the rows, to be locked the next time. */
export class Overtaken extends Drift {
  readonly rows: RowKeys;

  constructor(reason: string, rows: RowKeys) {
    super(reason);
    this.rows = rows;
  }
}

export function describe({ inserted, updated, deleted }: Counts): string {
  return `the server counted ${inserted} inserted, ${updated} updated and ${deleted} deleted`;
}
