import { z } from 'zod';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import type { RowFile } from './row-file.ts';

/**
 * What a snapshot says of itself: which statement of whom it was taken for, and for each table where its rows lie and
 * how to read them. It is written last and never again, so that a snapshot without one does not exist.
 */

const rowFileFacts = {
  rows: z.int().nonnegative(),
  bytes: z.int().nonnegative(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  raw_bytes: z.int().nonnegative(),
};

/** Rows in a blob of their own, or, where they are few, in here. */
const rowFile = z.union([
  z.strictObject({ blob: z.string(), ...rowFileFacts }),
  z.strictObject({ inline: z.base64(), ...rowFileFacts }),
]);

const column = z.strictObject({
  name: z.string(),
  /** pg_attribute.attnum. */
  attribute: z.int(),
  type: z.strictObject({ oid: z.int(), schema: z.string(), name: z.string(), modifier: z.int() }),
  not_null: z.boolean(),
  /** As pg_attribute has them: '' for none; 's' stored, 'v' virtual; 'a' always, 'd' by default. */
  generated: z.enum(['', 's', 'v']),
  identity: z.enum(['', 'a', 'd']),
  /** Types without binary output are kept as text. */
  format: z.enum(['binary', 'text']),
});

const cause = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('target') }),
  /** Reached through a foreign key, `level` steps from the target. */
  z.strictObject({ kind: z.literal('cascade'), constraint: z.string(), level: z.int().positive() }),
  /** Changed by code of the user's, such as a trigger, that ran as the statement did. */
  z.strictObject({ kind: z.literal('code') }),
]);

const table = z.strictObject({
  schema: z.string(),
  name: z.string(),
  oid: z.int(),
  cause,
  columns: z.array(column),
  /** The names of the columns that tell rows apart, or null where none do. */
  key: z.array(z.string()).nullable(),
  /** The rows as they were, and as the statement has left them. */
  before: rowFile.nullable(),
  after: rowFile.nullable(),
  /** The three counts that had to agree: rows captured, rows of the command tag, rows by the server's own count. */
  proof: z.strictObject({
    captured: z.int().nonnegative(),
    affected: z.int().nonnegative().nullable(),
    server_delta: z.int().nonnegative().nullable(),
  }),
});

const part = z.record(z.string(), z.json()).nullable();

const altered = z.strictObject({
  tables: z.array(z.strictObject({ oid: z.int(), schema: z.string(), name: z.string() })),
  /** Types that come back. */
  types: z.array(z.int()),
  changes: z.array(
    z.strictObject({
      table: z.int(),
      section: z.enum([
        'settings',
        'columns',
        'constraints',
        'indexes',
        'triggers',
        'rules',
        'policies',
        'statistics',
        'referrers',
      ]),
      key: z.string(),
      before: part,
      after: part,
    }),
  ),
  /** Columns whose type was changed. */
  retyped: z.array(z.string()).optional(),
});

const replaced = z.strictObject({
  oid: z.int(),
  kind: z.enum(['function', 'procedure']),
  schema: z.string(),
  name: z.string(),
  arguments: z.string(),
  before: z.string(),
  after: z.string(),
});

const step = z.strictObject({
  sql: z.string(),
  what: z.string(),
  optional: z.literal(true).optional(),
  after: z.literal(true).optional(),
  as: z.string().optional(),
});

/** What a DROP took, which stands in the trash of the database, and the statements that bring it back. */
const dropped = z.strictObject({
  objects: z.array(
    z.strictObject({
      oid: z.int(),
      kind: z.string(),
      schema: z.string(),
      name: z.string(),
      trash_name: z.string(),
      state: z.record(z.string(), z.string()).optional(),
    }),
  ),
  restores: z.array(step),
  /** For values that an undo of dropped columns has left over, because their rows were not there as they were. */
  rest: z.array(step).optional(),
  /** What will not come back as it was. */
  notes: z.array(z.string()),
  /** What cannot be dropped before the trash is purged. */
  binds: z.array(z.string()),
  /** What an ALTER has changed of the definitions of tables, which stay. */
  altered: altered.optional(),
  /** The definition that a CREATE OR REPLACE has replaced, and that by which it has. */
  replaced: replaced.optional(),
  /** Of which server the trash is, by pg_control_system(): transactions and OIDs mean nothing to any other. */
  system: z.string().optional(),
});

const archive = z.strictObject({
  archived_at: z.iso.datetime(),
  /** SQL for people to make the rest anew by. */
  definitions: z.array(z.strictObject({ what: z.string(), sql: z.string() })),
});

/** Numbers of 64 bits, which JSON has no room for. */
const sequence = z.strictObject({
  schema: z.string(),
  name: z.string(),
  oid: z.int(),
  last_value: z.string().regex(/^-?\d+$/),
  is_called: z.boolean(),
});

/** Rows that code of the user's has put into other tables as the statement ran, which an undo leaves there. */
const added = z.strictObject({
  oid: z.int(),
  schema: z.string(),
  name: z.string(),
  /** As the server counts, which counts what was taken back in a savepoint as well. */
  rows: z.int().positive(),
});

