import { createCipheriv, createDecipheriv, hkdfSync, type KeyObject, randomBytes } from 'node:crypto';
import { decodeRowSet, encodeRowSet, type RowSet } from '../policy/row-set.ts';

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Which rows an approval is about, as it is stored: with the salt, values could be tried against the hashes, so that nobody
 * who reads the store has that without the secret of this installation, which is never there.
 */
export class RowSetSeal {
  readonly #secret: Buffer;

  constructor(secret: Uint8Array) {
    this.#secret = Buffer.from(secret);
  }

  /** The secret is taken from the key of the audit, so that there is one file to keep. */
  static from(privateKey: KeyObject): RowSetSeal {
    const der = privateKey.export({ type: 'pkcs8', format: 'der' });
    return new RowSetSeal(Buffer.from(hkdfSync('sha256', der, '', 'holdfast row sets', 32)));
  }

  seal(approvalId: string, set: RowSet): Buffer {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#secret, nonce).setAAD(Buffer.from(approvalId));
    const sealed = Buffer.concat([cipher.update(encodeRowSet(set)), cipher.final()]);
    return Buffer.concat([nonce, cipher.getAuthTag(), sealed]);
  }

  /** Null where it was sealed for another approval, by another secret or another version, or has been altered. */
  open(approvalId: string, sealed: Uint8Array): RowSet | null {
    const bytes = Buffer.from(sealed);
    if (bytes.length < NONCE_BYTES + TAG_BYTES) return null;
    const [nonce, end] = [bytes.subarray(0, NONCE_BYTES), NONCE_BYTES + TAG_BYTES];
    const decipher = createDecipheriv(CIPHER, this.#secret, nonce, { authTagLength: TAG_BYTES })
      .setAAD(Buffer.from(approvalId))
      .setAuthTag(bytes.subarray(NONCE_BYTES, end));
    try {
      return decodeRowSet(Buffer.concat([decipher.update(bytes.subarray(end)), decipher.final()]));
    } catch {
      return null;
    }
  }
}
