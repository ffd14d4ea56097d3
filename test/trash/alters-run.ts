/**
 * The property test of ALTERs at length: `npm run fuzz:alter -- --alters 1000 --seed 7 --version 15`.
 */
import { parseArgs } from 'node:util';
import { Parser } from '../../src/sql/parser.ts';
import { startPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { RawClient } from '../support/raw-client.ts';
import { runAlter } from './alter-judge.ts';
import { type Case, shownCase, tally } from './random-run.ts';

const { values } = parseArgs({
  options: {
    alters: { type: 'string', default: '300' },
    seed: { type: 'string' },
    version: { type: 'string', default: '18' },
    show: { type: 'string', default: '5' },
  },
});

const firstSeed = values.seed === undefined ? seedOfRun(1) : Number(values.seed);
const postgres = await startPostgres({ version: values.version === '15' ? 15 : 18 });
try {
  const started = performance.now();
  await postgres.sql('create role app login; create role reader');
  await postgres.sql('create database d owner app');
  const parser = await Parser.create();
  const client = await RawClient.open(postgres.port, { database: 'd', user: 'app' });
  const cases: Case[] = [];
  for (let i = 0; i < Number(values.alters); i++)
    cases.push(await runAlter({ parser, client }, firstSeed + i));
  await client.terminate();
  const { wrong, ...numbers } = tally(cases);
  for (const each of wrong.slice(0, Number(values.show))) console.log(shownCase(each));
  const seconds = (performance.now() - started) / 1000;
  console.log(
    JSON.stringify({ version: values.version, firstSeed, ...numbers, wrong: wrong.length, seconds }, null, 1),
  );
  if (wrong.length > 0) process.exitCode = 1;
} finally {
  await postgres.stop();
}