const manifestSchema = z.strictObject({
  format: z.literal(1),
  id: z.string(),
  created_at: z.iso.datetime(),
  gateway: z.string(),
  session: z.strictObject({
    id: z.string(),
    role: z.string(),
    database: z.string(),
    application: z.string(),
    client: z.string(),
  }),
  /** `encoding` is that of the session, and so of the texts in the files. */
  server: z.strictObject({ version_num: z.int(), encoding: z.string() }),
  /** The transaction, as pg_current_xact_id() gives it: with it the server can be asked later whether it committed. */
  xid: z.string().regex(/^\d+$/),
  statement: z.strictObject({
    /** As sent, or with its secrets masked. */
    text: z.string(),
    sha256: z.string(),
    operation: z.string(),
    parameters: z.int().nonnegative(),
  }),
  decision: z.strictObject({ rule: z.string(), risk: z.string() }),
  approval_id: z.string().nullable(),
  tables: z.array(table),
  added: z.array(added).optional(),
  dropped: dropped.optional(),
  /** Only of the copy of what a DROP has left in the trash, whose tables and sequences are then those. */
  archive: archive.optional(),
  /** How those stood that the statement has started anew. */
  sequences: z.array(sequence).optional(),
  /** Of all the rest, by the key of the audit; see manifest-seal.ts. */
  signature: z.strictObject({ key: z.string(), value: z.string() }).optional(),
});

/** A manifest for those who may know of a snapshot and not see its rows: `blob` is null where the rows are in it. */
export const shownManifestSchema = manifestSchema.extend({
  tables: z.array(
    table.extend({
      before: z.strictObject({ blob: z.string().nullable(), ...rowFileFacts }).nullable(),
      after: z.strictObject({ blob: z.string().nullable(), ...rowFileFacts }).nullable(),
    }),
  ),
});

export type ShownManifest = Readonly<z.infer<typeof shownManifestSchema>>;
export type Manifest = Readonly<z.infer<typeof manifestSchema>>;
export type ManifestTable = Manifest['tables'][number];
export type ManifestAdded = Readonly<z.infer<typeof added>>;
export type ManifestSequence = Readonly<z.infer<typeof sequence>>;
export type ManifestRowFile = z.infer<typeof rowFile>;

/** The keys of a snapshot's blobs begin with this; by day, so that old ones can be listed without the rest. */
export function snapshotFolder(id: string, createdAtMs: number): string {
  const [day] = new Date(createdAtMs).toISOString().split('T');
  return `snapshots/${day!.replaceAll('-', '/')}/${id}`;
}

export const manifestKey = (folder: string): string => `${folder}/manifest.json`;

export const isManifestKey = (key: string): boolean => key.endsWith('/manifest.json');

/** What rows that are in the manifest are told by. */
const INLINE_NAME = 'manifest.json';

/** For the signature, which comes when the limit has been looked at. */
const SIGNATURE_BYTES_MAX = 1024;

/** Makes the snapshot exist. It is an error if one of that name does already. */
export async function writeManifest(store: BlobStore, folder: string, manifest: Manifest): Promise<void> {
  const bytes = Buffer.from(`${JSON.stringify(manifestSchema.parse(manifest), null, 1)}\n`);
  if (bytes.length > LIMITS.snapshotManifestBytes) {
    const detail = `Its manifest would take ${bytes.length} bytes, of ${LIMITS.snapshotManifestBytes} at most.`;
    throw new HoldfastError('SNAPSHOT_FAILED', `the snapshot ${manifest.id} is of too many tables`, {
      detail,
    });
  }
  const { kind } = await store.putIfAbsent(manifestKey(folder), bytes);
  if (kind === 'exists') {
    throw new HoldfastError('SNAPSHOT_FAILED', `there is a snapshot ${manifest.id} already`);
  }
}

export async function readManifest(store: BlobStore, folder: string): Promise<Manifest> {
  const key = manifestKey(folder);
  return parseManifest(key, await readManifestBytes(store, key));
}

export async function readManifestBytes(store: BlobStore, key: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of store.read(key)) {
    bytes += chunk.length;
    if (bytes > LIMITS.snapshotManifestBytes + SIGNATURE_BYTES_MAX) throw unreadable(key, 'it is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

export function parseManifest(key: string, bytes: Buffer): Manifest {
  try {
    return manifestSchema.parse(JSON.parse(bytes.toString('utf8')));
  } catch (cause) {
    throw unreadable(key, cause instanceof Error ? cause.message : String(cause));
  }
}

function unreadable(key: string, detail: string): HoldfastError {
  return new HoldfastError('BLOB_DAMAGED', `the manifest ${key} cannot be read`, { detail });
}

export function toManifest({ blob, inline, rows, bytes, sha256, rawBytes }: RowFile): ManifestRowFile {
  const facts = { rows, bytes, sha256, raw_bytes: rawBytes };
  if (inline === undefined) return { blob, ...facts };
  return { inline: Buffer.from(inline).toString('base64'), ...facts };
}

export function fromManifest(file: ManifestRowFile): RowFile {
  const { rows, bytes, sha256, raw_bytes: rawBytes } = file;
  const facts = { rows, bytes, sha256, rawBytes };
  if ('blob' in file) return { blob: file.blob, ...facts };
  return { blob: INLINE_NAME, inline: Buffer.from(file.inline, 'base64'), ...facts };
}

/** Without rows that are in it, which not everybody may see who may know of them. */
export function withoutRows(manifest: Manifest): ShownManifest {
  const shown = (file: ManifestRowFile | null) => {
    if (file === null) return null;
    const { rows, bytes, sha256, raw_bytes } = file;
    return { blob: 'blob' in file ? file.blob : null, rows, bytes, sha256, raw_bytes };
  };
  const tables = manifest.tables.map((each) => ({
    ...each,
    before: shown(each.before),
    after: shown(each.after),
  }));
  return { ...manifest, tables };
}
