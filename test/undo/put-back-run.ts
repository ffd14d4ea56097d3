import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { Parser } from '../../src/sql/parsing/parser.ts';
import { connectForUndo } from '../../src/undo/pg-session.ts';
import { atLength } from '../support/at-length.ts';
import { scratchFolder } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { type Case, runSchema, shownCase, tally } from './put-back.ts';

const UNDO = {
  script: 'fuzz:undo',
  does: 'Random statements in random schemas, undone and compared byte for byte.',
  repeats: ['schemas', 300],
  numbers: { statements: [5, 'in each schema'] },
} as const;

await atLength(UNDO, async (run) => {
  const postgres = await run.postgres();
  const store = new DirectoryBlobStore(await scratchFolder('undo'));
  const client = await RawClient.open(postgres.port);
  const session = await connectForUndo(postgres.url());
  const setting = { client, session, store, parser: await Parser.create() };
  const cases: Case[] = [];
  await run.each(async (seed) => {
    const own = await runSchema(setting, seed, run.number('statements'));
    cases.push(...own);
    return tally(own).wrong.map(shownCase);
  });
  await session.close();
  await client.terminate();
  const { wrong, ...numbers } = tally(cases);
  run.tell({ ...numbers, wrong: wrong.length });
});
