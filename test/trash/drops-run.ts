import { Parser } from '../../src/sql/parsing/parser.ts';
import { atLength } from '../support/at-length.ts';
import { RawClient } from '../support/raw-client.ts';
import { type Case, runDrop, shownCase, tally } from './random-run.ts';

const DROPS = {
  script: 'fuzz:trash',
  does: 'Random DROPs as moves, compared with real ones, and put back.',
  repeats: ['drops', 500],
} as const;

await atLength(DROPS, async (run) => {
  const postgres = await run.postgres();
  await postgres.sql('create role app login; create role reader');
  await postgres.sql('create database d owner app');
  const parser = await Parser.create();
  const client = await RawClient.open(postgres.port, { database: 'd', user: 'app' });
  const judge = await RawClient.open(postgres.port, { database: 'd' });
  const cases: Case[] = [];
  await run.each(async (seed) => {
    const own = await runDrop({ parser, client, judge }, seed);
    cases.push(own);
    return tally([own]).wrong.map(shownCase);
  });
  await client.terminate();
  await judge.terminate();
  const { wrong, ...numbers } = tally(cases);
  run.tell({ ...numbers, wrong: wrong.length });
});
