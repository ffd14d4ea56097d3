import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { EarlyTally, EarlyWatch, runEarly } from './early.ts';
import { earlyScript, shownEarly } from './early-script.ts';
import { withEarlySetting } from './early-setting.ts';

const SESSIONS = 8;

/** `npm run fuzz:early` does the same at length. */
describe('sessions that change one row after another, beside others', () => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  it('read what they would read directly, and leave snapshots by which all is as it was', async () => {
    const tally = new EarlyTally();
    const seed = seedOfRun(1);
    await withEarlySetting(postgres, EarlyWatch.start, async (setting, gateway) => {
      for (let i = 0; i < SESSIONS; i++) {
        const script = earlyScript(seed + i);
        const found = await runEarly(setting, script, tally);
        if (found !== null) expect.fail(`${found}\n${shownEarly(script)}`);
      }
      gateway.assertAlive();
    });
    expect(tally.undone).toBeGreaterThan(SESSIONS);
    // Or it would say nothing of what it is about.
    expect(tally.early).toBeGreaterThan(tally.changedByQuery / 2);
  }, 60_000);
});
