import {
  OID_ARRAY_OID,
  oidArray,
  TEXT_ARRAY_OID,
  TID_ARRAY_OID,
  TID_BYTES,
  textArray,
  tidArray,
} from '../catalog/array-parameter.ts';
import { quoteName } from '../catalog/quote.ts';
import type { Column } from '../catalog/relation.ts';
import { textColumns } from '../catalog/row.ts';
import { type ChangedElsewhere, changesOfOthers } from './added-rows.ts';
import { type Capture, Files, plainQuery, type SnapshotSinks } from './capture.ts';
import { type HiddenConnection, together } from './connection.ts';
import { type Counts, NO_COUNTS, NOTHING_READ, readCounts } from './counts.ts';
import { Drift, describe, Excess, Overtaken, type RowKeys } from './drift.ts';
import { type Cursor, type ElsewhereTable, rowCount } from './elsewhere.ts';
import { endedByUs, lastCommand, lockedByKeys, newRows, othersSince } from './look.ts';
import { PLACE_AT } from './places.ts';
import type { CapturePlan, PlannedTable } from './plan.ts';
import type { TableProof } from './prove.ts';

/** What code of the user's has updated and deleted beyond the plan: its rows as they were, and the proof that these are all. */

interface Context {
  readonly connection: HiddenConnection;
  readonly plan: CapturePlan;
  readonly capture: Capture;
  readonly before: Files;
  readonly after: Files;
}

/** Rows of one table, and their bytes, which are in memory until it is known which of them are gone. */
const ROWS_MAX = 16 * 1024;
const BYTES_MAX = 32 * 1024 * 1024;

/**
 * Opens the cursors, and notes what this transaction made in their tables before. It is counted again, since code may have run
 * already: at a Bind, in the condition that the capture runs, by parameters of a domain.
 */
export async function openElsewhere(
  connection: HiddenConnection,
  plan: CapturePlan,
  capture: Capture,
): Promise<Capture> {
  const { elsewhere } = plan;
  if (elsewhere === undefined || elsewhere.tables.length === 0) return capture;
  for (const table of elsewhere.tables)
    await lockKeys(connection, table, elsewhere.locked?.get(table.table.oid) ?? []);
  const lastCommands = new Map(capture.lastCommands);
  const open = async ({ opening }: Cursor) => void (await connection.run(plainQuery(opening), () => {}));
  const steps = elsewhere.tables.map(({ cursor, counting, table, source }) => async () => {
    await open(cursor);
    if (capture.counts.wrote) await open(counting);
    const { inserted, updated } = capture.counts.others.get(table.oid)?.counts ?? NO_COUNTS;
    if (inserted + updated === 0) return;
    await connection.run(plainQuery(lastCommand(table, source)), (row) => {
      lastCommands.set(table.oid, Number(textColumns(row)[0]));
    });
  });
  let now = NOTHING_READ;
  const count = async () => {
    now = await readCounts(connection, plan);
  };
  await together(connection, [...steps, count]);
  const isChanged = changesOfOthers(capture.counts, now).length > 0;
  return isChanged ? { ...capture, lastCommands, tooLate: true } : { ...capture, lastCommands };
}

/**
 * Locks rows that were changed the last time, behind those of the statement itself, as a trigger would come to them. Their
 * keys are those of rows that were there then, and need not be those of any row now.
 */
async function lockKeys(
  connection: HiddenConnection,
  { table, mayLock }: ElsewhereTable,
  keys: readonly (readonly (string | null)[])[],
): Promise<void> {
  const columns = keyColumns(table);
  if (keys.length === 0 || columns === null || !mayLock) return;
  const query = {
    ...plainQuery(lockedByKeys(table, columns)),
    parameterTypes: columns.map(() => TEXT_ARRAY_OID),
    parameters: columns.map((_, i) => textArray(keys.map((key) => key[i] ?? null))),
    parameterFormats: columns.map(() => 1 as const),
  };
  await connection.run(query, () => {});
}

