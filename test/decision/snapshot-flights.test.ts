import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { FlightProxy } from '../support/flight-proxy.ts';
import * as fe from '../support/frontend-messages.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { type BackendMessage, errorsOf, RawClient } from '../support/raw-client.ts';

const POLICY = `
mode: protect
rules:
  - { name: what changes, match: { operation: [update, delete] }, action: snapshot }
  - { name: the rest, action: allow }
`;

/** What a captured statement costs in round trips, which neither the machine nor its load changes. */
describe('a captured statement that changes one row of a table with a key', () => {
  let postgres: TestPostgres;
  let proxy: FlightProxy;
  let gateway: TestGateway;
  let client: RawClient;

  beforeAll(async () => {
    postgres = await startPostgres();
    await postgres.sql('create table kept (id int primary key, note text)');
    await postgres.sql(`insert into kept select i, 'row ' || i from generate_series(1, 100) i`);
    proxy = await FlightProxy.start(postgres.port);
    const environment = { HOLDFAST_SNAPSHOTS_TAKEN: 'on' };
    gateway = await startGateway({ upstreamPort: proxy.port, policy: POLICY, environment });
    client = await RawClient.open(gateway.port);
    const prepared = [fe.parse('one', 'update kept set note = $1 where id = $2'), fe.sync()];
    expect(errorsOf(await sent(...prepared))).toEqual([]);
    // The first of a kind asks the catalog for more, and the second whose process it has come to.
    for (const id of [1, 1]) await client.rows(`update kept set note = 'first' where id = ${id}`);
  });
  afterAll(async () => {
    await client?.terminate();
    await gateway?.stop();
    await proxy?.stop();
    await postgres?.stop();
  });
  afterEach(async () => {
    await client.query('rollback');
  });

  async function sent(...messages: Buffer[]): Promise<BackendMessage[]> {
    client.write(Buffer.concat(messages));
    return await client.untilReady();
  }

  async function costOf(run: () => Promise<BackendMessage[]>) {
    proxy.reset();
    const messages = await run();
    expect(errorsOf(messages)).toEqual([]);
    return { flights: proxy.flights, parses: proxy.parses };
  }

  const bound = (id: string) => [
    fe.bind({ statement: 'one', parameters: ['new', id] }),
    fe.describe('P'),
    fe.execute(),
    fe.sync(),
  ];

  it('takes one round trip more than the statement alone, in which it is committed', async () => {
    const cost = await costOf(() => client.query(`update kept set note = 'new' where id = 2`));
    // BEGIN, the statement, the catalog with counts, the row, counts; COMMIT.
    expect(cost).toEqual({ flights: 2, parses: 6 });
    // The question to the catalog is kept by the server, as long as no Query is sent.
    const next = await costOf(() => client.query('delete from kept where 22 = id'));
    expect(next).toEqual({ flights: 2, parses: 5 });
    await client.query('select 1');
    const behind = await costOf(() => client.query('delete from kept where 23 = id'));
    expect(behind).toEqual({ flights: 2, parses: 6 });
  });

  it('takes two round trips more where more than one row may change', async () => {
    const cost = await costOf(() => client.query(`update kept set note = 'new' where id in (20, 21)`));
    // BEGIN, the statement read, the catalog, counts, the rows; counts, the new rows; COMMIT.
    expect(cost).toEqual({ flights: 3, parses: 8 });
  });

  it('takes one round trip more in a transaction of the client', async () => {
    await client.query('begin');
    const cost = await costOf(() => client.query('delete from kept where id = 3'));
    // SAVEPOINT, the statement read, the catalog with counts, RELEASE, the row; counts.
    expect(cost).toEqual({ flights: 2, parses: 6 });
    expect((await costOf(() => client.query(`update kept set note = 'x' where id = 4`))).flights).toBe(2);
  });

  it('takes two round trips more in a transaction of the client where more than one row may change', async () => {
    await client.query('begin');
    const cost = await costOf(() => client.query('delete from kept where id in (30, 31)'));
    // The statement read, the catalog; counts, the rows; counts.
    expect(cost).toEqual({ flights: 3, parses: 5 });
  });

  it('takes one round trip more where it is prepared', async () => {
    await sent(...bound('4'));
    const cost = await costOf(() => sent(...bound('5')));
    // What locks the table, the catalog with counts, the row, the new row, counts; the client's Sync.
    expect(cost).toEqual({ flights: 2, parses: 5 });
    expect(await costOf(() => sent(...bound('5')))).toEqual({ flights: 2, parses: 4 });
  });

  it('takes two round trips more where it is prepared and finds its row by more than a key', async () => {
    const more = (id: string) => [
      fe.bind({ statement: 'more', parameters: ['new', id] }),
      fe.execute(),
      fe.sync(),
    ];
    await sent(fe.parse('more', `update kept set note = $1 where id = $2 and note <> ''`), fe.sync());
    await sent(...more('40'));
    // What locks the table, the catalog, counts, the row; counts, the new row; the client's Sync.
    expect(await costOf(() => sent(...more('41')))).toEqual({ flights: 3, parses: 6 });
  });

  it('takes one round trip more where it is prepared in a transaction of the client', async () => {
    await sent(...bound('6'));
    await client.query('begin');
    const cost = await costOf(() => sent(...bound('7')));
    // SAVEPOINT, what locks the table, the catalog with counts, RELEASE, the row; counts, the new row.
    expect(cost).toEqual({ flights: 2, parses: 7 });
    expect(await costOf(() => sent(...bound('7')))).toEqual({ flights: 2, parses: 6 });
  });

  it('takes one round trip more where it comes with its text', async () => {
    const unnamed = (id: string) => [
      fe.parse('', 'update kept set note = $1 where id = $2'),
      fe.bind({ parameters: ['new', id] }),
      fe.describe('P'),
      fe.execute(),
      fe.sync(),
    ];
    await sent(...unnamed('8'));
    // The unnamed statement is the client's own by now.
    for (const id of ['9', '11'])
      expect(await costOf(() => sent(...unnamed(id)))).toEqual({ flights: 2, parses: 6 });
    await client.query('begin');
    expect((await costOf(() => sent(...unnamed('10')))).flights).toBe(2);
  });
});
