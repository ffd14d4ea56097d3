import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { withinMs } from '../base/deadline.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { quoteQualified } from '../catalog/quote.ts';
import { archivedTableFolder, archiveFolder } from '../snapshot/archive.ts';
import type { DroppedSnapshot } from '../snapshot/dropped.ts';
import {
  type Manifest,
  type ManifestSequence,
  type ManifestTable,
  manifestKey,
  toManifest,
  writeManifest,
} from '../snapshot/manifest.ts';
import { problemOfSeal, readSealedManifest, type TrustedKeys } from '../snapshot/manifest-seal.ts';
import { ROW_FILE_SUFFIX } from '../snapshot/row-file.ts';
import { rowsIn } from '../snapshot/row-file-reader.ts';
import { RowFileWriter } from '../snapshot/row-file-writer.ts';
import { verifySnapshot } from '../snapshot/snapshots.ts';
import { definitionsOf } from '../trash/archived-definitions.ts';
import { TRASH_SCHEMA } from '../trash/definitions.ts';
import { differences } from '../trash/standing.ts';
import type { TrashedObject } from '../trash/steps.ts';
import { describeColumns } from './described-columns.ts';
import { UndoEnded } from './outcome.ts';
import type { UndoSession } from './session.ts';
import { inTransaction, Whereabouts } from './transaction.ts';
import { trashSession } from './undo-drop.ts';

export interface ArchiveTrash {
  readonly store: BlobStore;
  /** By which what was archived before is believed. */
  readonly keys: TrustedKeys;
  /** Whether to leave off, which loses the table that is being copied and nothing else. */
  readonly stopped: () => boolean;
}

export interface Archived {
  readonly kind: 'archived' | 'was archived';
  readonly tables: number;
  readonly rows: number;
}

/** Not while the gateway stops. */
export class ArchiveStopped extends Error {}

/**
 * Copies what one DROP has left in the trash beside its snapshot: rows, where sequences stand, and definitions. It is
 * told by the manifest of the snapshot alone, and only where it stands as it was left. Memory stays flat: rows go from
 * the server to the storage as they come. A table is copied in steps, each in a transaction of its own, so that nobody
 * who brings it back waits for more than one of them.
 */
export async function archiveDropped(
  request: ArchiveTrash,
  session: UndoSession,
  snapshot: DroppedSnapshot,
): Promise<Archived> {
  const key = createHash('sha256').update(`holdfast archive ${snapshot.folder}`).digest();
  const lock = [key.readBigInt64BE().toString()];
  const [row] = await session.query('SELECT pg_catalog.pg_try_advisory_lock($1)', lock);
  // Two that write the same files would leave a manifest of the one with rows of the other.
  if (row?.[0] !== 't') throw new Error('another gateway is archiving it at this moment');
  try {
    return await archiveAll(request, session, snapshot);
  } finally {
    await session.query('SELECT pg_catalog.pg_advisory_unlock($1)', lock).catch(() => {});
  }
}

async function archiveAll(
  request: ArchiveTrash,
  session: UndoSession,
  snapshot: DroppedSnapshot,
): Promise<Archived> {
  const { store } = request;
  const { folder, manifest } = snapshot;
  const known = await readKnown(request, archiveFolder(folder));
  if (known !== null) return told('was archived', known.tables);
  const { objects } = manifest.dropped;
  await demandAsLeft(session, objects);
  const tables: ManifestTable[] = [];
  for (const object of objects.filter(({ kind }) => kind === 'table' || kind === 'column')) {
    const table = await archiveTable(request, session, snapshot, object);
    if (table !== null) tables.push(table);
  }
  const sequences = await within(session, () => readSequences(session, objects));
  const definitions = await within(session, () => definitionsOf(trashSession(session), objects));
  await demandAsLeft(session, objects);
  const archive = { archived_at: new Date().toISOString(), definitions };
  await writeAnew(store, archiveFolder(folder), copyOf(manifest, { tables, sequences, archive }));
  return told('archived', tables);
}

function told(kind: Archived['kind'], tables: readonly ManifestTable[]): Archived {
  return {
    kind,
    tables: tables.length,
    rows: tables.reduce((sum, { before }) => sum + (before?.rows ?? 0), 0),
  };
}

/** Texts come in the encoding that `inTransaction` sets. */
function copyOf(
  { signature: _, ...manifest }: Manifest,
  rest: Pick<Manifest, 'tables' | 'sequences' | 'archive'>,
): Manifest {
  return { ...manifest, ...rest, server: { ...manifest.server, encoding: 'UTF8' } };
}

