import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { z } from 'zod';
import type { BlobStore } from '../blobs/blob-store.ts';
import { type Manifest, manifestKey, parseManifest, readManifestBytes } from './manifest.ts';

/**
 * A manifest is signed by the gateway that has written it, in its own last field: an undo believes what it says of
 * rows, and runs the SQL that it has for a DROP, so that whoever can write to the storage must not be able to make one.
 * Signed is where it lies, and every byte but those of the signature.
 */
export interface ManifestSigner {
  /** What others know the key by. */
  readonly id: string;
  readonly privateKey: KeyObject;
}

/** Public keys (SPKI, DER) by their ids. */
export type TrustedKeys = ReadonlyMap<string, Uint8Array>;

export type SealState = 'valid' | 'none' | 'of an unknown key' | 'wrong';

const END = '\n}\n';
const SEALED = /,\n "signature": (\{"key":"[0-9a-f]+","value":"[0-9A-Za-z+/=]+"\})\n\}\n$/;
const sealSchema = z.strictObject({ key: z.string(), value: z.string() });

export function sealManifest(key: string, bytes: Uint8Array, { id, privateKey }: ManifestSigner): Buffer {
  const text = Buffer.from(bytes).toString('utf8');
  if (!text.endsWith(END)) throw new Error(`${key} does not end as a manifest does`);
  const value = sign(null, signedText(key, text), privateKey).toString('base64');
  const seal = JSON.stringify({ key: id, value });
  return Buffer.from(`${text.slice(0, -END.length)},\n "signature": ${seal}${END}`);
}

export interface SealedManifest {
  readonly manifest: Manifest;
  readonly seal: SealState;
}

/** The manifest and what its signature is worth, of the same bytes. */
export async function readSealedManifest(
  store: BlobStore,
  folder: string,
  keys: TrustedKeys,
): Promise<SealedManifest> {
  const key = manifestKey(folder);
  const bytes = await readManifestBytes(store, key);
  return { manifest: parseManifest(key, bytes), seal: sealOf(key, bytes, keys) };
}

function sealOf(key: string, bytes: Buffer, keys: TrustedKeys): SealState {
  const text = bytes.toString('utf8');
  const found = SEALED.exec(text);
  if (found === null) return 'none';
  const seal = sealSchema.parse(JSON.parse(found[1]!));
  const trusted = keys.get(seal.key);
  if (trusted === undefined) return 'of an unknown key';
  const publicKey = createPublicKey({ key: Buffer.from(trusted), type: 'spki', format: 'der' });
  const original = `${text.slice(0, found.index)}${END}`;
  return verify(null, signedText(key, original), publicKey, Buffer.from(seal.value, 'base64'))
    ? 'valid'
    : 'wrong';
}

function signedText(key: string, text: string): Buffer {
  return Buffer.from(`holdfast manifest 1\n${key}\n${createHash('sha256').update(text).digest('hex')}\n`);
}

/**
 * Why an undo must not go by it, or null. Without any key nothing is known, which is enough for rows: what a forged
 * manifest says of them can do no more than whoever can write to the storage may do to the rows themselves.
 */
export function problemOfSeal({ manifest, seal }: SealedManifest, keys: TrustedKeys): string | null {
  if (seal === 'valid') return null;
  if (keys.size === 0) {
    if (manifest.dropped === undefined) return null;
    return 'whether the gateway has written its manifest cannot be told without the key of the audit, and the way back of a DROP is SQL';
  }
  switch (seal) {
    case 'none':
      return 'its manifest is not signed, so that nobody knows who has written it';
    case 'of an unknown key':
      return 'its manifest is signed with another key than that of this audit, or one before it';
    case 'wrong':
      return 'its manifest is not as the gateway has written it';
    default:
      return seal satisfies never;
  }
}
