import { HoldfastError } from '../base/errors.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { fromManifest, type ManifestRowFile } from '../snapshot/manifest.ts';
import { decompressed } from '../snapshot/row-file-reader.ts';
import type { UndoSession } from './session.ts';
import { createLoaded, temp, typeLoaded } from './statements.ts';
import type { UndoTable } from './undo-table.ts';

/** Streams the rows of a table into temporary ones, which know its types. */
export async function loadTable(
  session: UndoSession,
  store: BlobStore,
  table: UndoTable,
  encoding: string,
): Promise<void> {
  for (const what of ['before', 'after'] as const) {
    await session.query(createLoaded(what, table));
    const file = table.entry[what];
    if (file !== null) await loadRows(session, store, file, temp(what, table), encoding);
    const retype = typeLoaded(what, table);
    if (retype !== null) await session.query(retype);
    await session.query(`ANALYZE ${temp(what, table)}`);
  }
}

/** The server reads texts in a binary COPY as the session's encoding has them, so that it is that of the files. */
export async function loadRows(
  session: UndoSession,
  store: BlobStore,
  file: ManifestRowFile,
  target: string,
  encoding: string,
): Promise<void> {
  const rowFile = fromManifest(file);
  await session.query(`SELECT set_config('client_encoding', $1, true)`, [encoding]);
  await session.copyIn(`COPY ${target} FROM STDIN WITH (FORMAT binary)`, decompressed(store, rowFile));
  await session.query(`SELECT set_config('client_encoding', 'UTF8', true)`);
  const [counted] = await session.query(`SELECT count(*) FROM ${target}`);
  if (Number(counted?.[0]) !== file.rows) {
    const detail = `The manifest says ${file.rows}, and the file holds ${counted?.[0]}.`;
    throw new HoldfastError('BLOB_DAMAGED', `the rows in ${rowFile.blob} are not as they were written`, {
      detail,
    });
  }
}
