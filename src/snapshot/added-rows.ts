import {
  type Counts,
  type CountsReading,
  countsSince,
  isNone,
  type OtherTable,
  toRunLate,
} from './counts.ts';
import { describe, Excess } from './drift.ts';
import type { Elsewhere, ElsewhereTable, TableName } from './elsewhere.ts';

/** Rows that code of the user's has put into a table beyond the plan. They took the place of nothing, and stay at an undo. */
export interface AddedRows {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** As the server counts, which counts what was taken back in a savepoint as well. */
  readonly rows: number;
}

/** A table that is looked at by the snapshot of before, and what was counted in it since. */
export interface ChangedElsewhere {
  readonly table: ElsewhereTable;
  readonly since: Counts;
}

/** What was updated or deleted in tables that nobody has looked at, which a capture that does may keep. */
export class Unlooked extends Excess {
  readonly tables: readonly TableName[];

  constructor(reason: string, tables: readonly TableName[]) {
    super(reason);
    this.tables = tables;
  }
}

export interface ChangesElsewhere {
  readonly added: readonly AddedRows[];
  readonly changed: readonly ChangedElsewhere[];
}

/**
 * What code of the user's has done beyond the plan. Rows that it has inserted destroy nothing, and of what it has updated or
 * deleted there are before-images where the plan looks at the table. Anything else is refused: nobody has a before-image of
 * it, the statement itself may have moved a row into a partition beside those that are known, and a page that is inserted
 * into a large object may fill a hole of it. Where the transaction has locked a table to empty it, that can be emptied once
 * more, which sets its counts to none and leaves no other trace. And what its changes have run at COMMIT nobody would see.
 */
export function changedElsewhere(
  elsewhere: Elsewhere | undefined,
  before: CountsReading,
  after: CountsReading,
): ChangesElsewhere {
  const [late] = toRunLate(before, after);
  if (late !== undefined)
    throw new Excess(
      `it changed ${late.table}, of which the trigger ${late.name} may run as late as at COMMIT`,
    );
  const added: AddedRows[] = [];
  const changed: ChangedElsewhere[] = [];
  const unlooked: { readonly name: TableName; readonly reason: string }[] = [];
  const others = changesOfOthers(before, after);
  // A row that moves to another partition is deleted in one and inserted in the other.
  const moving = new Set(others.filter(({ since }) => !isAdded(since)).map(({ other }) => other.root));
  for (const { other, since } of others) {
    const { oid, schema, name, root } = other;
    const why = elsewhere?.unkept.get(oid);
    const label = schema === '' ? name : `${schema}.${name}`;
    const reason = `it changed ${label} as well${why === undefined ? '' : `, and ${why}`}: ${describe(since)}`;
    if (!isOfCode(other, since, before)) throw new Excess(reason);
    const table = elsewhere?.tables.find((each) => each.table.oid === oid);
    if (isAdded(since) && (root === 0 || !moving.has(root)))
      added.push({ oid, schema, name, rows: since.inserted });
    else if (table !== undefined) changed.push({ table, since });
    else if (why !== undefined) throw new Excess(reason);
    else unlooked.push({ name: { oid, schema, name }, reason });
  }
  for (const name of after.locked.keys()) {
    if (!before.locked.has(name)) throw new Excess(`it altered or emptied something else: ${name}`);
  }
  const tables = unlooked.map(({ name }) => name);
  if (unlooked.length > 0) throw new Unlooked(unlooked[0]!.reason, tables);
  return { added, changed };
}

interface ChangeOfOther {
  readonly other: OtherTable;
  readonly since: Counts;
}

export function changesOfOthers(before: CountsReading, after: CountsReading): ChangeOfOther[] {
  return [...after.others.values()]
    .map((other) => ({ other, since: countsSince(before.others.get(other.oid)?.counts, other.counts) }))
    .filter(({ since }) => !isNone(since));
}

const isAdded = ({ updated, deleted }: Counts): boolean => updated === 0 && deleted === 0;

/** Whether code of the user's has surely done what was counted, and no more. */
function isOfCode(
  { oid, schema, sibling }: OtherTable,
  { inserted, updated, deleted }: Counts,
  before: CountsReading,
): boolean {
  if (inserted < 0 || updated < 0 || deleted < 0) return false;
  return schema !== '' && oid >= FIRST_OF_USERS && !sibling && ![...before.locked.values()].includes(oid);
}

/** FirstNormalObjectId: what has a lower OID is of the system. */
const FIRST_OF_USERS = 16_384;
