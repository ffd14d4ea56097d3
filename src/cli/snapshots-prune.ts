import { HoldfastError } from '../base/errors.ts';
import { parseSizeBytes } from '../config/size.ts';
import { type Expired, expire, type Kept, type Retention } from '../snapshot/retention.ts';
import { removeSnapshot } from '../snapshot/snapshots.ts';
import type { Io } from './io.ts';
import { type StoreOptions, withStore } from './snapshot-store.ts';
import { timeText } from './snapshots-show.ts';
import { alignRows, countText, sizeText, toJson } from './table.ts';

export interface PruneOptions extends StoreOptions {
  readonly dryRun?: boolean;
  readonly days?: number;
  readonly bytes?: string;
}

const DAY_MS = 24 * 60 * 60_000;
/** Shown one by one. */
const SHOWN_MAX = 100;

const WHY: Readonly<Record<Expired['reason'], string>> = {
  age: 'too old',
  size: 'over the size',
  'rolled back': 'its statement was rolled back',
  leftover: 'no snapshot: left by a process that died',
};

export async function pruneCommand(options: PruneOptions, io: Io): Promise<void> {
  await withStore(options, io, async ({ store, place, config }) => {
    const retention = retentionOf(options, () => config().snapshotsRetention);
    const dryRun = options.dryRun === true;
    const gone: Expired[] = [];
    let [count, bytes] = [0, 0];
    const kept = await expire(store, retention, Date.now(), async (expired) => {
      if (io.stop.aborted) throw new HoldfastError('CONFLICT', 'stopped before the end');
      if (!dryRun) await removeSnapshot(store, expired.folder);
      count++;
      bytes += expired.bytes;
      if (gone.length < SHOWN_MAX) gone.push(expired);
    });
    if (options.json === true) return io.out(asJson(gone, count, bytes, kept, dryRun));
    io.out(asText(gone, count));
    const done = dryRun ? 'would be removed' : 'removed';
    io.out(
      `${countText(count, 'folder')} ${done} (${sizeText(bytes)}), ${countText(kept.snapshots, 'snapshot')} kept (${sizeText(kept.bytes)}) in ${place}\n`,
    );
    io.out(adviceOf(retention, kept));
  });
}

/** What the command line leaves out, the configuration says. */
function retentionOf({ days, bytes }: PruneOptions, configured: () => Retention): Retention {
  if (days === undefined && bytes === undefined) return configured();
  const size = bytes === undefined ? null : parseSizeBytes(bytes);
  if (size !== null && !size.ok) throw new HoldfastError('CONFIG_INVALID', `--bytes: ${size.problem}`);
  return { ageMs: days === undefined ? null : days * DAY_MS, bytes: size === null ? null : size.value };
}

function asText(gone: readonly Expired[], count: number): string {
  if (count === 0) return '';
  const rows = gone.map(({ id, createdAtMs, bytes, reason }) => [
    id,
    timeText(new Date(createdAtMs).toISOString()),
    sizeText(bytes),
    WHY[reason],
  ]);
  const more = count > gone.length ? `… and ${count - gone.length} more\n` : '';
  return alignRows([['ID', 'TAKEN (UTC)', 'SIZE', 'WHY'], ...rows], [2]) + more;
}

function adviceOf({ ageMs, bytes }: Retention, { excessBytes }: Kept): string {
  if (ageMs === null && bytes === null)
    return 'No limit is set: snapshots_retention in the configuration, or --days and --bytes, say what is to go.\n';
  return excessBytes > 0
    ? `They are ${sizeText(excessBytes)} over the limit, all of the last day, which are always kept.\n`
    : '';
}

function asJson(gone: readonly Expired[], count: number, bytes: number, kept: Kept, dryRun: boolean): string {
  const items = gone.map(({ id, folder, reason, bytes: size, createdAtMs }) => {
    return { id, folder, reason, bytes: size, created_at: new Date(createdAtMs).toISOString() };
  });
  const { snapshots, bytes: keptBytes } = kept;
  return toJson({ dry_run: dryRun, removed: count, bytes, items, kept: { snapshots, bytes: keptBytes } });
}
