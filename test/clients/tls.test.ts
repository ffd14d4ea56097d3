import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { scratchFolder, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';
import { clientProgram, type Finished, run, SERVERS } from './support.ts';

const PASSWORD = 'the password of scram';

/** What login() gives where the server's own leg is encrypted. */
const ENCRYPTED: Finished = { code: 0, stdout: 'scram|t\n', stderr: '' };

/** An authority and two certificates of its: one for where the tests connect to, one for somewhere else. */
function makeCertificates(folder: string): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...key,
    '-days',
    '2',
    '-subj',
    '/CN=test authority',
    '-keyout',
    'ca.key',
    '-out',
    'ca.crt',
  );
  for (const [name, subject] of [
    ['right', 'DNS:localhost,IP:127.0.0.1'],
    ['wrong', 'DNS:elsewhere.example'],
  ] as const) {
    writeFileSync(join(folder, `${name}.ext`), `subjectAltName=${subject}\n`);
    openssl('req', ...key, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
    openssl(
      ...['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial'],
      ...['-days', '2', '-extfile', `${name}.ext`, '-out', `${name}.crt`],
    );
  }
}

describe.each(SERVERS)('TLS and SCRAM with $name', (server) => {
  let folder: string;
  const servers: TestPostgres[] = [];
  const gateways: TestGateway[] = [];
  const file = (name: string) => join(folder, name);

  async function startServer(certificate: 'right' | 'wrong' | null): Promise<TestPostgres> {
    const pem = (extension: string) => readFileSync(file(`${certificate}.${extension}`), 'utf8');
    const postgres = await startPostgres({
      version: server.version,
      source: server.source,
      hba: ['host all postgres 127.0.0.1/32 trust', 'host all scram 127.0.0.1/32 scram-sha-256'],
      ...(certificate === null ? {} : { tls: { certificate: pem('crt'), key: pem('key') } }),
    });
    servers.push(postgres);
    await postgres.sql(`create role scram login password '${PASSWORD}'`);
    return postgres;
  }

  async function startFront(
    upstream: TestPostgres,
    clientTls: 'disable' | 'allow' | 'require',
    upstreamParameters: string,
  ): Promise<TestGateway> {
    const gateway = await startGateway({
      upstreamPort: upstream.port,
      upstreamParameters,
      environment:
        clientTls === 'disable'
          ? {}
          : {
              HOLDFAST_TLS_MODE: clientTls,
              HOLDFAST_TLS_CERT: file('right.crt'),
              HOLDFAST_TLS_KEY: file('right.key'),
            },
    });
    gateways.push(gateway);
    return gateway;
  }

  /** Logs in with a password and asks whether the server's leg is encrypted: it knows no other. */
  const login = async (gateway: TestGateway, parameters: string, password = PASSWORD): Promise<Finished> =>
    await run(
      clientProgram('psql'),
      [
        '-XAt',
        `host=127.0.0.1 port=${gateway.port} user=scram dbname=postgres ${parameters}`,
        ...['-c', 'select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()'],
      ],
      { environment: { PGPASSWORD: password }, deadlineMs: 30_000 },
    );

  let plain: TestPostgres;
  let secure: TestPostgres;
  beforeAll(async () => {
    folder = await scratchFolder('tls-clients');
    makeCertificates(folder);
    plain = await startServer(null);
    secure = await startServer('right');
  });
  afterAll(async () => {
    for (const gateway of gateways) await gateway.stop();
    for (const postgres of servers) await postgres.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('works with TLS towards the client alone', async () => {
    const gateway = await startFront(plain, 'require', 'sslmode=disable');
    const verified = `sslmode=verify-full sslrootcert=${file('ca.crt')}`;
    expect(await login(gateway, verified)).toEqual({ code: 0, stdout: 'scram|f\n', stderr: '' });
    const wrong = await login(gateway, verified, 'not the password');
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('password authentication failed for user "scram"');
    const unencrypted = await login(gateway, 'sslmode=disable');
    expect(unencrypted.code).toBe(2);
    expect(unencrypted.stderr).toContain('this gateway accepts only encrypted connections');
  });

  it('works with TLS towards the server alone', async () => {
    const gateway = await startFront(secure, 'disable', `sslmode=verify-full&sslrootcert=${file('ca.crt')}`);
    expect(await login(gateway, '')).toEqual(ENCRYPTED);
    const required = await login(gateway, 'sslmode=require');
    expect(required.code).toBe(2);
    expect(required.stderr).toContain('server does not support SSL');
  });

  it('with TLS on both legs needs channel binding off, and says so', async () => {
    const verified = `sslmode=verify-full&sslrootcert=${file('ca.crt')}`;
    const strict = await startFront(secure, 'require', verified);
    const refused = await login(strict, '');
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('SCRAM with channel binding cannot pass through the gateway');
    expect(refused.stderr).toContain('PGCHANNELBINDING=disable');
    expect(await login(strict, 'channel_binding=disable')).toEqual(ENCRYPTED);
    const insisting = await login(strict, 'sslmode=require channel_binding=require');
    expect(insisting.code).toBe(2);
    expect(insisting.stderr).toContain('channel binding');

    const lenient = await startFront(secure, 'allow', verified);
    const required = await login(lenient, 'sslmode=require');
    expect(required.code).toBe(2);
    expect(required.stderr).toContain('SCRAM with channel binding cannot pass through the gateway');
    expect(await login(lenient, 'sslmode=require channel_binding=disable')).toEqual(ENCRYPTED);
    // A client that does not encrypt has nothing to bind to; libpq by itself falls back to that.
    expect(await login(lenient, 'sslmode=disable')).toEqual(ENCRYPTED);
    expect(await login(lenient, '')).toEqual(ENCRYPTED);
  });

  it('refuses at its start a server with the certificate of another', async () => {
    const elsewhere = await startServer('wrong');
    const full = `sslmode=verify-full&sslrootcert=${file('ca.crt')}`;
    await expect(startFront(elsewhere, 'disable', full)).rejects.toThrow(
      /TLS with the PostgreSQL server at 127\.0\.0\.1:\d+ failed: its certificate is for elsewhere\.example, not for 127\.0\.0\.1/,
    );
    // The chain is good, so that verify-ca is content.
    const chain = await startFront(elsewhere, 'disable', `sslmode=verify-ca&sslrootcert=${file('ca.crt')}`);
    expect(await login(chain, '')).toEqual(ENCRYPTED);
    // The system's authorities know nothing of ours.
    await expect(startFront(secure, 'disable', 'sslmode=verify-full')).rejects.toThrow(
      /TLS with the PostgreSQL server at 127\.0\.0\.1:\d+ failed/,
    );
  });

  it('tells the client when the server shows the certificate of another later on', async () => {
    const changing = await startServer('right');
    const full = `sslmode=verify-full&sslrootcert=${file('ca.crt')}`;
    const gateway = await startFront(changing, 'disable', full);
    expect(await login(gateway, '')).toEqual(ENCRYPTED);
    for (const extension of ['key', 'crt']) {
      writeFileSync(
        join(changing.directory, `server.${extension}`),
        readFileSync(file(`wrong.${extension}`)),
      );
    }
    process.kill(changing.pid, 'SIGHUP');
    await eventually('the client hears of it', async () => {
      const { code, stderr } = await login(gateway, '');
      if (code === 0) return 'logged in';
      expect(code).toBe(2);
      expect(stderr).toMatch(
        /TLS with the PostgreSQL server at 127\.0\.0\.1:\d+ failed: its certificate is for elsewhere\.example, not for 127\.0\.0\.1/,
      );
      return null;
    });
    gateway.assertAlive();
  });
});