/** Null where there is no key that PostgreSQL's own operators compare. */
function keyColumns({ key, columns }: PlannedTable): Column[] | null {
  const found = (key ?? []).map((name) => columns.find((column) => column.name === name));
  const own = found.filter((column) => column !== undefined && column.type.schema === 'pg_catalog');
  return own.length > 0 && own.length === found.length ? (own as Column[]) : null;
}

/** The keys of the rows that code of the user's has made. */
async function newKeys(
  { connection, capture }: Context,
  changed: readonly ChangedElsewhere[],
): Promise<RowKeys> {
  const keys = new Map<number, (string | null)[][]>();
  for (const {
    table: { table, source, mayLock },
  } of changed) {
    const columns = keyColumns(table);
    if (columns === null || !mayLock) continue;
    const texts = columns.map(({ name }) => `r.${quoteName(name)}::pg_catalog.text`).join(', ');
    const rows: (string | null)[][] = [];
    const sql = `${newRows(table, source, capture.lastCommands.get(table.oid) ?? -1, texts)} LIMIT ${ROWS_MAX}`;
    await connection.run(plainQuery(sql), (row) => void rows.push(textColumns(row)));
    keys.set(table.oid, rows);
  }
  return keys;
}

/** Writes the rows as they were and as they are, proves that they are all, and closes the cursors. */
export async function proveElsewhere(
  connection: HiddenConnection,
  plan: CapturePlan,
  capture: Capture,
  sinks: SnapshotSinks,
  changed: readonly ChangedElsewhere[],
): Promise<TableProof[]> {
  const { elsewhere } = plan;
  if (elsewhere === undefined || elsewhere.tables.length === 0) return [];
  const before = new Files(plan, sinks, 'before');
  const after = new Files(plan, sinks, 'after');
  const context = { connection, plan, capture, before, after };
  const proofs: TableProof[] = [];
  for (const { table, since } of changed) {
    const proof = await proveTable(context, table, since).catch(async (error: unknown) => {
      if (!(error instanceof Drift) || error instanceof Excess) throw error;
      throw new Overtaken(error.message, await newKeys(context, changed));
    });
    if (proof.before + proof.after > 0) proofs.push(proof);
  }
  await closeElsewhere(connection, plan, capture);
  return proofs;
}

/** Closes the cursors: a table that one is open on cannot be altered in the same transaction. */
export async function closeElsewhere(
  connection: HiddenConnection,
  { elsewhere }: CapturePlan,
  { counts: { wrote } }: Capture,
): Promise<void> {
  if (elsewhere?.endsAtOnce === true) return;
  const open = (elsewhere?.tables ?? []).flatMap(({ cursor, counting }) =>
    wrote ? [cursor, counting] : [cursor],
  );
  const close = open.map(({ name }) => async () => {
    await connection.run(plainQuery(`CLOSE ${quoteName(name)}`), () => {});
  });
  await together(connection, close);
}

async function proveTable(context: Context, elsewhere: ElsewhereTable, counted: Counts): Promise<TableProof> {
  const { table } = elsewhere;
  const touched = await touchedRows(context, elsewhere);
  const [gone, after] = await together<Touched[] | number>(context.connection, [
    async () => await endedOf(context, elsewhere, touched),
    async () => await writeNew(context, elsewhere),
  ]);
  const before = gone as Touched[];
  for (const { row } of before) await context.before.write(table.oid, row);
  await proveCounts(context, elsewhere, counted, before.length, after as number);
  return { table, before: before.length, after: after as number, counted };
}

interface Touched {
  readonly row: Buffer;
  /** What stands in xmax. */
  readonly ender: number;
}

/** A number in binary, with its length. */
const ENDER_BYTES = 8;

const TEXT_OID = 25;

