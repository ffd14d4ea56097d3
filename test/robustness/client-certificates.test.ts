import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Certified, makeCertificate } from '../support/certificate.ts';
import * as fe from '../support/frontend-messages.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { scratchFolder, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { errorsOf, openSocket, RawClient } from '../support/raw-client.ts';

describe('a gateway with tls.client_ca', () => {
  let postgres: TestPostgres;
  let gateway: TestGateway;
  const authority = makeCertificate({ commonName: 'authority', authority: true });
  const other = makeCertificate({ commonName: 'another authority', authority: true });
  const issuedBy = (commonName: string, certified: Certified) =>
    makeCertificate({ commonName, issuer: { commonName: 'authority', certified } });

  beforeAll(async () => {
    const server = issuedBy('server', authority);
    const folder = await scratchFolder('certificates');
    const file = (name: string, pem: string) => {
      writeFileSync(join(folder, name), pem, { mode: 0o600 });
      return join(folder, name);
    };
    postgres = await startPostgres({});
    gateway = await startGateway({
      upstreamPort: postgres.port,
      environment: {
        HOLDFAST_TLS_MODE: 'require',
        HOLDFAST_TLS_CERT: file('server.crt', server.certificate),
        HOLDFAST_TLS_KEY: file('server.key', server.key),
        HOLDFAST_TLS_CLIENT_CA: file('ca.crt', authority.certificate),
      },
    });
  });
  afterAll(async () => {
    await gateway?.stop();
    await postgres?.stop();
  });

  /** A client behind the handshake, as far as that goes. */
  const secured = async (certificate: Certified | null): Promise<RawClient> => {
    const raw = await openSocket(gateway.port);
    raw.write(fe.sslRequest());
    await new Promise((resolve) => raw.once('data', resolve));
    const own = certificate === null ? {} : { cert: certificate.certificate, key: certificate.key };
    const socket = connectTls({
      socket: raw,
      ca: authority.certificate,
      ...own,
      checkServerIdentity: () => undefined,
    });
    socket.on('error', () => {});
    await new Promise<void>((resolve) => {
      socket.once('secureConnect', () => resolve());
      socket.once('close', () => resolve());
    });
    return new RawClient(socket);
  };

  it('lets in who shows a certificate of that authority', async () => {
    const client = await secured(issuedBy('client', authority));
    client.write(fe.startup({ user: 'postgres', database: 'postgres' }));
    await client.untilReady();
    expect(await client.rows('select 42')).toEqual([['42']]);
    client.destroy();
  });

  it.each([
    ['of another', () => issuedBy('client', other)],
    ['none', () => null],
  ] as [string, () => Certified | null][])('lets in nobody who shows %s', async (_, certificate) => {
    const client = await secured(certificate());
    client.write(fe.startup({ user: 'postgres', database: 'postgres' }));
    const said = await client.untilEnd().catch(() => []);
    expect(said.map(({ type }) => type)).not.toContain('Z');
    client.destroy();
  });

  it('says why it refuses inside the TLS connection', async () => {
    const client = await secured(issuedBy('client', authority));
    client.write(fe.startup({ user: 'postgres', role: 'other' }));
    const said = await client.untilEnd();
    expect(errorsOf(said)).toHaveLength(1);
    const again = await secured(issuedBy('client', authority));
    again.write(fe.startupPacket(Buffer.concat([fe.int32(0x00020000), Buffer.from('xx')])));
    expect(errorsOf(await again.untilEnd())).toHaveLength(1);
  });
});