/** What was archived before, and can be believed, and is there still. */
async function readKnown(
  { store, keys }: Pick<ArchiveTrash, 'store' | 'keys'>,
  folder: string,
): Promise<Manifest | null> {
  if ((await store.stat(manifestKey(folder))) === null) return null;
  const sealed = await readSealedManifest(store, folder, keys).catch((error: unknown) => {
    // A storage that does not answer says nothing of it.
    if (error instanceof HoldfastError && error.code === 'BLOB_DAMAGED') return null;
    throw error;
  });
  if (sealed === null || problemOfSeal(sealed, keys) !== null) return null;
  const files = sealed.manifest.tables.flatMap(({ before }) =>
    before !== null && 'blob' in before ? before : [],
  );
  const stats = await Promise.all(files.map(({ blob }) => store.stat(blob)));
  return files.every(({ bytes }, i) => stats[i]?.bytes === bytes) ? sealed.manifest : null;
}

/** In the place of one that is not believed, if there is any: a manifest is never replaced. */
async function writeAnew(store: BlobStore, folder: string, manifest: Manifest): Promise<void> {
  await store.remove(manifestKey(folder));
  await writeManifest(store, folder, manifest);
}

/** Whether it is archived, and that by a gateway whose key is known. */
export async function hasArchive(
  request: Pick<ArchiveTrash, 'store' | 'keys'>,
  folder: string,
): Promise<boolean> {
  return (await readKnown(request, archiveFolder(folder))) !== null;
}

/** The same, with every byte read again, since there is no other copy once it is purged. Null where all is well. */
export async function faultOfArchive(
  request: Pick<ArchiveTrash, 'store' | 'keys'>,
  folder: string,
): Promise<string | null> {
  const manifest = await readKnown(request, archiveFolder(folder));
  if (manifest === null) return 'it is not archived yet, as trash.archive says';
  const [fault] = (await verifySnapshot(request.store, manifest)).faults;
  return fault === undefined
    ? null
    : `its archive cannot be read (${fault.blob}: ${fault.reason}); with ${archiveFolder(folder)} taken away it is made anew`;
}

async function demandAsLeft(session: UndoSession, objects: readonly TrashedObject[]): Promise<void> {
  const [found] = await within(session, () => differences(trashSession(session), objects));
  if (found === undefined) return;
  throw new Error(`${found.object.kind} ${found.object.schema}.${found.object.name}: ${found.reason}`);
}

async function within<T>(session: UndoSession, work: () => Promise<T>): Promise<T> {
  const outcome = await inTransaction(session, 'REPEATABLE READ', new Whereabouts(), async () => ({
    ending: 'roll back',
    value: { kind: 'read' as const, value: await work() },
  }));
  if (outcome.kind === 'read') return outcome.value;
  throw new Error(outcome.kind === 'failed' ? outcome.reason : new UndoEnded(outcome).message);
}

interface Shape {
  readonly file: RowsFile;
  readonly columns: ManifestTable['columns'];
  /** As they are copied. */
  readonly values: readonly string[];
  /** Up to and without which block each step goes, in order; the last one to the end. */
  readonly ends: readonly number[];
}

async function archiveTable(
  request: ArchiveTrash,
  session: UndoSession,
  { folder, manifest }: DroppedSnapshot,
  object: TrashedObject,
): Promise<ManifestTable | null> {
  const place = archivedTableFolder(folder, object.oid);
  const known = (await readKnown(request, place))?.tables[0];
  const shape = await within(session, () => readShape(session, object));
  if (shape === null) return null;
  if (known !== undefined && (await within(session, () => hasAsMany(session, object, known.before?.rows))))
    return known;
  const file = await copyRows(request, session, object, shape, `${place}/rows.before${ROW_FILE_SUFFIX}`);
  await within(session, () => demandUntouched(session, object, shape.file, file.rows));
  const table: ManifestTable = {
    schema: object.schema,
    name: object.name,
    oid: object.oid,
    cause: { kind: 'target' },
    columns: shape.columns,
    key: null,
    before: toManifest(file),
    after: null,
    proof: { captured: file.rows, affected: null, server_delta: null },
  };
  const { dropped: _, ...rest } = manifest;
  await writeAnew(request.store, place, copyOf(rest, { tables: [table] }));
  return table;
}

/**
 * The steps are transactions of their own, between which rows change their places where a table is written anew, and those
 * of a copy go where an undo gives them back. A file that stood before the first step and after the last stood throughout.
 */
async function demandUntouched(
  session: UndoSession,
  object: TrashedObject,
  file: RowsFile,
  rows: number,
): Promise<void> {
  const now = await fileOf(session, object);
  if (now?.oid === file.oid && now.node === file.node && (await hasAsMany(session, object, rows))) return;
  const { kind, schema, name } = object;
  throw new Error(`${kind} ${schema}.${name}: it was written anew or emptied while it was copied`);
}

