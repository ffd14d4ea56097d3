import { type ActionLog, recordAction } from './audit/recorded-action.ts';
import { agreedMs } from './base/clock.ts';
import { LIMITS } from './base/limits.ts';
import type { Logger } from './base/log.ts';
import type { Metrics } from './base/metrics.ts';
import { Sweeper } from './base/sweeper.ts';
import type { BlobStore } from './blobs/blob-store.ts';
import { type Expired, expire, type Retention } from './snapshot/retention.ts';
import { removeSnapshot } from './snapshot/snapshots.ts';

export interface SnapshotSweeperDeps {
  readonly store: BlobStore;
  readonly retention: Retention;
  readonly audit: ActionLog;
  readonly metrics: Metrics;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
}

/** Removes snapshots that are too old or too many, and what dead processes have left, at the start and from time to time. */
export class SnapshotSweeper extends Sweeper {
  readonly #deps: SnapshotSweeperDeps;

  constructor(deps: SnapshotSweeperDeps, everyMs: number = LIMITS.snapshotSweepMs) {
    super(everyMs);
    this.#deps = deps;
  }

  protected override async work(): Promise<void> {
    const { store, retention, metrics, log } = this.#deps;
    const removed = { age: 0, size: 0, 'rolled back': 0, leftover: 0, bytes: 0 };
    try {
      const kept = await expire(store, retention, agreedMs(), async (expired) => {
        if (this.stopped) throw new Stopped();
        await this.#remove(expired);
        removed[expired.reason]++;
        removed.bytes += expired.bytes;
      });
      await store.sweepOrphans(LIMITS.snapshotKeptMs);
      metrics.snapshotsKept = kept.snapshots;
      metrics.snapshotsKeptBytes = kept.bytes;
      if (kept.excessBytes > 0) {
        const facts = { bytes: kept.bytes, over: kept.excessBytes };
        log.warn(facts, 'there are more snapshots than snapshots_retention.bytes, all of the last day');
      }
    } catch (error) {
      if (error instanceof Stopped) return;
      metrics.snapshotSweepFailures++;
      log.error({ error }, 'snapshots could not be swept');
    } finally {
      if (removed.bytes > 0) log.info(removed, 'snapshots were removed');
    }
  }

  async #remove({ id, folder, reason, bytes }: Expired): Promise<void> {
    const { store, audit, metrics } = this.#deps;
    metrics.snapshotsRemovedBytes += bytes;
    if (reason === 'leftover') return await removeSnapshot(store, folder);
    const action = {
      operation: 'delete snapshot',
      text: `holdfast snapshots delete ${id}`,
      reason: WHY[reason],
      tables: [],
      database: '',
      by: 'holdfast',
      client: '',
    } as const;
    await recordAction(audit, action, async () => await removeSnapshot(store, folder));
    metrics.snapshotsRemoved.add(metrics.snapshotsRemoved.cellOf(reason));
  }
}

const WHY = {
  age: 'older than snapshots_retention.days',
  size: 'beyond snapshots_retention.bytes',
  'rolled back': 'its statement was rolled back',
} as const;

class Stopped extends Error {}
