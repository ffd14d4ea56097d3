import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { SNAPSHOTS, startGateway } from '../support/gateway.ts';
import { cancel, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { type KeptRows, keptRows } from './kept-rows.ts';
import { EVERY_CHANGE, typesOf } from './snapshots-taken.ts';

/** What is prepared and changes one row runs behind its capture, in the same round trip, where the plan is foreseen. */
describe.each([15, 18] as const)(
  'a bound statement of one row that runs behind its capture, on PostgreSQL %i',
  (version) => {
    const kept = keptRows(version);
    const { row, sent } = kept;
    let { taken, client, other }: KeptRows = kept;

    beforeEach(async () => {
      ({ taken, client, other } = kept);
      await sent(...PREPARED);
      // So that there is a plan, and the types are known.
      for (let i = 0; i < 2; i++) await sent(...bound('new', '1'));
      for (const name of ['amount', 'divide', 'condition']) await sent(...run(name, '1', '1'));
      await sent(...run('remove', '19'));
      taken.clear();
    });

    const PREPARED = [
      fe.parse('note', 'update kept set note = $1 where id = $2'),
      fe.parse('amount', 'update kept set amount = $1 where id = $2'),
      fe.parse('divide', 'update kept set amount = 1 / (amount - $1) where id = $2'),
      fe.parse('condition', 'update kept set amount = $1 where id = $2 and amount < 100'),
      fe.parse('key', 'update kept set id = $1 where id = $2'),
      fe.parse('remove', 'delete from kept where id = $1'),
      fe.parse('returning', 'update kept set note = $1 where id = $2 returning id, note'),
      fe.sync(),
    ];

    const run = (statement: string, ...parameters: (string | null)[]) => [
      fe.bind({ statement, parameters }),
      fe.describe('P'),
      fe.execute(),
      fe.sync(),
    ];
    const bound = (note: string | null, id: string) => run('note', note, id);

    it.each([
      ['with what describes it', () => bound('late', '3'), '2nCZ'],
      [
        'without',
        () => [fe.bind({ statement: 'note', parameters: ['late', '3'] }), fe.execute(), fe.sync()],
        '2CZ',
      ],
      [
        'by a portal that has a name',
        () => [
          fe.bind({ portal: 'p', statement: 'note', parameters: ['late', '3'] }),
          fe.describe('P', 'p'),
          fe.execute('p'),
          fe.sync(),
        ],
        '2nCZ',
      ],
      [
        'with its text',
        () => [
          fe.parse('', 'update kept set note = $1 where id = $2'),
          fe.describe('S'),
          fe.bind({ parameters: ['late', '3'] }),
          fe.describe('P'),
          fe.execute(),
          fe.sync(),
        ],
        '1tn2nCZ',
      ],
      ['where it gives rows', () => run('returning', 'late', '3'), '2TDCZ'],
      [
        'in binary',
        () => [
          fe.bind({
            statement: 'note',
            parameters: ['late', Buffer.from([0, 0, 0, 3])],
            parameterFormats: [0, 1],
          }),
          fe.execute(),
          fe.sync(),
        ],
        '2CZ',
      ],
    ])('keeps the row before it and after it, %s', async (_, messages, answered) => {
      const told = await sent(...messages());
      expect([typesOf(told), statusOf(told)]).toEqual([answered, 'I']);
      expect(await row(3)).toEqual(['late', '3']);
      expect(await taken.images()).toEqual([
        { before: [expect.stringContaining('row 3')], after: [expect.stringContaining('late')] },
      ]);
      const proof = (await taken.all())[0]!.tables[0]!.proof;
      expect(proof).toEqual({ captured: 1, affected: null, server_delta: 1 });
    });

    it('keeps what it deletes, and nothing of what is not there', async () => {
      expect(typesOf(await sent(...run('remove', '4')))).toBe('2nCZ');
      expect(await row(4)).toBeUndefined();
      expect(await taken.images()).toEqual([{ before: [expect.stringContaining('row 4')], after: [] }]);
      taken.clear();
      for (const messages of [run('remove', '4'), bound('x', '4'), bound('x', '400')]) {
        const [, , tag] = await sent(...messages);
        expect(tag!.body.toString('latin1')).toMatch(/^(DELETE|UPDATE) 0\0$/);
      }
      expect(await taken.all()).toEqual([]);
    });

    it('keeps a row whose key is changed, and one that is found by more than its key', async () => {
      expect(typesOf(await sent(...run('key', '103', '3')))).toBe('2nCZ');
      expect(typesOf(await sent(...run('condition', '200', '4')))).toBe('2nCZ');
      expect(typesOf(await sent(...run('condition', '300', '4')))).toBe('2nCZ');
      expect([await row(103), await row(4)]).toEqual([
        ['row 3', '3'],
        ['row 4', '200'],
      ]);
      expect((await taken.images()).map(({ before, after }) => [before.length, after.length])).toEqual([
        [1, 1],
        [1, 1],
      ]);
    });

    it('is told once each, where several follow each other', async () => {
      const messages = [bound('a', '3'), bound('b', '3'), run('remove', '4'), bound('c', '5')].flat();
      client.write(Buffer.concat([...messages, fe.query('select 1')]));
      for (let i = 0; i < 4; i++) expect(typesOf(await client.untilReady())).toBe('2nCZ');
      expect(typesOf(await client.untilReady())).toBe('TDCZ');
      expect((await taken.images()).map(({ before }) => before)).toEqual(
        ['row 3', 'a', 'row 4', 'row 5'].map((each) => [expect.stringContaining(each)]),
      );
    });

    it('is captured as any other where more than it runs up to its Sync', async () => {
      const two = [...bound('a', '3').slice(0, 3), ...bound('b', '4')];
      expect(typesOf(await sent(...two))).toBe('2nC2nCZ');
      const failing = [...bound('c', '5').slice(0, 3), ...run('divide', '6', '6')];
      expect(typesOf(await sent(...failing))).toBe('2nC2nEZ');
      client.write(Buffer.concat(bound('d', '7').slice(0, 3)), fe.flush());
      expect(typesOf(await client.until('C'))).toBe('2nC');
      expect(await row(7)).toEqual(['row 7', '7']);
      expect(typesOf(await sent(fe.sync()))).toMatch(/Z$/);
      expect([(await row(3))![0], (await row(5))![0], (await row(7))![0]]).toEqual(['a', 'row 5', 'd']);
      expect((await taken.images()).length).toBe(4);
    });

    it('is recorded as any other, once', async () => {
      const named = await taken.fixture.client({ application_name: `recorded ${version}` });
      named.write(...PREPARED);
      await named.untilReady();
      for (const id of ['5', '6', '7', '7']) {
        named.write(...bound('recorded', id));
        await named.untilReady();
      }
      named.write(...run('amount', '7', '5'));
      await named.untilReady();
      await named.terminate();
      const events = await taken.fixture.auditEvents(
        (event) => event['application'] === `recorded ${version}`,
        5,
      );
      const ids = (await taken.all()).map(({ id }) => id);
      const asAny = {
        end: 'completed',
        rows: 1,
        transaction_status: 'I',
        protocol: 'extended',
        parameters: 2,
      };
      expect(events).toMatchObject([
        ...ids.map((snapshot) => ({ ...asAny, snapshot })),
        { end: 'failed', sqlstate: '23505' },
      ]);
    });

    it('is recorded once where others have put another row into its place, so that it runs again', async () => {
      const options = { upstreamPort: taken.fixture.postgres.port, policy: EVERY_CHANGE };
      const first = await startGateway({ ...options, environment: SNAPSHOTS });
      const named = await RawClient.open(first.port);
      named.write(...PREPARED);
      await named.untilReady();
      for (const id of ['4', '5', '6']) {
        named.write(...bound('kept', id));
        await named.untilReady();
      }
      await other.rows(`begin; delete from kept where id = 3; insert into kept values (3, 'theirs', 3)`);
      named.write(...bound('late', '3'));
      await taken.fixture.postgres.sql('select pg_sleep(0.2)');
      await other.rows('commit');
      expect(errorsOf(await named.untilReady())).toEqual([]);
      expect((await row(3))![0]).toBe('late');
      await named.terminate();
      expect(await first.terminate()).toBe(0);
      const store = { HOLDFAST_STORE: `sqlite:${join(first.directory, 'h.db')}` };
      const next = await startGateway({ ...options, environment: { ...SNAPSHOTS, ...store } });
      const { items } = (await next.http('/v1/audit')).body as { items: { end: string }[] };
      expect(items.map(({ end }) => end)).toEqual(Array(4).fill('completed'));
      for (const gateway of [next, first]) await gateway.stop();
    });

    it('is undone as any other', async () => {
      await sent(...bound('late', '3'));
      expect(await taken.undone()).toMatchObject({ kind: 'done' });
      expect(await row(3)).toEqual(['row 3', '3']);
    });

    it.each([
      ['another row has the value', ['amount', '7', '3']],
      ['a check forbids it', ['amount', '1000', '3']],
      ['a value is missing', ['note', null, '3']],
      ['it divides by zero', ['divide', '3', '3']],
      ['a value is not of its type', ['note', 'x', 'three']],
      ['there are too few values', ['note', 'x']],
      ['there are too many', ['note', 'x', '3', '3']],
      ['its statement is not there', ['nothing', 'x', '3']],
    ])('fails as it would directly where %s', async (_, [statement, ...parameters]) => {
      other.write(...PREPARED);
      await other.untilReady();
      other.write(...run(statement!, ...parameters));
      const directly = await other.untilReady();
      await other.rows('deallocate all');
      const messages = await sent(...run(statement!, ...parameters));
      expect(errorsOf(messages)).toEqual(errorsOf(directly));
      expect([typesOf(messages), statusOf(messages)]).toEqual([typesOf(directly), 'I']);
      expect(await row(3)).toEqual(['row 3', '3']);
      expect(await taken.all()).toEqual([]);
      expect(typesOf(await sent(...bound('late', '3')))).toBe('2nCZ');
      expect((await taken.images()).length).toBe(1);
    });

    it.each([
      ['has a column more', `alter table kept add column more int default 7`],
      ['has another type', `alter table kept alter id type bigint`],
      [
        'has gone, and another has its name',
        `alter table kept rename to aside; create table kept as select * from aside`,
      ],
      ['has a child', `create table aside () inherits (kept)`],
      [
        'has more rows by a child',
        `create table aside () inherits (kept); insert into aside select id, note, 900 from kept where id = 3`,
      ],
      [
        'has no key any more',
        `alter table kept drop constraint kept_pkey; insert into kept values (3, 'row 3', 903)`,
      ],
    ])('is planned for anew where its table %s since', async (_, ddl) => {
      await other.rows(ddl);
      const [[count]] = (await other.rows('select count(*) from kept where id = 3')) as [[string]];
      const messages = await sent(...bound('late', '3'));
      expect([typesOf(messages), statusOf(messages)]).toEqual(['2nCZ', 'I']);
      expect(messages[2]!.body.toString('latin1')).toBe(`UPDATE ${count}\0`);
      expect(await other.rows('select distinct note from kept where id = 3')).toEqual([['late']]);
      const columns = await other.rows(
        `select attname from pg_attribute where attrelid = 'kept'::regclass and attnum > 0 order by attnum`,
      );
      const manifests = await taken.all();
      expect(manifests[0]!.tables[0]!.columns.map(({ name }) => [name])).toEqual(columns);
      const rows = manifests.flatMap(({ tables }) => tables.map(({ before }) => before?.rows ?? 0));
      expect(rows.reduce((sum: number, each) => sum + Number(each), 0)).toBe(Number(count));
    });

    it('runs no code that another session has given its table since, before that is planned for', async () => {
      await other.rows(`create table spare as select 1 as id;
        create sequence if not exists runs; select setval('runs', 1, false);
        create or replace function noted() returns trigger language plpgsql as
          $$ begin perform nextval('runs'); truncate spare; return new; end $$;
        create trigger noted before update on kept for each row execute function noted()`);
      const messages = await sent(...bound('late', '3'));
      expect([errorsOf(messages).length, statusOf(messages)]).toEqual([1, 'I']);
      expect(await other.rows('select id from spare')).toEqual([['1']]);
      expect(await row(3)).toEqual(['row 3', '3']);
      // Once, with its plan, and taken back; or not at all.
      expect((await other.rows('select last_value from runs'))[0]).toEqual(['1']);
      await other.rows('drop function noted() cascade; drop sequence runs');
    });

    it('keeps what others have made of the row while it waited for them', async () => {
      await other.rows(`begin; update kept set note = 'theirs' where id = 3`);
      client.write(...run('amount', '33', '3'));
      await taken.fixture.postgres.sql('select pg_sleep(0.2)');
      await other.rows('commit');
      expect(typesOf(await client.untilReady())).toBe('2nCZ');
      expect(await row(3)).toEqual(['theirs', '33']);
      expect((await taken.images())[0]!.before[0]).toContain('theirs');
    });

    it.each([
      ['for a row', 'select from kept where id = 3 for update'],
      ['for its table', 'lock table kept in share row exclusive mode'],
    ])('ends where it is cancelled as it waits %s, or has waited too long', async (_, blocking) => {
      await other.rows(`begin; ${blocking}`);
      client.write(...bound('late', '3'));
      await taken.fixture.postgres.sql('select pg_sleep(0.2)');
      await cancel(taken.fixture.gateway.port, client.processId, client.secretKey);
      const canceled = await client.untilReady();
      expect([errorsOf(canceled), statusOf(canceled)]).toMatchObject([[{ C: '57014' }], 'I']);
      await client.rows(`set lock_timeout = '50ms'`);
      const timed = await sent(...bound('late', '3'));
      expect([errorsOf(timed), statusOf(timed)]).toMatchObject([[{ C: '55P03' }], 'I']);
      await other.rows('rollback');
      expect(await row(3)).toEqual(['row 3', '3']);
      expect(typesOf(await sent(...bound('late', '3')))).toBe('2nCZ');
      expect((await taken.images()).length).toBe(1);
    });

    it('tells the client that the server has gone, and has changed nothing', async () => {
      await other.rows('begin; select from kept where id = 3 for update');
      client.write(...bound('late', '3'));
      await taken.fixture.postgres.sql('select pg_sleep(0.2)');
      await other.rows(`select pg_terminate_backend(${client.processId})`);
      await client.untilClosed();
      await other.rows('rollback');
      expect(await row(3)).toEqual(['row 3', '3']);
    });

    it.each(['destroy', 'reset'] as const)(
      'is done with its snapshot or not at all where the client goes: %s',
      async (how) => {
        await other.rows('begin; select from kept where id = 3 for update');
        client.write(...bound('late', '3'));
        await taken.fixture.postgres.sql('select pg_sleep(0.2)');
        client[how]();
        await taken.fixture.postgres.sql('select pg_sleep(0.2)');
        await other.rows('rollback');
        await taken.fixture.postgres.sql('select pg_sleep(0.2)');
        expect((await taken.images()).length).toBe((await row(3))![0] === 'late' ? 1 : 0);
      },
    );

    it('commits nothing where it cannot be stored', async () => {
      await taken.whileUnstorable(async () => {
        const messages = await sent(...bound('late', '3'));
        expect([errorsOf(messages), statusOf(messages)]).toMatchObject([[{ C: 'HF002' }], 'I']);
        expect(await row(3)).toEqual(['row 3', '3']);
      });
      expect(typesOf(await sent(...bound('late', '3')))).toBe('2nCZ');
    });
  },
);
