import type { BlobStore } from '../blobs/blob-store.ts';
import { allDays, findSnapshot, listSnapshots, type SnapshotEntry } from '../snapshot/snapshots.ts';
import { type Listed, readSummaries } from '../snapshot/summaries.ts';
import type { Io } from './io.ts';
import { oneLine, printable } from './printable.ts';
import { type StoreOptions, withStore } from './snapshot-store.ts';
import { timeText } from './snapshots-show.ts';
import { alignRows, toJson } from './table.ts';

export interface ListOptions extends StoreOptions {
  readonly limit: number;
  readonly before?: string;
  readonly since?: string;
  readonly until?: string;
}

/** More are not counted one by one. */
const COUNTED_MAX = 1_000;
const SQL_CHARS_MAX = 72;

export async function listCommand(options: ListOptions, io: Io): Promise<void> {
  await withStore(options, io, async ({ store, place }) => {
    const { shown, more } = await read(store, options);
    const items = await readSummaries(store, shown);
    const next = more === 0 ? null : (items.at(-1)?.id ?? null);
    if (options.json === true) io.out(toJson({ items, next }));
    else if (items.length === 0)
      io.out(`There is no snapshot${narrowed(options) ? ' there' : ''} in ${place}.\n`);
    else io.out(asText(items, more, next));
  });
}

const narrowed = ({ since, until, before }: ListOptions): boolean => (since ?? until ?? before) !== undefined;

async function read(
  store: BlobStore,
  options: ListOptions,
): Promise<{ shown: SnapshotEntry[]; more: number }> {
  const all = allDays(Date.now());
  const before = options.before === undefined ? null : await findSnapshot(store, options.before);
  const until = options.until ?? before?.day ?? all.to;
  const shown: SnapshotEntry[] = [];
  let more = 0;
  for await (const entry of listSnapshots(store, { from: options.since ?? all.from, to: until })) {
    if (before !== null && entry.id >= before.id) continue;
    if (shown.length < options.limit) shown.push(entry);
    else if (++more >= COUNTED_MAX) break;
  }
  return { shown, more };
}

const HEAD = ['ID', 'TAKEN (UTC)', 'ROLE', 'DATABASE', 'ROWS', 'TABLES', 'STATEMENT'];
const ROWS_COLUMN = HEAD.indexOf('ROWS');

function asText(items: readonly Listed[], more: number, next: string | null): string {
  const table = alignRows([HEAD, ...items.map(row)], [ROWS_COLUMN]);
  if (more === 0) return table;
  const count = more >= COUNTED_MAX ? `${COUNTED_MAX} or more` : String(more);
  return `${table}… and ${count} older: --before ${next} goes on, --limit shows more at once\n`;
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
export function rowsText(before: number, after: number): string {
  return `${before} → ${after}`;
}
