import { HoldfastError } from '../base/errors.ts';
import { isWholeId, timesOfIds } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { fromManifest, type Manifest, manifestKey } from './manifest.ts';
import { readRows } from './row-file-reader.ts';

/** Which snapshots there are, whether they are whole, and how one goes. */

/** Days of UTC as `2026-11-21`, both included. */
export interface DayRange {
  readonly from: string;
  readonly to: string;
}

export interface SnapshotEntry {
  readonly id: string;
  readonly folder: string;
  readonly day: string;
  /** When it came to be. */
  readonly storedAtMs: number;
  /** The statement was taken back with its transaction, so that there is nothing to undo. */
  readonly rolledBack: boolean;
  /** It was undone, unless that was undone itself; see `undoneBy`. */
  readonly undoMarked: boolean;
}

/** Those of a range of days, the newest first, whose ids begin so. What has no manifest is none. */
export async function* listSnapshots(
  store: BlobStore,
  range: DayRange,
  beginning = '',
): AsyncIterable<SnapshotEntry> {
  for await (const day of daysBackwards(store, range)) {
    const found: Omit<SnapshotEntry, 'rolledBack' | 'undoMarked'>[] = [];
    const [rolledBack, undoMarked] = [new Set<string>(), new Set<string>()];
    const prefix = prefixOf(day);
    for await (const { key, modifiedAtMs } of store.list(prefix + beginning)) {
      const [id, name] = key.slice(prefix.length).split('/');
      const folder = `${prefix}${id}`;
      if (key === rolledBackKey(folder)) rolledBack.add(id!);
      if (key === undoMarkKey(folder)) undoMarked.add(id!);
      if (name === undefined || key !== manifestKey(folder)) continue;
      found.push({ id: id!, folder, day, storedAtMs: modifiedAtMs });
    }
    // Identifiers sort by the time they were made.
    const marked = found.map((entry) => ({
      ...entry,
      rolledBack: rolledBack.has(entry.id),
      undoMarked: undoMarked.has(entry.id),
    }));
    yield* marked.toSorted((a, b) => (a.id < b.id ? 1 : -1));
  }
}

const DAY_MS = 24 * 60 * 60_000;

/** Years and months of which there is nothing cost one question and not one for each of their days. */
async function* daysBackwards(store: BlobStore, { from, to }: DayRange): AsyncIterable<string> {
  const [first, last] = [dayMs(from), dayMs(to)];
  if ((last - first) / DAY_MS > LIMITS.snapshotListDays) {
    throw new HoldfastError(
      'CONFLICT',
      `more than ${LIMITS.snapshotListDays} days are too many to look through`,
    );
  }
  const known = new Map<string, boolean>();
  const hasAny = async (part: string): Promise<boolean> => {
    const answer = known.get(part) ?? (await hasBlobs(store, prefixOf(part)));
    known.set(part, answer);
    return answer;
  };
  for (let at = last; at >= first; at -= DAY_MS) {
    const day = dayOf(at);
    if ((await hasAny(day.slice(0, 4))) && (await hasAny(day.slice(0, 7)))) yield day;
  }
}

async function hasBlobs(store: BlobStore, prefix: string): Promise<boolean> {
  for await (const _ of store.list(prefix)) return true;
  return false;
}

/** Of a year, a month or a day. */
const prefixOf = (date: string): string => `snapshots/${date.replaceAll('-', '/')}/`;

export const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

function dayMs(day: string): number {
  const ms = Date.parse(`${day}T00:00:00Z`);
  if (Number.isNaN(ms)) throw new HoldfastError('CONFLICT', `${day} is no day such as 2026-11-21`);
  return ms;
}

/** All days that can be looked through, up to tomorrow: clocks differ. */
export function allDays(nowMs: number): DayRange {
  const last = nowMs + DAY_MS;
  return { from: dayOf(last - LIMITS.snapshotListDays * DAY_MS), to: dayOf(last) };
}

const NAMED_MAX = 5;

/** A day behind it has another form. */
const DAYS_END_MS = Date.UTC(9999, 11, 31);

/** The snapshot that is meant by its id, the beginning of it, or `latest`. */
export async function findSnapshot(store: BlobStore, asked: string): Promise<SnapshotEntry> {
  const beginning = asked === 'latest' ? '' : asked.includes('_') ? asked : `snap_${asked}`;
  const found: SnapshotEntry[] = [];
  for await (const entry of entriesOf(store, beginning)) {
    if (asked === 'latest' && entry.rolledBack) continue;
    found.push(entry);
    if (asked === 'latest' || found.length > NAMED_MAX) break;
  }
  const [only] = found;
  if (only === undefined) {
    const what = asked === 'latest' ? 'there is no snapshot yet' : `there is no snapshot ${asked}`;
    throw new HoldfastError('NOT_FOUND', what);
  }
  if (found.length === 1) return only;
  const named = found.slice(0, NAMED_MAX).map(({ id }) => id);
  throw new HoldfastError('CONFLICT', `several snapshots begin with ${asked}`, {
    detail: `${named.join(', ')}${found.length > NAMED_MAX ? ', …' : ''}`,
    hint: 'Give more of the id.',
  });
}

