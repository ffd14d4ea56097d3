/**
 * Sessions that change one row after another by its key, in transactions and by what is prepared, directly and through a
 * gateway: `npm run fuzz:ahead -- --sessions 500 --seed 7 --version 15`.
 */
import { parseArgs } from 'node:util';
import { auditFaultsOfKilled } from '../robustness/audit-verified.ts';
import { startPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { AheadTally, runAhead, shownAhead } from './ahead.ts';
import { aheadScript } from './ahead-script.ts';
import { withAheadSetting } from './ahead-setting.ts';

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
  await withAheadSetting(postgres, async (setting, gateway, watch) => {
    const tally = new AheadTally();
    let findings = 0;
    for (let i = 0; i < Number(values.sessions) && findings < Number(values.show); i++) {
      if (seconds() > Number(values.seconds)) break;
      const script = aheadScript(firstSeed + i);
      const found = await runAhead(setting, script, tally).catch(
        (error: unknown) => `the test itself: ${error instanceof Error ? error.stack : String(error)}`,
      );
      await setting.direct.other.query('rollback');
      await setting.through.other.query('rollback');
      if (found === null) continue;
      findings++;
      console.log(`\nseed ${script.seed}: ${found}\n${shownAhead(script)}`);
    }
    gateway.assertAlive();
    const faults = gateway
      .log()
      .split('\n')
      .filter((line) => line.includes('"level":"error"') || line.includes('"level":50'));
    faults.push(...(await auditFaultsOfKilled(gateway, setting.store)));
    for (const line of faults.slice(0, 5)) console.log(line);
    const { inBlock, inBlockBack, bound, boundKept } = watch;
    console.log(
      JSON.stringify({
        version: values.version,
        firstSeed,
        ...tally,
        inBlock,
        inBlockBack,
        bound,
        boundKept,
        findings,
        faults: faults.length,
        seconds: seconds(),
      }),
    );
    const isRare = inBlock < tally.sessions / 4 || bound < tally.sessions;
    if (isRare) console.log('little was captured ahead');
    if (findings + faults.length > 0 || isRare) process.exitCode = 1;
  });
} finally {
  await postgres.stop();
}
