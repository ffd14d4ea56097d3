import type { AdminAction } from '../audit/admin-entry.ts';
import type { AuditEntry } from '../audit/event.ts';
import { type ActionLog, recordAction } from '../audit/recorded-action.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Metrics } from '../base/metrics.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { readSealedWithRows, readWithRows } from '../snapshot/archive.ts';
import type { SnapshotFilter } from '../snapshot/filter.ts';
import { type Manifest, readManifest } from '../snapshot/manifest.ts';
import {
  problemOfSeal,
  readSealedManifest,
  type SealState,
  type TrustedKeys,
} from '../snapshot/manifest-seal.ts';
import { searchSnapshots } from '../snapshot/search.ts';
import { findSnapshot, removeSnapshot, type Verification, verifySnapshot } from '../snapshot/snapshots.ts';
import { demandTable, summaryOf, tableName } from '../snapshot/summary.ts';
import { undoneBy } from '../snapshot/undo-mark.ts';
import { changesOf } from '../undo/compare.ts';
import { withDatabase } from '../undo/connection-url.ts';
import type { UndoOutcome, UndoPreview } from '../undo/outcome.ts';
import { conflictJson, countsJson, problemJson } from '../undo/outcome-json.ts';
import { ownSnapshotOf } from '../undo/own-facts.ts';
import { connectForUndo, type PgSession } from '../undo/pg-session.ts';
import { purgeTrash, type TrashPurged } from '../undo/purge-trash.ts';
import { restoreInto } from '../undo/restore-into.ts';
import { type RowsShown, showRows } from '../undo/show-rows.ts';
import { previewUndo, takesOwnSnapshot, undo } from '../undo/undo.ts';
import { withoutRows } from '../undo/without-rows.ts';
import { RequestProblem } from './problems.ts';
import type {
  PreviewAsked,
  Requester,
  RowsAsked,
  SnapshotsAdmin,
  UndoAsked,
  UndoDone,
} from './snapshots-admin.ts';

export interface StoredSnapshotsDeps {
  readonly store: BlobStore;
  readonly audit: ActionLog;
  /** What undo connects with, or null: then it is not there. */
  readonly connection: string | null;
  /** Whose code may run with the rights of that. */
  readonly trusted: readonly string[];
  /** Whose manifests are believed. */
  readonly keys: TrustedKeys;
  readonly version: string;
  readonly metrics: Metrics;
  /** After how long what was dropped is purged, or null. */
  readonly trashRetentionMs: number | null;
}

interface Found {
  readonly folder: string;
  readonly manifest: Manifest;
}

/** The snapshots as the admin API offers them: each undo and each removal is in the audit before it is done. */
export class StoredSnapshots implements SnapshotsAdmin {
  readonly #deps: StoredSnapshotsDeps;
  readonly #sessions = new Set<PgSession>();
  #connections = 0;
  #closed = false;

  constructor(deps: StoredSnapshotsDeps) {
    this.#deps = deps;
  }

  get trashRetentionMs(): number | null {
    return this.#deps.trashRetentionMs;
  }

