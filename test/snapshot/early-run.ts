import { auditFaultsOfKilled } from '../robustness/audit-verified.ts';
import { atLength, testItself } from '../support/at-length.ts';
import { EarlyTally, EarlyWatch, runEarly } from './early.ts';
import { earlyScript, shownEarly } from './early-script.ts';
import { withEarlySetting } from './early-setting.ts';

const EARLY = {
  script: 'fuzz:early',
  does: `Sessions that change one row after another by its key, as it is captured and run in one round trip, directly and
through a gateway.`,
  repeats: ['sessions', 200],
} as const;

await atLength(EARLY, async (run) => {
  await withEarlySetting(await run.postgres(), EarlyWatch.start, async (setting, gateway) => {
    const tally = new EarlyTally();
    await run.each(async (seed) => {
      const script = earlyScript(seed);
      const found = await runEarly(setting, script, tally).catch(testItself);
      return found === null ? null : `${found}\n${shownEarly(script)}`;
    });
    run.foundIn(gateway);
    for (const fault of await auditFaultsOfKilled(gateway, setting.store)) run.found(fault);
    run.tell(tally);
    // A few sessions, as where one is repeated, say nothing of that.
    if (tally.sessions >= 20 && tally.early < tally.changedByQuery / 2)
      run.found('most was not run in the round trip of its capture');
  });
});
