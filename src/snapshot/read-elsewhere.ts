import { OID_ARRAY_OID, oidArray, TID_ARRAY_OID, TID_BYTES, tidArray } from '../catalog/array-parameter.ts';
import { quoteName, quoteQualified } from '../catalog/quote.ts';
import { textColumns } from '../catalog/row.ts';
import { areFew, nowByKeys, tellingValues } from './by-keys.ts';
import { type Capture, type Files, plainQuery } from './capture.ts';
import { capturedColumns } from './capture-sql.ts';
import { type HiddenConnection, type RowTaker, together } from './connection.ts';
import { Drift, Excess } from './drift.ts';
import type { Cursor, ElsewhereTable } from './elsewhere.ts';
import { endedByUs, newRows } from './look.ts';
import { PLACE_AT } from './places.ts';
import type { CapturePlan, PlannedTable } from './plan.ts';

/** Reads what code of the user's has updated and deleted beyond the plan: from the cursors as it was, and as it is now. */

export interface Context {
  readonly connection: HiddenConnection;
  readonly plan: CapturePlan;
  readonly capture: Capture;
  readonly before: Files;
  readonly after: Files;
}

/** Rows of one table, and their bytes, which are in memory until it is known which of them are gone. */
export const ROWS_MAX = 16 * 1024;
const BYTES_MAX = 32 * 1024 * 1024;

export interface Touched {
  readonly row: Buffer;
  /** What stands in xmax. */
  readonly ender: number;
}

/** A number in binary, with its length. */
const ENDER_BYTES = 8;

const TEXT_OID = 25;

/** The rows as they were that this transaction may have ended. */
export async function touchedRows(
  { connection }: Context,
  { table, source }: ElsewhereTable,
  cursor: Cursor,
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
  if (count > ROWS_MAX || bytes > BYTES_MAX) throw tooMuch(table);
  return touched;
}

function tooMuch({ schema, name }: PlannedTable): Excess {
  const most = `${ROWS_MAX} rows, or ${BYTES_MAX / (1024 * 1024)} MiB of them`;
  return new Excess(`it changed ${schema}.${name} as well, by more than ${most}`);
}

/** Those that it has ended, which are gone. */
export async function endedOf(
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

/** All rows that it has made since the statement began. */
export async function newOnes(
  { connection, capture }: Context,
  { table, source }: ElsewhereTable,
  take: RowTaker,
): Promise<void> {
  const last = capture.lastCommands.get(table.oid) ?? -1;
  const query = { ...plainQuery(newRows(table, source, last)), resultFormats: source.resultFormats };
  await connection.run(query, take);
}

/** The same, in memory; null where they are too many for that. */
export async function newOnesInMemory(context: Context, elsewhere: ElsewhereTable): Promise<Buffer[] | null> {
  const rows: Buffer[] = [];
  let bytes = 0;
  let count = 0;
  await newOnes(context, elsewhere, (row) => {
    count++;
    bytes += row.length;
    if (count <= ROWS_MAX && bytes <= BYTES_MAX) rows.push(Buffer.from(row));
  });
  return rows.length === count ? rows : null;
}

/** What keys of the statement's rows have found. */
export interface Found {
  readonly gone: readonly Touched[];
  readonly made: readonly Buffer[];
}

/** Null where nothing was looked for. */
export async function findByKeys(context: Context, elsewhere: ElsewhereTable): Promise<Found | null> {
  const { connection, capture } = context;
  const { byKeys, table, source } = elsewhere;
  const { values } = capture;
  if (byKeys === null || values === undefined || !areFew(byKeys, values)) return null;
  const [, then] = await together<Touched[]>(connection, [
    async () => {
      await connection.run(tellingValues(values), () => {});
      return [];
    },
    async () => await touchedRows(context, elsewhere, byKeys.cursor),
  ]);
  // Several keys may find the same row.
  const places = new Map(then!.map((touched) => [placeOf(touched.row), touched]));
  const made = new Map<string, Buffer>();
  const columns = capturedColumns('r', source.columns);
  const query = {
    ...plainQuery(nowByKeys(quoteQualified(table.schema, table.name), columns, byKeys)),
    resultFormats: source.resultFormats,
  };
  let bytes = 0;
  const [gone] = await together<Touched[] | null>(connection, [
    async () => await endedOf(context, elsewhere, [...places.values()]),
    async () => {
      await connection.run(query, (row) => {
        const place = placeOf(row);
        bytes += row.length;
        if (bytes <= BYTES_MAX && !places.has(place)) made.set(place, Buffer.from(row));
      });
      return null;
    },
  ]);
  if (bytes > BYTES_MAX) throw tooMuch(table);
  return { gone: gone!, made: [...made.values()] };
}

const placeOf = (row: Buffer): string => row.toString('latin1', PLACE_AT, PLACE_AT + TID_BYTES);
