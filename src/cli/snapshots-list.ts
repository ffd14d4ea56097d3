import type { BlobStore } from '../blobs/blob-store.ts';
import { asksOfManifest, type SnapshotFilter } from '../snapshot/filter.ts';
import { searchSnapshots, snapshotsBetween } from '../snapshot/search.ts';
import type { Listed } from '../snapshot/summaries.ts';
import type { Io } from './io.ts';
import { oneLine, printable } from './printable.ts';
import { type StoreOptions, withStore } from './snapshot-store.ts';
import { timeText } from './snapshots-show.ts';
import { alignRows, toJson } from './table.ts';

export interface ListOptions extends StoreOptions {
  readonly limit: number;
  readonly before?: string;
  /** Days, both included. */
  readonly since?: string;
  readonly until?: string;
  readonly table?: string;
  readonly role?: string;
  readonly database?: string;
  readonly operation?: string;
  readonly mark?: 'undone' | 'rolled-back' | 'none';
}

/** More are not counted one by one. */
const COUNTED_MAX = 1_000;
const SQL_CHARS_MAX = 72;
const DAY_MS = 24 * 60 * 60_000;

export async function listCommand(options: ListOptions, io: Io): Promise<void> {
  await withStore(options, io, async ({ store, place }) => {
    const { limit, before = null } = options;
    const filter = filterOf(options);
    const { items, next } = await searchSnapshots(store, { filter, before, limit, deadlineMs: Infinity });
    if (options.json === true) io.out(toJson({ items, next }));
    else if (items.length === 0)
      io.out(`There is no ${isNarrowed(options) ? 'such ' : ''}snapshot in ${place}.\n`);
    else io.out(asText(items, next === null ? '' : await moreText(store, filter, next)));
  });
}

const isNarrowed = ({ before, ...options }: ListOptions): boolean =>
  before !== undefined || Object.values(filterOf(options)).some((each) => each !== undefined);

function filterOf({ since, until, table, role, database, operation, mark }: ListOptions): SnapshotFilter {
  const dayMs = (day: string) => Date.parse(`${day}T00:00:00Z`);
  return {
    sinceMs: since === undefined ? undefined : dayMs(since),
    untilMs: until === undefined ? undefined : dayMs(until) + DAY_MS,
    table,
    role,
    database,
    operation,
    mark: mark === 'rolled-back' ? 'rolled_back' : mark,
  };
}

/** How many are older, where that can be told without reading them. */
async function moreText(store: BlobStore, filter: SnapshotFilter, next: string): Promise<string> {
  const goOn = `--before ${next} goes on, --limit shows more at once\n`;
  if (asksOfManifest(filter) || filter.mark !== undefined) return `… and older ones: ${goOn}`;
  let more = 0;
  for await (const _ of snapshotsBetween(store, { filter, before: next })) if (++more >= COUNTED_MAX) break;
  return `… and ${more >= COUNTED_MAX ? `${COUNTED_MAX} or more` : more} older: ${goOn}`;
}

const HEAD = ['ID', 'TAKEN (UTC)', 'ROLE', 'DATABASE', 'ROWS', 'TABLES', 'STATEMENT'];
const ROWS_COLUMN = HEAD.indexOf('ROWS');

function asText(items: readonly Listed[], more: string): string {
  return `${alignRows([HEAD, ...items.map(row)], [ROWS_COLUMN])}${more}`;
}

function row(item: Listed): string[] {
  if ('problem' in item) return [item.id, '', '', '', '', '', `(${printable(item.problem)})`];
  const [first = '', ...rest] = item.tables;
  const others = item.table_count - 1;
  const tables = rest.length === 0 ? first : `${first} +${others}`;
  return [
    item.id,
    timeText(item.created_at),
    oneLine(item.role, 24),
    oneLine(item.database, 24),
    item.dropped > 0 ? `${item.dropped} moved` : rowsText(item.rows_before, item.rows_after),
    oneLine(tables, 48),
    oneLine(
      `${item.rolled_back ? '(rolled back) ' : ''}${item.undone ? '(undone) ' : ''}${item.statement}`,
      SQL_CHARS_MAX,
    ),
  ];
}

/** How many rows there were of those that the statement touched, and how many it left. */
function rowsText(before: number, after: number): string {
  return `${before} → ${after}`;
}
