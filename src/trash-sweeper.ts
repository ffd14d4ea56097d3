import { type ActionLog, recordAction } from './audit/recorded-action.ts';
import { LIMITS } from './base/limits.ts';
import type { Logger } from './base/log.ts';
import type { BlobStore } from './blobs/blob-store.ts';
import type { TrustedKeys } from './snapshot/manifest-seal.ts';
import { summaryOf } from './snapshot/summary.ts';
import { withDatabase } from './undo/connection-url.ts';
import { connectForUndo } from './undo/pg-session.ts';
import { purgeTrash } from './undo/purge-trash.ts';

export interface TrashSweeperDeps {
  readonly store: BlobStore;
  readonly audit: ActionLog;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** What it connects with, to the databases that the snapshots are of. */
  readonly connection: string;
  /** What was dropped so long ago goes for good. */
  readonly ageMs: number;
  /** Of the gateways that may have made the snapshots. */
  readonly keys: TrustedKeys;
}

/** Purges the trash of the databases from time to time; each purge is in the audit before it is done. */
export class TrashSweeper {
  readonly #deps: TrashSweeperDeps;
  readonly #timer: NodeJS.Timeout;
  #underWay: Promise<void> | null = null;
  #stopped = false;

  constructor(deps: TrashSweeperDeps, everyMs: number = LIMITS.snapshotSweepMs) {
    this.#deps = deps;
    this.#timer = setInterval(() => void this.sweep(), everyMs);
    this.#timer.unref();
    void this.sweep();
  }

  /** It never rejects; what fails is tried again at the next time. */
  sweep(): Promise<void> {
    this.#underWay ??= this.#sweep().finally(() => {
      this.#underWay = null;
    });
    return this.#underWay;
  }

  /** Resolves when nothing is under way any more, which ends before its next purge. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopped = true;
    await this.#underWay;
  }

  async #sweep(): Promise<void> {
    const { store, audit, log, connection, ageMs, keys } = this.#deps;
    const before = Date.now() - ageMs;
    try {
      const { purged, failures } = await purgeTrash({
        store,
        dryRun: false,
        keys,
        connect: (database) => connectForUndo(withDatabase(connection, database)),
        wanted: (_, createdAtMs) => !this.#stopped && createdAtMs < before,
        doing: (snapshot, work) =>
          recordAction(audit, actionOf(snapshot.id, summaryOf(snapshot.manifest)), work),
      });
      for (const { id, objects, kept } of purged) {
        if (kept === null)
          log.info({ snapshot: id, objects }, 'what a DROP had left in the trash was purged');
        else log.warn({ snapshot: id, ...kept }, 'the trash could not be purged of all that a DROP had left');
      }
      for (const failure of failures) log.warn(failure, 'the trash could not be purged');
    } catch (error) {
      log.error({ error }, 'the trash could not be purged');
    }
  }
}

function actionOf(id: string, { tables, database }: ReturnType<typeof summaryOf>) {
  return {
    operation: 'purge trash',
    text: `holdfast trash purge ${id}`,
    reason: 'older than trash.retention_days',
    tables,
    database,
    by: 'holdfast',
    client: '',
  } as const;
}
