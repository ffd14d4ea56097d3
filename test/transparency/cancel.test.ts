import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { type Middle, startMiddle } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { cancel, columnsOf, describeAll, RawClient } from '../support/raw-client.ts';

/**
 * When a cancel arrives is a matter of luck, so it is not among the fuzzer's messages: here each is sent to a
 * statement that runs long enough, and what the client sees is compared.
 */
const LONG_STATEMENTS: Record<string, Buffer> = {
  'a Query': fe.query('select pg_sleep(20)'),
  'the second statement of a Query': fe.query('select 1; select pg_sleep(20); select 2'),
  'an Execute': Buffer.concat([
    fe.parse('', 'select pg_sleep(20)'),
    fe.bind(),
    fe.execute(),
    fe.parse('', 'select 2'),
    fe.bind(),
    fe.execute(),
    fe.sync(),
  ]),
  'a statement in a transaction': Buffer.concat([
    fe.parse('', 'begin'),
    fe.bind(),
    fe.execute(),
    fe.parse('', 'select pg_sleep(20)'),
    fe.bind(),
    fe.execute(),
    fe.sync(),
  ]),
};

describe.each([18, 15] as const)('a cancel through the gateway, PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let middle: Middle;
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    middle = await startMiddle({ upstreamPort: postgres.port });
  });
  afterAll(async () => {
    await middle?.stop();
    await postgres?.stop();
  });

  it.each(Object.keys(LONG_STATEMENTS))('ends %s as a direct one does', async (name) => {
    const run = async (port: number): Promise<string> => {
      const client = await RawClient.open(port);
      client.write(LONG_STATEMENTS[name]!);
      await new Promise((resolve) => setTimeout(resolve, 150));
      await cancel(port, client.processId, client.secretKey);
      const messages = [...(await client.untilReady()), ...(await client.query('select 3'))];
      await client.terminate();
      return describeAll(messages);
    };
    expect(await run(middle.port)).toBe(await run(postgres.port));
  });

  it('with a wrong key cancels nothing', async () => {
    const client = await RawClient.open(middle.port);
    client.write(fe.query('select pg_sleep(0.4), 7'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    await cancel(middle.port, client.processId, Buffer.alloc(4, 1));
    const messages = await client.untilReady();
    expect(messages.map((m) => m.type).join('')).toBe('TDCZ');
    await client.terminate();
  });

  it('of one session leaves another alone', async () => {
    const [one, other] = [await RawClient.open(middle.port), await RawClient.open(middle.port)];
    one.write(fe.query('select pg_sleep(20)'));
    other.write(fe.query('select pg_sleep(0.4), 7'));
    await new Promise((resolve) => setTimeout(resolve, 100));
    await cancel(middle.port, one.processId, one.secretKey);
    expect((await one.untilReady()).map((m) => m.type)).toContain('E');
    expect((await other.untilReady()).map((m) => m.type).join('')).toBe('TDCZ');
    await one.terminate();
    await other.terminate();
  });

  it('notifications reach a session that only listens, as they are sent', async () => {
    const listener = await RawClient.open(middle.port);
    const notifier = await RawClient.open(middle.port);
    await listener.query('listen news');
    for (let i = 0; i < 3; i++) {
      await notifier.query(`notify news, 'item ${i}'`);
      const message = await listener.next();
      expect(message?.type).toBe('A');
      expect(message?.body.readUInt32BE(0)).toBe(notifier.processId);
      expect(message?.body.toString('utf8', 4)).toBe(`news\0item ${i}\0`);
    }
    await listener.terminate();
    await notifier.terminate();
  });

  it.each([
    ['3.0', fe.PROTOCOL_3_0, {}],
    ['3.2', fe.PROTOCOL_3_2, {}],
    ['3.2 with an option of another world', fe.PROTOCOL_3_2, { '_pq_.other': 'x' }],
    ['3.0 with an option of another world', fe.PROTOCOL_3_0, { '_pq_.other': 'x' }],
    ['3.9', 0x0003_0009, {}],
    ['3.0 with settings', fe.PROTOCOL_3_0, { options: '-c geqo=off --work_mem=8MB', DateStyle: 'German' }],
    ['3.0 with a wrong setting', fe.PROTOCOL_3_0, { DateStyle: 'nonsense' }],
    ['3.0 to a database that is not there', fe.PROTOCOL_3_0, { database: 'nowhere' }],
    ['3.0 as a role that is not there', fe.PROTOCOL_3_0, { user: 'nobody at all' }],
  ])('protocol %s starts a session in the same words', async (_, protocol, parameters) => {
    const run = async (port: number): Promise<string> => {
      const client = await RawClient.connect(port);
      client.write(fe.startup({ user: 'postgres', database: 'postgres', ...parameters }, protocol));
      const messages = await client.untilReady();
      let after = '';
      if (messages.at(-1)?.type === 'Z') {
        const rows = await client.query("select current_setting('work_mem'), current_setting('geqo')");
        after = JSON.stringify(rows.filter((m) => m.type === 'D').map(columnsOf));
        await client.terminate();
      }
      client.destroy();
      const seen = messages.map((m) =>
        m.type === 'K' ? { type: 'K', body: Buffer.alloc(m.body.length) } : m,
      );
      return `${describeAll(seen)}\n${after}`;
    };
    expect(await run(middle.port)).toBe(await run(postgres.port));
  });
});
