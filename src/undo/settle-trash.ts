import { LIMITS } from '../base/limits.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import type { DroppedSnapshot } from '../snapshot/dropped.ts';
import { markEmptied, markRolledBack } from '../snapshot/snapshots.ts';
import { areAway } from '../trash/standing.ts';
import { systemOf } from '../trash/system.ts';
import type { UndoSession } from './session.ts';
import { trashSession } from './undo-drop.ts';

/**
 * What became of a DROP of which nothing is in the trash: it was never committed, because a storage that was said to
 * have failed had kept its manifest, or a mark could not be left; or it was brought back; or somebody has removed it by
 * hand. Each leaves a manifest that is the way back of nothing, which would be kept for ever.
 */
export type Settled = 'rolled back' | 'emptied';

const STATUS = `SELECT pg_catalog.pg_is_in_recovery(), CASE
    WHEN $1::pg_catalog.xid8 OPERATOR(pg_catalog.<) pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())
    THEN pg_catalog.pg_xact_status($1::pg_catalog.xid8) ELSE 'in progress' END`;

/** Null where it is not over, or this is not the server that it was done on. */
export async function settle(
  store: BlobStore,
  session: UndoSession,
  { folder, createdAtMs, manifest }: DroppedSnapshot,
  nowMs: number,
): Promise<Settled | null> {
  if (nowMs - createdAtMs < LIMITS.snapshotKeptMs || manifest.dropped.system === undefined) return null;
  const trash = trashSession(session);
  const { objects, system } = manifest.dropped;
  if (!(await areAway(trash, objects)) || (await systemOf(trash)) !== system) return null;
  const [row] = await session.query(STATUS, [manifest.xid]);
  const [inRecovery, status] = row!;
  if (inRecovery === 't' || status === 'in progress') return null;
  if (status === 'aborted') {
    await markRolledBack(store, folder, nowMs);
    return 'rolled back';
  }
  // It may have been committed between the two questions; and the way back of an ALTER needs nothing in the trash.
  if (objects.length === 0 || !(await areAway(trash, objects))) return null;
  await markEmptied(store, folder, nowMs);
  return 'emptied';
}
