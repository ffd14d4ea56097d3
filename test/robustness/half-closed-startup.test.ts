import { afterAll, beforeAll, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';

let postgres: TestPostgres;
let gateway: TestGateway;
beforeAll(async () => {
  postgres = await startPostgres({});
  gateway = await startGateway({ upstreamPort: postgres.port });
});
afterAll(async () => {
  await gateway?.stop();
  await postgres?.stop();
});

it('a client that sends no more behind its StartupMessage is answered what it has sent with it', async () => {
  for (const port of [postgres.port, gateway.port]) {
    const client = await RawClient.connect(port);
    client.write(fe.startup({ user: 'postgres', database: 'postgres' }), fe.query('select 42'));
    client.halfClose();
    const said = (await client.untilEnd()).map(({ type }) => type).join('');
    expect(said).toMatch(/^RS+KZTDCZ$/);
  }
});
