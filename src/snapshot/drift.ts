import type { Counts } from './counts.ts';

/** What was captured is not what was changed. */
export class Drift extends Error {}

/** More was changed than a plan knows of, which it will be the next time as well. */
export class Excess extends Drift {}

export function describe({ inserted, updated, deleted }: Counts): string {
  return `the server counted ${inserted} inserted, ${updated} updated and ${deleted} deleted`;
}
