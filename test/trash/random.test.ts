import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Parser } from '../../src/sql/parsing/parser.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { RawClient } from '../support/raw-client.ts';
import { type Case, runDrop, shownCase, tally } from './random-run.ts';

const DROPS = 30;

/** `npm run fuzz:trash` does the same at length. */
describe.each([
  [18, 1],
  [15, 500_000],
] as const)('random DROPs on PostgreSQL %i', (version, otherwise) => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql('create role app login; create role reader');
    await postgres.sql('create database d owner app');
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  it('leave what a real DROP leaves, and are put back as it was', { timeout: 120_000 }, async () => {
    const parser = await Parser.create();
    const client = await RawClient.open(postgres.port, { database: 'd', user: 'app' });
    const judge = await RawClient.open(postgres.port, { database: 'd' });
    const seed = seedOfRun(otherwise);
    const cases: Case[] = [];
    for (let i = 0; i < DROPS; i++) cases.push(await runDrop({ parser, client, judge }, seed + i));
    await client.terminate();
    await judge.terminate();
    const { wrong, kinds } = tally(cases);
    expect(wrong.map(shownCase)).toEqual([]);
    // Most are moved, or the test would prove little.
    expect(kinds['moved'] ?? 0).toBeGreaterThan(DROPS / 2);
  });
});
