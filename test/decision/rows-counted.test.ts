import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { eventually } from '../support/process-facts.ts';
import { type BackendMessage, cancel, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

const POLICY = `
mode: protect
hold: { mode: ticket }
rules:
  - { name: far too many, match: { application: [plain, kept, best], table: [few, parted, seen, own_rows], rows: ">6" }, action: block }
  - { name: many, match: { application: [plain, kept, best], table: [few, parted, seen, own_rows], rows: ">3" }, action: hold, snapshot: off }
  - { name: none at all, match: { application: [plain], table: [own_rows], operation: [update], rows: "=0" }, action: block }
  - { name: few are kept, match: { application: [kept] }, action: snapshot }
  - { name: few are kept if they can be, match: { application: [best] }, action: snapshot, snapshot: best_effort }
  - { name: few may be changed, match: { application: [small], role: [postgres], table: [few], rows: "<=2" }, action: allow }
  - { name: others are kept, match: { application: [small] }, action: hold, snapshot: off }
  - { name: the rest, action: allow }
`;

const TABLES = `
drop view if exists seen; drop table if exists few, parted, own_rows cascade;
create table few (id int primary key, k int); insert into few select g, g from generate_series(1, 10) g;
create table parted (id int, k int) partition by list (k); create table parted_1 partition of parted for values in (1);
create table parted_2 partition of parted for values in (2); insert into parted select g, 1 + g % 2 from generate_series(1, 10) g;
create view seen as select id, k from few where k > 1;
create table own_rows (id int primary key, k int); insert into own_rows select g, g from generate_series(1, 10) g;
`;

/** What waits for a lock takes its snapshot behind it, and so sees what has been committed meanwhile. */
describe.each([15, 18] as const)('rows that policy compares, on PostgreSQL %i,', (version) => {
  let fixture: DecisionFixture;
  let other: RawClient;
  let client: RawClient;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(POLICY, { HOLDFAST_SNAPSHOTS_TAKEN: 'on' }, version);
    other = await RawClient.open(fixture.postgres.port);
  });
  afterAll(async () => {
    other?.destroy();
    await fixture?.stop();
  });
  beforeEach(async () => {
    await fixture.postgres.sql(TABLES);
  });
  afterEach(async () => {
    await other.query('rollback');
    await client?.terminate().catch(() => {});
  });

  const rowsOf = async (table: string) =>
    Number((await fixture.postgres.sql(`select count(*) from ${table}`))[0]![0]);
  const extended = (text: string, options: fe.BindOptions = {}) => [
    fe.parse('', text),
    fe.bind(options),
    fe.execute(),
    fe.sync(),
  ];
  const query = (text: string) => [fe.query(text)];
  const codesOf = (messages: readonly BackendMessage[]) => errorsOf(messages).map((error) => error['C']);
  const open = async (application_name: string) => {
    client = await fixture.client({ application_name });
  };
  const run = async (...messages: Buffer[]) => {
    client.write(...messages);
    return await client.untilReady();
  };
  const lastEvent = async (sql: string) =>
    (await fixture.auditEvents((event) => event['sql'] === sql, 1)).at(-1)!;

  it.each([
    ['few by a Query', query, 'delete from few where id = 1', [], { least: 1, most: 1 }, 'the rest'],
    ['few by an Execute', extended, 'delete from few where id = 1 ', [], { least: 1, most: 1 }, 'the rest'],
    ['as many as the limit', query, 'delete from few where k <= 3', [], { least: 3, most: 3 }, 'the rest'],
    ['one more', query, 'delete from few where k <= 4', ['HF001'], { least: 4, most: 4 }, 'many'],
    [
      'one more by an Execute',
      extended,
      'delete from few where k <= 4 ',
      ['HF001'],
      { least: 4, most: 4 },
      'many',
    ],
    ['too many', query, 'delete from few where k <= 7', ['42501'], { least: 7, most: null }, 'far too many'],
    [
      "by the client's own setting",
      query,
      "delete from few where k = coalesce(current_setting('my.k', true), '1')::int",
      [],
      { least: 1, most: 1 },
      'the rest',
    ],
    ['all', query, 'delete from few', ['42501'], { least: 7, most: null }, 'far too many'],
    ['a TRUNCATE', query, 'truncate few', ['42501'], { least: 7, most: null }, 'far too many'],
    [
      'a partitioned table',
      query,
      'update parted set id = 0 where id in (1, 2)',
      [],
      { least: 2, most: 2 },
      'the rest',
    ],
    ['a view', query, 'update seen set k = 5 where id in (1, 2)', [], { least: 1, most: 1 }, 'the rest'],
    [
      'a join',
      query,
      'update few set k = 0 from parted p where p.id = few.k and p.k = 2 and few.id < 6',
      [],
      { least: 3, most: 3 },
      'the rest',
    ],
    [
      'a CTE that reads',
      query,
      'with x as (select 1 as i) delete from few using x where few.id = x.i',
      [],
      { least: 1, most: 1 },
      'the rest',
    ],
    [
      'a MERGE',
      query,
      'merge into few using (values (1), (2)) s (i) on few.id = s.i when matched and i = 1 then delete when matched then update set k = 0',
      [],
      { least: 2, most: 2 },
      'the rest',
    ],
    [
      'an INSERT of a query',
      query,
      'insert into few select g, g from generate_series(20, 22) g',
      [],
      { least: 3, most: 3 },
      'the rest',
    ],
    [
      'an INSERT of more',
      extended,
      'insert into few select g, g from generate_series(20, 23) g',
      ['HF001'],
      { least: 4, most: 4 },
      'many',
    ],
    [
      'an INSERT of those that are not there',
      query,
      'insert into few select g, g from generate_series(9, 11) g on conflict do nothing',
      [],
      { least: 0, most: 3 },
      'the rest',
    ],
    [
      'an INSERT that changes those that are there',
      query,
      'insert into few select g, g from generate_series(9, 11) g on conflict (id) do update set k = 0',
      [],
      { least: 0, most: 3 },
      'the rest',
    ],
    [
      'an INSERT with a CTE',
      query,
      'with x as (select 50 as i) insert into few (id) select i from x returning id',
      [],
      { least: 1, most: 1 },
      'the rest',
    ],
    [
      'an INSERT that reads its own table',
      query,
      'insert into few (id) table few',
      ['42501'],
      { least: 7, most: null },
      'far too many',
    ],
    [
      'none',
      query,
      'update own_rows set k = 0 where id = -1',
      ['42501'],
      { least: 0, most: 0 },
      'none at all',
    ],
  ] as const)('are counted: %s', async (_, messages, text, codes, rows_counted, rule) => {
    await open('plain');
    const answer = await run(...messages(text));
    expect(codesOf(answer)).toEqual(codes);
    expect(statusOf(answer)).toBe('I');
    expect(await lastEvent(text)).toMatchObject({ rows_counted, rule });
  });

  it('are counted with what is bound, in text and in binary', async () => {
    await open('plain');
    const text = 'delete from few where k <= $1';
    await run(fe.parse('s', text, [23]), fe.sync());
    const bound = (value: number, binary: boolean) => [
      fe.bind({
        statement: 's',
        parameters: [binary ? fe.int32(value) : String(value)],
        parameterFormats: [binary ? 1 : 0],
      }),
      fe.execute(),
      fe.sync(),
    ];
    expect(codesOf(await run(...bound(4, false)))).toEqual(['HF001']);
    expect(codesOf(await run(...bound(7, true)))).toEqual(['42501']);
    expect(codesOf(await run(...bound(2, true)))).toEqual([]);
    expect(codesOf(await run(...bound(4, false)))).toEqual([]);
    expect(await rowsOf('few')).toBe(6);
  });

  it('are counted in a transaction of the client, with what it has changed before', async () => {
    await open('plain');
    expect(codesOf(await run(fe.query('begin')))).toEqual([]);
    expect(codesOf(await client.query('delete from few where id <= 3'))).toEqual([]);
    expect(codesOf(await run(...extended('delete from few where id <= 6')))).toEqual([]);
    const answer = await client.query('delete from few where id <= 10');
    expect(codesOf(answer)).toEqual(['HF001']);
    expect(statusOf(answer)).toBe('E');
    await client.query('rollback');
    expect(await rowsOf('few')).toBe(10);
  });

  it.each([
    ['in a text of several', 'delete from few where id = 1; select 1'],
    ['with a function that answers differently each time', 'delete from few where id = 1 and random() >= 0'],
    [
      'that other clauses write as well',
      'with x as (delete from parted where id = 1) delete from few where id = 1',
    ],
    [
      'of an INSERT whose values only the server knows',
      'with x as (select 1) insert into few values (50, default)',
    ],
    [
      'by what is set for the count alone',
      "delete from few where id = 1 or current_setting('transaction_read_only') = 'off'",
    ],
    [
      'of rows that others have locked, which only who writes may skip',
      'update few set k = 0 where id in (select id from few where id = 1 for update skip locked)',
    ],
    ['of an INSERT of what a function gives each time anew', 'insert into few select random()::int + 50, 1'],
    [
      'of an INSERT of what another clause deletes',
      'with x as (delete from parted returning id) insert into few select id, 1 from x',
    ],
    [
      'of an INSERT of what one row gives several of',
      'insert into few values (generate_series(100, 1100), 1)',
    ],
    ['behind row security', 'delete from own_rows where id = 1'],
    ['of EXPLAIN ANALYZE', 'explain analyze delete from few where id = 1'],
    [
      'that a MERGE inserts',
      'merge into few using (values (1)) s (i) on few.id = s.i when not matched then insert values (i, 0)',
    ],
  ])('might be any number where they cannot be counted: %s', async (_, text) => {
    await fixture.postgres
      .sql(
        'create role guest login; grant all on own_rows, few, parted to guest; alter table own_rows enable row level security; create policy p on own_rows using (true)',
      )
      .catch(() => {});
    await fixture.postgres.sql(
      'grant all on own_rows, few, parted to guest; alter table own_rows enable row level security; drop policy if exists p on own_rows; create policy p on own_rows using (true)',
    );
    client = await fixture.client({ application_name: 'plain', user: 'guest' });
    expect(codesOf(await client.query(text))).toEqual(['42501']);
  });

  it.each([
    ['by a function', `current_setting('statement_timeout') = '0'`],
    ['by a function of one', `pg_client_encoding() = 'UTF8'`],
    ['by a table of them', `(select setting from pg_settings where name = 'statement_timeout') = '0'`],
  ])('might be any number where a view asks for what is set for the count, %s', async (_, condition) => {
    await fixture.postgres.sql(
      `create or replace view seen as select id, k from few where k > 1 and ${condition}`,
    );
    await open('plain');
    const own = `coalesce(current_setting('my.k', true), '1') = '1'`;
    expect(codesOf(await client.query(`update seen set k = 5 where id = 2 and ${own}`))).toEqual(['42501']);
    const read = `update few set k = 5 where id = 2 and ${own} and ${condition}`;
    expect(codesOf(await client.query(read))).toEqual(['42501']);
  });

  it('are counted where a view asks for a setting of the client, as the text does', async () => {
    await fixture.postgres.sql(
      `create or replace view seen as select id, k from few where k > coalesce(current_setting('my.least', true), '1')::int`,
    );
    await open('plain');
    const own = `coalesce(current_setting('my.k', true), '1') = '1'`;
    expect(codesOf(await client.query(`update seen set k = 5 where id = 2 and ${own}`))).toEqual([]);
  });

  it('need not be counted to be refused, in a transaction that has failed', async () => {
    await open('plain');
    await client.query('begin');
    await client.query('select 1 / 0');
    expect(codesOf(await client.query('delete from few where id = 1'))).toEqual(['42501']);
  });

  it('are counted for each of many Binds that no Sync parts, where a transaction is open', async () => {
    await open('plain');
    const text = 'delete from few where k <= $1 returning id';
    const each = (rows: number) => [fe.bind({ statement: 's', parameters: [String(rows)] }), fe.execute()];
    await run(fe.parse('s', text, [23]), fe.sync());
    const began = [fe.parse('', 'begin'), fe.bind(), fe.execute()];
    const answer = await run(...began, ...each(1), ...each(3), ...each(4), fe.sync());
    expect(codesOf(answer)).toEqual([]);
    expect(answer.map(({ type }) => type).join('')).toBe('12C2DC2DDC2DCZ');
    expect(statusOf(answer)).toBe('T');
    expect(codesOf(await run(...each(5), ...each(10), fe.sync()))).toEqual(['HF001']);
    expect(statusOf(await client.query('rollback'))).toBe('I');
    expect(await rowsOf('few')).toBe(10);
    // Outside of one a Sync of ours would commit what has run.
    expect(codesOf(await run(...each(1), ...each(2), fe.sync()))).toEqual(['42501']);
    expect(await rowsOf('few')).toBe(10);
    // Nor is one open behind a COMMIT, which has ended it.
    await client.query('begin');
    const commit = [fe.parse('', 'commit'), fe.bind(), fe.execute()];
    expect(codesOf(await run(...each(1), ...commit, ...each(2), ...each(3), fe.sync()))).toEqual(['42501']);
    expect(await rowsOf('few')).toBe(9);
  });

  it.each([
    ['LATIN1', ''],
    ['LATIN1', 'begin'],
    ['SJIS', ''],
    ['EUC_KR', 'begin'],
  ])('are counted for who writes %s, where that is ASCII, behind %j', async (encoding, begin) => {
    // What is held is looked at in the encoding of the client, which has to have its names.
    if (encoding === 'LATIN1')
      await fixture.postgres.sql(`alter table few add column "größe" text default 'ü'`);
    await open('plain');
    await client.query(`set client_encoding = '${encoding}'`);
    const sent = async (...messages: Buffer[]) => {
      if (begin !== '') await client.query(begin);
      const answer = await run(...messages);
      if (begin !== '') await client.query('commit');
      // It hears nothing of what is asked.
      expect(answer.filter(({ type }) => type === 'S')).toEqual([]);
      return codesOf(answer);
    };
    expect(await sent(fe.query('delete from few where id = 1'))).toEqual([]);
    expect(await sent(fe.query('delete from few where k < 6'))).toEqual(['HF001']);
    const by = (parameter: Buffer | string, column: string) =>
      extended(`delete from few where ${column} <= $1`, { parameters: [parameter] });
    expect(await sent(...by('3', 'k'))).toEqual([]);
    expect(await sent(...by('7', 'k'))).toEqual(['HF001']);
    // What it is in UTF-8 is not asked for.
    expect(await sent(...by(Buffer.from([0xb0, 0xa1]), 'k::text'))).toEqual(['42501']);
    expect(await client.rows('show client_encoding')).toEqual([[encoding]]);
    expect(await rowsOf('few')).toBe(7);
  });

  /** Its count waits for another session, until `then` is done. */
  const waiting = async (...messages: readonly Buffer[]) => {
    await other.query('begin');
    await other.query('lock table few in access exclusive mode');
    client.write(...messages);
    await eventually('the count', async () => {
      const [row] = await fixture.postgres.sql('select count(*) from pg_locks where not granted');
      return row![0] === '1' ? null : 'waits for nothing';
    });
  };

  it.each([
    ['alone', ''],
    ['in a transaction', 'begin'],
  ])('are not counted to the end for who cancels, whose statement does not run: %s', async (_, begin) => {
    await open('plain');
    await client.query(begin);
    await waiting(fe.query('delete from few where id = 1'));
    await cancel(fixture.gateway.port, client.processId, client.secretKey);
    const answer = await client.untilReady();
    expect(codesOf(answer)).toEqual(['57014']);
    expect(statusOf(answer)).toBe(begin === '' ? 'I' : 'E');
    await other.query('rollback');
    await client.query('rollback');
    expect(await lastEvent('delete from few where id = 1')).toMatchObject({
      action: 'allow',
      sqlstate: '57014',
      rows_counted: { unknown: expect.stringContaining('ended') },
    });
    expect(codesOf(await client.query('delete from few where id = 2'))).toEqual([]);
    expect(await rowsOf('few')).toBe(9);
  });

  it.each([
    ['lock_timeout', '55P03', ''],
    ['lock_timeout', '55P03', 'begin'],
    ['statement_timeout', '57014', ''],
  ])("are not counted beyond the client's own %s, which ends with %s: %s", async (name, code, begin) => {
    await open('plain');
    await client.query(`set ${name} = '100ms'`);
    await client.query(begin);
    await other.query('begin');
    await other.query('lock table few in access exclusive mode');
    const text = `delete from few where id = 1 /* ${name} ${begin} */`;
    expect(codesOf(await client.query(text))).toEqual([code]);
    await other.query('rollback');
    expect(await lastEvent(text)).toMatchObject({ action: 'allow', sqlstate: code });
    await client.query('rollback');
    expect(codesOf(await client.query('delete from few where id = 1'))).toEqual([]);
  });

  it('are not what ends a statement whose backend is ended while it counts', async () => {
    await open('plain');
    await waiting(fe.query('delete from few where id = 9'));
    await fixture.postgres.sql(
      'select pg_terminate_backend(pid) from pg_stat_activity where pid in (select pid from pg_locks where not granted)',
    );
    const event = await lastEvent('delete from few where id = 9');
    expect(event['rule']).not.toBe('far too many');
    await other.query('rollback');
    expect(await rowsOf('few')).toBe(10);
  });

  it('are counted for who sends no more, and not for who is gone', async () => {
    await open('plain');
    await waiting(fe.query('delete from few where id = 1'));
    client.halfClose();
    await other.query('rollback');
    expect((await client.untilReady()).map(({ type }) => type).join('')).toBe('CZ');
    expect(await rowsOf('few')).toBe(9);
    await open('plain');
    await waiting(fe.query('delete from few where id = 2'));
    client.reset();
    await fixture
      .auditEvents(
        (event) => event['sql'] === 'delete from few where id = 2' && event['sqlstate'] === '57014',
        1,
      )
      .finally(async () => await other.query('rollback'));
    expect(await rowsOf('few')).toBe(9);
  });

  it('loosen what is surely few, and no more', async () => {
    await open('small');
    expect(codesOf(await client.query('delete from few where id <= 2'))).toEqual([]);
    expect(codesOf(await client.query('delete from few where id <= 5'))).toEqual(['HF001']);
    expect(codesOf(await client.query('delete from few where id = 3 and random() >= 0'))).toEqual(['HF001']);
  });

  /** Runs it while another session keeps the table, adds rows, and lets it go once it is waited for. */
  const swollen = async (table: string, run: () => void): Promise<BackendMessage[]> => {
    await other.query('begin');
    await other.query(`lock table ${table} in share row exclusive mode`);
    await other.query(`insert into ${table} select g, 1 from generate_series(100, 120) g`);
    run();
    await eventually('the lock', async () => {
      const [row] = await fixture.postgres.sql('select count(*) from pg_locks where not granted');
      return row![0] === '1' ? null : 'nobody waits for it';
    });
    await other.query('commit');
    return await client.untilReady();
  };

  const bound = () => [fe.bind({ statement: 's' }), fe.execute(), fe.sync()];

  it.each([
    ['a Query', 'plain', 'delete from few where k = 1', query],
    ['an Execute', 'plain', 'delete from few where k = 1', bound],
    ['an UPDATE', 'plain', 'update few set k = 1 where k = 1', bound],
    [
      'a MERGE',
      'plain',
      'merge into few using (values (1)) s (k) on few.k = s.k when matched then delete',
      query,
    ],
    ['a captured DELETE', 'kept', 'delete from few where k = 1', query],
    ['a captured DELETE by an Execute', 'kept', 'delete from few where k = 1', bound],
    ['a DELETE that is captured if it can be', 'best', 'delete from few where k = 1', bound],
  ] as const)('are no others when it is committed: %s', async (_, application, text, messages) => {
    await open(application);
    await run(fe.parse('s', text), fe.sync());
    const answer = await swollen('few', () => client.write(...messages(text)));
    expect(errorsOf(answer)).toMatchObject([{ C: '40001', D: expect.stringContaining('22 rows') }]);
    expect(statusOf(answer)).toBe('I');
    expect(await rowsOf('few')).toBe(31);
    expect(codesOf(await run(...messages(text)))).toEqual(['42501']);
  });

  it('are no others in a transaction of the client, which fails', async () => {
    await open('plain');
    await client.query('begin');
    const answer = await swollen('few', () => client.write(fe.query('delete from few where k = 1')));
    expect(codesOf(answer)).toEqual(['40001']);
    expect(statusOf(answer)).toBe('E');
    await client.query('commit');
    expect(await rowsOf('few')).toBe(31);
  });

  it('are those of a TRUNCATE under its lock', async () => {
    await fixture.postgres.sql('delete from few where id > 2');
    await open('plain');
    const answer = await swollen('few', () => client.write(fe.query('truncate few')));
    expect(codesOf(answer)).toEqual(['40001']);
    expect(await rowsOf('few')).toBe(23);
  });

  it.each([
    ['a Query', query, '40001'],
    ['an Execute', extended, '42501'],
  ])(
    'are those of a TRUNCATE under its lock, where its transaction may see older ones: %s',
    async (_, messages, code) => {
      await fixture.postgres.sql('delete from few where id > 2');
      await open('plain');
      await client.query("set default_transaction_isolation = 'repeatable read'");
      const answer = await swollen('few', () => client.write(...messages('truncate few')));
      expect(codesOf(answer)).toEqual([code]);
      expect(await rowsOf('few')).toBe(23);
    },
  );

  it('are those of TRUNCATE ONLY without those of what inherits from it', async () => {
    await fixture.postgres.sql('drop table if exists heir; create table heir () inherits (few)');
    await fixture.postgres.sql(
      'delete from few where id > 2; insert into heir select g, g from generate_series(50, 60) g',
    );
    await open('plain');
    expect(codesOf(await client.query('truncate few'))).toEqual(['42501']);
    expect(codesOf(await client.query('truncate only public.few'))).toEqual([]);
    expect(await rowsOf('few')).toBe(11);
  });

  it.each([
    ['FETCH runs it', [fe.query('fetch all from c')]],
    ['a function of its name runs it', [fe.query("select query_to_xml('fetch all from c', true, true, '')")]],
    ['another portal is bound', extended('select 1')],
  ])('are not got around by a portal that something else runs: %s', async (_, beside) => {
    await open('plain');
    await client.query('begin');
    const text = 'delete from few where k = 1 returning id';
    await run(fe.parse('', text), fe.bind({ portal: 'c' }), fe.sync());
    await run(...beside);
    const [code] = codesOf(await run(fe.execute('c'), fe.sync()));
    expect(['42501', '25P02']).toContain(code);
    await client.query('commit');
    expect(await rowsOf('few')).toBe(10);
  });

  it('are told where rows are fetched in parts, or it is taken back', async () => {
    await open('plain');
    const text = 'delete from few where k <= 3 returning id';
    const parts = await run(fe.parse('', text), fe.bind(), fe.execute('', 1), fe.sync());
    expect(codesOf(parts)).toEqual(['40001']);
    await open('kept');
    expect(codesOf(await run(fe.parse('', text), fe.bind(), fe.execute('', 1), fe.sync()))).toEqual([]);
    expect(await rowsOf('few')).toBe(7);
  });

  it.each([
    ['a Query', query("delete from few where k = 1 returning 'x' as gone")],
    ['an Execute', extended("delete from few where k = 1 returning 'x' as gone")],
  ])('leave no trace in what the client is answered: %s', async (_, messages) => {
    await open('plain');
    const answer = await run(...messages);
    await fixture.postgres.sql(TABLES);
    other.write(...messages);
    expect(answer).toEqual(await other.untilReady());
  });
});