/** Identifiers tell when they were made, and so in which days to look. */
async function* entriesOf(store: BlobStore, beginning: string): AsyncIterable<SnapshotEntry> {
  const all = allDays(Date.now());
  if (beginning === '') return yield* listSnapshots(store, all);
  const times = timesOfIds(beginning);
  if (times === null) return;
  // The folder is named a moment after the id, perhaps on the next day.
  // One that is given whole may be of a time in which the clock was ahead.
  const latestMs = isWholeId(beginning) ? DAYS_END_MS : Date.now() + DAY_MS;
  const [first, last] = [times.firstMs, times.lastMs + DAY_MS].map((ms) => dayOf(Math.min(ms, latestMs)));
  const range = { from: first! > all.from ? first! : all.from, to: last! };
  if (isWholeId(beginning)) yield* exactly(store, beginning, range);
  else yield* listSnapshots(store, range, beginning);
}

async function* exactly(store: BlobStore, id: string, { from, to }: DayRange): AsyncIterable<SnapshotEntry> {
  for (const day of new Set([from, to])) {
    const folder = `${prefixOf(day)}${id}`;
    const stat = await store.stat(manifestKey(folder));
    if (stat === null) continue;
    const rolledBack = (await store.stat(rolledBackKey(folder))) !== null;
    const undoMarked = (await store.stat(undoMarkKey(folder))) !== null;
    yield { id, folder, day, storedAtMs: stat.modifiedAtMs, rolledBack, undoMarked };
  }
}

/** Stands beside the manifest of a snapshot whose statement was taken back. */
export const rolledBackKey = (folder: string): string => `${folder}/rolled-back.json`;

/** Stands beside the manifest of a snapshot that was undone. */
export const undoMarkKey = (folder: string): string => `${folder}/undone.json`;

/** Says of a snapshot that its statement was taken back with its transaction. */
export async function markRolledBack(store: BlobStore, folder: string, nowMs: number): Promise<void> {
  const mark = { rolled_back_at: new Date(nowMs).toISOString() };
  await store.putIfAbsent(rolledBackKey(folder), Buffer.from(`${JSON.stringify(mark)}\n`));
}

/**
 * Stands beside the manifest of a DROP that has left something in the trash, and is there before it, so that nobody has
 * to read all manifests to find these.
 */
export const inTrashKey = (folder: string): string => `${folder}/in-trash.json`;

export async function markInTrash(store: BlobStore, folder: string): Promise<void> {
  await store.putIfAbsent(inTrashKey(folder), Buffer.from('{}\n'));
}

/** Stands beside the manifest of a DROP once what it had moved into the trash was dropped for good. */
const purgedKey = (folder: string): string => `${folder}/purged.json`;

/** From here on retention removes it as any other, because there is no way back that it could be. */
export async function markPurged(store: BlobStore, folder: string, nowMs: number): Promise<void> {
  const mark = { purged_at: new Date(nowMs).toISOString() };
  await store.putIfAbsent(purgedKey(folder), Buffer.from(`${JSON.stringify(mark)}\n`));
}

/** Stands beside the manifest of a DROP of which nothing is in the trash any more, because it was brought back. */
const emptiedKey = (folder: string): string => `${folder}/emptied.json`;

/** The same, but that nobody has dropped anything for good. */
export async function markEmptied(store: BlobStore, folder: string, nowMs: number): Promise<void> {
  const mark = { emptied_at: new Date(nowMs).toISOString() };
  await store.putIfAbsent(emptiedKey(folder), Buffer.from(`${JSON.stringify(mark)}\n`));
}

/** When it was purged, or null. */
export async function purgedAtMs(store: BlobStore, folder: string): Promise<number | null> {
  return (await store.stat(purgedKey(folder)))?.modifiedAtMs ?? null;
}

export interface Verification {
  readonly files: number;
  readonly rows: number;
  readonly bytes: number;
  /** What is not as it was written. */
  readonly faults: readonly { readonly blob: string; readonly reason: string }[];
}

/** Reads every file whole: its length, its hash, the form of its rows and how many there are. */
export async function verifySnapshot(store: BlobStore, { tables }: Manifest): Promise<Verification> {
  const faults: { blob: string; reason: string }[] = [];
  let [files, rows, bytes] = [0, 0, 0];
  for (const { columns, before, after } of tables) {
    for (const file of [before, after]) {
      if (file === null) continue;
      files++;
      bytes += file.bytes;
      const rowFile = fromManifest(file);
      try {
        for await (const row of readRows(store, rowFile)) {
          rows++;
          const fields = row.readInt16BE(0);
          if (fields === columns.length) continue;
          faults.push({
            blob: rowFile.blob,
            reason: `a row of ${fields} fields, and the table has ${columns.length}`,
          });
          break;
        }
      } catch (error) {
        if (!(error instanceof HoldfastError)) throw error;
        const { message, detail } = error;
        faults.push({ blob: rowFile.blob, reason: detail === undefined ? message : `${message}: ${detail}` });
      }
    }
  }
  return { files, rows, bytes, faults };
}

/** Takes a snapshot away, whatever its manifest says or fails to. That goes first, so that none names files that are gone. */
export async function removeSnapshot(store: BlobStore, folder: string): Promise<void> {
  await store.remove(manifestKey(folder));
  const keys: string[] = [];
  for await (const { key } of store.list(`${folder}/`)) keys.push(key);
  for (const key of keys) await store.remove(key);
}
