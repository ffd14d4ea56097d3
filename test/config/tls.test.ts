import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';

const folder = mkdtempSync(join(tmpdir(), 'holdfast-tls-'));
afterAll(() => rmSync(folder, { recursive: true }));

const openssl = (() => {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

function makePair(name: string): { cert: string; key: string } {
  const pair = { cert: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
  const what = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '1',
  ];
  execFileSync('openssl', [...what, '-subj', '/CN=localhost', '-keyout', pair.key, '-out', pair.cert], {
    stdio: 'ignore',
  });
  return pair;
}

const load = (env: Record<string, string>) => loadConfig({ env });

describe.runIf(openssl)('TLS files', () => {
  const a = openssl ? makePair('a') : { cert: '', key: '' };
  const b = openssl ? makePair('b') : { cert: '', key: '' };
  const junk = join(folder, 'junk.pem');
  const broken = join(folder, 'broken.pem');
  writeFileSync(junk, 'no PEM here\n');
  writeFileSync(broken, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');

  it('are read at the start', () => {
    const config = load({
      HOLDFAST_TLS_MODE: 'require',
      HOLDFAST_TLS_CERT: a.cert,
      HOLDFAST_TLS_KEY: a.key,
      HOLDFAST_TLS_CLIENT_CA: b.cert,
    });
    expect(config.tls).toMatchObject({
      mode: 'require',
      cert: expect.stringContaining('BEGIN CERTIFICATE'),
      key: expect.stringContaining('PRIVATE KEY'),
    });
  });

  it('must belong together', () => {
    const env = { HOLDFAST_TLS_MODE: 'require', HOLDFAST_TLS_CERT: a.cert, HOLDFAST_TLS_KEY: b.key };
    expect(() => load(env)).toThrow(/^HOLDFAST_TLS_KEY: the certificate and the key do not go together/);
  });

  it.each([
    [junk, 'no certificate in PEM form'],
    [broken, 'the certificate cannot be read'],
    [join(folder, 'gone'), 'there is no such file'],
    [folder, 'EISDIR'],
  ])('%s is refused', (path, message) => {
    const env = { HOLDFAST_TLS_MODE: 'allow', HOLDFAST_TLS_CERT: path, HOLDFAST_TLS_KEY: a.key };
    expect(() => load(env)).toThrow(message);
  });

  it('of the upstream turn require into verify-ca, as in libpq', () => {
    const { upstream } = load({
      HOLDFAST_UPSTREAM: `postgres://h?sslmode=require&sslrootcert=${a.cert}&sslcert=${b.cert}&sslkey=${b.key}`,
    });
    expect(upstream?.ssl).toMatchObject({
      mode: 'verify-ca',
      rootCert: expect.any(String),
      client: { cert: expect.any(String) },
    });
  });
});
