import { type CountsReading, countsSince, isNone } from './counts.ts';
import { describe, Excess } from './drift.ts';

/** Rows that code of the user's has put into a table beyond the plan. They took the place of nothing, and stay at an undo. */
export interface AddedRows {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** As the server counts, which counts what was taken back in a savepoint as well. */
  readonly rows: number;
}

/**
 * What code of the user's has inserted beyond the plan, which destroys nothing. Anything else is refused: nobody has a
 * before-image of what was updated or deleted, the statement itself may have moved a row into a partition beside those that
 * are known, and a page that is inserted into a large object may fill a hole of it. Where the transaction has locked a table
 * to empty it, that can be emptied once more, which sets its counts to none and leaves no other trace.
 */
export function addedElsewhere(before: CountsReading, after: CountsReading): AddedRows[] {
  const added: AddedRows[] = [];
  const mayBeEmptied = new Set(before.locked.values());
  for (const [oid, { schema, name, sibling, counts }] of after.others) {
    const since = countsSince(before.others.get(oid)?.counts, counts);
    if (isNone(since)) continue;
    const { inserted, updated, deleted } = since;
    const isOfCode = schema !== '' && oid >= FIRST_OF_USERS && !sibling;
    if (inserted < 0 || updated !== 0 || deleted !== 0 || !isOfCode || mayBeEmptied.has(oid)) {
      const label = schema === '' ? name : `${schema}.${name}`;
      throw new Excess(`it changed ${label} as well: ${describe(since)}`);
    }
    added.push({ oid, schema, name, rows: inserted });
  }
  for (const name of after.locked.keys()) {
    if (!before.locked.has(name)) throw new Excess(`it altered or emptied something else: ${name}`);
  }
  return added;
}

/** FirstNormalObjectId: what has a lower OID is of the system. */
const FIRST_OF_USERS = 16_384;