  async list(page: { filter: SnapshotFilter; before: string | null; limit: number }) {
    const deadlineMs = Date.now() + LIMITS.snapshotSearchMs;
    return await searchSnapshots(this.#deps.store, { ...page, deadlineMs });
  }

  async get(id: string) {
    const { store } = this.#deps;
    const { folder, rolledBack, undoMarked } = await findSnapshot(store, id);
    const undone = undoMarked ? await undoneBy(store, folder) : null;
    return { folder, rolledBack, undone, manifest: await readWithRows(store, folder) };
  }

  async verify(id: string): Promise<Verification & { signature: SealState }> {
    const { store, keys } = this.#deps;
    const { folder } = await findSnapshot(store, id);
    const { manifest, seal } = await readSealedManifest(store, folder, keys);
    const { tables } = manifest.dropped === undefined ? manifest : await readWithRows(store, folder);
    return { ...(await verifySnapshot(store, { ...manifest, tables })), signature: seal };
  }

  async rows(id: string, { table: asked, which, form, from, limit }: RowsAsked) {
    const { manifest } = await this.#find(id);
    const table = demandTable(manifest, asked);
    const shown = await this.#connected(manifest, (session) =>
      showRows({ ...this.#deps, manifest, session }, table, which, form, { from, max: limit }),
    );
    const total = table[which]?.rows ?? 0;
    const { rows }: RowsShown = shown.kind === 'rows' ? shown : endWith(shown);
    const next = rows.length > 0 && from + rows.length < total ? from + rows.length : null;
    return { table: tableName(table), total, rows, next };
  }

  async preview(id: string, { onConflict, triggers, force, seesRows, from, limit }: PreviewAsked) {
    const { manifest, folder } = await this.#findBelieved(id);
    const marking = { folder, by: '', force };
    const options = { onConflict, triggers, marking, page: { from, max: limit } };
    const found: UndoPreview = await this.#connected(manifest, (session) =>
      previewUndo({ ...this.#deps, manifest, session }, options),
    );
    const preview = seesRows ? found : withoutRows(found);
    return preview.kind === 'preview' ? preview : endWith(preview);
  }

  async undo(id: string, asked: UndoAsked, requester: Requester) {
    const found = await this.#findBelieved(id, asked.into !== null);
    const { manifest } = found;
    this.#connectionUrl();
    const text = `holdfast undo ${id}${asked.into === null ? '' : ` --into ${asked.into.schema}.${asked.into.name}`}`;
    const action = this.#action('undo', text, manifest, requester, 'asked for over the admin API');
    if (asked.dryRun) return done(await this.#undo(found, asked, requester, null), null, asked);
    return await recordAction(this.#deps.audit, action, async (entry) => {
      const own = { id: null as string | null };
      const outcome = await this.#undo(found, asked, requester, own);
      this.#noteUndo(entry, outcome, own.id);
      return done(outcome, own.id, asked);
    });
  }

  async remove(id: string, requester: Requester): Promise<void> {
    const { store, metrics } = this.#deps;
    const { folder } = await findSnapshot(store, id);
    // One whose manifest cannot be read can be removed as well.
    const manifest = await readManifest(store, folder).catch(() => null);
    const text = `holdfast snapshots delete ${id}`;
    const action = this.#action('delete snapshot', text, manifest, requester, 'asked for over the admin API');
    await recordAction(this.#deps.audit, action, async () => {
      await removeSnapshot(store, folder);
      metrics.snapshotsRemoved.add(metrics.snapshotsRemoved.cellOf('asked'));
    });
  }

  /** What DROPs have left in the trash of all databases, the oldest first. */
  async trash(): Promise<TrashPurged> {
    const url = this.#connectionUrl();
    const connect = async (database: string) => {
      const session = await this.#connect(withDatabase(url, database));
      this.#sessions.add(session);
      const close = async () => {
        this.#sessions.delete(session);
        await session.close();
      };
      return { ...session, close };
    };
    return await this.#counted(async () => {
      const listing = { dryRun: true, archivedOnly: false, keys: null, wanted: () => !this.#closed } as const;
      return await purgeTrash({ store: this.#deps.store, connect, ...listing });
    });
  }

  /** Ends what is under way, which is rolled back. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#sessions].map((session) => session.close()));
  }

  /** Refuses what somebody else may have written. */
  async #findBelieved(id: string, withRows = false): Promise<Found> {
    const { store, keys } = this.#deps;
    const { folder } = await findSnapshot(store, id);
    const read = withRows ? readSealedWithRows : readSealedManifest;
    const sealed = await read(store, folder, keys);
    const reason = problemOfSeal(sealed, keys);
    if (reason === null) return { folder, manifest: sealed.manifest };
    throw new RequestProblem('undo-refused', { detail: reason, problems: [{ table: '', reason }] });
  }

  /** Without what only people want to know. */
  async #find(id: string): Promise<Found> {
    const { store } = this.#deps;
    const { folder } = await findSnapshot(store, id);
    return { folder, manifest: await readWithRows(store, folder) };
  }

  async #undo(
    { manifest, folder }: Found,
    { onConflict, triggers, dryRun, expected, snapshot, into, table, force, seesRows }: UndoAsked,
    { name, client }: Requester,
    own: { id: string | null } | null,
  ): Promise<UndoOutcome> {
    const { version } = this.#deps;
    const told = (outcome: UndoOutcome) => (seesRows ? outcome : withoutRows(outcome));
    return await this.#connected(manifest, async (session) => {
      const request = { ...this.#deps, manifest, session };
      if (into !== null)
        return told(await restoreInto(request, { into, dryRun, ...(table === null ? {} : { table }) }));
      const taken =
        snapshot && takesOwnSnapshot(manifest)
          ? await ownSnapshotOf(manifest, session, { version, client, name: `token ${name}` })
          : null;
      const outcome = await undo(request, {
        onConflict,
        triggers,
        dryRun,
        marking: { folder, by: `token ${name}`, force },
        ...(expected === null ? {} : { expected }),
        ...(taken === null ? {} : { snapshot: taken }),
      });
      const isKept =
        manifest.dropped !== undefined || (outcome.kind === 'done' && changesOf(outcome.tables) > 0);
      if (own !== null && outcome.kind === 'done' && !dryRun && isKept) own.id = taken?.facts.id ?? null;
      return told(outcome);
    });
  }

  #noteUndo(entry: AuditEntry, outcome: UndoOutcome, own: string | null): void {
    const { metrics } = this.#deps;
    metrics.undos.add(metrics.undos.cellOf(outcome.kind));
    if (outcome.kind !== 'done') {
      entry.end = 'failed';
      entry.sqlstate = outcome.kind === 'failed' ? (outcome.sqlstate ?? 'XX001') : '55000';
      return;
    }
    entry.rows = changesOf(outcome.tables);
    if (own !== null)
      entry.decision = Object.freeze({
        ...entry.decision,
        action: 'snapshot',
        snapshot: 'required',
        taken: own,
      });
  }

  #action(
    operation: AdminAction['operation'],
    text: string,
    manifest: Manifest | null,
    { name, client }: Requester,
    reason: string,
  ): AdminAction {
    const tables = manifest === null ? [] : summaryOf(manifest).tables;
    const database = manifest?.session.database ?? '';
    return { operation, text, reason, tables, database, by: `token:${name}`, client };
  }

  #connectionUrl(): string {
    const { connection } = this.#deps;
    if (connection !== null) return connection;
    throw new RequestProblem('undo-not-configured', {
      detail: 'the gateway has no credentials for the database',
      hint: 'Set undo.connection, or use `holdfast undo` on the command line with credentials of your own.',
    });
  }

  async #connected<T>(manifest: Manifest, work: (session: PgSession) => Promise<T>): Promise<T> {
    const url = withDatabase(this.#connectionUrl(), manifest.session.database);
    return await this.#counted(async () => {
      const session = await this.#connect(url);
      this.#sessions.add(session);
      try {
        return await work(session);
      } finally {
        this.#sessions.delete(session);
        await session.close();
      }
    });
  }

  async #counted<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed || this.#connections >= LIMITS.undoConnectionsMax) {
      throw new RequestProblem('unavailable', {
        detail: 'so many undos are under way already',
        hint: 'Try again.',
      });
    }
    this.#connections++;
    try {
      return await work();
    } finally {
      this.#connections--;
    }
  }

  async #connect(url: string): Promise<PgSession> {
    try {
      return await connectForUndo(url);
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      const detail = `${error.message}: ${error.detail ?? ''}`;
      throw new RequestProblem('undo-failed', {
        detail,
        hint: 'undo.connection says how the gateway connects.',
      });
    }
  }
}

