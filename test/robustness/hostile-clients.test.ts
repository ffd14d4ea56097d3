import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { Random, seedOfRun } from '../support/random.ts';
import { errorsOf, RawClient } from '../support/raw-client.ts';
import { beHostile, SESSION_HOSTILITIES, STARTUP_HOSTILITIES } from './hostile-clients.ts';

const SEED = seedOfRun(1);

describe('clients that break the protocol', () => {
  let postgres: TestPostgres;
  let gateway: TestGateway;
  beforeAll(async () => {
    postgres = await startPostgres();
    gateway = await startGateway({ upstreamPort: postgres.port, policy: 'mode: protect\n' });
  });
  afterAll(async () => {
    await gateway?.stop();
    await postgres?.stop();
  });

  it.each(STARTUP_HOSTILITIES.map((h) => [h.name, h] as const))('before the session: %s', async (_, one) => {
    expect(await beHostile(gateway.port, one, new Random(SEED))).toBeNull();
    gateway.assertAlive();
  });

  it.each(SESSION_HOSTILITIES.map((h) => [h.name, h] as const))('in the session: %s', async (_, one) => {
    expect(await beHostile(gateway.port, one, new Random(SEED))).toBeNull();
    gateway.assertAlive();
  });

  it.each([
    ['role', { role: 'other' }],
    ['session_replication_role', { options: '-c session_replication_role=replica' }],
    ['standard_conforming_strings', { options: '--standard-conforming-strings=off' }],
    ['row_security', { options: '-crow_security=off' }],
  ] as const)(
    'the startup parameter %s, which would weaken protection, is refused',
    async (_, parameters) => {
      const client = await RawClient.connect(gateway.port);
      client.write(fe.startup({ user: 'postgres', database: 'postgres', ...parameters }));
      const messages = await client.untilEnd();
      expect(errorsOf(messages)).toMatchObject([{ S: 'FATAL', C: '0A000' }]);
      client.destroy();
    },
  );

  it('GSSENCRequest is answered with N, and the session goes on in the clear', async () => {
    const client = await RawClient.connect(gateway.port);
    client.write(fe.gssEncryptionRequest());
    expect((await client.rawBytes(1)).toString()).toBe('N');
    client.write(fe.sslRequest());
    expect((await client.rawBytes(1)).toString()).toBe('N');
    client.write(fe.startup({ user: 'postgres', database: 'postgres' }));
    expect((await client.untilReady()).at(-1)?.type).toBe('Z');
    await client.terminate();
  });

  it.each([
    [0x0003_0002, { user: 'postgres', '_pq_.unknown': '1' }],
    [0x0003_0063, { user: 'postgres' }],
  ])('protocol %i with what nobody knows is negotiated', async (protocol, parameters) => {
    const client = await RawClient.connect(gateway.port);
    client.write(fe.startup({ database: 'postgres', ...parameters }, protocol));
    const messages = await client.untilReady();
    expect(messages.some((m) => m.type === 'v')).toBe(true);
    expect(messages.at(-1)?.type).toBe('Z');
    await client.terminate();
  });

  it('replies wait for a reader that is slow, and none is lost', async () => {
    const client = await RawClient.open(gateway.port);
    client.stream.pause();
    client.write(fe.query("select repeat('x', 100000) from generate_series(1, 300)"));
    await new Promise((resolve) => setTimeout(resolve, 300));
    client.stream.resume();
    const messages = await client.untilReady(20_000);
    expect(messages.filter((m) => m.type === 'D')).toHaveLength(300);
    await client.terminate();
  });
});
