import { LIMITS } from '../base/limits.ts';
import { TID_ARRAY_OID, TID_BYTES, tidArray } from '../catalog/array-parameter.ts';
import { textColumns } from '../catalog/row.ts';
import { type AddedRows, changedElsewhere, Unlooked } from './added-rows.ts';
import { type Capture, Files, isAltered, plainQuery, type SnapshotSinks } from './capture.ts';
import { type HiddenConnection, type HiddenQuery, type RowTaker, together } from './connection.ts';
import {
  type Counts,
  type CountsReading,
  countsSince,
  isNone,
  NO_COUNTS,
  NOTHING_READ,
  readCounts,
  type ServerFacts,
} from './counts.ts';
import { Drift, describe, Excess, Overtaken, type RowKeys } from './drift.ts';
import type { TableName } from './elsewhere.ts';
import { anyRowLeft, newestVersions, newRows, survivors } from './look.ts';
import { tableOf } from './places.ts';
import type { CapturePlan, CaptureSource, PlannedTable } from './plan.ts';
import { closeElsewhere, proveElsewhere } from './prove-elsewhere.ts';

export interface TableProof {
  readonly table: PlannedTable;
  /** Rows in the file of before-images, and in that of after-images. */
  readonly before: number;
  readonly after: number;
  /** What the server counted: versions of rows, so that one row may count twice. */
  readonly counted: Counts;
}

export type Proof =
  | {
      readonly kind: 'proved';
      readonly tables: readonly TableProof[];
      readonly added: readonly AddedRows[];
      readonly server: ServerFacts;
    }
  /**
   * What was captured is not what was changed; `exceeds` where trying again would not help, `ownCode` where it might not,
   * because code of the user's ran. `unlooked`: what that changed besides, which may be kept if it is looked at.
   */
  | {
      readonly kind: 'drift';
      readonly reason: string;
      readonly exceeds?: true;
      readonly ownCode?: true;
      readonly unlooked?: readonly TableName[];
      /** What others had changed before that did, and is locked the next time. */
      readonly overtaken?: RowKeys;
    };

/**
 * Writes the after-images and proves the capture: the rows that were captured are gone, all of them, and as many
 * as the server has counted. What is new is found by following each captured row to its newest version or, where
 * rows may also have come in or changed twice, by looking for all that this transaction made. Then
 * before - after = deleted - inserted holds whatever happened in between.
 */
export async function captureAfter(
  connection: HiddenConnection,
  plan: CapturePlan,
  capture: Capture,
  commandTag: string | (() => string),
  sinks: SnapshotSinks,
): Promise<Proof> {
  const files = new Files(plan, sinks, 'after', capture.values);
  const context: Context = { connection, plan, capture, sinks, files, followed: new Map() };
  return await orDrift(context, async () => {
    let counts = NOTHING_READ;
    const count = async () => {
      counts = await readCounts(connection, plan);
    };
    let altered = false;
    const look = async () => {
      altered = plan.operation !== 'truncate' && (await isAltered(connection, plan));
    };
    await together(connection, [count, look, ...followAtOnce(context)]);
    if (altered) throw new Drift(ALTERED);
    return await proveCounts(context, counts, commandTag);
  });
}

/** What a statement has done that gives back the rows that it has changed. */
export interface Returned {
  readonly tag: string;
  readonly counts: CountsReading;
  /** How many rows of each table it has given back, which are in the files. */
  readonly rows: ReadonlyMap<number, number>;
}

/** Runs such a statement, and writes what it gives back as the after-images. */
export async function runReturning(
  connection: HiddenConnection,
  plan: CapturePlan,
  statement: HiddenQuery,
  sinks: SnapshotSinks,
  onNotice: () => void,
): Promise<Returned> {
  return await runCounted(connection, plan, sinks, async (onRow) => {
    const { tag } = await connection.run(statement, onRow, onNotice);
    return tag;
  });
}

