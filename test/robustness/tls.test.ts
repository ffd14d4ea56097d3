import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeCertificate } from '../support/certificate.ts';
import * as fe from '../support/frontend-messages.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { scratchFolder, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { errorsOf, openSocket, RawClient } from '../support/raw-client.ts';

const PASSWORD = 'correct horse';
const HBA = ['host all postgres 127.0.0.1/32 trust', 'host all all 127.0.0.1/32 scram-sha-256'];

const authority = makeCertificate({ commonName: 'Test Authority', authority: true });
const issuer = { commonName: 'Test Authority', certified: authority };
const ours = makeCertificate({ commonName: 'gateway', issuer });
const servers = makeCertificate({ commonName: 'server', issuer });
const othersHost = makeCertificate({ commonName: 'other', host: 'other.example', issuer });

let folder: string;
let plain: TestPostgres;
let tls: TestPostgres;
let misnamed: TestPostgres;
const gateways: TestGateway[] = [];

beforeAll(async () => {
  folder = await scratchFolder('tls');
  for (const [name, text] of Object.entries({
    'ca.pem': authority.certificate,
    'gateway.crt': ours.certificate,
    'gateway.key': ours.key,
    'stranger.pem': makeCertificate({ commonName: 'Stranger', authority: true }).certificate,
  })) {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
  }
  // One after the other, so that what has started is stopped even if the next does not start.
  plain = await startPostgres({ hba: HBA });
  tls = await startPostgres({ hba: HBA, tls: servers });
  misnamed = await startPostgres({ hba: HBA, tls: othersHost });
  for (const server of [plain, tls]) await server.sql(`create role app login password '${PASSWORD}'`);
});
afterAll(async () => {
  for (const gateway of gateways) await gateway.stop();
  for (const server of [plain, tls, misnamed]) await server?.stop();
});

async function gatewayWith(
  upstream: TestPostgres,
  upstreamParameters: string,
  mode: 'disable' | 'allow' | 'require',
): Promise<TestGateway> {
  const gateway = await startGateway({
    upstreamPort: upstream.port,
    upstreamParameters,
    environment:
      mode === 'disable'
        ? {}
        : {
            HOLDFAST_TLS_MODE: mode,
            HOLDFAST_TLS_CERT: join(folder, 'gateway.crt'),
            HOLDFAST_TLS_KEY: join(folder, 'gateway.key'),
          },
  });
  gateways.push(gateway);
  return gateway;
}

const startup = fe.startup({ user: 'postgres', database: 'postgres' });

async function secured(client: RawClient, alpn?: string[]): Promise<TLSSocket> {
  return await new Promise((resolve, reject) => {
    const socket = connectTls({
      socket: client.stream as never,
      ca: authority.certificate,
      host: '127.0.0.1',
      ...(alpn === undefined ? {} : { ALPNProtocols: alpn }),
    });
    socket.once('secureConnect', () => resolve(socket));
    socket.once('error', reject);
  });
}

/** TLS from the first byte, as libpq 17 offers. */
async function direct(port: number, alpn: string[]): Promise<TLSSocket> {
  const raw = await openSocket(port);
  return await new Promise((resolve, reject) => {
    const socket = connectTls({
      socket: raw,
      ca: authority.certificate,
      host: '127.0.0.1',
      ALPNProtocols: alpn,
    });
    socket.once('secureConnect', () => resolve(socket));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed')));
  });
}

async function selectOne(socket: TLSSocket): Promise<void> {
  const client = new RawClient(socket);
  client.write(startup);
  await client.untilReady();
  expect(await client.rows('select 1')).toEqual([['1']]);
  await client.terminate();
}

describe.each(['allow', 'require'] as const)('TLS towards clients, mode %s', (mode) => {
  let gateway: TestGateway;
  beforeAll(async () => {
    gateway = await gatewayWith(plain, 'sslmode=disable', mode);
  });

  it('is spoken after SSLRequest', async () => {
    const client = await RawClient.connect(gateway.port);
    client.write(fe.sslRequest());
    expect((await client.rawBytes(1)).toString()).toBe('S');
    client.stream.removeAllListeners('data');
    await selectOne(await secured(client));
  });

  it('is spoken from the first byte with ALPN postgresql', async () => {
    const socket = await direct(gateway.port, ['postgresql']);
    expect(socket.alpnProtocol).toBe('postgresql');
    await selectOne(socket);
  });

  it('is refused from the first byte with another ALPN, or none', async () => {
    for (const alpn of [['http/1.1'], []]) {
      const outcome = await direct(gateway.port, alpn).then(
        async (socket) => {
          const client = new RawClient(socket);
          client.write(startup);
          const messages = await client.untilEnd();
          client.destroy();
          return messages.some((m) => m.type === 'Z') ? 'a session' : 'refused';
        },
        () => 'refused',
      );
      expect(outcome, `ALPN [${alpn}]`).toBe('refused');
    }
  });

  it('ends a connection that stuffs bytes ahead of the handshake', async () => {
    const client = await RawClient.connect(gateway.port);
    client.write(fe.sslRequest(), startup);
    const messages = await client.untilEnd();
    expect(messages.some((m) => m.type === 'Z' || m.type === 'R')).toBe(false);
    client.destroy();
  });

  it(mode === 'require' ? 'refuses a session in the clear' : 'lets a session be in the clear', async () => {
    const client = await RawClient.connect(gateway.port);
    client.write(startup);
    const messages = mode === 'require' ? await client.untilEnd() : await client.untilReady();
    if (mode === 'require') expect(errorsOf(messages)).toMatchObject([{ S: 'FATAL', C: '28000' }]);
    else expect(messages.at(-1)?.type).toBe('Z');
    client.destroy();
  });
});