/** The rows as they were that this transaction may have ended. */
async function touchedRows(
  { connection }: Context,
  { table, source, cursor }: ElsewhereTable,
): Promise<Touched[]> {
  const touched: Touched[] = [];
  let bytes = 0;
  let count = 0;
  const query = {
    ...plainQuery(`FETCH FORWARD ${ROWS_MAX + 1} FROM ${quoteName(cursor.name)}`),
    resultFormats: [...source.resultFormats, 1 as const],
  };
  await connection.run(query, (row) => {
    count++;
    bytes += row.length;
    if (count > ROWS_MAX || bytes > BYTES_MAX) return;
    const kept = Buffer.from(row.subarray(0, row.length - ENDER_BYTES));
    kept.writeInt16BE(row.readInt16BE(0) - 1, 0);
    touched.push({ row: kept, ender: row.readUInt32BE(row.length - 4) });
  });
  if (count > ROWS_MAX || bytes > BYTES_MAX) {
    const most = `${ROWS_MAX} rows, or ${BYTES_MAX / (1024 * 1024)} MiB of them`;
    throw new Excess(`it changed ${table.schema}.${table.name} as well, by more than ${most}`);
  }
  return touched;
}

/** Those that it has ended, which are gone. */
async function endedOf(
  { connection, plan }: Context,
  { table }: ElsewhereTable,
  touched: readonly Touched[],
): Promise<Touched[]> {
  if (touched.length === 0) return [];
  const ended: Touched[] = [];
  const doubtful: Touched[] = [];
  const { nextMulti } = plan.elsewhere!;
  const places = Buffer.concat(touched.map(({ row }) => row.subarray(PLACE_AT, PLACE_AT + TID_BYTES)));
  const query = {
    sql: endedByUs(table),
    parameterTypes: [TID_ARRAY_OID, OID_ARRAY_OID, TEXT_OID],
    parameters: [tidArray(places), oidArray(touched.map(({ ender }) => ender)), Buffer.from(nextMulti)],
    parameterFormats: [1 as const, 1 as const, 0 as const],
    resultFormats: [],
  };
  await connection.run(query, (row) => {
    const [i, ours] = textColumns(row);
    const each = touched[Number(i) - 1]!;
    if (ours === 'true') ended.push(each);
    else if (ours === null) doubtful.push(each);
  });
  if (doubtful.length > 0)
    throw new Drift(
      `${table.schema}.${table.name}: it cannot be told who has changed ${doubtful.length} rows`,
    );
  return ended;
}

async function writeNew(
  { connection, capture, after }: Context,
  { table, source }: ElsewhereTable,
): Promise<number> {
  const last = capture.lastCommands.get(table.oid) ?? -1;
  const query = { ...plainQuery(newRows(table, source, last)), resultFormats: source.resultFormats };
  let rows = 0;
  await connection.run(query, (row) => {
    rows++;
    return after.write(table.oid, row);
  });
  return rows;
}

/**
 * What the cursor does not see are rows that others have committed since it was opened, and that were ended then: these would
 * be missing from what is kept. The server counts each version that was ended and made, also those in between, and those of a
 * savepoint that was taken back. So if nothing was taken back, as many are missing as the difference says, and none where
 * there is no difference; else none is missing if nobody else has committed anything. Where the transaction reads by one
 * snapshot, the server itself refuses to end what that does not see.
 */
async function proveCounts(
  { connection, plan, capture }: Context,
  { table, counting }: ElsewhereTable,
  counted: Counts,
  before: number,
  after: number,
): Promise<void> {
  const ended = counted.updated + counted.deleted;
  const made = counted.updated + counted.inserted;
  const drift = new Drift(
    `${table.schema}.${table.name}: ${before} rows are gone and ${after} are new, but ${describe(counted)}`,
  );
  if (before > ended || after > made) throw drift;
  if (before === ended && after === made) return;
  if (!plan.bases.some(({ kept }) => kept === true)) {
    const [aborted, committed] = await asked(connection, othersSince(plan.elsewhere!.snapshot));
    if (aborted === 'false' && ended - before === made - after) return;
    if (aborted === 'false' || committed !== 'false') throw drift;
  }
  // A multixact may be older than the cursor where rows were changed before, and what it has ended is not found then.
  if (!capture.counts.wrote) return;
  const [then] = await asked(connection, `FETCH FROM ${quoteName(counting.name)}`);
  const [now] = await asked(connection, rowCount(table));
  if (Number(then) - before + after !== Number(now)) throw drift;
}

async function asked(connection: HiddenConnection, sql: string): Promise<(string | null)[]> {
  let columns: (string | null)[] = [];
  await connection.run(plainQuery(sql), (row) => {
    columns = textColumns(row);
  });
  return columns;
}
