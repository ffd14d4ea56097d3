import { ANCHOR_FOLDER, parseAnchorKey } from './audit/signed-head.ts';
import { HoldfastError } from './base/errors.ts';
import type { BlobStore } from './blobs/blob-store.ts';
import { readSealedManifest, type TrustedKeys } from './snapshot/manifest-seal.ts';
import { allDays, listSnapshots } from './snapshot/snapshots.ts';

/** The anchors of a first record: each gateway has made one, and looking at them costs one question. */
const FIRST_ANCHORS = `${ANCHOR_FOLDER}${'0'.repeat(16)}-`;

/** The ids of keys of others that gateways have anchored audits with here, or signed the newest snapshot. */
export async function otherGateways(
  store: BlobStore,
  own: TrustedKeys,
  nowMs: number,
): Promise<readonly string[]> {
  const found = new Set<string>();
  for await (const { key } of store.list(FIRST_ANCHORS)) {
    const anchor = parseAnchorKey(key);
    if (anchor !== null) found.add(anchor.keyId);
  }
  for await (const { folder } of listSnapshots(store, allDays(nowMs))) {
    const signer = await signerOf(store, folder, own);
    if (signer !== null) found.add(signer);
    break;
  }
  return [...found].filter((id) => !own.has(id)).toSorted();
}

/** Whether a snapshot is signed with another key than these: then it is for somebody else to remove. */
export async function isOfOthers(store: BlobStore, folder: string, own: TrustedKeys): Promise<boolean> {
  const signer = await signerOf(store, folder, own);
  return signer !== null && !own.has(signer);
}

async function signerOf(store: BlobStore, folder: string, own: TrustedKeys): Promise<string | null> {
  try {
    const { manifest } = await readSealedManifest(store, folder, own);
    return manifest.signature?.key ?? null;
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'BLOB_DAMAGED') return null;
    throw error;
  }
}
