import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { StoredAuditLog } from '../../src/audit/log.ts';
import { AuditQuery } from '../../src/audit/query.ts';
import type { RecordedEvent } from '../../src/audit/recorded-event.ts';
import { createLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { SqliteControlStore } from '../../src/store/sqlite-control-store.ts';
import * as fe from '../support/frontend-messages.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';
import { type BackendMessage, columnsOf, errorsOf, RawClient } from '../support/raw-client.ts';

const THROW_AT_SIGNAL = new URL('throw-at-signal.ts', import.meta.url).href;
const STATEMENTS = 3_000;

let postgres: TestPostgres;
let gateway: TestGateway;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterEach(async () => {
  await gateway?.stop();
});
afterAll(async () => {
  await postgres?.stop();
});

async function start(environment: Record<string, string> = {}): Promise<void> {
  gateway = await startGateway({
    upstreamPort: postgres.port,
    environment: { NODE_OPTIONS: `--import=${THROW_AT_SIGNAL}`, ...environment },
  });
}

/** Everything in the audit of a gateway that has ended, the oldest first. */
async function auditOfEnded(): Promise<RecordedEvent[]> {
  const store = await SqliteControlStore.open(join(gateway.directory, 'h.db'));
  const log = await StoredAuditLog.open({ store, metrics: new Metrics(), log: createLogger('silent') });
  const query = new AuditQuery({ store, log });
  const events: RecordedEvent[] = [];
  try {
    for (let cursor: string | null = null; ; ) {
      const page = await query.search({ filter: {}, cursor, limit: 1_000 });
      events.push(...page.items);
      if (page.next === null) return events.reverse();
      cursor = page.next;
    }
  } finally {
    await query.close();
    await log.close();
    await store.close();
  }
}

const exited = (): Promise<unknown[]> =>
  gateway.child.exitCode === null && gateway.child.signalCode === null
    ? once(gateway.child, 'exit')
    : Promise.resolve([gateway.child.exitCode, gateway.child.signalCode]);

const rowsOf = (messages: readonly BackendMessage[]): string[] =>
  messages.filter((message) => message.type === 'D').map((message) => columnsOf(message)[0]!);

const asQueries = (): Buffer[] =>
  Array.from({ length: STATEMENTS }, (_, i) => fe.query(`select 'statement ${i}'`));
/** One segment: its statements are in the audit only when it ends. */
const asPipeline = (): Buffer[] => [
  ...Array.from({ length: STATEMENTS }, (_, i) =>
    Buffer.concat([fe.parse('', `select 'statement ${i}'`), fe.bind(), fe.execute()]),
  ),
  fe.flush(),
];

describe.each([
  ['SIGTERM', 'SIGTERM', [0, null]],
  ['SIGINT', 'SIGINT', [0, null]],
  ['a fault that nobody catches', 'SIGUSR2', [1, null]],
] as const)('a gateway that ends by %s', (_how, signal, exit) => {
  it.each([
    ['Queries', asQueries],
    ['a pipeline', asPipeline],
  ] as const)('has recorded all of %s that a client has had an answer to', async (_what, statements) => {
    // A segment that its client does not close is waited for as long as that.
    await start({ HOLDFAST_LIMITS_DRAIN_TIMEOUT: '500ms' });
    const client = await RawClient.open(gateway.port);
    client.write(...statements());
    await client.untilCountWithType('C', 100);
    gateway.child.kill(signal);
    // A statement is answered with its CommandComplete: the end may come between that and its last row.
    const answered = (await client.untilEnd()).filter((message) => message.type === 'C').length;
    client.destroy();
    expect(await exited()).toEqual(exit);
    expect(answered).toBeGreaterThanOrEqual(100);

    const events = await auditOfEnded();
    const recorded = events.filter((event) => event.end === 'completed').map((event) => event.sql);
    expect(recorded.findIndex((sql, i) => sql !== `select 'statement ${i}'`)).toBe(-1);
    expect(recorded.length).toBeGreaterThanOrEqual(answered);
    expect(events.findIndex((event, i) => event.id !== String(i + 1))).toBe(-1);
    for (const event of events) expect(['completed', 'lost', 'not-run']).toContain(event.end);
  });
});

describe('a gateway that stops', () => {
  it('waits for a transaction, and ends with it', async () => {
    await start();
    const client = await RawClient.open(gateway.port);
    await client.query('begin');
    gateway.child.kill('SIGINT');
    await eventually('draining', async () => (gateway.log().includes('draining') ? null : 'not yet'));
    // A terminal tells every process of its group of one Ctrl-C, and npm tells its child once more.
    gateway.child.kill('SIGINT');
    expect(await client.rows('select 1')).toEqual([['1']]);
    client.write(fe.query('commit'));
    expect(errorsOf(await client.untilEnd())).toMatchObject([{ S: 'FATAL', C: '57P01' }]);
    client.destroy();
    expect(await exited()).toEqual([0, null]);
    expect((await auditOfEnded()).map((event) => event.sql)).toEqual(['begin', 'select 1', 'commit']);
  });

  it('waits for a transaction without a BEGIN, which ends by the Sync of its pipeline', async () => {
    await start();
    const client = await RawClient.open(gateway.port);
    client.write(fe.parse('', 'select 1'), fe.bind(), fe.execute(), fe.flush());
    await client.until('C');
    gateway.child.kill('SIGTERM');
    await eventually('draining', async () => (gateway.log().includes('draining') ? null : 'not yet'));
    client.write(fe.parse('', 'select 2'), fe.bind(), fe.execute(), fe.sync());
    const messages = await client.untilEnd();
    expect([rowsOf(messages), errorsOf(messages)]).toMatchObject([['2'], [{ S: 'FATAL', C: '57P01' }]]);
    client.destroy();
    expect(await exited()).toEqual([0, null]);
  });

  it('tells who waits for an approval to come back', async () => {
    gateway = await startGateway({ upstreamPort: postgres.port, policy: 'mode: protect\n' });
    await postgres.sql('DROP TABLE IF EXISTS waited; CREATE TABLE waited (id int)');
    const client = await RawClient.open(gateway.port);
    client.write(fe.query('DELETE FROM waited'));
    await client.until('N');
    gateway.child.kill('SIGTERM');
    expect(errorsOf(await client.untilEnd())[0]).toMatchObject({
      C: '57P01',
      D: 'the gateway is shutting down',
      H: 'It was not run. Send it again when the gateway is back: once it is approved, it runs.',
    });
    expect(await exited()).toEqual([0, null]);
  });

  it('waits no longer when it is told a second time, and loses nothing then either', async () => {
    await start();
    const client = await RawClient.open(gateway.port);
    await client.query('begin');
    client.write(fe.query('select pg_sleep(60)'));
    gateway.child.kill('SIGINT');
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    gateway.assertAlive();
    gateway.child.kill('SIGINT');
    await client.untilEnd();
    expect(await exited()).toEqual([0, null]);
    expect((await auditOfEnded()).map(({ sql, end }) => [sql, end])).toEqual([
      ['begin', 'completed'],
      ['select pg_sleep(60)', 'lost'],
    ]);
  });

  it('says what the fault was', async () => {
    await start();
    gateway.child.kill('SIGUSR2');
    expect(await exited()).toEqual([1, null]);
    expect(gateway.log()).toContain('a fault that a test has made');
    expect(gateway.log()).toContain('"level":"fatal"');
  });
});
