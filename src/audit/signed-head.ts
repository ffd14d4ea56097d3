import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import type { SignedCut, SignedHeadRow } from '../store/control-store.ts';
import { HASH_BYTES } from './chain.ts';

/** A private key of Ed25519 and what others know it by. */
export interface SigningKey {
  readonly privateKey: KeyObject;
  readonly publicKey: Uint8Array;
  readonly id: string;
}

/** Where the copies of heads are among the blobs. */
export const ANCHOR_FOLDER = 'audit/heads/';

const KEY_ID_DIGITS = 16;
/** Sixteen digits are more than a number of JavaScript counts exactly, so that keys sort as heads do. */
const SEQUENCE_DIGITS = 16;
const ANCHOR_NAME = /^(\d{16})-([0-9a-f]{16})-([0-9a-f]{64})\.json$/;

export function signingKey(privateKey: KeyObject): SigningKey {
  const publicKey = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  return { privateKey, publicKey, id: keyIdOf(publicKey) };
}

export function keyIdOf(publicKey: Uint8Array): string {
  return createHash('sha256').update(publicKey).digest('hex').slice(0, KEY_ID_DIGITS);
}

export function signHead(end: Pick<SignedHeadRow, 'sequence' | 'hash' | 'time'>, key: SigningKey) {
  const head = { ...end, keyId: key.id, publicKey: key.publicKey, anchored: false };
  return { ...head, signature: sign(null, signedText(head), key.privateKey) } satisfies SignedHeadRow;
}

/** A cut says that what was up to there was dropped on purpose, which a head does not. */
export function signCut(end: Pick<SignedHeadRow, 'sequence' | 'hash' | 'time'>, key: SigningKey): SignedCut {
  const cut = { ...end, keyId: key.id, publicKey: key.publicKey };
  return { ...cut, signature: sign(null, signedText(cut, 'cut'), key.privateKey) };
}

/** Whether the signature is that of the key that the head names, which says nothing of whose key that is. */
export function isSignedAsItSays(head: SignedCut, what: 'head' | 'cut' = 'head'): boolean {
  if (keyIdOf(head.publicKey) !== head.keyId) return false;
  try {
    const key = createPublicKey({ key: Buffer.from(head.publicKey), type: 'spki', format: 'der' });
    return key.asymmetricKeyType === 'ed25519' && verify(null, signedText(head, what), key, head.signature);
  } catch {
    return false;
  }
}

/** Every field of a head is in what is signed, but where it is kept. */
function signedText(
  { sequence, hash, time, keyId }: Omit<SignedCut, 'signature'>,
  what: 'head' | 'cut' = 'head',
): Buffer {
  const hex = Buffer.from(hash).toString('hex');
  return Buffer.from(
    `holdfast audit ${what} 1\nsequence ${sequence}\nhash ${hex}\ntime ${time}\nkey ${keyId}\n`,
  );
}

export function anchorKey({ sequence, keyId, hash }: SignedHeadRow): string {
  const number = String(sequence).padStart(SEQUENCE_DIGITS, '0');
  return `${ANCHOR_FOLDER}${number}-${keyId}-${Buffer.from(hash).toString('hex')}.json`;
}

/** What the name of an anchor says, or null where it is none. */
export function parseAnchorKey(key: string): Pick<SignedHeadRow, 'sequence' | 'keyId' | 'hash'> | null {
  const [, sequence, keyId, hash] = ANCHOR_NAME.exec(key.slice(ANCHOR_FOLDER.length)) ?? [];
  if (sequence === undefined || keyId === undefined || hash === undefined) return null;
  return { sequence: Number(sequence), keyId, hash: Buffer.from(hash, 'hex') };
}

export function encodeAnchor(head: SignedHeadRow): Buffer {
  const { sequence, hash, time, keyId, publicKey, signature } = head;
  const fields = {
    format: 'holdfast audit head 1',
    sequence,
    hash: Buffer.from(hash).toString('hex'),
    time,
    key: keyId,
    public_key: Buffer.from(publicKey).toString('base64'),
    signature: Buffer.from(signature).toString('base64'),
  };
  return Buffer.from(`${JSON.stringify(fields, null, 2)}\n`);
}

/** Null where the bytes are no head that is signed as it says. */
export function decodeAnchor(bytes: Uint8Array): SignedHeadRow | null {
  try {
    const fields = JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>;
    const head = {
      sequence: Number(fields['sequence']),
      hash: Buffer.from(String(fields['hash']), 'hex'),
      time: String(fields['time']),
      keyId: String(fields['key']),
      publicKey: Buffer.from(String(fields['public_key']), 'base64'),
      signature: Buffer.from(String(fields['signature']), 'base64'),
      anchored: true,
    };
    return head.hash.length === HASH_BYTES && isSignedAsItSays(head) ? head : null;
  } catch {
    return null;
  }
}
