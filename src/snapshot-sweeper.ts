import { type ActionLog, recordAction } from './audit/recorded-action.ts';
import { agreedMs } from './base/clock.ts';
import { LIMITS } from './base/limits.ts';
import type { Logger } from './base/log.ts';
import type { Metrics } from './base/metrics.ts';
import { Sweeper } from './base/sweeper.ts';
import type { BlobStore } from './blobs/blob-store.ts';
import { isOfOthers, otherGateways } from './other-gateways.ts';
import type { TrustedKeys } from './snapshot/manifest-seal.ts';
import { type Expired, expire, type Retention } from './snapshot/retention.ts';
import { removeSnapshot } from './snapshot/snapshots.ts';

export interface SnapshotSweeperDeps {
  readonly store: BlobStore;
  readonly retention: Retention;
  /** Those that this gateway signs manifests with, and has signed them with. */
  readonly keys: TrustedKeys;
  readonly audit: ActionLog;
  readonly metrics: Metrics;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
}

/** Removes snapshots that are too old or too many, and what dead processes have left, at the start and from time to time. */
export class SnapshotSweeper extends Sweeper {
  readonly #deps: SnapshotSweeperDeps;
  #looked = false;

  constructor(deps: SnapshotSweeperDeps, everyMs: number = LIMITS.snapshotSweepMs) {
    super(everyMs);
    this.#deps = deps;
  }

  protected override async work(): Promise<void> {
    const { store, retention, keys, metrics, log } = this.#deps;
    const removed = { age: 0, size: 0, 'rolled back': 0, leftover: 0, bytes: 0 };
    try {
      await this.#lookForOthers();
      const remove = async (expired: Expired): Promise<void> => {
        if (this.stopped) throw new Stopped();
        await this.#remove(expired);
        removed[expired.reason]++;
        removed.bytes += expired.bytes;
      };
      const isTheirs = (folder: string) => isOfOthers(store, folder, keys);
      const kept = await expire(store, retention, agreedMs(), remove, isTheirs);
      if (kept.ofOthers > 0) log.warn({ snapshots: kept.ofOthers }, LEFT_TO_OTHERS);
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

  /** At the start. Nothing that this gateway does is hindered by others, but nobody may know of them. */
  async #lookForOthers(): Promise<void> {
    if (this.#looked) return;
    const { store, keys, log } = this.#deps;
    const others = await otherGateways(store, keys, agreedMs());
    this.#looked = true;
    if (others.length > 0) log.warn({ keys: others }, OTHERS);
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

const OTHERS =
  'another gateway keeps its snapshots, and the anchors of its audit, in the same place: give each a place of its own, or name these keys in audit.former_keys, if they are of before';
const LEFT_TO_OTHERS =
  'snapshots that are due were left, since another key has signed them: they are for another gateway to remove, or their key has to be in audit.former_keys';

class Stopped extends Error {}
