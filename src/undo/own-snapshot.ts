import type { BlobStore } from '../blobs/blob-store.ts';
import {
  type Manifest,
  type ManifestTable,
  manifestKey,
  toManifest,
  writeManifest,
} from '../snapshot/manifest.ts';
import { ROW_FILE_SUFFIX, type RowFile } from '../snapshot/row-file.ts';
import { rowsIn } from '../snapshot/row-file-reader.ts';
import { RowFileWriter } from '../snapshot/row-file-writer.ts';
import type { SnapshotFacts } from '../snapshot/snapshot-writer.ts';
import { markInTrash } from '../snapshot/snapshots.ts';
import { countReplaced, type Doing, isToDo, LACKS_COLUMNS } from './apply-statement.ts';
import type { TableCounts } from './compare.ts';
import { refuse } from './outcome.ts';
import type { UndoSession } from './session.ts';
import { only, temp, valuesOf } from './statements.ts';
import type { UndoTable } from './undo-table.ts';

/** The snapshot of an undo, which undoes it: where it goes, and what it says of itself. */
export interface OwnSnapshot {
  readonly folder: string;
  readonly facts: Omit<SnapshotFacts, 'xid' | 'server'>;
}

/**
 * Snapshots what an undo changes. An undo knows the rows that it will touch and what they will be, so that nothing
 * has to be planned or proved: its before-images are the rows as they stand, its after-images those put back, and
 * that these are what is there afterwards is checked by the undo in any case.
 */
export class OwnSnapshotWriter {
  readonly #store: BlobStore;
  readonly #session: UndoSession;
  readonly #own: OwnSnapshot;
  get id(): string {
    return this.#own.facts.id;
  }

  readonly #finished: RowFile[] = [];
  readonly #tables: ManifestTable[] = [];
  #manifestMayBeThere = false;

  constructor(store: BlobStore, session: UndoSession, own: OwnSnapshot) {
    this.#store = store;
    this.#session = session;
    this.#own = own;
  }

  /** Writes the images of a table, before anything is done to it. */
  async add(table: UndoTable, counts: TableCounts, doing: Pick<Doing, 'onConflict'>): Promise<void> {
    if (table.widened) await this.#refuseLoss(table, counts, doing);
    const touched = `${isToDo('set', doing)} OR ${isToDo('remove', doing)}`;
    const made = `${isToDo('put', doing)} OR ${isToDo('set', doing)}`;
    const before = await this.#write(
      `${table.serial}.before`,
      `SELECT ${valuesOf(table, 't')}
      FROM ${temp('work', table)} w JOIN ${only(table)} t ON t.ctid = w.tid WHERE ${touched}`,
    );
    const after = await this.#write(
      `${table.serial}.after`,
      `SELECT ${valuesOf(table, 'b')}
      FROM ${temp('work', table)} w JOIN ${temp('before', table)} b ON b.ctid = w.b WHERE ${made}`,
    );
    const changed = counts.setBack + counts.removed;
    this.#tables.push({
      ...table.entry,
      schema: table.current.schema,
      name: table.current.name,
      cause: { kind: 'target' },
      columns: table.entry.columns.map((column, i) => ({ ...column, name: table.columns[i]!.name })),
      key: table.key === null ? null : table.key.map(({ name }) => name),
      before: toManifest(before),
      after: toManifest(after),
      proof: { captured: before.rows, affected: null, server_delta: changed },
    });
    if (before.rows !== changed || after.rows !== counts.putBack + counts.setBack) {
      throw new Error(`${before.rows} and ${after.rows} rows were written of ${table.label}`);
    }
  }

  /** Rows that are put back or set in their place lose nothing in the columns that are new; others do, and for good. */
  async #refuseLoss(
    table: UndoTable,
    { removed }: TableCounts,
    { onConflict }: Pick<Doing, 'onConflict'>,
  ): Promise<void> {
    const sql = countReplaced(table, { onConflict, setBackBy: 'update' });
    const replaced = sql === null ? '0' : (await this.#session.query(sql))[0]?.[0];
    if (removed > 0 || replaced !== '0') refuse({ table: table.label, reason: LACKS_COLUMNS });
  }

  /** Makes the snapshot exist. */
  async finish(dropped?: Manifest['dropped']): Promise<Manifest> {
    const [row] = await this.#session.query(
      `SELECT pg_current_xact_id(), current_setting('server_version_num'), current_setting('client_encoding')`,
    );
    const [xid, version, encoding] = row!;
    const manifest: Manifest = {
      format: 1,
      ...this.#own.facts,
      server: { version_num: Number(version), encoding: encoding! },
      xid: xid!,
      tables: this.#tables,
      ...(dropped === undefined ? {} : { dropped }),
    };
    if ((dropped?.objects.length ?? 0) > 0) await markInTrash(this.#store, this.#own.folder);
    this.#manifestMayBeThere = true;
    await writeManifest(this.#store, this.#own.folder, manifest);
    return manifest;
  }

  /** After an undo that was not committed. Never rejects. */
  async discard(): Promise<void> {
    try {
      if (this.#manifestMayBeThere) await this.#store.remove(manifestKey(this.#own.folder));
      for (const { blob } of this.#finished) await this.#store.remove(blob);
    } catch {}
  }

  async #write(name: string, select: string): Promise<RowFile> {
    const key = `${this.#own.folder}/${name}${ROW_FILE_SUFFIX}`;
    const writer = await RowFileWriter.create(this.#store, key);
    try {
      const chunks = this.#session.copyOut(`COPY (${select}) TO STDOUT WITH (FORMAT binary)`);
      for await (const row of rowsIn(key, chunks)) await writer.write(row);
      const file = await writer.finish();
      this.#finished.push(file);
      return file;
    } catch (error) {
      await writer.abort();
      throw error;
    }
  }
}
