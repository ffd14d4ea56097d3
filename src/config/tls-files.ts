import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { type Parsed, wrong } from '../policy/judged.ts';

/** What a PEM file holds; the text itself goes to TLS. */
export function readPem(path: string, kind: 'CERTIFICATE' | 'PRIVATE KEY'): Parsed<string> {
  const text = readText(path);
  if (!text.ok) return text;
  if (!new RegExp(`-----BEGIN [A-Z ]*${kind}-----`).test(text.value)) {
    return wrong(`${path}: no ${kind.toLowerCase()} in PEM form is in the file`);
  }
  if (kind === 'PRIVATE KEY' && /ENCRYPTED/.test(text.value)) {
    return wrong(`${path}: the private key has a passphrase; give one without`);
  }
  if (kind === 'CERTIFICATE') {
    try {
      new X509Certificate(text.value);
    } catch (error) {
      return wrong(`${path}: the certificate cannot be read: ${messageOf(error)}`);
    }
  }
  return text;
}

/** Whether a certificate and a key belong together and TLS takes them. */
export function checkPair(cert: string, key: string): string | null {
  try {
    createSecureContext({ cert, key });
    return null;
  } catch (error) {
    return `the certificate and the key do not go together: ${messageOf(error)}`;
  }
}

function readText(path: string): Parsed<string> {
  try {
    return { ok: true, value: readFileSync(path, 'utf8') };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT') return wrong(`${path}: there is no such file`);
    if (code === 'EACCES') return wrong(`${path}: the file may not be read`);
    return wrong(`${path}: ${messageOf(error)}`);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
