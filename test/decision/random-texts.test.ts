import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seedOfRun } from '../support/random.ts';
import { openTwo, runTexts, type TextCase, tallyTexts } from './random-texts.ts';
import { EVERY_CHANGE, SnapshotsTaken } from './snapshots-taken.ts';

const SCHEMAS = 6;
const TEXTS = 5;

/** `npm run fuzz:texts` does the same at length. */
describe.each([
  [18, 1],
  [15, 500_000],
] as const)('random texts of several statements, on PostgreSQL %i', (version, otherwise) => {
  let taken: SnapshotsTaken;
  beforeAll(async () => {
    taken = await SnapshotsTaken.start(version, {}, EVERY_CHANGE);
  });
  afterAll(async () => {
    await taken?.fixture.stop();
  });

  it('are answered as they are directly, and can be put back', { timeout: 60_000 }, async () => {
    const seed = seedOfRun(otherwise);
    const two = await openTwo(taken);
    const cases: TextCase[] = [];
    for (let i = 0; i < SCHEMAS; i++) cases.push(...(await runTexts(two, seed + i, TEXTS)));
    await two.control.terminate();
    expect(cases.filter(({ verdict }) => verdict.kind === 'wrong')).toEqual([]);
    // Something has to come of most, or the test would prove little.
    expect(tallyTexts(cases).snapshots).toBeGreaterThanOrEqual(SCHEMAS);
  });
});
