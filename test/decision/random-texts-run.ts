import { atLength } from '../support/at-length.ts';
import { openTwo, runTexts, type TextCase, tallyTexts } from './random-texts.ts';
import { EVERY_CHANGE, SnapshotsTaken } from './snapshots-taken.ts';

const TEXTS = {
  script: 'fuzz:texts',
  does: 'Random texts of several statements, directly and through a gateway that takes snapshots, which are put back.',
  repeats: ['schemas', 100],
  numbers: { texts: [5, 'in each schema'] },
} as const;

await atLength(TEXTS, async (run) => {
  const taken = await SnapshotsTaken.start(run.version, {}, EVERY_CHANGE);
  run.stopping(taken.fixture);
  const two = await openTwo(taken);
  const cases: TextCase[] = [];
  await run.each(async (seed) => {
    const own = await runTexts(two, seed, run.number('texts'));
    cases.push(...own);
    return own.flatMap(({ sql, verdict }) => (verdict.kind === 'wrong' ? `${sql}\n   ${verdict.what}` : []));
  });
  await two.control.terminate();
  run.foundIn(taken.fixture.gateway);
  run.tell(tallyTexts(cases));
});
