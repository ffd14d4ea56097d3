/**
 * Random texts of several statements at length: `npm run fuzz:texts -- --schemas 200 --seed 7 --version 15`.
 */
import { parseArgs } from 'node:util';
import { seedOfRun } from '../support/random.ts';
import { openTwo, runTexts, type TextCase, tallyTexts } from './random-texts.ts';
import { EVERY_CHANGE, SnapshotsTaken } from './snapshots-taken.ts';

const { values } = parseArgs({
  options: {
    schemas: { type: 'string', default: '100' },
    texts: { type: 'string', default: '5' },
    seed: { type: 'string' },
    version: { type: 'string', default: '18' },
    show: { type: 'string', default: '5' },
  },
});

const firstSeed = values.seed === undefined ? seedOfRun(1) : Number(values.seed);
const taken = await SnapshotsTaken.start(values.version === '15' ? 15 : 18, {}, EVERY_CHANGE);
try {
  const started = performance.now();
  const two = await openTwo(taken);
  const cases: TextCase[] = [];
  for (let i = 0; i < Number(values.schemas); i++)
    cases.push(...(await runTexts(two, firstSeed + i, Number(values.texts))));
  await two.control.terminate();
  const wrong = cases.filter(({ verdict }) => verdict.kind === 'wrong');
  for (const { seed, sql, verdict } of wrong.slice(0, Number(values.show)))
    console.log(`seed ${seed}: ${sql}\n   ${verdict.kind === 'wrong' ? verdict.what : ''}`);
  const seconds = (performance.now() - started) / 1000;
  console.log(
    JSON.stringify(
      { version: values.version, firstSeed, ...tallyTexts(cases), wrong: wrong.length, seconds },
      null,
      1,
    ),
  );
  if (wrong.length > 0) process.exitCode = 1;
} finally {
  await taken.fixture.stop();
}
