import { TEXT_ARRAY_OID, textArray } from '../catalog/array-parameter.ts';
import { quoteName, quoteQualified } from '../catalog/quote.ts';
import type { Column } from '../catalog/relation.ts';
import { textColumns } from '../catalog/row.ts';
import { type ChangedElsewhere, changesOfOthers } from './added-rows.ts';
import { nowByKeys } from './by-keys.ts';
import { type Capture, Files, plainQuery, type SnapshotSinks } from './capture.ts';
import { type HiddenConnection, together } from './connection.ts';
import { type Counts, NO_COUNTS, NOTHING_READ, readCounts } from './counts.ts';
import { Drift, describe, Excess, Overtaken, type RowKeys } from './drift.ts';
import { type Cursor, type ElsewhereTable, rowCount, type Search } from './elsewhere.ts';
import { lastCommand, lockedByKeys, newRows, othersSince } from './look.ts';
import type { CapturePlan, PlannedTable } from './plan.ts';
import type { TableProof } from './prove.ts';
import {
  type Context,
  endedOf,
  type Found,
  findByKeys,
  newOnes,
  newOnesInMemory,
  ROWS_MAX,
  type Touched,
  touchedRows,
} from './read-elsewhere.ts';

/** What code of the user's has updated and deleted beyond the plan: its rows as they were, and the proof that these are all. */

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
  const steps = elsewhere.tables.map((each) => async () => {
    const { table, source, search } = each;
    for (const cursor of cursorsOf(each, capture)) await open(cursor);
    if (!hasMadeRows(table, capture) || search === null || search.slow) return;
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

function cursorsOf({ byKeys, search }: ElsewhereTable, { counts: { wrote } }: Capture): Cursor[] {
  const whole = search === null ? [] : wrote ? [search.cursor, search.counting] : [search.cursor];
  return byKeys === null ? whole : [byKeys.cursor, ...whole];
}

/** Whether the transaction may have made rows in it before; those of earlier ones are counted as well for a while. */
function hasMadeRows({ oid }: PlannedTable, { counts }: Capture): boolean {
  const { inserted, updated } = counts.others.get(oid)?.counts ?? NO_COUNTS;
  return counts.wrote && inserted + updated > 0;
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
    table: { table, source, byKeys, search, mayLock },
  } of changed) {
    const columns = keyColumns(table);
    if (columns === null || !mayLock) continue;
    const texts = columns.map(({ name }) => `r.${quoteName(name)}::pg_catalog.text`).join(', ');
    const rows: (string | null)[][] = [];
    const made =
      search === null && byKeys !== null
        ? nowByKeys(quoteQualified(table.schema, table.name), texts, byKeys)
        : newRows(table, source, capture.lastCommands.get(table.oid) ?? -1, texts);
    await connection.run(plainQuery(`${made} LIMIT ${ROWS_MAX}`), (row) => void rows.push(textColumns(row)));
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
  capture: Capture,
): Promise<void> {
  if (elsewhere?.endsAtOnce === true) return;
  const open = (elsewhere?.tables ?? []).flatMap((table) => cursorsOf(table, capture));
  const close = open.map(({ name }) => async () => {
    await connection.run(plainQuery(`CLOSE ${quoteName(name)}`), () => {});
  });
  await together(connection, close);
}

async function proveTable(context: Context, elsewhere: ElsewhereTable, counted: Counts): Promise<TableProof> {
  const { table } = elsewhere;
  const keep = async (gone: readonly Touched[], made: readonly Buffer[]): Promise<TableProof> => {
    for (const { row } of gone) await context.before.write(table.oid, row);
    for (const row of made) await context.after.write(table.oid, row);
    return { table, before: gone.length, after: made.length, counted };
  };
  const found = await findByKeys(context, elsewhere);
  if (found !== null && isAll(found, counted)) return await keep(found.gone, found.made);
  const search = searchOf(context, elsewhere, counted, found);
  const made = found === null ? null : await newOnesInMemory(context, elsewhere);
  if (found !== null && made !== null && (await isAllBut(context, counted, found.gone.length, made.length)))
    return await keep(found.gone, made);
  const touched = await touchedRows(context, elsewhere, search.cursor);
  const [ended, after] = await together<Touched[] | number>(context.connection, [
    async () => await endedOf(context, elsewhere, touched),
    async () => (made === null ? await writeNew(context, elsewhere) : (await keep([], made)).after),
  ]);
  const gone = ended as Touched[];
  await proveCounts(context, table, search, counted, gone.length, after as number);
  return { ...(await keep(gone, [])), after: after as number };
}

/**
 * Whether it is all that was changed: each version of a row that the server has counted is one of those that were found. Of a row
 * that was changed twice it has counted more, and nothing tells whose.
 */
const isAll = ({ gone, made }: Found, { inserted, updated, deleted }: Counts): boolean =>
  gone.length === updated + deleted && made.length === updated + inserted;

/** How the table is read through, or why it is not. */
function searchOf(
  { capture }: Context,
  { table, search }: ElsewhereTable,
  counted: Counts,
  found: Found | null,
): Search {
  const isTold = search?.slow !== true || !hasMadeRows(table, capture);
  if (search !== null && isTold) return search;
  const label = `${table.schema}.${table.name}`;
  // All that is new is there, and was changed by others before.
  const isNew = found !== null && found.made.length === counted.updated + counted.inserted;
  if (isNew && found.gone.length < counted.updated)
    throw new Drift(`${label}: ${found.gone.length} rows are gone, but ${describe(counted)}`);
  const what = `it changed ${label} as well, and other rows than the keys of its own tell, or these more than once`;
  throw new Excess(`${what}: ${describe(counted)}; the table is too large to be searched`);
}

async function writeNew(context: Context, elsewhere: ElsewhereTable): Promise<number> {
  let rows = 0;
  await newOnes(context, elsewhere, (row) => {
    rows++;
    return context.after.write(elsewhere.table.oid, row);
  });
  return rows;
}

/**
 * Whether rows that are gone are all, where those that are new surely are: what else was made was ended again, if nothing was
 * taken back, and whatever else was ended is missing.
 */
async function isAllBut(
  { connection, plan }: Context,
  { inserted, updated, deleted }: Counts,
  before: number,
  after: number,
): Promise<boolean> {
  if (updated + deleted - before !== updated + inserted - after) return false;
  // By one snapshot of its own the transaction sees nothing of what was taken back since.
  if (plan.bases.some(({ kept }) => kept === true)) return false;
  const [aborted] = await asked(connection, othersSince(plan.elsewhere!.snapshot));
  return aborted === 'false';
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
  table: PlannedTable,
  { counting }: Search,
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
