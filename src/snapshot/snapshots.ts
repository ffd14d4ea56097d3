import { HoldfastError } from '../base/errors.ts';
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
}

/** Those of a range of days, the newest first. What has no manifest is none. */
export async function* listSnapshots(store: BlobStore, range: DayRange): AsyncIterable<SnapshotEntry> {
  for (const day of daysBackwards(range)) {
    const found: SnapshotEntry[] = [];
    const prefix = `snapshots/${day.replaceAll('-', '/')}/`;
    for await (const { key, modifiedAtMs } of store.list(prefix)) {
      const [id, name] = key.slice(prefix.length).split('/');
      const folder = `${prefix}${id}`;
      if (name === undefined || key !== manifestKey(folder)) continue;
      found.push({ id: id!, folder, day, storedAtMs: modifiedAtMs });
    }
    // Identifiers sort by the time they were made.
    yield* found.toSorted((a, b) => (a.id < b.id ? 1 : -1));
  }
}

const DAY_MS = 24 * 60 * 60_000;

function* daysBackwards({ from, to }: DayRange): Iterable<string> {
  const [first, last] = [dayMs(from), dayMs(to)];
  if ((last - first) / DAY_MS > LIMITS.snapshotListDays) {
    throw new HoldfastError(
      'CONFLICT',
      `more than ${LIMITS.snapshotListDays} days are too many to look through`,
    );
  }
  for (let at = last; at >= first; at -= DAY_MS) yield new Date(at).toISOString().slice(0, 10);
}

function dayMs(day: string): number {
  const ms = Date.parse(`${day}T00:00:00Z`);
  if (Number.isNaN(ms)) throw new HoldfastError('CONFLICT', `${day} is no day such as 2026-11-21`);
  return ms;
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
      try {
        for await (const row of readRows(store, fromManifest(file))) {
          rows++;
          const fields = row.readInt16BE(0);
          if (fields === columns.length) continue;
          faults.push({
            blob: file.blob,
            reason: `a row of ${fields} fields, and the table has ${columns.length}`,
          });
          break;
        }
      } catch (error) {
        if (!(error instanceof HoldfastError)) throw error;
        const { message, detail } = error;
        faults.push({ blob: file.blob, reason: detail === undefined ? message : `${message}: ${detail}` });
      }
    }
  }
  return { files, rows, bytes, faults };
}

/** Takes a snapshot away. Its manifest goes first, so that none names files that are gone. */
export async function removeSnapshot(store: BlobStore, folder: string, { tables }: Manifest): Promise<void> {
  await store.remove(manifestKey(folder));
  for (const { before, after } of tables) {
    for (const file of [before, after]) if (file !== null) await store.remove(file.blob);
  }
}