const CHANGED = { detail: 'nothing was done', hint: 'on_conflict may be skip or overwrite.' };
/** What is left of conflicts where they are overwritten. */
const HELD = {
  detail: 'other rows hold values that have to be unique; nothing was done',
  hint: 'Change or remove those rows first, or let on_conflict be skip.',
};
const FORCE = 'force: true undoes it all the same.';

/** What ended an undo before it had done anything, as a problem. */
function endWith(
  outcome: Exclude<UndoOutcome, { kind: 'done' }>,
  onConflict: UndoAsked['onConflict'] = 'fail',
): never {
  switch (outcome.kind) {
    case 'conflicts':
      throw new RequestProblem('undo-conflicts', {
        ...(onConflict === 'overwrite' ? HELD : CHANGED),
        ...conflictsOf(outcome),
      });
    case 'refused': {
      const detail = outcome.problems.map(({ table, reason }) =>
        table === '' ? reason : `${table}: ${reason}`,
      );
      throw new RequestProblem('undo-refused', {
        detail: detail.join('; '),
        ...(outcome.problems.some(({ forceable }) => forceable === true) ? { hint: FORCE } : {}),
        problems: outcome.problems.map(problemJson),
      });
    }
    case 'failed': {
      const { reason, sqlstate, step, table } = outcome;
      throw new RequestProblem('undo-failed', {
        detail: `${reason}; nothing was done`,
        sqlstate,
        problems: [{ step, table }],
      });
    }
    default:
      return outcome satisfies never;
  }
}

function conflictsOf({ tables, conflicts }: Extract<UndoOutcome, { kind: 'conflicts' }>) {
  return { tables: tables.map(countsJson), conflicts: conflicts.map(conflictJson) };
}

function done(outcome: UndoOutcome, own: string | null, { onConflict }: UndoAsked): UndoDone {
  return outcome.kind === 'done' ? { ...outcome, own } : endWith(outcome, onConflict);
}
