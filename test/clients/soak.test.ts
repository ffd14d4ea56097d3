import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withMemoryProbe } from '../robustness/memory-held.ts';
import { memoryProblems, soak } from '../robustness/soak-run.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';

const CONNECTIONS = Number(process.env['HOLDFAST_SOAK_CONNECTIONS'] ?? 2000);
const SEED = seedOfRun(Date.now() % 1_000_000);
describe(`${CONNECTIONS} connections that break off or break the protocol`, () => {
  let postgres: TestPostgres;
  let gateway: TestGateway;
  beforeAll(async () => {
    postgres = await startPostgres();
    gateway = await startGateway({ upstreamPort: postgres.port, environment: withMemoryProbe() });
  });
  afterAll(async () => {
    await gateway?.stop();
    await postgres?.stop();
  });

  it(`leave no socket, no session and no growing memory behind (seed ${SEED})`, async () => {
    const result = await soak(postgres, gateway, {
      connections: CONNECTIONS,
      warmUp: 1_000,
      seed: SEED,
      probed: true,
    });
    expect([...result.problems, ...memoryProblems(result)]).toEqual([]);
  });
});
