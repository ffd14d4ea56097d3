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
import { type Doing, isToDo } from './apply-statement.ts';
import type { TableCounts } from './compare.ts';
import { type Described, describeColumns } from './described-columns.ts';
import { refuse } from './outcome.ts';
import type { UndoSession } from './session.ts';
import { createCame, only, temp } from './statements.ts';
import type { UndoTable } from './undo-table.ts';

/** The snapshot of an undo, which undoes it: where it goes, and what it says of itself. */
export interface OwnSnapshot {
  readonly folder: string;
  readonly facts: Omit<SnapshotFacts, 'xid' | 'server'>;
}

/**
 * Snapshots what an undo changes. An undo knows the rows that it will touch, so that nothing has to be planned or
 * proved: its before-images are the rows as they stand, and its after-images those that are then at the places where
 * it has put them. Both have all columns that the table has by now, also those that the undone snapshot lacks.
 */
export class OwnSnapshotWriter {
  readonly #store: BlobStore;
  readonly #session: UndoSession;
  readonly #own: OwnSnapshot;
  get id(): string {
    return this.#own.facts.id;
  }

  readonly #finished: RowFile[] = [];
  readonly #begun = new Map<UndoTable, { readonly described: Described; readonly before: RowFile }>();
  readonly #tables: ManifestTable[] = [];
  #manifestMayBeThere = false;

  constructor(store: BlobStore, session: UndoSession, own: OwnSnapshot) {
    this.#store = store;
    this.#session = session;
    this.#own = own;
  }

  /** Writes the rows of a table that will change or go, before anything is done to it. */
  async keepBefore(table: UndoTable, counts: TableCounts, doing: Pick<Doing, 'onConflict'>): Promise<void> {
    const described = await describeColumns(this.#session, table.current.oid, 't');
    if (described.inexact.length > 0) {
      const reason = `its column ${described.inexact.join(', ')} has xml within, of which the server does not send all; undo without a snapshot of it`;
      refuse({ table: table.label, reason });
    }
    await this.#session.query(createCame(table));
    const touched = `${isToDo('set', doing)} OR ${isToDo('remove', doing)}`;
    const from = `${temp('work', table)} w JOIN ${only(table)} t ON t.ctid = w.tid WHERE ${touched}`;
    const before = await this.#write(`${table.serial}.before`, described, from);
    if (before.rows !== counts.setBack + counts.removed) {
      throw new Error(`${before.rows} rows were written of ${table.label}`);
    }
    this.#begun.set(table, { described, before });
  }

  /** Writes the rows of a table that came or have changed, as they are when all is done. */
  async keepAfter(table: UndoTable, counts: TableCounts): Promise<void> {
    const { described, before } = this.#begun.get(table)!;
    const { oid, schema, name } = table.current;
    const from = `${temp('came', table)} w JOIN ${only(table)} t ON t.ctid = w.tid WHERE w.tab = ${oid}`;
    const after = await this.#write(`${table.serial}.after`, described, from);
    const came = counts.putBack + counts.setBack;
    if (after.rows !== came) {
      const reason = `${came - after.rows} rows are not where they were put, because a trigger or another partition took them`;
      refuse({ table: table.label, reason });
    }
    const changed = counts.setBack + counts.removed;
    this.#tables.push({
      schema,
      name,
      oid,
      // What triggers changed then, they change again when the undo is undone.
      cause: table.entry.cause.kind === 'code' ? { kind: 'code' } : { kind: 'target' },
      columns: described.columns,
      key: table.keyNow === null ? null : [...table.keyNow],
      before: toManifest(before),
      after: toManifest(after),
      proof: { captured: changed, affected: null, server_delta: changed },
    });
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

  /** The rows `t` of a table. */
  async #write(name: string, { values }: Described, from: string): Promise<RowFile> {
    const key = `${this.#own.folder}/${name}${ROW_FILE_SUFFIX}`;
    const writer = await RowFileWriter.create(this.#store, key);
    try {
      const sql = `COPY (SELECT ${values.join(', ')} FROM ${from}) TO STDOUT WITH (FORMAT binary)`;
      const chunks = this.#session.copyOut(sql);
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
