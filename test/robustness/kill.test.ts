import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { Random, seedOfRun } from '../support/random.ts';
import { killOnce } from './kill-run.ts';
import {
  DELETE_OF_ONE,
  DROP,
  DROP_IN_BLOCK,
  killAt,
  UPDATE_IN_BLOCK,
  UPDATE_OF_ONE,
} from './kill-step-run.ts';

const ROUNDS = 3;

describe.each([18, 15] as const)(
  'a gateway that is killed while sixteen clients destroy, PostgreSQL %i',
  // Each starts several, and what has run out of time would go on beside the next.
  { timeout: 120_000 },
  (version) => {
    let postgres: TestPostgres;
    beforeAll(async () => {
      postgres = await startPostgres({ version });
    });
    afterAll(async () => {
      await postgres?.stop();
    });

    it.each([
      ['a table that it dropped', { from: 'client', type: 'P' }, DROP],
      ['a table that it dropped', { from: 'server', type: 'Z' }, DROP],
      ['a table that it dropped in a block', { from: 'client', type: 'P' }, DROP_IN_BLOCK],
      ['a row that it deleted as it captured it', { from: 'server', type: 'C' }, DELETE_OF_ONE],
      ['a row that it changed as it captured it', { from: 'client', type: 'P' }, UPDATE_OF_ONE],
      ['a row that it changed by what was bound in a block', { from: 'server', type: 'C' }, UPDATE_IN_BLOCK],
    ] as const)(
      'has a manifest and a record of %s, or what was there, killed in front of %o',
      async (_, kind, scene) => {
        const seed = seedOfRun(1);
        const { steps, problems } = await killAt(postgres, { ...kind, nth: Number.MAX_SAFE_INTEGER }, scene);
        expect(problems).toEqual([]);
        // What is decided is decided towards the end.
        const some = [new Random(seed).between(1, steps - 3), steps - 2, steps - 1, steps];
        const ends = new Set<string | null>();
        for (const nth of some) {
          const { problems, where } = await killAt(postgres, { ...kind, nth }, scene);
          expect(problems, `seed ${seed}, step ${nth}`).toEqual([]);
          ends.add(where);
        }
        expect(ends.has('before the snapshot')).toBe(true);
        expect(ends.size).toBeGreaterThan(1);
      },
    );

    it('has recorded whatever was committed', async () => {
      const seed = seedOfRun(1);
      for (let round = 0; round < ROUNDS; round++) {
        const { problems, statements } = await killOnce(postgres, seed + round);
        expect(problems, `seed ${seed + round}`).toEqual([]);
        // How many there are in time is the machine's affair.
        expect(statements).toBeGreaterThan(0);
      }
    });
  },
);
