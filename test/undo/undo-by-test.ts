import { afterAll, beforeAll } from 'vitest';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { Parser } from '../../src/sql/parsing/parser.ts';
import { connectForUndo, type PgSession } from '../../src/undo/pg-session.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';

/** A server, somebody who changes things there and somebody who undoes them, and where the snapshots are. */
export interface UndoByTest {
  readonly postgres: TestPostgres;
  readonly client: RawClient;
  readonly session: PgSession;
  readonly store: DirectoryBlobStore;
  readonly parser: Parser;
}

/** Has them for all tests of the block that it is called in, ahead of what that does before them. */
export function undoByTest(version: 15 | 18, take: (under: UndoByTest) => void): void {
  const ending: (() => unknown)[] = [];
  beforeAll(async () => {
    const folder = await temporaryFolder();
    ending.push(() => folder.remove());
    const postgres = await startPostgres({ version });
    ending.push(() => postgres.stop());
    const client = await RawClient.open(postgres.port);
    ending.push(() => client.destroy());
    const session = await connectForUndo(postgres.url());
    ending.push(() => session.close());
    take({
      postgres,
      client,
      session,
      store: new DirectoryBlobStore(folder.path),
      parser: await Parser.create(),
    });
  });
  afterAll(async () => {
    for (const end of ending.toReversed()) await end();
  });
}
