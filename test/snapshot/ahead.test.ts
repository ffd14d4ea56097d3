import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { AheadTally, runAhead, shownAhead } from './ahead.ts';
import { aheadScript } from './ahead-script.ts';
import { withAheadSetting } from './ahead-setting.ts';

const SESSIONS = 6;

/** `npm run fuzz:ahead` does the same at length. */
describe('sessions that change one row after another in transactions, and by what is prepared', () => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  it('read what they would read directly, and leave a snapshot of each change that is committed', async () => {
    const tally = new AheadTally();
    const seed = seedOfRun(1);
    await withAheadSetting(postgres, async (setting, gateway, watch) => {
      for (let i = 0; i < SESSIONS; i++) {
        const script = aheadScript(seed + i);
        const found = await runAhead(setting, script, tally);
        if (found !== null) expect.fail(`${found}\n${shownAhead(script)}`);
      }
      gateway.assertAlive();
      // Or it would say nothing of what it is about.
      expect(watch.boundKept).toBeGreaterThan(SESSIONS);
    });
    expect(tally.snapshots).toBeGreaterThan(SESSIONS);
  }, 60_000);
});
