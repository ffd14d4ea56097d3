import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { Parser } from '../../src/sql/parsing/parser.ts';
import { connectForUndo } from '../../src/undo/pg-session.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { seedOfRun } from '../support/random.ts';
import { RawClient } from '../support/raw-client.ts';
import { type Case, runSchema, shownCase, tally } from './put-back.ts';

const SCHEMAS = 30;
const STATEMENTS = 5;

/** Seeds that have failed once: an empty image of a table with columns that are kept as text. */
const CRASHERS = [700_245];

/** `npm run fuzz:undo` does the same at length. */
describe.each([
  [18, 1],
  [15, 500_000],
] as const)('an undo on PostgreSQL %i', (version, otherwise) => {
  let postgres: TestPostgres;
  let folder: { readonly path: string; remove(): Promise<void> };
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    folder = await temporaryFolder();
  });
  afterAll(async () => {
    await postgres?.stop();
    await folder?.remove();
  });

  it('puts back exactly what was before random statements', { timeout: 120_000 }, async () => {
    const client = await RawClient.open(postgres.port);
    const session = await connectForUndo(postgres.url());
    const store = new DirectoryBlobStore(folder.path);
    const setting = { client, session, store, parser: await Parser.create() };
    const first = seedOfRun(otherwise);
    const cases: Case[] = [];
    for (const seed of [...CRASHERS, ...Array.from({ length: SCHEMAS }, (_, i) => first + i)]) {
      cases.push(...(await runSchema(setting, seed, STATEMENTS)));
    }
    await session.close();
    await client.terminate();
    const { wrong, changing } = tally(cases);
    expect(wrong.map(shownCase)).toEqual([]);
    // Most statements change something, or the test would prove little.
    expect(changing).toBeGreaterThan(cases.length * 0.4);
  });
});
