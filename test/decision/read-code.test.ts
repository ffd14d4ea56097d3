import { beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { FlightProxy } from '../support/flight-proxy.ts';
import * as fe from '../support/frontend-messages.ts';
import { startGateway } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import { errorsOf, RawClient } from '../support/raw-client.ts';
import type { DecisionFixture } from './fixture.ts';
import { ownDatabases } from './own-databases.ts';
import { BASE, LITERALS, PASSES, TEXTS, WAYS } from './read-code-examples.ts';

/** What may change something by what it leads to, and has no snapshot, is refused here, where a user's would be held. */
const POLICY = `
mode: protect
without_plan: block
rules: [{ name: what makes it, match: { role: [postgres], application: [maker] }, action: allow }]
`;

const REFUSED = 'it may change tables';

describe.each([18, 15] as const)('code that a read runs without a word, on PostgreSQL %i', (version) => {
  const own = ownDatabases(POLICY, version, BASE);
  const { sql, left, database } = own;
  let fixture: DecisionFixture;
  beforeAll(() => {
    ({ fixture } = own);
  });

  const why = (messages: Awaited<ReturnType<RawClient['query']>>) =>
    errorsOf(messages).map(({ D, M }) => D ?? M ?? '');

  it.each(WAYS)('is refused where %s', async (_, setup, text) => {
    const name = await database(setup);
    const client = await fixture.client({ database: name });
    const [last, ...before] = text.split('; ').toReversed();
    for (const each of before) await client.query(each);
    expect(why(await client.query(last!))).toEqual([expect.stringContaining(REFUSED)]);
    client.write(fe.parse('', last!), fe.bind(), fe.execute(), fe.sync());
    expect(why(await client.untilReady())).toEqual([expect.stringContaining(REFUSED)]);
    await client.terminate();
    expect(await left(name)).toBe(10);
    // Without the gateway it would have.
    await fixture.postgres.sql(text, name).catch(() => {});
    expect(await left(name)).toBe(0);
  });

  it.each(LITERALS)('is refused where a literal is read as %s', async (_, setup, text) => {
    const name = await database(`create domain odd as int check (app.wipe() = 1); ${setup}`);
    const client = await fixture.client({ database: name });
    expect(why(await client.query(text))).toEqual([expect.stringContaining(REFUSED)]);
    await client.terminate();
    expect(await left(name)).toBe(10);
    await fixture.postgres.sql(text, name);
    expect(await left(name)).toBe(0);
  });

  it('is refused where a view calls what is dangerous of PostgreSQL', async () => {
    const name = await database('select lo_create(4711); create view v as select lo_unlink(4711)');
    const client = await fixture.client({ database: name });
    expect(why(await client.query('select * from v'))).toEqual([expect.stringContaining(REFUSED)]);
    await client.terminate();
  });

  describe('and what only reads', () => {
    let client: RawClient;
    let name: string;
    beforeAll(async () => {
      name = await database('');
    });
    beforeEach(async () => {
      client = await fixture.client({ database: name });
      return () => client.terminate();
    });

    it.each(version === 18 ? PASSES : PASSES.slice(0, 6))('passes: %s', async (text) => {
      expect(why(await client.query(text))).toEqual([]);
      if (text.includes(';')) return;
      client.write(fe.parse('', text), fe.bind(), fe.execute(), fe.sync());
      expect(why(await client.untilReady())).toEqual([]);
    });
  });

  describe('however it comes', () => {
    let client: RawClient;
    let name: string;
    const READS = 'select p.purge from people p';
    beforeAll(async () => {
      name = await database(`
        create function purge(p people) returns int language sql as 'select app.wipe()';
        create view v as select app.wipe() as w;
        create view app.w as select w from v;
        create function early() returns int immutable language plpgsql as $$ begin return app.wipe(); end $$;
        create view planned as select early() as w`);
    });
    beforeEach(async () => {
      client = await fixture.client({ database: name });
      return () => client.terminate();
    });
    const passes = async (text: string) => expect(why(await client.query(text))).toEqual([]);

    it.each(version === 18 ? TEXTS : TEXTS.slice(0, 4))('is refused: %s', async (text) => {
      expect(why(await client.query(text))).toEqual([expect.any(String)]);
      expect(await left(name)).toBe(10);
      // Without the gateway it would have deleted them.
      const direct = await RawClient.open(fixture.postgres.port, { database: name });
      onTestFinished(() => direct.destroy());
      await direct.query('begin');
      expect(why(await direct.query(text))).toEqual([]);
      expect(await direct.rows('select from precious where id <= 10')).toEqual([]);
      await direct.query('rollback');
    });

    it('is refused in a cursor, a prepared statement, a pipeline and a transaction', async () => {
      await passes('begin');
      expect(why(await client.query(`declare c cursor for ${READS}`))).toEqual([expect.any(String)]);
      await passes('rollback');
      await passes(`prepare s as ${READS}`);
      expect(why(await client.query('execute s'))).toEqual([expect.stringContaining(REFUSED)]);
      client.write(fe.parse('', 'select 1'), fe.bind(), fe.execute());
      client.write(fe.parse('', READS), fe.bind(), fe.execute(), fe.sync());
      expect(why(await client.untilReady())).toEqual([expect.stringContaining(REFUSED)]);
      await passes('begin isolation level repeatable read');
      expect(why(await client.query(READS))).toEqual([expect.any(String)]);
      await passes('rollback');
      expect(await left(name)).toBe(10);
    });

    it('is refused where another session has made it since, or has replaced what was harmless', async () => {
      const maker = await fixture.client({ database: name, application_name: 'maker' });
      const made = async (text: string) => expect(why(await maker.query(text))).toEqual([]);
      const refused = async (text: string) =>
        expect(why(await client.query(text))).toEqual([expect.any(String)]);
      await made('create view fresh as select 1 as w');
      await made('create function fine() returns int language sql as $$ select 1 $$');
      await made('create view finely as select fine()');
      await passes('select * from fresh');
      await passes('select * from finely');
      await passes('begin isolation level repeatable read');
      await passes('select * from people');
      await made('create view latest as select app.wipe() as w');
      await made('create or replace view fresh as select app.wipe() as w');
      await refused('select * from latest');
      await passes('rollback');
      await refused('select * from latest');
      await refused('select * from fresh');
      client.write(fe.parse('s', 'select * from finely'), fe.query('begin'));
      await client.untilReady();
      client.write(fe.bind({ portal: 'p', statement: 's' }), fe.sync());
      expect(why(await client.untilReady())).toEqual([]);
      await made('create or replace function fine() returns int language sql as $$ select app.wipe() $$');
      client.write(fe.execute('p'), fe.sync());
      expect(why(await client.untilReady())).toEqual([expect.any(String)]);
      await passes('rollback');
      await passes('begin');
      await passes('create view own as select 1');
      await passes('select * from own');
      await passes('rollback');
      await maker.terminate();
      expect(await left(name)).toBe(10);
    });

    it('passes in a transaction that reads by an old snapshot, as a dump does, by what that shows', async () => {
      await sql(
        `create function app.mine(t text) returns bool language sql stable as $$ select t = 'a' $$;
         create table mine (t text); alter table mine enable row level security;
         create policy p on mine using (app.mine(t)); insert into mine values ('a')`,
        name,
      );
      const begins = 'begin isolation level repeatable read';
      await fixture.postgres.sql('select 1', name);
      const maker = await fixture.client({ database: name, application_name: 'maker' });
      // Nothing that was learnt before counts.
      const forget = async () => await maker.query('create or replace view forgotten as select 1');
      await passes(`${begins}, read only`);
      await passes('select 1 from pg_class limit 1');
      await forget();
      await passes('copy mine to stdout');
      expect(why(await client.query('commit; copy mine to stdout'))).toEqual([expect.any(String)]);
      await passes('rollback');
      await passes(begins);
      await passes('select 1 from pg_class limit 1');
      await forget();
      await passes('copy mine to stdout');
      await passes('rollback');
      await maker.terminate();
    });

    it('is told by the server where its transaction has failed', async () => {
      await passes('begin');
      await client.query('select 1 / 0');
      expect(errorsOf(await client.query(READS)).map(({ C }) => C)).toEqual(['25P02']);
      await passes('rollback');
    });
  });
});

describe('a plain read', () => {
  const READS = [
    'select * from people',
    'select p.id, lower(p.name) from people p where p.id = 1',
    'table plain',
  ];

  it('costs no round trip of its own but one a minute, and none where policy asks nothing', async () => {
    const postgres = await startPostgres();
    await postgres.sql(BASE);
    const proxy = await FlightProxy.start(postgres.port);
    let made = 0;
    const cost = async (client: RawClient, text: string): Promise<number> => {
      proxy.reset();
      expect(errorsOf(await client.query(text))).toEqual([]);
      return proxy.flights;
    };
    try {
      for (const [policy, taken] of [
        [POLICY, 'on'],
        [POLICY, 'off'],
        ['mode: monitor', 'on'],
        ['mode: protect\ndefaults: { high: block }', 'off'],
      ] as const) {
        const environment = { HOLDFAST_SNAPSHOTS_TAKEN: taken };
        const gateway = await startGateway({ upstreamPort: proxy.port, policy, environment });
        try {
          const client = await RawClient.open(gateway.port);
          for (const text of ['select 1', 'select version()', 'select count(*) from pg_class'])
            expect(await cost(client, text)).toBe(1);
          const first = [];
          for (const text of READS) first.push(await cost(client, text));
          const asks = taken === 'on' ? policy === POLICY : policy !== POLICY;
          // Of the second nothing is asked, and of a view once what it is.
          expect(first).toEqual(asks ? [2, 1, 2] : [1, 1, 1]);
          for (const text of READS) expect(await cost(client, text)).toBe(1);
          await client.terminate();
          const other = await RawClient.open(gateway.port);
          for (const text of READS) expect(await cost(other, text)).toBe(1);
          await other.terminate();
          for (const level of ['repeatable read', 'serializable']) {
            // What was learnt before counts no more.
            const maker = await RawClient.open(gateway.port);
            await cost(maker, `create view fresh${made++} as select 1`);
            await maker.terminate();
            const one = await RawClient.open(gateway.port);
            await one.query(`begin isolation level ${level}`);
            expect(await cost(one, READS[0]!)).toBe(asks ? 4 : 1);
            for (const text of READS) expect(await cost(one, text)).toBe(1);
            await one.terminate();
          }
        } finally {
          await gateway.stop();
        }
      }
    } finally {
      await proxy.stop();
      await postgres.stop();
    }
  });
});