/** Rows of a whole table in the trash nobody changes but a superuser, and they may be too many to be counted. */
async function hasAsMany(
  session: UndoSession,
  { kind, trash_name }: TrashedObject,
  rows: number | undefined,
): Promise<boolean> {
  if (kind !== 'column') return true;
  const [row] = await session.query(
    `SELECT pg_catalog.count(*) FROM ONLY ${quoteQualified(TRASH_SCHEMA, trash_name)}`,
  );
  return Number(row?.[0]) === rows;
}

async function copyRows(
  { store, stopped }: ArchiveTrash,
  session: UndoSession,
  object: TrashedObject,
  { values, ends }: Shape,
  key: string,
) {
  const from = quoteQualified(TRASH_SCHEMA, object.trash_name);
  const writer = await RowFileWriter.create(store, key);
  try {
    for (let step = 0; step <= ends.length; step++) {
      if (stopped()) throw new ArchiveStopped('the gateway stops');
      const startedMs = performance.now();
      const bounds = [
        ...(step > 0 ? [`r.ctid >= '(${ends[step - 1]},0)'`] : []),
        ...(step < ends.length ? [`r.ctid < '(${ends[step]},0)'`] : []),
      ];
      const where = bounds.length === 0 ? '' : ` WHERE ${bounds.join(' AND ')}`;
      const sql = `COPY (SELECT ${values.join(', ')} FROM ONLY ${from} r${where}) TO STDOUT WITH (FORMAT binary)`;
      const bytes = await within(session, async () => {
        let copied = 0;
        for await (const row of rowsIn(key, session.copyOut(sql))) {
          copied += row.length;
          await patiently(writer.write(row));
        }
        return copied;
      });
      await pace(bytes, performance.now() - startedMs);
    }
    return await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

/** Whoever brings the table back waits meanwhile. */
async function patiently(writing: void | Promise<void>): Promise<void> {
  if (writing === undefined) return;
  const late = () => new Error(`the storage took no row within ${LIMITS.trashArchiveStallMs} ms`);
  await withinMs(LIMITS.trashArchiveStallMs, writing, late);
}

/** The server and the storage are there for others in the first place. */
async function pace(bytes: number, tookMs: number): Promise<void> {
  const leftMs = (bytes / LIMITS.trashArchiveBytesPerSecond) * 1000 - tookMs;
  if (leftMs > 0) await sleep(leftMs);
}

/** In which file the rows of a table are: TRUNCATE and whatever writes them anew make another. */
interface RowsFile {
  readonly oid: number;
  readonly node: number;
}

/** The copy of a column's values is known by its name alone: the OID is that of the table, which has stayed. */
async function fileOf(
  session: UndoSession,
  { kind, oid, trash_name }: TrashedObject,
): Promise<(RowsFile & { readonly relkind: string; readonly isHeap: boolean }) | null> {
  const [row] = await session.query(
    `SELECT c.oid::int8, c.relfilenode::int8, c.relkind, c.relam = 2
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`,
    [TRASH_SCHEMA, trash_name],
  );
  if (row === undefined || (kind === 'table' && Number(row[0]) !== oid)) return null;
  return { oid: Number(row[0]), node: Number(row[1]), relkind: row[2]!, isHeap: row[3] === 't' };
}

/** Null for what has no rows of its own, as a partitioned table. */
async function readShape(session: UndoSession, object: TrashedObject): Promise<Shape | null> {
  const file = await fileOf(session, object);
  if (file === null) throw new Error(`the table ${object.trash_name} is not in the trash`);
  if (file.relkind !== 'r') return null;
  const [size] = await session.query(
    `SELECT pg_relation_size($1::oid) / current_setting('block_size')::int8, current_setting('block_size')`,
    [String(file.oid)],
  );
  const [blocks, blockBytes] = size!;
  const { columns, values } = await describeColumns(session, file.oid, 'r');
  const step = Math.max(1, Math.floor(LIMITS.trashArchiveStepBytes / Number(blockBytes)));
  const count = file.isHeap ? Math.max(0, Math.ceil(Number(blocks) / step) - 1) : 0;
  return { file, columns, values, ends: Array.from({ length: count }, (_, i) => (i + 1) * step) };
}

async function readSequences(
  session: UndoSession,
  objects: readonly TrashedObject[],
): Promise<ManifestSequence[]> {
  const out: ManifestSequence[] = [];
  for (const { kind, oid, schema, name, trash_name } of objects) {
    if (kind !== 'sequence') continue;
    const [row] = await session.query(
      `SELECT last_value, is_called FROM ${quoteQualified(TRASH_SCHEMA, trash_name)}`,
    );
    out.push({ schema, name, oid, last_value: row![0]!, is_called: row![1] === 't' });
  }
  return out;
}
