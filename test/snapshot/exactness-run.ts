/**
 * The property test of captures at length: `npm run fuzz:snapshot -- --schemas 2000 --seed 7 --version 15`.
 */
import { parseArgs } from 'node:util';
import { Parser } from '../../src/sql/parser.ts';
import { startPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { RawClient } from '../support/raw-client.ts';
import { type Case, runSchema, shownCase, tally } from './exactness.ts';

const { values } = parseArgs({
  options: {
    schemas: { type: 'string', default: '500' },
    seed: { type: 'string' },
    version: { type: 'string', default: '18' },
    statements: { type: 'string', default: '5' },
    show: { type: 'string', default: '5' },
  },
});

const firstSeed = values.seed === undefined ? seedOfRun(1) : Number(values.seed);
const postgres = await startPostgres({ version: values.version === '15' ? 15 : 18 });
try {
  const started = performance.now();
  const parser = await Parser.create();
  const client = await RawClient.open(postgres.port);
  const cases: Case[] = [];
  for (let i = 0; i < Number(values.schemas); i++) {
    cases.push(...(await runSchema(client, parser, firstSeed + i, Number(values.statements))));
  }
  await client.terminate();
  const { wrong, drifted, ...numbers } = tally(cases);
  for (const each of [...wrong, ...drifted].slice(0, Number(values.show))) console.log(shownCase(each));
  const seconds = (performance.now() - started) / 1000;
  console.log(JSON.stringify({ version: values.version, firstSeed, ...numbers, seconds }, null, 1));
  if (wrong.length > 0 || drifted.length > 0) process.exitCode = 1;
} finally {
  await postgres.stop();
}
