import { isWholeId, timesOfIds } from '../base/ids.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import type { SnapshotFilter } from './filter.ts';
import { allDays, dayOf, findSnapshot, listSnapshots, type SnapshotEntry } from './snapshots.ts';
import { type Listed, readSummary } from './summaries.ts';

export interface SearchPage {
  readonly filter: SnapshotFilter;
  /** The id that the page before has ended with. */
  readonly before: string | null;
  readonly limit: number;
  /** When to give what there is; the page goes on from there. */
  readonly deadlineMs: number;
}

export interface SnapshotsFound {
  readonly items: readonly Listed[];
  /** Null at the end. */
  readonly next: string | null;
}

const READ_AT_ONCE = 16;

/** The newest first. Only what a name does not tell is read. */
export async function searchSnapshots(store: BlobStore, page: SearchPage): Promise<SnapshotsFound> {
  const { filter, limit, deadlineMs } = page;
  const items: Listed[] = [];
  let last: string | null = null;
  let some: SnapshotEntry[] = [];
  const take = async (): Promise<boolean> => {
    const entries = some;
    some = [];
    const read = await Promise.all(entries.map((entry) => readSummary(store, entry, filter)));
    for (const [i, found] of read.entries()) {
      // One more than is asked for says that there are more.
      if (found !== null && items.length === limit) return true;
      if (found !== null) items.push(found);
      last = entries[i]!.id;
    }
    return Date.now() >= deadlineMs;
  };
  for await (const entry of snapshotsBetween(store, page)) {
    some.push(entry);
    if (some.length >= READ_AT_ONCE && (await take())) return { items, next: last };
  }
  return (await take()) && items.length === limit ? { items, next: last } : { items, next: null };
}

/** Identifiers tell when they were made, to the millisecond. */
export async function* snapshotsBetween(
  store: BlobStore,
  { filter: { sinceMs, untilMs }, before }: Pick<SearchPage, 'filter' | 'before'>,
): AsyncIterable<SnapshotEntry> {
  const all = allDays(Date.now());
  const last = before === null ? null : await placeOf(store, before);
  const from = sinceMs === undefined || dayOf(sinceMs) < all.from ? all.from : dayOf(sinceMs);
  // The folder is named a moment after the id, perhaps on the next day.
  const end = untilMs === undefined ? all.to : dayOf(untilMs + DAY_MS);
  const to = [last?.day ?? all.to, end, all.to].toSorted()[0]!;
  if (to < from) return;
  for await (const entry of listSnapshots(store, { from, to })) {
    if (last !== null && entry.id >= last.id) continue;
    const madeMs = timesOfIds(entry.id)?.firstMs ?? entry.storedAtMs;
    if ((untilMs !== undefined && madeMs >= untilMs) || (sinceMs !== undefined && madeMs < sinceMs)) continue;
    yield entry;
  }
}

/** Of a whole id the place is known whether or not retention has removed it meanwhile. */
async function placeOf(store: BlobStore, before: string): Promise<Pick<SnapshotEntry, 'id' | 'day'>> {
  const times = isWholeId(before) ? timesOfIds(before) : null;
  return times === null
    ? await findSnapshot(store, before)
    : { id: before, day: dayOf(times.lastMs + DAY_MS) };
}

const DAY_MS = 24 * 60 * 60_000;
