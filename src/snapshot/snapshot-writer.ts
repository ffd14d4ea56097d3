import { withinMs } from '../base/deadline.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import type { SnapshotSinks, TableSink } from './capture.ts';
import { discardManifest } from './discard-manifest.ts';
import { sourceOf } from './elsewhere.ts';
import {
  type Manifest,
  type ManifestSequence,
  type ManifestTable,
  manifestKey,
  toManifest,
  writeManifest,
} from './manifest.ts';
import type { CapturePlan, PlannedTable } from './plan.ts';
import type { Proof, TableProof } from './prove.ts';
import { ROW_FILE_SUFFIX, type RowFile } from './row-file.ts';
import { RowFileWriter } from './row-file-writer.ts';

/** What the manifest says beside its tables. */
export type SnapshotFacts = Omit<Manifest, 'format' | 'tables' | 'sequences' | 'added'>;

/** What was proved of the statement. */
export type Proved = Pick<Extract<Proof, { kind: 'proved' }>, 'tables' | 'added'>;

type Image = 'before' | 'after';

/**
 * Takes the rows of a capture into files, and makes a snapshot of them.
 *
 * States: open, until `finish` has resolved, when the snapshot exists, or `abort`, after which nothing of it is left.
 * Whoever gets a rejection from any call has to call `abort`.
 */
