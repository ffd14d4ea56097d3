import { readableKey, trustedKeys } from '../audit/key-file.ts';
import { HoldfastError } from '../base/errors.ts';
import { packageVersion } from '../package-version.ts';
import { readSealedWithRows } from '../snapshot/archive.ts';
import { withoutRows } from '../snapshot/manifest.ts';
import { problemOfSeal, readSealedManifest } from '../snapshot/manifest-seal.ts';
import { SealingStore } from '../snapshot/sealing-store.ts';
import { findSnapshot } from '../snapshot/snapshots.ts';
import { changesOf } from '../undo/compare.ts';
import type { Progress } from '../undo/outcome.ts';
import type { Io } from './io.ts';
import { withStore } from './snapshot-store.ts';
import { withConnection } from './undo-connection.ts';
import type { UndoPlace } from './undo-place.ts';
import type { UndoCommandOptions } from './undo-run.ts';

const TRUST =
  'audit.signing_key and audit.former_keys name the keys; --trust-manifest goes by it all the same, its SQL included.';

/** Undoes over a connection of one's own, for which no gateway has to run. */
export async function undoOffline<T>(
  asked: string,
  options: UndoCommandOptions,
  account: string,
  io: Io,
  onProgress: (progress: Progress) => void,
  work: (place: UndoPlace) => Promise<T>,
): Promise<T> {
  return await withStore(options, io, async ({ store, config }) => {
    const { audit } = config();
    const keys = trustedKeys(audit);
    const { folder, rolledBack } = await findSnapshot(store, asked);
    // Rows that were dropped, and purged since, are in the archive.
    const read = options.into === undefined ? readSealedManifest : readSealedWithRows;
    const sealed = await read(store, folder, keys);
    const { manifest } = sealed;
    const reason = options.trustManifest === true ? null : problemOfSeal(sealed, keys);
    if (reason !== null) throw new HoldfastError('CONFLICT', reason, { hint: TRUST });
    const { database } = manifest.session;
    return await withConnection(options, config(), database, io, async (session, trusted) => {
      const signer = readableKey(audit.signingKey);
      const sealing = signer === null ? store : new SealingStore(store, signer);
      const request = { store: sealing, manifest, session, trusted };
      const { onConflict, triggers } = options;
      const dryRun = options.dryRun === true;
      const marking = { folder, by: account, force: options.force === true };
      return await work({
        manifest: withoutRows(manifest),
        rolledBack,
        audited: false,
        async preview(conflicts) {
          const { previewUndo } = await import('../undo/undo.ts');
          const page = { from: 0, max: conflicts };
          return await previewUndo(request, { page, onConflict, triggers, marking, onProgress });
        },
        async undo(expected) {
          const { takesOwnSnapshot, undo } = await import('../undo/undo.ts');
          const { ownSnapshotOf } = await import('../undo/own-facts.ts');
          const undoer = { version: packageVersion(), client: 'command line', name: account };
          const own =
            options.snapshot && takesOwnSnapshot(manifest)
              ? await ownSnapshotOf(manifest, session, undoer)
              : null;
          const snapshot = own === null ? {} : { snapshot: own };
          const all = { onConflict, triggers, dryRun, expected, marking, ...snapshot, onProgress };
          const outcome = await undo(request, all);
          const isKept = !dryRun && (manifest.dropped !== undefined || changesOf(expected) > 0);
          return { outcome, own: isKept ? (own?.facts.id ?? null) : null };
        },
        async into(into, table) {
          const { restoreInto } = await import('../undo/restore-into.ts');
          const chosen = table === null ? {} : { table };
          return await restoreInto(request, { into, ...chosen, dryRun, onProgress });
        },
      });
    });
  });
}
