import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { fire } from './fire-run.ts';

const SECONDS = 12;

describe('sixteen writers under fire', () => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres();
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  it('commit nothing that has no whole snapshot and no record, and are told nothing that is not so', async () => {
    const seed = seedOfRun(3);
    const { problems, attempts, committed, snapshots } = await fire(postgres, seed, SECONDS);
    expect(problems, `seed ${seed}`).toEqual([]);
    expect(attempts).toBeGreaterThan(50);
    expect(committed).toBeGreaterThan(5);
    expect(snapshots).toBeGreaterThanOrEqual(committed);
  }, 150_000);
});
