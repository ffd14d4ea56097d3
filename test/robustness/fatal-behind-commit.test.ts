import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { encodeErrorResponse } from '../../src/wire/backend.ts';
import * as fe from '../support/frontend-messages.ts';
import { startGateway } from '../support/gateway.ts';
import { scratchFolder, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { StepProxy } from '../support/step-proxy.ts';
import { check } from './fire-check.ts';
import { type Attempt, markOf } from './fire-writers.ts';

const POLICY = `
mode: protect
rules:
  - { name: what goes, match: { operation: [delete, drop table] }, action: snapshot }
  - { name: the rest, action: allow }
`;
const FATAL = encodeErrorResponse({ S: 'FATAL', V: 'FATAL', C: '57P01', M: 'terminating connection' }, null);

/** As an administrator does it who ends a session in the moment of its commit. */
describe('a server that ends the session right behind a COMMIT of the gateway', () => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres();
  });
  beforeEach(async () => {
    await postgres.sql(`drop schema if exists holdfast_trash cascade; drop schema public cascade; create schema public;
      create table precious (id int primary key, note text); insert into precious values (1, 'row 1');
      create table doomed (id int)`);
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  it.each([
    ['delete from precious where id = 1', { kind: 'rows', first: 1, last: 1 }],
    ['drop table doomed', { kind: 'table', name: 'doomed' }],
  ] as [string, Attempt['what']][])(
    'leaves the snapshot of "%s", and nobody is told that it failed',
    async (sql, what) => {
      const attempt: Attempt = { number: 1, what, told: null };
      // How many answers there are is learnt from a first time, which is rolled back by hand.
      let steps = Number.MAX_SAFE_INTEGER;
      for (const isReal of [false, true]) {
        const folder = await scratchFolder('fatal');
        const proxy = await StepProxy.start(postgres.port);
        const gateway = await startGateway({
          upstreamPort: proxy.port,
          policy: POLICY,
          environment: {
            HOLDFAST_SNAPSHOTS_TAKEN: 'on',
            HOLDFAST_SNAPSHOTS: `file:${join(folder, 'snapshots')}`,
            HOLDFAST_STORE: `sqlite:${join(folder, 'h.db')}`,
          },
        });
        try {
          const client = await RawClient.open(gateway.port);
          const step = { from: 'server', type: 'Z', nth: steps } as const;
          void proxy.stopAt(step, FATAL);
          client.write(fe.query(`${markOf(attempt)} ${sql}`));
          if (!isReal) {
            await client.untilReady();
            steps = proxy.seen;
            await postgres.sql(
              what.kind === 'rows'
                ? `insert into precious values (1, 'row 1')`
                : 'drop schema holdfast_trash cascade; create table doomed (id int)',
            );
            continue;
          }
          const said = await client.untilEnd();
          expect(said.map(({ type }) => type).join('')).toBe('E');
          expect(await gateway.terminate()).toBe(0);
          const store = new DirectoryBlobStore(join(folder, 'snapshots'));
          const { problems, committed } = await check(postgres, store, join(folder, 'h.db'), [attempt]);
          await store.close();
          expect(problems).toEqual([]);
          expect(committed).toBe(1);
        } finally {
          await gateway.stop();
          await proxy.stop();
          rmSync(folder, { recursive: true, force: true });
        }
      }
    },
  );
});
