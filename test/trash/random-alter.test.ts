import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Parser } from '../../src/sql/parsing/parser.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { RawClient } from '../support/raw-client.ts';
import { runAlter } from './alter-judge.ts';
import { type Case, shownCase, tally } from './random-run.ts';

const ALTERS = 15;

/** `npm run fuzz:alter` does the same at length. */
describe.each([
  [18, 1],
  [15, 500_000],
] as const)('random ALTERs on PostgreSQL %i', (version, otherwise) => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql('create role app login; create role reader');
    await postgres.sql('create database d owner app');
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  it('leave what a real ALTER leaves, and are taken back to what was', { timeout: 120_000 }, async () => {
    const parser = await Parser.create();
    const client = await RawClient.open(postgres.port, { database: 'd', user: 'app' });
    const seed = seedOfRun(otherwise);
    const cases: Case[] = [];
    for (let i = 0; i < ALTERS; i++) cases.push(await runAlter({ parser, client }, seed + i));
    await client.terminate();
    const { wrong, kinds } = tally(cases);
    expect(wrong.map(shownCase)).toEqual([]);
    expect(kinds['moved'] ?? 0).toBeGreaterThan(ALTERS / 4);
  });
});
