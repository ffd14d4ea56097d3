/**
 * Sessions that change one row after another by its key, as it is captured and run in one round trip, directly and through a
 * gateway: `npm run fuzz:early -- --sessions 500 --seed 7 --version 15`.
 */
import { parseArgs } from 'node:util';
import { auditFaultsOfKilled } from '../robustness/audit-verified.ts';
import { startPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { EarlyTally, EarlyWatch, runEarly } from './early.ts';
import { earlyScript, shownEarly } from './early-script.ts';
import { withEarlySetting } from './early-setting.ts';

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '200' },
    seed: { type: 'string' },
    version: { type: 'string', default: '18' },
    show: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '100000' },
  },
});

const firstSeed = values.seed === undefined ? seedOfRun(1) : Number(values.seed);
const postgres = await startPostgres({ version: values.version === '15' ? 15 : 18 });
const started = performance.now();
const seconds = () => (performance.now() - started) / 1000;
try {
  await withEarlySetting(postgres, EarlyWatch.start, async (setting, gateway) => {
    const tally = new EarlyTally();
    let findings = 0;
    for (let i = 0; i < Number(values.sessions) && findings < Number(values.show); i++) {
      if (seconds() > Number(values.seconds)) break;
      const script = earlyScript(firstSeed + i);
      const found = await runEarly(setting, script, tally).catch(
        (error: unknown) => `the test itself: ${error instanceof Error ? error.stack : String(error)}`,
      );
      if (found === null) continue;
      findings++;
      console.log(`\n${found}\n${shownEarly(script)}`);
    }
    gateway.assertAlive();
    const faults = gateway
      .log()
      .split('\n')
      .filter((line) => line.includes('"level":"error"'));
    faults.push(...(await auditFaultsOfKilled(gateway, setting.store)));
    for (const line of faults.slice(0, 5)) console.log(line);
    console.log(
      JSON.stringify({
        version: values.version,
        firstSeed,
        ...tally,
        findings,
        faults: faults.length,
        seconds: seconds(),
      }),
    );
    const isRare = tally.early < tally.changedByQuery / 2;
    if (isRare) console.log('most was not run in the round trip of its capture');
    if (findings + faults.length > 0 || isRare) process.exitCode = 1;
  });
} finally {
  await postgres.stop();
}
