import { fingerprintNow } from '../catalog/catalog.ts';
import { quoteQualified } from '../catalog/quote.ts';
import type { OwnedSequence } from '../catalog/relation.ts';
import { textColumns } from '../catalog/row.ts';
import { type HiddenConnection, type HiddenQuery, type RowTaker, together } from './connection.ts';
import { type CountsReading, NOTHING_READ, readCounts } from './counts.ts';
import { KeyValues } from './key-values.ts';
import { lastCommand } from './look.ts';
import type { ManifestSequence } from './manifest.ts';
import { eachRow, PLACE_AT, Places, tableOf, tupleAt, withoutPlace } from './places.ts';
import type { CapturePlan, CaptureSource, PlannedTable, StatementParameters } from './plan.ts';
import { tuplesOf } from './tuples.ts';

/** Takes the rows of one file, as tuples of PGCOPY; each is valid only during the call. */
export interface TableSink {
  write(row: Buffer): void | Promise<void>;
  /** Whether a tuple of so many bytes would be taken at once, and takes it then, from where it stands in others. */
  fits?(bytes: number): boolean;
  take?(bytes: Buffer, start: number, end: number): void;
  /** How many bytes of tuples would be taken at once, one after another as `takeTuples` takes them. */
  room?(): number;
  takeTuples?(tuples: Buffer, rows: number): void;
}

/** Opens a file when its first row comes. */
export interface SnapshotSinks {
  open(table: PlannedTable, image: 'before' | 'after'): TableSink;
  /** How sequences stand that the statement will start anew. */
  keep?(sequences: readonly ManifestSequence[]): void;
}

/** What is known of a statement before it runs, which its proof will need. */
export interface Capture {
  readonly counts: CountsReading;
  /** Rows captured of each table, by its OID. */
  readonly rows: ReadonlyMap<number, number>;
  readonly places: Places;
  /** For tables that may gain rows: the last earlier command of the transaction that made a row in it. */
  readonly lastCommands: ReadonlyMap<number, number>;
  /** What rows of other tables may be found by. */
  readonly values?: KeyValues;
  /** Code of the user's has changed other tables between the counts and the cursors over these, which therefore tell nothing. */
  readonly tooLate?: true;
}

/** Reads the rows that the statement will change, locking them, into files. `counting` is where they are counted already. */
export async function captureBefore(
  connection: HiddenConnection,
  plan: CapturePlan,
  sinks: SnapshotSinks,
  places: Places = new Places(needsPlaces(plan) ? undefined : 0),
  rowsMax = 0,
  counting: Promise<CountsReading> | null = null,
): Promise<Capture> {
  if (plan.lock !== null) await connection.run(plainQuery(plan.lock), () => {});
  if (plan.sequences.length > 0) sinks.keep?.(await readSequences(connection, plan.sequences));
  const rows = new Map<number, number>();
  const values = valuesFor(plan);
  const files = new Files(plan, sinks, 'before', values);
  const isUnplaced = comesUnplaced(plan);
  if (isUnplaced) places.forgo();
  const read = plan.sources.map((source) => async () => {
    const query = { ...sourceQuery(source, plan.parameters), rowsMax };
    const { brokenOff } = isUnplaced
      ? await connection.run(unplacedQuery(query, source), capturingTuples(files, rows, source.tables[0]!))
      : await connection.run(query, capturing(files, rows, places));
    if (brokenOff === true) throw new ManyRows();
  });
  // A row lock gives the transaction its number, which the counts say had none before.
  let counts = NOTHING_READ;
  const count = async () => {
    counts = await (counting ?? readCounts(connection, plan));
  };
  if (plan.operation === 'truncate') read.push(async () => await refuseStale(connection, plan));
  if (plan.tables.every(({ mayGainRows }) => !mayGainRows)) {
    await together(connection, [count, ...read]);
    return { counts, rows, places, lastCommands: new Map(), ...(values && { values }) };
  }
  await count();
  const lastCommands = await readLastCommands(connection, plan, counts);
  await together(connection, read);
  return { counts, rows, places, lastCommands, ...(values && { values }) };
}

function valuesFor({ elsewhere }: CapturePlan): KeyValues | undefined {
  const families = (elsewhere?.tables ?? []).flatMap(({ byKeys }) => byKeys?.families.flat() ?? []);
  return families.length === 0 ? undefined : new KeyValues(families);
}

/** What was deleted for its own values alone is proved by its count, and has no newer versions to be found. */
function needsPlaces({ ownRowOnly, tables }: CapturePlan): boolean {
  return !ownRowOnly || tables.some(({ changes }) => changes.some((change) => change !== 'delete'));
}

/** Of what is deleted for its own values from tables that are locked, nothing is asked afterwards but how many they were. */
function comesUnplaced({ tablesAreLocked, sources }: CapturePlan): boolean {
  return tablesAreLocked === true && sources.every(({ unplaced }) => unplaced !== undefined);
}

function unplacedQuery(query: HiddenQuery, { unplaced }: CaptureSource): HiddenQuery {
  return { ...query, sql: unplaced!, resultFormats: query.resultFormats.slice(2) };
}

