import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Cut, CuttingProxy } from '../support/cutting-proxy.ts';
import * as fe from '../support/frontend-messages.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';
import { cancel, errorsOf, RawClient } from '../support/raw-client.ts';

const startup = fe.startup({ user: 'postgres', database: 'postgres' });
const at = (type: string, nth = 1, within = false): Cut => ({ kind: 'at-server-message', type, nth, within });

/** Where the server dies, what the client had sent by then. */
const DEATHS: Record<string, readonly [cut: Cut, ...sent: Buffer[]]> = {
  'as it accepts': [{ kind: 'on-accept' }, startup],
  'before it asks for a password': [{ kind: 'after-server-bytes', bytes: 0 }, startup],
  'in the middle of its first message': [{ kind: 'after-server-bytes', bytes: 4 }, startup],
  'after it has let the client in': [at('S'), startup],
  'in a parameter status': [at('S', 3, true), startup],
  'before its key': [at('K'), startup],
  'before it is ready': [at('Z'), startup],
  'before the first row': [at('D'), startup, fe.query('select 1')],
  'in the middle of a row': [at('D', 1, true), startup, fe.query("select repeat('x', 500000)")],
  'between rows': [at('D', 50), startup, fe.query('select generate_series(1, 100)')],
  'in the middle of an error': [at('E', 1, true), startup, fe.query('select 1/0')],
  'in a notice': [at('N', 1, true), startup, fe.query("do $$ begin raise notice 'x'; end $$")],
  'before a query is complete': [at('C'), startup, fe.query('select 1')],
  'before it is ready again': [at('Z', 2), startup, fe.query('select 1')],
  'in the middle of ReadyForQuery': [at('Z', 2, true), startup, fe.query('select 1')],
  'as it asks for COPY data': [at('G'), startup, fe.query('copy copied from stdin'), fe.copyData('1\n')],
  'after COPY data': [
    at('C', 2),
    startup,
    fe.query('create temp table t (a int)'),
    fe.query('copy t from stdin'),
    fe.copyData('1\n'),
    fe.copyDone(),
  ],
  'in COPY data that it sends': [
    at('d', 5, true),
    startup,
    fe.query('copy (select generate_series(1, 9)) to stdout'),
  ],
  'after a parse': [at('1', 1, true), startup, fe.parse('', 'select 1'), fe.bind(), fe.execute(), fe.sync()],
  'after a bind': [at('2'), startup, fe.parse('', 'select 1'), fe.bind(), fe.execute(), fe.sync()],
  'with a portal suspended': [
    at('s'),
    startup,
    fe.parse('', 'select generate_series(1,9)'),
    fe.bind(),
    fe.execute('', 2),
    fe.sync(),
  ],
  'after a flush': [at('2'), startup, fe.parse('', 'select 1'), fe.bind(), fe.flush()],
};

const HOSTILE_ANSWERS: Record<string, Buffer> = {
  'random bytes': Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
  'a length of 0': Buffer.from([0x52, 0, 0, 0, 0]),
  'a negative length': Buffer.from([0x52, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
  'a huge authentication request': Buffer.from([0x52, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
  'ReadyForQuery before any login': Buffer.from([0x5a, 0, 0, 0, 5, 0x49]),
  'an unknown message': Buffer.from([0x21, 0, 0, 0, 4]),
  'an authentication method that does not exist': Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 99]),
};

describe('an upstream server that dies', () => {
  let postgres: TestPostgres;
  let proxy: CuttingProxy;
  let gateway: TestGateway;
  beforeAll(async () => {
    postgres = await startPostgres();
    await postgres.sql('create table copied (a int)');
    proxy = await CuttingProxy.start(postgres.port);
    gateway = await startGateway({ upstreamPort: proxy.port, policy: 'mode: protect\n' });
  });
  afterAll(async () => {
    await gateway?.stop();
    await proxy?.stop();
    await postgres?.stop();
  });
  afterEach(async () => {
    proxy.cut = { kind: 'never' };
    gateway.assertAlive();
    await eventually('connections to the server', async () => {
      const open = await postgres.clientSessions();
      return open === 0 ? null : `${open} open`;
    });
    const client = await RawClient.open(gateway.port);
    expect(await client.rows('select 1')).toEqual([['1']]);
    await client.terminate();
  });

  for (const how of ['fin', 'rst'] as const) {
    it.each(Object.keys(DEATHS))(`%s (${how}) ends the client with at most one error`, async (name) => {
      const [cut, ...sent] = DEATHS[name]!;
      proxy.how = how;
      proxy.cut = cut;
      const client = await RawClient.connect(gateway.port);
      client.write(...sent);
      const messages = await client.untilEnd(8_000).finally(() => client.destroy());
      const fatal = errorsOf(messages).filter((e) => e['S'] === 'FATAL');
      expect(fatal.length).toBeLessThanOrEqual(1);
      // What came before the cut is whole: half a message is never passed on as if it were one.
      for (const error of fatal) expect(error['C']).toMatch(/^(08|57)/);
    });
  }

  it.each(Object.keys(HOSTILE_ANSWERS))(
    'a server that answers with %s ends that client only',
    async (name) => {
      proxy.cut = { kind: 'answer', bytes: HOSTILE_ANSWERS[name]!, close: false };
      const client = await RawClient.connect(gateway.port);
      client.write(startup);
      const messages = await client.untilEnd(8_000).finally(() => client.destroy());
      expect(errorsOf(messages).length).toBeLessThanOrEqual(1);
    },
  );

  it('while it is idle: the client is told and closed', async () => {
    const client = await RawClient.open(gateway.port);
    proxy.how = 'rst';
    proxy.cutAll();
    const messages = await client.untilEnd(5_000);
    expect(errorsOf(messages).length).toBeLessThanOrEqual(1);
    client.destroy();
  });

  it('while a statement is held: the hold ends and nothing runs', async () => {
    await postgres.sql('create table kept as select 1 as a');
    const client = await RawClient.open(gateway.port);
    client.write(fe.query('delete from kept'));
    await client.until('N');
    proxy.how = 'fin';
    proxy.cutAll();
    const messages = await client.untilEnd(5_000);
    expect(errorsOf(messages).length).toBeLessThanOrEqual(1);
    expect(await postgres.sql('select count(*) from kept')).toEqual([['1']]);
    client.destroy();
  });

  it('while a cancel is under way: the canceling client is closed', async () => {
    const client = await RawClient.open(gateway.port);
    client.write(fe.query('select pg_sleep(0.4)'));
    proxy.cut = { kind: 'on-accept' };
    await cancel(gateway.port, client.processId, client.secretKey);
    expect(errorsOf(await client.untilReady())).toEqual([]);
    await client.terminate();
  });
});

describe('an upstream server that is gone', () => {
  it('is one clear error to each client, and the gateway serves again when it is back', async () => {
    const postgres = await startPostgres();
    const proxy = await CuttingProxy.start(postgres.port);
    const gateway = await startGateway({ upstreamPort: proxy.port });
    try {
      await proxy.stop();
      const client = await RawClient.connect(gateway.port);
      client.write(startup);
      const messages = await client.untilEnd(8_000);
      expect(errorsOf(messages)).toMatchObject([{ S: 'FATAL', C: '08006' }]);
      client.destroy();
      expect((await gateway.http('/readyz', { token: null })).status).toBe(503);
    } finally {
      await gateway.stop();
      await postgres.stop();
    }
  });
});
