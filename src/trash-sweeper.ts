import { type ActionLog, recordAction } from './audit/recorded-action.ts';
import { agreedMs } from './base/clock.ts';
import { LIMITS } from './base/limits.ts';
import type { Logger } from './base/log.ts';
import { Sweeper } from './base/sweeper.ts';
import type { BlobStore } from './blobs/blob-store.ts';
import type { DroppedSnapshot } from './snapshot/dropped.ts';
import type { TrustedKeys } from './snapshot/manifest-seal.ts';
import { summaryOf } from './snapshot/summary.ts';
import { purgeable } from './trash/purge.ts';
import { ArchiveStopped, archiveDropped } from './undo/archive-trash.ts';
import { withDatabase } from './undo/connection-url.ts';
import { connectForUndo } from './undo/pg-session.ts';
import { purgeTrash } from './undo/purge-trash.ts';
import type { UndoSession } from './undo/session.ts';
import { settle } from './undo/settle-trash.ts';
import { trashSession } from './undo/undo-drop.ts';

export interface TrashSweeperDeps {
  readonly store: BlobStore;
  readonly audit: ActionLog;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** What it connects with, to the databases that the snapshots are of. */
  readonly connection: string;
  /** What was dropped so long ago goes for good; null where nothing does. */
  readonly ageMs: number | null;
  /** Whether it is copied to the snapshots, and goes only when that has been done. */
  readonly archive: boolean;
  /** Of the gateways that may have made the snapshots. */
  readonly keys: TrustedKeys;
}

/**
 * Looks after the trash of the databases from time to time: what is there is archived, what was dropped long ago is
 * purged, which is in the audit before it is done, and manifests that are the way back of nothing any more are marked, so that retention removes them.
 */
export class TrashSweeper extends Sweeper {
  readonly #deps: TrashSweeperDeps;

  constructor(deps: TrashSweeperDeps, everyMs: number = LIMITS.snapshotSweepMs) {
    super(everyMs);
    this.#deps = deps;
  }

  protected override async work(): Promise<void> {
    const { store, audit, log, connection, keys, archive } = this.#deps;
    const nowMs = agreedMs();
    try {
      const { purged, failures } = await purgeTrash({
        store,
        dryRun: false,
        archivedOnly: archive,
        keys,
        connect: (database) => connectForUndo(withDatabase(connection, database)),
        wanted: () => !this.stopped,
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
    const { store, log, ageMs, archive } = this.#deps;
    const settled = await settle(store, session, snapshot, nowMs);
    if (settled !== null) {
      log.info({ snapshot: snapshot.id, settled }, 'nothing of a DROP is in the trash any more');
      return false;
    }
    // Nobody can read what is in a database that is closed to connections.
    const isDatabase = snapshot.manifest.dropped.objects.some(({ kind }) => kind === 'database');
    if (archive && !isDatabase && !(await this.#archive(session, snapshot))) return false;
    return ageMs !== null && snapshot.createdAtMs < nowMs - ageMs;
  }

  /** False where it could not be, which is tried again at the next time. */
  async #archive(session: UndoSession, snapshot: DroppedSnapshot): Promise<boolean> {
    const { store, keys, log } = this.#deps;
    const { id, manifest } = snapshot;
    // What is not there, or not any more, is for nobody to copy.
    if ((await purgeable(trashSession(session), { id, objects: manifest.dropped.objects })).length === 0)
      return false;
    try {
      const stopped = () => this.stopped;
      const { kind, tables, rows } = await archiveDropped({ store, keys, stopped }, session, snapshot);
      if (kind === 'archived') log.info({ snapshot: id, tables, rows }, 'what a DROP has moved was archived');
      return true;
    } catch (error) {
      if (error instanceof ArchiveStopped) return false;
      const reason = error instanceof Error ? error.message : String(error);
      log.warn({ snapshot: id, reason }, 'what a DROP has moved could not be archived');
      return false;
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