export class SnapshotWriter implements SnapshotSinks {
  readonly #store: BlobStore;
  readonly #folder: string;
  readonly #files: {
    readonly oid: number;
    readonly image: Image;
    readonly writer: Promise<RowFileWriter>;
  }[] = [];
  /** Files that are durable, which `abort` has to remove again. */
  readonly #finished: RowFile[] = [];
  #manifestMayBeThere = false;
  #sequences: readonly ManifestSequence[] = [];
  #givenUp = false;
  #finishing: Promise<Manifest> | null = null;

  /** How long the storage may keep a row waiting. */
  readonly #patienceMs: number;

  /** How many of the files may be kept in the manifest. */
  readonly #inlineFilesMax: number;

  constructor(
    store: BlobStore,
    folder: string,
    patienceMs: number = LIMITS.snapshotStoreMs,
    inlineFilesMax: number = LIMITS.snapshotInlineFilesMax,
  ) {
    this.#patienceMs = patienceMs;
    this.#inlineFilesMax = inlineFilesMax;
    this.#store = store;
    this.#folder = folder;
  }

  open(table: PlannedTable, image: Image): TableSink {
    const key = `${this.#folder}/${this.#files.length}.${image}${ROW_FILE_SUFFIX}`;
    const mayBeInline = this.#files.length < this.#inlineFilesMax;
    let writer = mayBeInline ? RowFileWriter.gather(this.#store, key) : null;
    const opening = writer === null ? RowFileWriter.create(this.#store, key) : Promise.resolve(writer);
    // The failure is told by the first write.
    opening.catch(() => {});
    this.#files.push({ oid: table.oid, image, writer: opening });
    return {
      write: (row) => {
        if (writer !== null) return this.#patiently(writer.write(row));
        const first = opening.then((opened) => {
          writer = opened;
          return opened.write(row);
        });
        return this.#patiently(first);
      },
      fits: (bytes) => writer?.fits(bytes) === true,
      take: (bytes, start, end) => writer!.take(bytes, start, end),
      room: () => writer?.room() ?? 0,
      takeTuples: (tuples, rows) => writer!.takeTuples(tuples, rows),
    };
  }

  #patiently(written: void | Promise<void>): void | Promise<void> {
    if (written === undefined) return;
    const late = () => new Error(`the storage took no row within ${this.#patienceMs} ms`);
    return withinMs(this.#patienceMs, written, late);
  }

  keep(sequences: readonly ManifestSequence[]): void {
    this.#sequences = sequences;
  }

  /** Resolves when the snapshot is durable: its files first, then the manifest that makes it exist. */
  finish(plan: CapturePlan, proved: Proved, facts: SnapshotFacts): Promise<Manifest> {
    this.#finishing = this.#finish(plan, proved, facts);
    return this.#finishing;
  }

  async #finish(
    plan: CapturePlan,
    { tables: proofs, added }: Proved,
    facts: SnapshotFacts,
  ): Promise<Manifest> {
    // Made while the manifest is: its folder, which is durable by the time that it comes.
    this.#store.expect?.(manifestKey(this.#folder));
    const files = await this.#finishFiles();
    const tables = proofs.map((each) => tableOf(plan, each, files));
    const sequences = this.#sequences;
    const manifest: Manifest = {
      format: 1,
      ...facts,
      tables,
      ...(added.length > 0 ? { added: [...added] } : {}),
      ...(sequences.length > 0 ? { sequences: [...sequences] } : {}),
    };
    if (this.#givenUp) throw new Error('the snapshot was given up');
    this.#manifestMayBeThere = true;
    await writeManifest(this.#store, this.#folder, manifest).catch((error: unknown) => {
      // Refused is surely not written, and one that was there already is another's.
      const refused = error instanceof HoldfastError && error.code === 'SNAPSHOT_FAILED';
      this.#manifestMayBeThere = !refused;
      throw error;
    });
    return manifest;
  }

  /** All at once, since each waits for the disk; and until the last has ended, so that none comes after an abort. */
  async #finishFiles(): Promise<ReadonlyMap<string, RowFile>> {
    const files = new Map<string, RowFile>();
    const ends = await Promise.allSettled(
      this.#files.map(async ({ oid, image, writer }) => {
        const file = await (await writer).finish();
        if (file.inline === undefined) this.#finished.push(file);
        files.set(`${oid} ${image}`, file);
      }),
    );
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
    return files;
  }

  /** Never rejects: what cannot be taken away belongs to no snapshot, and is left to whoever sweeps. */
  async abort(): Promise<void> {
    this.#givenUp = true;
    for (const { writer } of this.#files) await writer.then((opened) => opened.abort()).catch(() => {});
    // A manifest that is on its way would come after its files had gone.
    await this.#finishing?.catch(() => {});
    await this.#takeAway().catch(() => {
      if (!this.#manifestMayBeThere) return;
      // A storage that is down for a while: what cannot be removed yet is marked.
      const discarding = discardManifest(this.#store, this.#folder, Promise.resolve());
      void discarding.then(() => this.#takeAway()).catch(() => {});
    });
  }

  /** A manifest never names files that are gone. */
  async #takeAway(): Promise<void> {
    if (this.#manifestMayBeThere) await this.#store.remove(manifestKey(this.#folder));
    for (const { blob } of this.#finished) await this.#store.remove(blob);
  }
}

function tableOf(plan: CapturePlan, proof: TableProof, files: ReadonlyMap<string, RowFile>): ManifestTable {
  const { table, before, counted } = proof;
  const image = (which: Image) => {
    const file = files.get(`${table.oid} ${which}`);
    return file === undefined ? null : toManifest(file);
  };
  return {
    schema: table.schema,
    name: table.name,
    oid: table.oid,
    cause: table.cause,
    columns: table.columns.map((column, i) => ({
      name: column.name,
      attribute: column.attribute,
      type: {
        oid: column.type.oid,
        schema: column.type.schema,
        name: column.type.name,
        modifier: column.type.modifier,
      },
      not_null: column.notNull,
      generated: column.generated,
      identity: column.identity,
      // As it was asked for, by the table that was searched.
      format: sourceOf(plan, table).resultFormats[i + 2] === 1 ? 'binary' : 'text',
    })),
    key: table.key === null ? null : [...table.key],
    before: image('before'),
    after: image('after'),
    proof: { captured: before, affected: null, server_delta: counted.updated + counted.deleted },
  };
}
