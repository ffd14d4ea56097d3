import { createHmac, hkdfSync, type KeyObject } from 'node:crypto';

/**
 * What a request is known again by, as it is stored: nobody who reads the store can try passwords and other values
 * against it without the secret of this installation, which is never there.
 */
export class RequestKeys {
  /** Before all that are made with this secret. */
  readonly prefix: string;
  readonly #secret: Buffer;

  constructor(secret: Uint8Array) {
    this.#secret = Buffer.from(secret);
    this.prefix = `${this.#of('which secret it is').slice(0, TAG_DIGITS)}:`;
  }

  /** The secret is taken from the key of the audit, so that there is one file to keep. */
  static from(privateKey: KeyObject): RequestKeys {
    const der = privateKey.export({ type: 'pkcs8', format: 'der' });
    return new RequestKeys(Buffer.from(hkdfSync('sha256', der, '', 'holdfast request keys', SECRET_BYTES)));
  }

  /** Of the hash of a request. */
  stored(key: string): string {
    return this.prefix + this.#of(key);
  }

  /** Of what is stored otherwise: an earlier version has left the hash itself; of another secret nothing is known. */
  renewed(stored: string): string | null {
    return stored.includes(':') ? null : this.stored(stored);
  }

  #of(text: string): string {
    return createHmac('sha256', this.#secret).update(text).digest('hex');
  }
}

const SECRET_BYTES = 32;
const TAG_DIGITS = 8;