/** Runs a statement that gives nothing back, and writes what `left` finds behind it as the after-images. */
export async function runAndLook(
  connection: HiddenConnection,
  plan: CapturePlan,
  run: () => Promise<string>,
  left: HiddenQuery | null,
  sinks: SnapshotSinks,
): Promise<Returned> {
  return await runCounted(connection, plan, sinks, async (onRow) => {
    const look = async () => (left === null ? '' : (await connection.run(left, onRow)).tag);
    const [tag = ''] = await together(connection, [run, look]);
    return tag;
  });
}

async function runCounted(
  connection: HiddenConnection,
  plan: CapturePlan,
  sinks: SnapshotSinks,
  runs: (onRow: RowTaker) => Promise<string>,
): Promise<Returned> {
  const files = new Files(plan, sinks, 'after');
  const rows = new Map<number, number>();
  const run = () =>
    runs((row) => {
      const table = tableOf(row);
      rows.set(table, (rows.get(table) ?? 0) + 1);
      return files.write(table, row);
    });
  let counts = NOTHING_READ;
  const count = async () => {
    counts = await readCounts(connection, plan);
    return '';
  };
  const [tag = ''] = await together(connection, [run, count]);
  return { tag, counts, rows };
}

/** As `captureAfter`, of what has run so. */
export async function proveReturned(
  connection: HiddenConnection,
  plan: CapturePlan,
  capture: Capture,
  { tag, counts, rows }: Returned,
  sinks: SnapshotSinks,
): Promise<Proof> {
  const files = new Files(plan, sinks, 'after');
  const followed = new Map(
    plan.tables
      .filter(({ changes }) => changes.includes('update'))
      .map(({ oid }) => [oid, rows.get(oid) ?? 0]),
  );
  const context: Context = { connection, plan, capture, sinks, files, followed };
  return await orDrift(context, async () => {
    if (await isAltered(connection, plan)) throw new Drift(ALTERED);
    return await proveCounts(context, counts, tag);
  });
}

async function proveCounts(
  context: Context,
  counts: CountsReading,
  commandTag: string | (() => string),
): Promise<Proof> {
  const { connection, plan, capture, sinks } = context;
  refuseOtherTransaction(capture.counts, counts);
  const { added, changed } = changedElsewhere(plan.elsewhere, capture.counts, counts);
  refuseOtherTexts(capture.counts, counts);
  if (capture.tooLate === true && changed.length > 0)
    throw new Excess('it changed other tables as well, before it ran');
  const elsewhere = () => proveElsewhere(connection, plan, capture, sinks, changed);
  if (plan.operation === 'truncate') {
    const tables = [...(await proveEmpty(context)), ...(await elsewhere())];
    return { kind: 'proved', tables, added, server: counts.server };
  }
  const tables: TableProof[] = [];
  for (const table of plan.tables) {
    const counted = countsSince(capture.counts.tables.get(table.oid), counts.tables.get(table.oid));
    tables.push(await proveTable(context, table, counted));
  }
  const tag = typeof commandTag === 'string' ? commandTag : commandTag();
  const { basesUncounted = [] } = plan;
  if (TAG.test(tag)) compareWithTag(plan, tables, tag);
  else if (basesUncounted.length > 0 && (await isAltered(connection, { bases: basesUncounted })))
    throw new Drift(ALTERED);
  tables.push(...(await elsewhere()));
  return { kind: 'proved', tables, added, server: counts.server };
}

async function orDrift({ connection, plan, capture }: Context, prove: () => Promise<Proof>): Promise<Proof> {
  try {
    return await prove();
  } catch (error) {
    // Where no snapshot is asked for at any price the transaction goes on.
    if (error instanceof Drift) await closeElsewhere(connection, plan, capture);
    // What runs no code is planned in full, or not at all.
    if (error instanceof Unlooked && plan.opaque)
      return { kind: 'drift', reason: error.message, exceeds: true, unlooked: error.tables };
    if (error instanceof Excess) return { kind: 'drift', reason: error.message, exceeds: true };
    if (error instanceof Drift) {
      const { message: reason } = error;
      if (error instanceof Overtaken) return { kind: 'drift', reason, overtaken: error.rows };
      return plan.opaque ? { kind: 'drift', reason, ownCode: true } : { kind: 'drift', reason };
    }
    throw error;
  }
}

