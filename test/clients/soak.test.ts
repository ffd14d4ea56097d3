import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { soak } from '../robustness/soak-run.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';

const CONNECTIONS = Number(process.env['HOLDFAST_SOAK_CONNECTIONS'] ?? 2000);
const SEED = seedOfRun(Date.now() % 1_000_000);
/** What a process may hold on to after thousands of broken connections: its heap's own slack, not a leak a connection. */
const GROWTH_BYTES_MAX = 160 * 1024 * 1024;

describe(`${CONNECTIONS} connections that break off or break the protocol`, () => {
  let postgres: TestPostgres;
  let gateway: TestGateway;
  beforeAll(async () => {
    postgres = await startPostgres();
    gateway = await startGateway({ upstreamPort: postgres.port });
  });
  afterAll(async () => {
    await gateway?.stop();
    await postgres?.stop();
  });

  it(`leave no socket, no session and no growing memory behind (seed ${SEED})`, async () => {
    const result = await soak(postgres, gateway, { connections: CONNECTIONS, seed: SEED });
    expect(result.problems).toEqual([]);
    expect(result.filesAfter).toBeLessThanOrEqual(result.filesBefore);
    expect(result.residentAfter - result.residentBefore).toBeLessThan(GROWTH_BYTES_MAX);
  });
});
