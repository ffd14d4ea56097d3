import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Middle, startMiddle, startMiddleProcess } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { type FuzzResult, fuzz, printFinding } from './differential.ts';

const SEED = seedOfRun(20_000);
const SESSIONS = Number(process.env['HOLDFAST_FUZZ_SESSIONS'] ?? 250);

function expectNoFindings(result: FuzzResult): void {
  const findings = result.findings.map(printFinding).join('\n');
  expect(findings, `run it again with HOLDFAST_SEED=${SEED}`).toBe('');
  expect(result.stuck).toBe(0);
}

for (const version of [18, 15] as const) {
  describe(`sessions direct and through the gateway, PostgreSQL ${version}`, () => {
    let postgres: TestPostgres;
    let middle: Middle;

    beforeAll(async () => {
      postgres = await startPostgres({ version });
      middle = await startMiddle({ upstreamPort: postgres.port });
    });
    afterAll(async () => {
      await middle?.stop();
      await postgres?.stop();
    });

    it(`cannot be told apart by their bytes (${SESSIONS} sessions from seed ${SEED})`, {
      timeout: 120_000,
    }, async () => {
      const result = await fuzz({
        postgres,
        middlePort: middle.port,
        firstSeed: SEED,
        sessions: SESSIONS,
        workers: 3,
        findingsMax: 2,
      });
      middle.assertAlive();
      expectNoFindings(result);
    });
  });
}

describe('the fuzzer', () => {
  let postgres: TestPostgres;

  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  it.each([
    'flush is swallowed',
    'status is always idle',
    'parameter status is swallowed',
    'notices are swallowed',
    'execute forgets its row limit',
    'close of a portal closes nothing',
    'sync in copy is answered',
    'an error loses its hint',
    'half-close ends both ways',
    'terminate overtakes replies',
  ])('finds a middle where %s', { timeout: 120_000 }, async (fault) => {
    const middle = await startMiddleProcess('test/transparency/faulty-pipe.ts', [
      ...['--to', String(postgres.port)],
      ...['--fault', fault],
    ]);
    try {
      const result = await fuzz({
        postgres,
        middlePort: middle.port,
        firstSeed: 1,
        sessions: 150,
        workers: 1,
        findingsMax: 1,
        shrinkTrialsMax: 0,
        runDeadlineMs: 1_500,
        label: fault.replaceAll(/\W/g, '_').slice(0, 40),
      });
      expect(result.findings).toHaveLength(1);
    } finally {
      await middle.stop();
    }
  });
});
