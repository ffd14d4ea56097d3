import { auditFaultsOfKilled } from '../robustness/audit-verified.ts';
import { atLength, testItself } from '../support/at-length.ts';
import { AheadTally, runAhead, shownAhead } from './ahead.ts';
import { aheadScript } from './ahead-script.ts';
import { withAheadSetting } from './ahead-setting.ts';

const AHEAD = {
  script: 'fuzz:ahead',
  does: `Sessions that change one row after another by its key, in transactions and by what is prepared, directly and through a
gateway.`,
  repeats: ['sessions', 200],
} as const;

await atLength(AHEAD, async (run) => {
  await withAheadSetting(await run.postgres(), async (setting, gateway, watch) => {
    const tally = new AheadTally();
    await run.each(async (seed) => {
      const script = aheadScript(seed);
      const found = await runAhead(setting, script, tally).catch(testItself);
      await setting.direct.other.query('rollback');
      await setting.through.other.query('rollback');
      return found === null ? null : `${found}\n${shownAhead(script)}`;
    });
    run.foundIn(gateway);
    for (const fault of await auditFaultsOfKilled(gateway, setting.store)) run.found(fault);
    const { inBlock, boundInBlock, inBlockBack, bound, boundKept } = watch;
    run.tell({ ...tally, inBlock, boundInBlock, inBlockBack, bound, boundKept });
    const { sessions } = tally;
    const isRare = inBlock < sessions / 4 || boundInBlock < sessions / 4 || bound < sessions;
    // A few sessions, as where one is repeated, say nothing of that.
    if (sessions >= 20 && isRare) run.found('little was captured ahead');
  });
});
