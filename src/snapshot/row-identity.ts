import { createHash, hash } from 'node:crypto';
import { bestKey, type Column, type Key, type Relation } from '../catalog/relation.ts';
import { type RowSet, RowSetBuilder } from '../policy/row-set.ts';
import type { SnapshotSinks, TableSink } from './capture.ts';
import { capturedColumns } from './capture-sql.ts';
import type { HiddenConnection, HiddenQuery, RowTaker } from './connection.ts';
import { eachRow, PLACE_END, tableOf } from './places.ts';
import type { PlannedTable } from './plan.ts';
import { captured, formatsOf } from './plan-parts.ts';

/**
 * Which row it is: the table that stores it, and the values of its key as the server sends them in binary, or of all its
 * columns where it has none. A partition is told by the key as well, since it holds what leads to it.
 */

/** The columns that tell the rows of a relation from each other, in their order. */
export function identityOf(relation: Relation): readonly string[] {
  const columns = captured(relation).map(({ name }) => name);
  const isUsable = (key: Key | null | undefined): key is Key =>
    key?.columns.every((name) => columns.includes(name)) === true;
  const best = bestKey(relation);
  if (isUsable(best)) return best.columns;
  const others = relation.keys.filter((key) => key.notNull && !key.deferrable && isUsable(key));
  return others[0]?.columns ?? columns;
}

function columnsOf(relation: Relation): Column[] {
  return identityOf(relation).map((name) => relation.columns.find((column) => column.name === name)!);
}

/** What a query of a relation's rows has to give, so that they are told from each other. */
export function identifying(
  relation: Relation,
  alias: string,
): { readonly columns: string; readonly resultFormats: readonly (0 | 1)[] } {
  const columns = columnsOf(relation);
  return { columns: capturedColumns(alias, columns), resultFormats: formatsOf(columns) };
}

/** The set of the rows that such queries give; null where they are more than so many. */
export async function gatherRows(
  connection: HiddenConnection,
  queries: readonly HiddenQuery[],
  rows: RowHashes,
  rowsMax: number,
): Promise<RowSet | null> {
  for (const query of queries) {
    const { brokenOff } = await connection.run(query, identified(rows));
    if (brokenOff === true || rows.count > rowsMax || rows.isFull) return null;
  }
  return rows.set();
}

/** Rows that are hashed before all else has its turn: they come faster than they are hashed, and others wait meanwhile. */
const AT_ONCE = 500;

let lastTurn: Promise<void> = Promise.resolve();

/** However many are gathered at a time, one of them goes on each time that all else has had its turn. */
function nextTurn(): Promise<void> {
  lastTurn = lastTurn.then(() => new Promise((resolve) => setImmediate(resolve)));
  return lastTurn;
}

function identified(rows: RowHashes): RowTaker {
  let left = AT_ONCE;
  const one = (row: Buffer) => {
    rows.add(tableOf(row), row, [PLACE_END, row.length]);
    if (--left > 0) return;
    left = AT_ONCE;
    return nextTurn();
  };
  const many = (bytes: Buffer, at: number, end: number) =>
    eachRow(bytes, at, end, (table, body, rowEnd) => {
      // The last before the pause is taken by itself.
      if (left <= 1) return false;
      left--;
      rows.add(table, bytes, [body + PLACE_END, rowEnd]);
      return true;
    });
  return Object.assign(one, { many });
}

/** What is hashed without being put together first. */
const GATHERED_BYTES = 4096;

/** The set of the rows that it is given, by their hashes. */
export class RowHashes {
  readonly #builder: RowSetBuilder;
  /** The salt, the table, and the columns, each with its length. */
  readonly #gathered = Buffer.alloc(GATHERED_BYTES);
  readonly #head: number;
  readonly #bytesMax: number;
  #bytes = 0;
  #count = 0;

  constructor(salt: Uint8Array, keptMax: number, bytesMax = Number.POSITIVE_INFINITY) {
    this.#bytesMax = bytesMax;
    this.#builder = new RowSetBuilder(salt, keptMax);
    this.#gathered.set(salt);
    this.#head = salt.length + 4;
  }

  get count(): number {
    return this.#count;
  }

  /** More has come than is hashed, so that there is no set of it. */
  get isFull(): boolean {
    return this.#bytes > this.#bytesMax;
  }

  set(): RowSet {
    return this.#builder.set();
  }

  /** The columns stand, each with its length, in `bytes` from one place to the next of each pair. */
  add(table: number, bytes: Buffer, places: readonly number[]): void {
    this.#count++;
    for (let i = 0; i < places.length; i += 2) this.#bytes += places[i + 1]! - places[i]!;
    if (this.isFull) return;
    const gathered = this.#gathered;
    gathered.writeUInt32BE(table, this.#head - 4);
    let end = this.#head;
    for (let i = 0; i < places.length; i += 2) {
      const length = places[i + 1]! - places[i]!;
      if (end + length > GATHERED_BYTES) return this.#addLong(bytes, places);
      end += bytes.copy(gathered, end, places[i]!, places[i + 1]!);
    }
    this.#builder.add(hash('sha256', gathered.subarray(0, end), 'buffer').readBigUInt64LE(0));
  }

  #addLong(bytes: Buffer, places: readonly number[]): void {
    const hashing = createHash('sha256').update(this.#gathered.subarray(0, this.#head));
    for (let i = 0; i < places.length; i += 2) hashing.update(bytes.subarray(places[i]!, places[i + 1]!));
    this.#builder.add(hashing.digest().readBigUInt64LE(0));
  }
}

/** Where rows of the statement's own are captured, they are told from each other as they pass. */
export function witnessing(sinks: SnapshotSinks, rows: RowHashes): SnapshotSinks {
  return {
    open(table, image) {
      const sink = sinks.open(table, image);
      if (image !== 'before' || table.identity === undefined) return sink;
      return witnessed(sink, table, table.identity, rows);
    },
    keep: (sequences) => sinks.keep?.(sequences),
  };
}

function witnessed(
  sink: TableSink,
  { oid, columns }: PlannedTable,
  identity: readonly string[],
  rows: RowHashes,
): TableSink {
  const wanted = identity.map((name) => columns.findIndex((column) => column.name === name));
  const starts: number[] = [];
  const add = (bytes: Buffer, tuple: number) => {
    let at = tuple + 2;
    for (let i = 0; i < columns.length; i++) {
      starts[i] = at;
      at += 4 + Math.max(bytes.readInt32BE(at), 0);
    }
    starts[columns.length] = at;
    rows.add(
      oid,
      bytes,
      wanted.flatMap((i) => [starts[i]!, starts[i + 1]!]),
    );
  };
  return {
    write(row) {
      add(row, 0);
      return sink.write(row);
    },
    fits: (bytes) => sink.fits?.(bytes) === true,
    take(bytes, start, end) {
      add(bytes, start);
      sink.take?.(bytes, start, end);
    },
  };
}
