import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { killOnce } from './kill-run.ts';

const ROUNDS = 3;

describe.each([18, 15] as const)(
  'a gateway that is killed while sixteen clients destroy, PostgreSQL %i',
  (version) => {
    let postgres: TestPostgres;
    beforeAll(async () => {
      postgres = await startPostgres({ version });
    });
    afterAll(async () => {
      await postgres?.stop();
    });

    it('has recorded whatever was committed', async () => {
      const seed = seedOfRun(1);
      for (let round = 0; round < ROUNDS; round++) {
        const { problems, statements } = await killOnce(postgres, seed + round);
        expect(problems, `seed ${seed + round}`).toEqual([]);
        expect(statements).toBeGreaterThan(16);
      }
    });
  },
);
