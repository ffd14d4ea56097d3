import type { BlobStore } from '../blobs/blob-store.ts';
import { type Manifest, manifestKey, readManifest } from './manifest.ts';
import { readSealedManifest, type SealedManifest, type TrustedKeys } from './manifest-seal.ts';

/**
 * What a DROP has left in the trash, copied beside its snapshot: a manifest of its own with the rows of the tables, which
 * outlasts the purge. Each table has one first, so that what was copied before an interruption is not copied again.
 */
export const archiveFolder = (folder: string): string => `${folder}/archive`;

export const archivedTableFolder = (folder: string, oid: number): string => `${archiveFolder(folder)}/${oid}`;

export async function isArchived(store: BlobStore, folder: string): Promise<boolean> {
  return (await store.stat(manifestKey(archiveFolder(folder)))) !== null;
}

/** The manifest that has the rows: of a DROP that of its archive, where there is one; else the snapshot's own. */
export async function readWithRows(store: BlobStore, folder: string): Promise<Manifest> {
  const manifest = await readManifest(store, folder);
  if (manifest.dropped === undefined || !(await isArchived(store, folder))) return manifest;
  return await readManifest(store, archiveFolder(folder));
}

/** The same with what its signature is worth. */
export async function readSealedWithRows(
  store: BlobStore,
  folder: string,
  keys: TrustedKeys,
): Promise<SealedManifest> {
  const own = await readSealedManifest(store, folder, keys);
  if (own.manifest.dropped === undefined || !(await isArchived(store, folder))) return own;
  return await readSealedManifest(store, archiveFolder(folder), keys);
}
