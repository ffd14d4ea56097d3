import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../../support/frontend-messages.ts';
import { startGateway, type TestGateway } from '../../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../../support/postgres.ts';
import { errorsOf, RawClient } from '../../support/raw-client.ts';
import { StepProxy } from '../../support/step-proxy.ts';

const SETUP = `
create table accounts (id int primary key, balance int, filler char(84));
create table tellers (id int primary key, balance int);
create table history (id int, delta int, at timestamp);
create function touch() returns trigger language plpgsql as $$ begin new.at = now(); return new; end $$;
create trigger t before insert on history for each row execute function touch();
insert into accounts values (1, 0); insert into tellers values (1, 0);
`;
/** As pgbench's own script has them. */
const TRANSACTION = [
  'begin',
  'update accounts set balance = balance + 1 where id = 1',
  'select balance from accounts where id = 1',
  'update tellers set balance = balance + 1 where id = 1',
  'insert into history (id, delta, at) values (1, 1, current_timestamp)',
  'end',
];

describe.each([15, 18] as const)('what code runs as tables are written, on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let proxy: StepProxy;
  let gateway: TestGateway;
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql(SETUP);
    proxy = await StepProxy.start(postgres.port);
    gateway = await startGateway({
      upstreamPort: proxy.port,
      policy: 'mode: protect\ndefaults: { high: allow }\n',
    });
  });
  afterAll(async () => {
    await gateway?.stop();
    await proxy?.stop();
    await postgres?.stop();
  });

  const simple = async (client: RawClient) => {
    for (const sql of TRANSACTION) expect(errorsOf(await client.query(sql))).toEqual([]);
  };
  const prepared = async (client: RawClient) => {
    for (let i = 0; i < TRANSACTION.length; i++) {
      client.write(fe.bind({ statement: `s${i}` }), fe.execute(), fe.sync());
      expect(errorsOf(await client.untilReady())).toEqual([]);
    }
  };

  /** How many queries of its own the gateway sends. */
  async function asked(act: () => Promise<void>): Promise<number> {
    void proxy.stopAt({ from: 'client', type: 'P', nth: Number.MAX_SAFE_INTEGER });
    await act();
    return proxy.seen;
  }

  it('is asked once for a table, and in no transaction behind', async () => {
    const client = await RawClient.open(gateway.port);
    expect(await asked(() => simple(client))).toBeGreaterThan(0);
    expect(await asked(() => simple(client))).toBe(0);
    await client.terminate();
  });

  it('is known to other sessions, which ask an older server for their search_path alone', async () => {
    const client = await RawClient.open(gateway.port);
    expect(await asked(() => simple(client))).toBeLessThanOrEqual(version === 15 ? 1 : 0);
    client.write(...TRANSACTION.map((sql, i) => fe.parse(`s${i}`, sql)), fe.sync());
    await client.untilReady();
    expect(await asked(() => prepared(client))).toBe(0);
    await client.terminate();
  });

  it('is known behind the DISCARD ALL of a pool, and asked again behind tables of the session itself', async () => {
    const client = await RawClient.open(gateway.port);
    await simple(client);
    const others = version === 15 ? 1 : 0;
    for (const sql of ['discard all', 'set work_mem = 1000', 'reset all']) {
      await client.query(sql);
      expect(await asked(() => simple(client)), sql).toBeLessThanOrEqual(others);
    }
    await client.query('create temp table accounts as select * from public.accounts');
    expect(await asked(() => simple(client))).toBeGreaterThan(others);
    expect(await asked(() => simple(client))).toBe(0);
    await client.terminate();
  });
});
