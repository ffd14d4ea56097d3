import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { Random, seedOfRun } from '../support/random.ts';
import { killDropAt } from './kill-drop-run.ts';
import { killOnce } from './kill-run.ts';

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
      ['one of the gateway', 'client', false],
      ['one of the gateway', 'server', false],
      ['the client', 'client', true],
    ] as const)(
      'has a manifest and a record of a table, or the table, where it dropped it in a transaction of %s, killed in front of what the %s says',
      async (_, from, inBlock) => {
        const seed = seedOfRun(1);
        const { steps, problems } = await killDropAt(
          postgres,
          { from, nth: Number.MAX_SAFE_INTEGER },
          inBlock,
        );
        expect(problems).toEqual([]);
        // What is decided is decided towards the end.
        const some = [new Random(seed).between(1, steps - 3), steps - 2, steps - 1, steps];
        const ends = new Set<string | null>();
        for (const nth of some) {
          const { problems, where } = await killDropAt(postgres, { from, nth }, inBlock);
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
