import { Parser } from '../../src/sql/parsing/parser.ts';
import { atLength } from '../support/at-length.ts';
import { RawClient } from '../support/raw-client.ts';
import { runAlter } from './alter-judge.ts';
import { type Case, shownCase, tally } from './random-run.ts';

const ALTERS = {
  script: 'fuzz:alter',
  does: 'Random ALTERs that lose something, with what they lose put away first, compared with real ones, and put back.',
  repeats: ['alters', 300],
} as const;

await atLength(ALTERS, async (run) => {
  const postgres = await run.postgres();
  await postgres.sql('create role app login; create role reader');
  await postgres.sql('create database d owner app');
  const parser = await Parser.create();
  const client = await RawClient.open(postgres.port, { database: 'd', user: 'app' });
  const cases: Case[] = [];
  await run.each(async (seed) => {
    const own = await runAlter({ parser, client }, seed);
    cases.push(own);
    return tally([own]).wrong.map(shownCase);
  });
  await client.terminate();
  const { wrong, ...numbers } = tally(cases);
  run.tell({ ...numbers, wrong: wrong.length });
});
