import { type ActionLog, recordAction } from './audit/recorded-action.ts';
import { LIMITS } from './base/limits.ts';
import type { Logger } from './base/log.ts';
import type { BlobStore } from './blobs/blob-store.ts';
import type { DroppedSnapshot } from './snapshot/dropped.ts';
import type { TrustedKeys } from './snapshot/manifest-seal.ts';
import { summaryOf } from './snapshot/summary.ts';
import { withDatabase } from './undo/connection-url.ts';
import { connectForUndo } from './undo/pg-session.ts';
import { purgeTrash } from './undo/purge-trash.ts';
import type { UndoSession } from './undo/session.ts';
import { settle } from './undo/settle-trash.ts';

export interface TrashSweeperDeps {
  readonly store: BlobStore;
  readonly audit: ActionLog;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** What it connects with, to the databases that the snapshots are of. */
  readonly connection: string;
  /** What was dropped so long ago goes for good; null where nothing does. */
  readonly ageMs: number | null;
  /** Of the gateways that may have made the snapshots. */
  readonly keys: TrustedKeys;
}

/**
 * Looks after the trash of the databases from time to time: what was dropped long ago is purged, which is in the audit
 * before it is done, and manifests that are the way back of nothing any more are marked, so that retention removes them.
 */
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
    const { store, audit, log, connection, keys } = this.#deps;
    const nowMs = Date.now();
    try {
      const { purged, failures } = await purgeTrash({
        store,
        dryRun: false,
        keys,
        connect: (database) => connectForUndo(withDatabase(connection, database)),
        wanted: () => !this.#stopped,
        attend: async (session, snapshot) => await this.#attend(session, snapshot, nowMs),
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

  /** Whether it is to be purged. */
  async #attend(session: UndoSession, snapshot: DroppedSnapshot, nowMs: number): Promise<boolean> {
    const { store, log, ageMs } = this.#deps;
    const settled = await settle(store, session, snapshot, nowMs);
    if (settled !== null) {
      log.info({ snapshot: snapshot.id, settled }, 'nothing of a DROP is in the trash any more');
      return false;
    }
    return ageMs !== null && snapshot.createdAtMs < nowMs - ageMs;
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