const ALTERED = 'a table, or what belongs to it, was altered meanwhile';

interface Context {
  readonly connection: HiddenConnection;
  readonly plan: CapturePlan;
  readonly capture: Capture;
  readonly sinks: SnapshotSinks;
  readonly files: Files;
  /** New rows of tables that were followed before their counts were known. */
  readonly followed: Map<number, number>;
}

/** Where connections overlap, the newest versions of few rows are asked for together with the counts. */
function followAtOnce(context: Context): (() => Promise<void>)[] {
  const { connection, plan, capture } = context;
  if (connection.overlaps !== true || !capture.places.complete) return [];
  const few = plan.tables.filter(({ oid, direct, mayGainRows, changes }) => {
    const rows = capture.rows.get(oid) ?? 0;
    return (
      direct && !mayGainRows && changes.includes('update') && rows > 0 && rows <= LIMITS.snapshotPlacesBatch
    );
  });
  return few.map((table) => async () => {
    context.followed.set(table.oid, await follow(context, table));
  });
}

async function proveTable(context: Context, table: PlannedTable, counted: Counts): Promise<TableProof> {
  const before = context.capture.rows.get(table.oid) ?? 0;
  const ended = counted.updated + counted.deleted;
  const drift = (what: string) => new Drift(`${table.schema}.${table.name}: ${what}`);
  if (before > ended) {
    await refuseKeptBack(context, table, before - ended);
    throw drift(`${before} rows were captured, but only ${ended} changed`);
  }
  if (isNone(counted)) return { table, before, after: 0, counted };
  const made = counted.updated + counted.inserted;
  const followed =
    counted.inserted === 0 && before === ended && table.direct && context.capture.places.complete;
  const early = context.followed.get(table.oid);
  if (early !== undefined && !followed && made > 0)
    throw drift(`${before} rows were captured, but ${describe(counted)}`);
  const after =
    early ?? (made === 0 ? 0 : await (followed ? follow(context, table) : search(context, table)));
  if (before - after !== counted.deleted - counted.inserted || after > made) {
    throw drift(`${before} rows were captured and ${after} are new, but ${describe(counted)}`);
  }
  // What code of the user's did and undid again is counted as well, so that there no difference can be told.
  if (context.plan.opaque && (before !== ended || after !== made)) {
    throw drift(
      `${before} rows were captured and ${after} are new, but ${describe(counted)}, and triggers ran`,
    );
  }
  // Each row that has a newer version is gone from its place.
  if (!(followed && after === before)) await proveGone(context, table, before, drift);
  return { table, before, after, counted };
}

/** Rows that were locked, and are what they were, are those that triggers keep back, which they will do again. */
async function refuseKeptBack(context: Context, table: PlannedTable, missing: number): Promise<void> {
  if (!context.plan.opaque || !context.capture.places.complete) return;
  const kept = await countSurvivors(context, table);
  if (kept !== missing) return;
  throw new Excess(
    `${table.schema}.${table.name}: ${kept} of the captured rows were left as they are, and triggers ran`,
  );
}

/** Writes the newest versions of the captured rows. */
async function follow({ connection, plan, capture, files }: Context, table: PlannedTable): Promise<number> {
  const source = plan.sources[table.source]!;
  let rows = 0;
  for (const batch of capture.places.batches(table.oid)) {
    const sql = newestVersions(table, source, batch.length / TID_BYTES);
    await connection.run(placesQuery(sql, batch, source.resultFormats), (row) => {
      rows++;
      return files.write(tableOf(row), row);
    });
  }
  return rows;
}

