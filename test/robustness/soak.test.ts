import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { withMemoryProbe } from './memory-held.ts';
import { memoryProblems, type SoakOptions, type SoakResult, soak } from './soak-run.ts';

const SEED = seedOfRun(1);

describe('clients that break the protocol, by the hundred', () => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  async function soaked(
    options: Pick<SoakOptions, 'connections' | 'warmUp'>,
    ...preloads: string[]
  ): Promise<SoakResult> {
    const gateway = await startGateway({
      upstreamPort: postgres.port,
      policy: 'mode: protect\n',
      environment: withMemoryProbe(...preloads),
    });
    try {
      return await soak(postgres, gateway, { ...options, seed: SEED, probed: true });
    } finally {
      await gateway.stop();
    }
  }

  it(`leave no socket, no session and no memory behind (seed ${SEED})`, { timeout: 120_000 }, async () => {
    const result = await soaked({ warmUp: 500, connections: 1_000 });
    expect([...result.problems, ...memoryProblems(result)]).toEqual([]);
  });

  it('are noticed if they do leave memory behind', { timeout: 120_000 }, async () => {
    const leak = new URL('./planted-leak.ts', import.meta.url).href;
    const result = await soaked({ warmUp: 50, connections: 250 }, leak);
    expect(result.problems).toEqual([]);
    expect(memoryProblems(result)).toEqual([expect.stringMatching(/^250 connections left \d+ KiB/)]);
  });
});
