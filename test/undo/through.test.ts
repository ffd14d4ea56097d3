import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sentScript, shownScript } from '../snapshot/sent-script.ts';
import type { TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { runThrough, ThroughTally, throughGateway, throughSetting } from './through.ts';

const SESSIONS = 4;

/** Seeds that have failed once: a COPY of what a DELETE returns, rolled back, whose snapshot was undone. */
const FAILED = [24_038];

/** `npm run fuzz:through` does the same at length. */
describe.each([
  [18, 1],
  [15, 500_000],
] as const)('whatever is sent through a gateway to PostgreSQL %i', (version, otherwise) => {
  let postgres: TestPostgres;
  let gateway: TestGateway;
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    gateway = await throughGateway(postgres);
  });
  afterAll(async () => {
    await gateway?.stop();
    await postgres?.stop();
  });

  it('and undone over its API leaves every table as it was, byte for byte', async () => {
    const setting = await throughSetting(postgres, gateway);
    const tally = new ThroughTally();
    const first = seedOfRun(otherwise);
    for (const seed of [...FAILED, ...Array.from({ length: SESSIONS }, (_, i) => first + i)]) {
      const script = sentScript(seed);
      const found = await runThrough(setting, script, tally);
      if (found !== null) expect.fail(`${found}\n${shownScript(script)}`);
    }
    setting.control.destroy();
    // Many change something, or the test would prove little.
    expect(tally.changing).toBeGreaterThan(SESSIONS);
    expect(tally.snapshots).toBeGreaterThan(SESSIONS * 2);
  }, 60_000);
});
