import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { HoldfastError } from '../base/errors.ts';
import { makeFolder } from '../base/made-folder.ts';
import { keyIdOf, type SigningKey, signingKey } from './signed-head.ts';

export interface KeyFile {
  readonly key: SigningKey;
  readonly made: boolean;
  /** Others than its owner may read it. */
  readonly exposed: boolean;
}

/** Reads the key that heads are signed with; where there is none, makes one that only its owner may read. */
export function openKeyFile(path: string): KeyFile {
  const made = makeUnlessThere(path);
  return { key: readKeyFile(path), made, exposed: (statSync(path).mode & 0o077) !== 0 };
}

export function readKeyFile(path: string): SigningKey {
  const pem = reading(path, () => readFileSync(path, 'utf8'));
  return signingKey(ed25519(path, () => createPrivateKey(pem)));
}

/** A public key, or the public part of a private one, in PEM. */
export function readPublicKey(path: string): { readonly id: string; readonly publicKey: Uint8Array } {
  const pem = reading(path, () => readFileSync(path, 'utf8'));
  const publicKey = ed25519(path, () => createPublicKey(pem)).export({ type: 'spki', format: 'der' });
  return { id: keyIdOf(publicKey), publicKey };
}

/** The same where it can be read; the command line may run as somebody who may not. */
export function readableKey(path: string): SigningKey | null {
  try {
    return readKeyFile(path);
  } catch {
    return null;
  }
}

/** Public keys by their ids: that of the key in use, where it is there, and those of before. */
export function trustedKeys({
  signingKey: path,
  formerKeys,
}: {
  readonly signingKey: string;
  readonly formerKeys: readonly string[];
}): Map<string, Uint8Array> {
  const current = readableKey(path);
  const keys = [...(current === null ? [] : [current]), ...formerKeys.map(readPublicKey)];
  return new Map(keys.map(({ id, publicKey }) => [id, publicKey]));
}

function makeUnlessThere(path: string): boolean {
  return reading(path, () => {
    if (existsSync(path)) return false;
    const folder = dirname(path);
    makeFolder(folder, 0o700);
    const { privateKey } = generateKeyPairSync('ed25519');
    const unfinished = `${path}.${process.pid}`;
    writeFileSync(unfinished, privateKey.export({ type: 'pkcs8', format: 'pem' }), {
      mode: 0o600,
      flush: true,
    });
    renameSync(unfinished, path);
    syncFolder(folder);
    return true;
  });
}

/** A key that is gone after a power cut has signed what nobody can be told to trust. */
function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function ed25519(path: string, read: () => KeyObject): KeyObject {
  let key: KeyObject | undefined;
  try {
    key = read();
  } catch (cause) {
    throw refusal(path, 'it is no key in PEM form', cause);
  }
  if (key.asymmetricKeyType === 'ed25519') return key;
  throw refusal(path, `it is a key of ${key.asymmetricKeyType}, not of Ed25519`);
}

function reading<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw refusal(path, cause instanceof Error ? cause.message : String(cause), cause);
  }
}

function refusal(path: string, problem: string, cause?: unknown): HoldfastError {
  return new HoldfastError('CONFIG_INVALID', `the key of the audit ${path} cannot be used: ${problem}`, {
    hint: 'A key is made at the next start where there is none; heads that are signed with another stay valid.',
    cause,
  });
}
