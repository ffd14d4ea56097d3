import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DirectoryBlobStore } from '../../src/blobs/directory-blob-store.ts';
import { encodeErrorResponse, encodeReadyForQuery } from '../../src/wire/backend.ts';
import * as fe from '../support/frontend-messages.ts';
import { startGateway } from '../support/gateway.ts';
import { scratchFolder, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { StepProxy } from '../support/step-proxy.ts';
import { type Checked, check } from './fire-check.ts';
import { type Attempt, markOf } from './fire-writers.ts';

const POLICY = `
mode: protect
rules:
  - { name: what goes, match: { operation: [delete, drop table] }, action: snapshot }
  - { name: the rest, action: allow }
`;
const FATAL = encodeErrorResponse({ S: 'FATAL', V: 'FATAL', C: '57P01', M: 'terminating connection' }, null);
const READY = encodeReadyForQuery('I');

interface Scenario {
  readonly name: string;
  readonly sql: string;
  readonly what: Attempt['what'];
  readonly sent: (sql: string) => Buffer[];
}

const rows: Attempt['what'] = { kind: 'rows', first: 1, last: 1 };
const table: Attempt['what'] = { kind: 'table', name: 'doomed' };
const simple = (sql: string) => [fe.query(sql)];
const extended = (sql: string) => [fe.parse('', sql), fe.bind(), fe.execute(), fe.sync()];
const SCENARIOS: readonly Scenario[] = [
  {
    name: 'a DELETE',
    sql: 'delete from precious where id = 1',
    what: rows,
    sent: simple,
  },
  { name: 'a DROP', sql: 'drop table doomed', what: table, sent: simple },
  {
    name: 'a DROP by the extended protocol',
    sql: 'drop table doomed',
    what: table,
    sent: extended,
  },
];

/** As an administrator does it who ends a session in the moment of its commit. */
describe('a server that ends the session', () => {
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

  /** Says `instead` in the place of the answer to the gateway's COMMIT, in one packet, as the last that it says. */
  async function ended({ sql, what, sent }: Scenario, instead: Buffer, told: Attempt['told']) {
    const attempt: Attempt = { number: 1, what, told };
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
      void proxy.stopAt({ from: 'server', type: 'Z', nth: 1, behind: '\0COMMIT\0' }, instead);
      client.write(...sent(`${markOf(attempt)} ${sql}`));
      const said = (await client.untilEnd()).map(({ type }) => type).join('');
      client.destroy();
      expect(await gateway.terminate()).toBe(0);
      const store = new DirectoryBlobStore(join(folder, 'snapshots'));
      const checked: Checked = await check(postgres, store, join(folder, 'h.db'), [attempt]);
      await store.close();
      return { said, ...checked };
    } finally {
      await gateway.stop();
      await proxy.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  }

  it.each(SCENARIOS)(
    'in place of the answer to the COMMIT leaves the snapshot of $name, and tells nobody that it failed',
    async (scenario) => {
      const { said, problems, committed } = await ended(scenario, FATAL, null);
      expect(said).toMatch(/^(12)?E$/);
      expect(problems).toEqual([]);
      expect(committed).toBe(1);
    },
  );

  it.each(SCENARIOS)('right behind that answer says so behind the success of $name', async (scenario) => {
    const { said, problems, committed } = await ended(scenario, Buffer.concat([READY, FATAL]), 'committed');
    expect(said).toBe(scenario.sent === simple ? 'CZE' : '12CE');
    expect(problems).toEqual([]);
    expect(committed).toBe(1);
  });

  const bound = [fe.bind({ statement: 'one', parameters: ['1'] }), fe.execute(), fe.sync()];
  it.each([
    ['delete from precious where id = 1', null],
    ['delete from precious where id = 1; delete from precious where id = 2', null],
    ['drop table doomed', null],
    ['delete from precious where id = 1', 'in a transaction'],
    ['delete from precious where id = $1', 'bound'],
  ])(
    'behind the answer to what stands in front of it, ends no other than that session: %s %s',
    async (sql, way) => {
      const proxy = await StepProxy.start(postgres.port);
      const environment = { HOLDFAST_SNAPSHOTS_TAKEN: 'on' };
      const gateway = await startGateway({ upstreamPort: proxy.port, policy: POLICY, environment });
      try {
        const client = await RawClient.open(gateway.port);
        // So that there is a plan.
        await client.rows('delete from precious where id = 0');
        if (way === 'in a transaction') await client.query('begin');
        if (way === 'bound') {
          const prepared = [fe.parse('one', sql), ...bound];
          for (const messages of [prepared, bound]) {
            client.write(Buffer.concat(messages));
            await client.untilReady();
          }
        }
        const step = { from: 'server', type: 'Z', nth: 1, behind: 'pg_sleep' } as const;
        const ready = encodeReadyForQuery(way === 'in a transaction' ? 'T' : 'I');
        void proxy.stopAt(step, Buffer.concat([ready, FATAL]));
        client.write(fe.query('select pg_sleep(0.1)'), ...(way === 'bound' ? bound : [fe.query(sql)]));
        const said = (await client.untilEnd()).map(({ type }) => type).join('');
        expect(said).toMatch(/^TDCZE+$/);
        client.destroy();
        expect(await gateway.terminate()).toBe(0);
      } finally {
        await gateway.stop();
        await proxy.stop();
      }
    },
  );
});
