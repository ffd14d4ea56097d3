import { Parser } from '../../src/sql/parsing/parser.ts';
import { atLength } from '../support/at-length.ts';
import { RawClient } from '../support/raw-client.ts';
import { type Case, runSchema, shownCase, tally } from './exactness.ts';

const EXACTNESS = {
  script: 'fuzz:snapshot',
  does: 'Whether captures hold exactly the rows that random statements change in random schemas.',
  repeats: ['schemas', 500],
  numbers: { statements: [5, 'in each schema'] },
} as const;

await atLength(EXACTNESS, async (run) => {
  const postgres = await run.postgres();
  const parser = await Parser.create();
  const client = await RawClient.open(postgres.port);
  const cases: Case[] = [];
  await run.each(async (seed) => {
    const own = await runSchema(client, parser, seed, run.number('statements'));
    cases.push(...own);
    const { wrong, drifted } = tally(own);
    return [...wrong, ...drifted].map(shownCase);
  });
  await client.terminate();
  const { wrong, drifted, ...numbers } = tally(cases);
  run.tell({ ...numbers, wrong: wrong.length, drifted: drifted.length });
});