/** Takes rows into the files of their tables, and notes how many and where they were. */
function capturing(files: Files, rows: Map<number, number>, places: Places): RowTaker {
  const one = (row: Buffer) => {
    const table = tableOf(row);
    rows.set(table, (rows.get(table) ?? 0) + 1);
    places.add(table, row, PLACE_AT);
    return files.write(table, row);
  };
  const many = (bytes: Buffer, at: number, end: number) => {
    let current = 0;
    let sink: TableSink | null = null;
    let count = 0;
    const noteCount = () => {
      if (count > 0) rows.set(current, (rows.get(current) ?? 0) + count);
      count = 0;
    };
    const stopped = eachRow(bytes, at, end, (table, body, rowEnd) => {
      if (table !== current || sink === null) {
        noteCount();
        current = table;
        sink = files.of(table);
      }
      // What is not taken is looked at once more by itself, and has to be what it was.
      if (sink.fits?.(rowEnd - body) !== true) return false;
      places.add(table, bytes, body + PLACE_AT);
      sink.take?.(bytes, tupleAt(bytes, body), rowEnd);
      count++;
      return true;
    });
    noteCount();
    return stopped;
  };
  return Object.assign(one, { many });
}

/** Takes rows that come without their places, which are all of that table. */
function capturingTuples(files: Files, rows: Map<number, number>, table: number): RowTaker {
  const count = (taken: number) => rows.set(table, (rows.get(table) ?? 0) + taken);
  const one = (row: Buffer) => {
    count(1);
    return files.of(table).write(row);
  };
  const many = (bytes: Buffer, at: number, end: number) => {
    const sink = files.of(table);
    const room = sink.room?.() ?? 0;
    if (room === 0) return at;
    const tuples = tuplesOf(bytes, at, Math.min(end, at + room));
    if (tuples.rows === 0) return at;
    count(tuples.rows);
    sink.takeTuples?.(tuples.bytes, tuples.rows);
    return tuples.stopped;
  };
  return Object.assign(one, { many });
}

async function readSequences(
  connection: HiddenConnection,
  sequences: readonly OwnedSequence[],
): Promise<ManifestSequence[]> {
  const each = sequences.map(
    ({ schema, name }, i) =>
      `SELECT '${i}', s.last_value::pg_catalog.text, s.is_called::pg_catalog.text FROM ${quoteQualified(schema, name)} s`,
  );
  const out: ManifestSequence[] = [];
  await connection.run(plainQuery(each.join(' UNION ALL ')), (row) => {
    const [i, lastValue, isCalled] = textColumns(row);
    const { schema, name, oid } = sequences[Number(i)]!;
    out.push({ schema, name, oid, last_value: lastValue!, is_called: isCalled === 'true' });
  });
  return out;
}

function sourceQuery(source: CaptureSource, parameters: StatementParameters): HiddenQuery {
  return {
    sql: source.sql,
    parameterTypes: parameters.types,
    parameters: parameters.values,
    parameterFormats: parameters.formats,
    resultFormats: source.resultFormats,
  };
}

export function plainQuery(sql: string): HiddenQuery {
  return { sql, parameterTypes: [], parameters: [], parameterFormats: [], resultFormats: [] };
}

/** Only where the transaction has already changed a table that the statement may add to is there anything to learn. */
async function readLastCommands(
  connection: HiddenConnection,
  plan: CapturePlan,
  counts: CountsReading,
): Promise<Map<number, number>> {
  const out = new Map<number, number>();
  for (const table of plan.tables) {
    const before = counts.tables.get(table.oid);
    const touched = before !== undefined && before.inserted + before.updated > 0;
    if (!table.mayGainRows || !touched || !counts.wrote) continue;
    const sql = lastCommand(table, plan.sources[table.source]!);
    await connection.run(plainQuery(sql), (row) => {
      out.set(table.oid, Number(textColumns(row)[0]));
    });
  }
  return out;
}

/** TRUNCATE changes the catalog itself; but once it has its locks, nobody else does. */
async function refuseStale(connection: HiddenConnection, plan: CapturePlan): Promise<void> {
  if (await isAltered(connection, plan)) throw new StalePlan('what it empties was altered meanwhile');
}

/** Whether the catalog says something else by now than what the plan rests on. */
export async function isAltered(
  connection: HiddenConnection,
  { bases }: Pick<CapturePlan, 'bases'>,
): Promise<boolean> {
  const steps = bases.map((basis) => async () => await fingerprintNow(connection, basis));
  const now = await together(connection, steps);
  return now.some((fingerprint, i) => fingerprint !== bases[i]!.fingerprint);
}

/** More rows than were to be locked. */
export class ManyRows extends Error {}

/** Something came in between, such as a new partition, so that the plan is no longer true: plan again. */
export class StalePlan extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'StalePlan';
  }
}

/** The files of one image, each opened by the first row of its table. */
export class Files {
  readonly #tables: ReadonlyMap<number, PlannedTable>;
  readonly #sinks: SnapshotSinks;
  readonly #image: 'before' | 'after';
  readonly #values: KeyValues | undefined;
  readonly #open = new Map<number, TableSink>();

  constructor(plan: CapturePlan, sinks: SnapshotSinks, image: 'before' | 'after', values?: KeyValues) {
    const elsewhere = plan.elsewhere?.tables.map(({ table }) => table) ?? [];
    this.#tables = new Map([...plan.tables, ...elsewhere].map((table) => [table.oid, table]));
    this.#sinks = sinks;
    this.#image = image;
    this.#values = values;
  }

  write(oid: number, row: Buffer): void | Promise<void> {
    return this.of(oid).write(withoutPlace(row));
  }

  of(oid: number): TableSink {
    let sink = this.#open.get(oid);
    if (sink === undefined) {
      const table = this.#tables.get(oid);
      if (table === undefined) throw new StalePlan(`a row came from table ${oid}, which is not planned for`);
      sink = this.#sinks.open(table, this.#image);
      sink = this.#values?.watching(sink, table) ?? sink;
      this.#open.set(oid, sink);
    }
    return sink;
  }
}
