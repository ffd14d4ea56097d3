import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Parser } from '../../src/sql/parsing/parser.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { RawClient } from '../support/raw-client.ts';
import { type Case, runSchema, shownCase, tally } from './exactness.ts';

const SCHEMAS = 35;
const STATEMENTS = 5;

/** `npm run fuzz:snapshot` does the same at length. */
describe.each([
  [18, 1],
  [15, 500_000],
] as const)('captures on PostgreSQL %i', (version, otherwise) => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres({ version });
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  it('are exactly what random statements change', { timeout: 120_000 }, async () => {
    const parser = await Parser.create();
    const client = await RawClient.open(postgres.port);
    const seed = seedOfRun(otherwise);
    const cases: Case[] = [];
    for (let i = 0; i < SCHEMAS; i++) {
      cases.push(...(await runSchema(client, parser, seed + i, STATEMENTS)));
    }
    await client.terminate();
    const { wrong, drifted, kinds } = tally(cases);
    expect([...wrong, ...drifted].map(shownCase)).toEqual([]);
    // Most statements have a plan, or the test would prove little.
    expect(kinds['exact'] ?? 0).toBeGreaterThan(cases.length * 0.7);
  });
});