describe('TLS towards the server', () => {
  it.each([
    ['require', 'sslmode=require'],
    ['verify-ca', 'sslmode=verify-ca&sslrootcert=CA'],
    ['verify-full', 'sslmode=verify-full&sslrootcert=CA'],
    ['prefer', 'sslmode=prefer'],
    ['direct', 'sslmode=require&sslnegotiation=direct'],
  ])('sslmode %s reaches a server that speaks it', async (_, parameters) => {
    const gateway = await gatewayWith(tls, parameters.replace('CA', join(folder, 'ca.pem')), 'disable');
    const client = await RawClient.open(gateway.port);
    expect(await client.rows('select ssl from pg_stat_ssl where pid = pg_backend_pid()')).toEqual([['t']]);
    await client.terminate();
  });

  it('sslmode prefer goes on in the clear where the server has no TLS', async () => {
    const gateway = await gatewayWith(plain, 'sslmode=prefer', 'disable');
    const client = await RawClient.open(gateway.port);
    expect(await client.rows('select 1')).toEqual([['1']]);
    await client.terminate();
  });

  it.each([
    ['the server has no TLS', () => plain, 'sslmode=require', 'the server does not support TLS'],
    [
      'the certificate is for another host',
      () => misnamed,
      'sslmode=verify-full&sslrootcert=CA',
      'its certificate is for other.example, not for 127.0.0.1\n  Set upstream to a host that the certificate',
    ],
    [
      'the certificate is signed by a stranger',
      () => tls,
      'sslmode=verify-ca&sslrootcert=STRANGER',
      'unable to verify the first certificate',
    ],
  ] as const)('no session is to be had where %s', async (_, server, parameters, said) => {
    const text = parameters
      .replace('CA', join(folder, 'ca.pem'))
      .replace('STRANGER', join(folder, 'stranger.pem'));
    await expect(gatewayWith(server(), text, 'disable')).rejects.toThrow(said);
  });
});

describe('SCRAM through the gateway', () => {
  async function login(gateway: TestGateway, options: { tls: boolean; binding: boolean; password?: string }) {
    const client = new pg.Client({
      host: '127.0.0.1',
      port: gateway.port,
      user: 'app',
      password: options.password ?? PASSWORD,
      database: 'postgres',
      ssl: options.tls ? { ca: authority.certificate } : false,
      enableChannelBinding: options.binding,
    });
    client.on('error', () => {});
    try {
      await client.connect();
      const { rows } = await client.query('select current_user');
      return String(rows[0].current_user);
    } catch (error) {
      const { code, message, hint } = error as { code?: string; message: string; hint?: string };
      return `${code ?? ''} ${message}${hint === undefined ? '' : ` (${hint})`}`;
    } finally {
      await client.end().catch(() => {});
    }
  }

  it('works with no TLS, with TLS to the client only, and with TLS to the server only', async () => {
    const none = await gatewayWith(plain, 'sslmode=disable', 'disable');
    expect(await login(none, { tls: false, binding: false })).toBe('app');
    const clientOnly = await gatewayWith(plain, 'sslmode=disable', 'allow');
    expect(await login(clientOnly, { tls: true, binding: false })).toBe('app');
    expect(await login(clientOnly, { tls: true, binding: true })).toBe('app');
    const serverOnly = await gatewayWith(tls, 'sslmode=require', 'disable');
    expect(await login(serverOnly, { tls: false, binding: false })).toBe('app');
  });

  it('with TLS to the server only says what to do where the client could bind and has no TLS', async () => {
    const gateway = await gatewayWith(tls, 'sslmode=require', 'disable');
    const bound = await login(gateway, { tls: false, binding: true });
    expect(bound).toMatch(
      /^28000 SCRAM with channel binding cannot pass .* while its side towards the server uses TLS \(/,
    );
    expect(bound).toMatch(/\(Turn channel binding off in the client, or set sslmode=disable in the upstream/);
    // Without TLS there is nothing to bind to, and the server does not mind.
    const none = await gatewayWith(plain, 'sslmode=disable', 'disable');
    expect(await login(none, { tls: false, binding: true })).toBe('app');
  });

  it('is refused in the server’s words with a wrong password', async () => {
    const gateway = await gatewayWith(plain, 'sslmode=disable', 'allow');
    expect(await login(gateway, { tls: true, binding: false, password: 'wrong' })).toMatch(/^28P01 /);
  });

  it('with TLS on both legs works without channel binding, and says what to do with it', async () => {
    const gateway = await gatewayWith(tls, 'sslmode=require', 'require');
    expect(await login(gateway, { tls: true, binding: false })).toBe('app');
    // A client that could bind and is not offered it says so ('y'): a server with TLS takes that for an attack.
    expect(await login(gateway, { tls: true, binding: true })).toMatch(
      /^28000 SCRAM with channel binding .* while both of its sides use TLS \(Set channel_binding=disable/,
    );
  });
});
