import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Parser } from '../../src/sql/parser.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { judge, type Setting } from './as-dropped.ts';
import { EXAMPLES } from './examples.ts';

describe.each([18, 15] as const)('a DROP as a move on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let parser: Parser;
  let databases = 0;
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql('create role app login; create role reader');
    parser = await Parser.create();
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  async function inDatabase<T>(user: string, work: (setting: Setting) => Promise<T>): Promise<T> {
    const database = `d${++databases}`;
    await postgres.sql(`create database ${database} owner app`);
    const client = await RawClient.open(postgres.port, { database, user });
    const judging = await RawClient.open(postgres.port, { database });
    try {
      return await work({ parser, client, judge: judging });
    } finally {
      await client.terminate();
      await judging.terminate();
    }
  }

  it.each(EXAMPLES)('keeps $name', async ({ setup, drop, outcome, as = 'app', except = [] }) => {
    await inDatabase(as, async (setting) => {
      if (setup !== '') await setting.client.rows(setup);
      const judged = await judge(setting, drop);
      if (typeof outcome === 'string') expect(judged.outcome).toMatchObject({ kind: outcome });
      else expect(judged.outcome).toMatchObject({ kind: 'none', reason: expect.stringMatching(outcome) });
      if (outcome === 'moved') expect(judged.restored).toMatchObject({ kind: 'restored' });
      const unexpected = judged.differences.filter((line) => !except.some((known) => known.test(line)));
      expect(unexpected).toEqual([]);
    });
  });
});