/** Writes all rows of the table that this transaction has made since the statement began. */
async function search({ connection, plan, capture, files }: Context, table: PlannedTable): Promise<number> {
  const source: CaptureSource = plan.sources[table.source]!;
  const earlier = capture.counts.tables.get(table.oid) ?? NO_COUNTS;
  const touched = capture.counts.wrote && earlier.inserted + earlier.updated > 0;
  const last = capture.lastCommands.get(table.oid) ?? (touched ? null : -1);
  if (last === null) {
    throw new Drift(
      `${table.schema}.${table.name}: what is new cannot be told from what this transaction made before`,
    );
  }
  const query = { ...plainQuery(newRows(table, source, last)), resultFormats: source.resultFormats };
  let rows = 0;
  await connection.run(query, (row) => {
    rows++;
    return files.write(tableOf(row), row);
  });
  return rows;
}

/** How many of the captured rows still stand where they stood. */
async function countSurvivors({ connection, plan, capture }: Context, table: PlannedTable): Promise<number> {
  const sql = survivors(table, plan.sources[table.source]!);
  let left = 0;
  for (const batch of capture.places.batches(table.oid)) {
    await connection.run(placesQuery(sql, batch, []), (row) => {
      left += Number(textColumns(row)[0]);
    });
  }
  return left;
}

async function proveGone(
  context: Context,
  table: PlannedTable,
  before: number,
  drift: (what: string) => Drift,
): Promise<void> {
  if (before === 0) return;
  const { plan, capture } = context;
  // Locked rows for which the condition holds by themselves: as many are gone, and they can be no others.
  if (plan.ownRowOnly) return;
  if (!capture.places.complete) {
    throw new Excess(
      `${table.schema}.${table.name}: too many rows to prove that the ones captured are the ones changed`,
    );
  }
  const left = await countSurvivors(context, table);
  if (left > 0) throw drift(`${left} of the captured rows did not change, and others did`);
}

function placesQuery(sql: string, places: Buffer, resultFormats: readonly (0 | 1)[]): HiddenQuery {
  return {
    sql,
    parameterTypes: [TID_ARRAY_OID],
    parameters: [tidArray(places)],
    parameterFormats: [1],
    resultFormats,
  };
}

/**
 * The locks of what was captured end with its transaction, and so do its counts. Nothing of ours lets a statement run in another;
 * it is compared all the same, because a row that others have changed between the two would be captured as it was before them.
 */
function refuseOtherTransaction({ began: before }: CountsReading, { began: after }: CountsReading): void {
  if (before !== after) throw new Drift('the transaction in which it was captured has ended');
}

/** The images before and after are read by one encoding. */
function refuseOtherTexts(before: CountsReading, after: CountsReading): void {
  const [was, is] = [before.server.encoding, after.server.encoding];
  if (was !== is) throw new Excess(`it changed the encoding of texts from ${was} to ${is}`);
}

/** The lock was taken before the rows were read, so that they are all there were. */
async function proveEmpty({ connection, plan, capture }: Context): Promise<TableProof[]> {
  let left = '';
  await connection.run(plainQuery(anyRowLeft(plan.tables)), (row) => {
    left = textColumns(row)[0] ?? '';
  });
  if (left !== '0') throw new Drift('rows are left after TRUNCATE');
  return plan.tables.map((table) => {
    const before = capture.rows.get(table.oid) ?? 0;
    return { table, before, after: 0, counted: { ...NO_COUNTS, deleted: before } };
  });
}

const TAG = /^(?:UPDATE|DELETE|MERGE|INSERT \d+) (\d+)$/;

function compareWithTag(plan: CapturePlan, tables: readonly TableProof[], commandTag: string): void {
  const affected = TAG.exec(commandTag)?.[1];
  // Where code of the user's runs, each table is proved to the row, and the tag leaves out what triggers do instead.
  if (affected === undefined || !plan.countedByTag || plan.opaque) return;
  const captured = tables
    .filter(({ table }) => table.cause.kind === 'target')
    .reduce((sum, { before }) => sum + before, 0);
  if (captured !== Number(affected)) {
    throw new Drift(`${captured} rows were captured, but the server says ${commandTag}`);
  }
}
