import { join } from 'node:path';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { connectForUndo } from '../../src/undo/pg-session.ts';
import { SNAPSHOTS, startGateway, type TestGateway } from '../support/gateway.ts';
import type { TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import type { EarlySetting } from './early.ts';

const POLICY = `
mode: protect
without_plan: block
rules:
  - { name: many, match: { application: [counted], operation: [update, delete], rows: ">3" }, action: block }
  - { name: what changes, match: { operation: [update, delete] }, action: snapshot }
  - { name: the rest, action: allow }
`;

/** Two equal databases, and a gateway in front of one of them. */
export async function withEarlySetting<Watch extends { readonly port: number; stop(): Promise<void> }>(
  postgres: TestPostgres,
  watching: (port: number) => Promise<Watch>,
  use: (
    setting: Omit<EarlySetting, 'watch'> & { readonly watch: Watch },
    gateway: TestGateway,
  ) => Promise<void>,
): Promise<void> {
  await postgres.sql('create role limited login');
  for (const database of DATABASES) await postgres.sql(`create database ${database}`);
  const watch = await watching(postgres.port);
  const gateway = await startGateway({ upstreamPort: watch.port, policy: POLICY, environment: SNAPSHOTS });
  const store = new DirectoryBlobStore(join(gateway.directory, 'snapshots'));
  const undoing = await connectForUndo(postgres.url(DATABASES[1]));
  try {
    const [direct, through] = await Promise.all(
      DATABASES.map(async (database) => ({
        database,
        control: await RawClient.open(postgres.port, { database, application_name: 'control' }),
        other: await RawClient.open(postgres.port, { database, application_name: 'other' }),
      })),
    );
    const setting = {
      direct: { ...direct!, port: postgres.port },
      through: { ...through!, port: gateway.port },
      watch,
      store,
      undoing,
    };
    await use(setting, gateway);
    for (const { control, other } of [direct!, through!]) for (const each of [control, other]) each.destroy();
  } finally {
    await undoing.close();
    await store.close();
    await gateway.stop();
    await watch.stop();
  }
}

const DATABASES = ['early_direct', 'early_through'] as const;
