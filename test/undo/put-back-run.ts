/**
 * The property test of undo at length: `npm run fuzz:undo -- --schemas 2000 --seed 7 --version 15`.
 */
import { parseArgs } from 'node:util';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { Parser } from '../../src/sql/parser.ts';
import { connectForUndo } from '../../src/undo/pg-session.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';
import { startPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { RawClient } from '../support/raw-client.ts';
import { type Case, runSchema, shownCase, tally } from './put-back.ts';

const { values } = parseArgs({
  options: {
    schemas: { type: 'string', default: '300' },
    seed: { type: 'string' },
    version: { type: 'string', default: '18' },
    statements: { type: 'string', default: '5' },
    show: { type: 'string', default: '5' },
  },
});

const firstSeed = values.seed === undefined ? seedOfRun(1) : Number(values.seed);
const postgres = await startPostgres({ version: values.version === '15' ? 15 : 18 });
const folder = await temporaryFolder();
try {
  const started = performance.now();
  const store = new DirectoryBlobStore(folder.path);
  const client = await RawClient.open(postgres.port);
  const session = await connectForUndo(postgres.url());
  const setting = { client, session, store, parser: await Parser.create() };
  const cases: Case[] = [];
  for (let i = 0; i < Number(values.schemas); i++) {
    cases.push(...(await runSchema(setting, firstSeed + i, Number(values.statements))));
  }
  await session.close();
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
  await folder.remove();
}
