import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';
import { RawClient } from '../support/raw-client.ts';

const POLICY = `
mode: protect
rules:
  - { name: what goes, match: { operation: [delete] }, action: snapshot }
  - { name: ask, match: { operation: [truncate] }, action: hold }
  - { name: the rest, action: allow }
`;

const extended = (sql: string) => [fe.parse('', sql), fe.bind(), fe.execute(), fe.sync()];
const STATES: readonly (readonly [string, readonly Buffer[]])[] = [
  ['while its rows are captured', [fe.query('delete from t')]],
  ['while its rows are captured, extended', extended('delete from t')],
  ['while it is held', [fe.query('truncate t')]],
  ['while it is held, extended', extended('truncate t')],
  ['in a COPY in', [fe.query('copy t from stdin'), fe.copyData('1\n')]],
  ['in a COPY out', [fe.query('copy t to stdout')]],
  ['in a block', [fe.query('begin'), fe.query('delete from t where id < 10')]],
  ['in a segment', [fe.parse('', 'select 1'), fe.bind(), fe.execute()]],
  ['while the server works', [fe.query('select pg_sleep(0.5)')]],
  ['in the middle of a message', [fe.query('select 1').subarray(0, 7)]],
];

describe.each(['half-closes', 'resets', 'closes'] as const)('a client that %s', (how) => {
  let postgres: TestPostgres;
  let gateway: TestGateway;
  beforeAll(async () => {
    postgres = await startPostgres();
    gateway = await startGateway({
      upstreamPort: postgres.port,
      policy: POLICY,
      environment: { HOLDFAST_SNAPSHOTS_TAKEN: 'on' },
    });
    await postgres.sql('create table t (id int)');
  });
  afterAll(async () => {
    await gateway?.stop();
    await postgres?.stop();
  });

  it.each(STATES)('%s leaves no session, at the gateway or the server', async (_, messages) => {
    await postgres.sql('truncate t; insert into t select generate_series(1, 20000)');
    for (const afterMs of [0, 3, 20, 100]) {
      const client = await RawClient.open(gateway.port);
      client.write(...messages);
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      if (how === 'half-closes') {
        client.halfClose();
        await client.untilEnd();
      }
      if (how === 'resets') client.reset();
      else client.destroy();
    }
    await eventually('the ends of all sessions', async () => {
      const open = [await gateway.metric('holdfast_sessions_open'), await postgres.clientSessions()];
      return open.join() === '0,0' ? null : `${open} are open`;
    });
    const { text } = await gateway.http('/v1/approvals?state=pending');
    expect(JSON.parse(text)).toMatchObject({ items: [] });
  });
});
