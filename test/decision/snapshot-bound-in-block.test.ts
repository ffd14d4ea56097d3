import { beforeEach, describe, expect, it } from 'vitest';
import { AheadWatch } from '../snapshot/ahead.ts';
import * as fe from '../support/frontend-messages.ts';
import { type BackendMessage, cancel, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { type KeptRows, keptRows } from './kept-rows.ts';
import { typesOf } from './snapshots-taken.ts';

/** What is bound and changes one row in the client's transaction is captured as its plan is asked for, behind its Bind. */
describe.each([15, 18] as const)('one row that is bound in a transaction, on PostgreSQL %i', (version) => {
  let watch: AheadWatch;
  const kept = keptRows(version, undefined, async (port) => {
    watch = await AheadWatch.start(port);
    return watch;
  });
  const { row, sent } = kept;
  let { taken, client, other }: KeptRows = kept;

  beforeEach(async () => {
    ({ taken, client, other } = kept);
    await other.rows('deallocate all');
    other.write(...PREPARED);
    await other.untilReady();
    await sent(...PREPARED);
    // So that there is a plan, and the types are known.
    for (const name of ['note', 'note', 'amount', 'divide', 'condition', 'returning'])
      await sent(...run(name, '1', '1'));
    await sent(...run('remove', '19'));
    await client.query('begin');
    await client.rows(`update kept set note = 'earlier' where id = 2`);
    taken.clear();
    watch.boundInBlock = 0;
    watch.inBlockBack = 0;
  });

  const PREPARED = [
    fe.parse('note', 'update kept set note = $1 where id = $2'),
    fe.parse('amount', 'update kept set amount = $1 where id = $2'),
    fe.parse('divide', 'update kept set amount = 1 / (amount - $1) where id = $2'),
    fe.parse('condition', 'update kept set amount = $1 where id = $2 and 1 / (amount - 3) < 100'),
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
  const late = (id = '3') => run('note', 'late', id);

  const shown = (messages: readonly BackendMessage[]) => [typesOf(messages), statusOf(messages)];

  /** Runs while another session has that open, which ends once it has waited. */
  async function sentBeside(blocking: string, messages: Buffer[], ends: () => Promise<unknown>) {
    await other.rows(`begin; ${blocking}`);
    client.write(Buffer.concat(messages));
    await taken.fixture.postgres.sql('select pg_sleep(0.2)');
    await ends();
    return await client.untilReady();
  }

  async function committed(): Promise<void> {
    expect(typesOf(await client.query('commit'))).toBe('CZ');
    expect(await row(2)).toEqual(['earlier', '2']);
  }

  const parameters = ['late', '3'];
  const binary = [Buffer.from('late'), Buffer.from([0, 0, 0, 3])];
  const text = 'update kept set note = $1 where id = $2';
  const named = { portal: 'p', statement: 'note', parameters };
  const inBinary = { statement: 'note', parameters: binary, parameterFormats: [1, 1] };
  it.each([
    ['with what describes it', late(), '2nCZ'],
    ['without', [fe.bind({ statement: 'note', parameters }), fe.execute(), fe.sync()], '2CZ'],
    ['by a portal of a name', [fe.bind(named), fe.describe('P', 'p'), fe.execute('p'), fe.sync()], '2nCZ'],
    ['where it gives rows', run('returning', ...parameters), '2TDCZ'],
    ['in binary', [fe.bind(inBinary), fe.execute(), fe.sync()], '2CZ'],
    ['where its portal is closed', [...late().slice(0, 3), fe.close('P'), fe.sync()], '2nC3Z'],
    [
      'with its text',
      [fe.parse('', text), fe.describe('S'), fe.bind({ parameters }), fe.execute(), fe.sync()],
      '1tn2CZ',
    ],
  ])('keeps the row before it and after it, %s', async (_, messages, answered) => {
    expect(shown(await sent(...messages))).toEqual([answered, 'T']);
    expect([watch.boundInBlock, watch.inBlockBack]).toEqual([1, 0]);
    await committed();
    expect(await row(3)).toEqual(['late', '3']);
    expect(await taken.images()).toEqual([
      { before: [expect.stringContaining('row 3')], after: [expect.stringContaining('late')] },
    ]);
  });

  it('keeps each version of a row that is changed more than once, and nothing of what is not there', async () => {
    for (const messages of [run('note', 'a', '3'), run('note', 'b', '3'), run('remove', '3')])
      expect(typesOf(await sent(...messages))).toBe('2nCZ');
    for (const messages of [run('remove', '3'), run('note', 'x', '400')])
      expect((await sent(...messages))[2]!.body.toString('latin1')).toMatch(/^(DELETE|UPDATE) 0\0$/);
    await committed();
    expect(watch.boundInBlock).toBe(5);
    expect((await taken.images()).map(({ before, after }) => [before.length, after.length])).toEqual([
      [1, 1],
      [1, 1],
      [1, 0],
    ]);
  });

  it('takes no number of a transaction but that of the client', async () => {
    const [[own]] = (await client.rows('select pg_current_xact_id()')) as [[string]];
    for (let id = 3; id < 10; id++) await sent(...late(String(id)));
    const made = await client.rows(`select distinct xmin::text from kept where note = 'late'`);
    expect(made).toEqual([[own]]);
    expect(await other.rows('select pg_current_xact_id()')).toEqual([[String(Number(own) + 1)]]);
    expect(watch.boundInBlock).toBe(7);
  });

  it('is told once each where several come at once, up to one Sync, several, or a Flush', async () => {
    const one = (id: string) => late(id).slice(0, 3);
    expect(shown(await sent(...one('3'), ...one('4'), ...one('3'), fe.sync()))).toEqual(['2nC2nC2nCZ', 'T']);
    client.write(Buffer.concat([...late('5'), ...late('6'), fe.query('select 1'), ...late('7')]));
    for (const types of ['2nCZ', '2nCZ', 'TDCZ', '2nCZ'])
      expect(typesOf(await client.untilReady())).toBe(types);
    client.write(Buffer.concat([...one('8'), fe.flush()]));
    expect(typesOf(await client.until('C'))).toBe('2nC');
    expect(typesOf(await sent(...one('9'), fe.sync()))).toBe('2nCZ');
    client.write(Buffer.concat([...late('10'), fe.query('commit'), ...late('11')]));
    for (const types of ['2nCZ', 'CZ', '2nCZ']) expect(typesOf(await client.untilReady())).toBe(types);
    expect([watch.boundInBlock, watch.inBlockBack]).toEqual([9, 0]);
    const kept = (await taken.images()).map(({ before }) => before[0]!);
    const wanted = ['row 3', 'row 4', 'late', ...[5, 6, 7, 8, 9, 10, 11].map((id) => `row ${id}`)];
    expect(kept).toEqual(wanted.map((note) => expect.stringContaining(note)));
  });

  it('leaves portals, cursors and savepoints of the client, and what stands in front of it in its segment', async () => {
    await client.query('declare c cursor for select id from kept order by id');
    for (const sql of ['savepoint mine', `set local work_mem = '1MB'`]) await client.query(sql);
    const ahead = [
      fe.parse('sees', 'select id from kept order by id'),
      fe.bind({ portal: 's', statement: 'sees' }),
    ];
    const messages = await sent(...ahead, ...late().slice(0, 3), fe.execute('s', 1), fe.sync());
    expect(shown(messages)).toEqual(['122nCDsZ', 'T']);
    // What is planned for anew is taken back to a savepoint first, which they stand before.
    await client.query('set local extra_float_digits = 0');
    expect(typesOf(await sent(...late('4').slice(0, 3), fe.execute('s', 1), fe.sync()))).toBe('2nCDsZ');
    expect([watch.boundInBlock, watch.inBlockBack]).toEqual([2, 1]);
    expect(typesOf(await client.query('fetch c'))).toBe('TDCZ');
    expect(await client.rows('fetch c')).toEqual([['2']]);
    expect(await client.rows('show work_mem')).toEqual([['1MB']]);
    expect(typesOf(await client.query('release mine'))).toBe('CZ');
    await committed();
  });

  it('keeps what ran in front of it in its segment where it is planned for anew', async () => {
    const sets = [fe.parse('', 'set local extra_float_digits = 0'), fe.bind(), fe.execute()];
    const two = (first: Buffer[], second: Buffer[]) => [...first, ...sets, ...second, fe.sync()];
    const one = (id: string) => late(id).slice(0, 3);
    expect(shown(await sent(...two(one('3'), one('4'))))).toEqual(['2nC12C2nCZ', 'T']);
    expect([watch.boundInBlock, watch.inBlockBack]).toEqual([2, 1]);
    await client.query('savepoint mine');
    const failing = run('amount', '7', '6').slice(0, 3);
    expect(shown(await sent(...two(one('5'), failing)))).toEqual(['2nC12C2nEZ', 'E']);
    await client.query('rollback to mine');
    await committed();
    expect([(await row(3))![0], (await row(4))![0], (await row(5))![0]]).toEqual(['late', 'late', 'row 5']);
  });

  it.each([
    ['another row has the value', ['amount', '7', '3']],
    ['a check forbids it', ['amount', '1000', '3']],
    ['a value is missing', ['note', null, '3']],
    ['it divides by zero', ['divide', '3', '3']],
    ['its condition fails', ['condition', '7', '3']],
    ['a value is not of its type', ['note', 'x', 'three']],
    ['there are too few values', ['note', 'x']],
    ['there are too many', ['note', 'x', '3', '3']],
    ['its statement is not there', ['nothing', 'x', '3']],
  ])('fails as it would directly where %s, and leaves the savepoints of the client', async (_, call) => {
    const [statement, ...values] = call as [string, ...string[]];
    await other.query('begin');
    other.write(...run(statement, ...values));
    const directly = await other.untilReady();
    await other.query('rollback');
    for (const name of ['mine', 'holdfast_own']) await client.query(`savepoint ${name}`);
    const messages = await sent(...run(statement, ...values));
    expect(errorsOf(messages)).toEqual(errorsOf(directly));
    expect(shown(messages)).toEqual([typesOf(directly), 'E']);
    expect(errorsOf(await sent(...late()))).toMatchObject([{ C: '25P02' }]);
    for (const name of ['holdfast_own', 'mine'])
      expect(statusOf(await client.query(`rollback to ${name}`))).toBe('T');
    expect(typesOf(await sent(...late()))).toBe('2nCZ');
    await committed();
    expect(await row(3)).toEqual(['late', '3']);
    expect(await taken.images()).toMatchObject([{ before: [expect.stringContaining('row 3')] }]);
  });

  it.each([
    ['has a column more', `alter table kept add column more int default 7`],
    ['has another type', `alter table kept alter id type bigint`],
    ['has another name', `alter table kept rename to aside; create table kept as select * from aside`],
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
    // What the transaction has locked cannot be altered.
    await client.query('commit');
    await other.rows(ddl);
    for (const sql of ['begin', 'savepoint mine', 'savepoint holdfast_own']) await client.query(sql);
    const [[count]] = (await other.rows('select count(*) from kept where id = 3')) as [[string]];
    const messages = await sent(...late());
    expect(shown(messages)).toEqual(['2nCZ', 'T']);
    expect(messages[2]!.body.toString('latin1')).toBe(`UPDATE ${count}\0`);
    expect(watch.inBlockBack).toBe(1);
    for (const name of ['holdfast_own', 'mine'])
      expect(typesOf(await client.query(`release ${name}`))).toBe('CZ');
    await client.query('commit');
    expect(await other.rows('select distinct note from kept where id = 3')).toEqual([['late']]);
    const manifests = await taken.all();
    const rows = manifests.flatMap(({ tables }) => tables.map(({ before }) => before?.rows ?? 0));
    expect(rows.reduce((sum: number, each) => sum + Number(each), 0)).toBe(Number(count));
  });

  it('runs no code that another session has given its table since, before that is planned for', async () => {
    await client.query('commit');
    await client.query('begin');
    await other.rows(`create table spare as select 1 as id;
      create or replace function noted() returns trigger language plpgsql as
        $$ begin truncate spare; return new; end $$;
      create trigger noted before update on kept for each row execute function noted()`);
    expect(shown(await sent(...late()))).toEqual(['2nEZ', 'E']);
    await client.query('commit');
    expect(await other.rows('select id from spare')).toEqual([['1']]);
    expect(await row(3)).toEqual(['row 3', '3']);
    await other.rows('drop function noted() cascade');
  });

  it('goes by the types of each Parse', async () => {
    for (const [types, value] of [
      [[25, 23], fe.int32(3)],
      [[25, 20], Buffer.concat([fe.int32(0), fe.int32(4)])],
      [[25, 21], fe.int16(5)],
      [[], fe.int32(6)],
      [[25, 20], Buffer.concat([fe.int32(0), fe.int32(7)])],
      [[25, 20], Buffer.concat([fe.int32(0), fe.int32(8)])],
    ] as const) {
      const values = { parameters: ['late', value], parameterFormats: [0, 1] };
      const messages = [fe.parse('', text, types), fe.bind(values), fe.execute(), fe.sync()];
      expect(shown(await sent(...messages))).toEqual(['12CZ', 'T']);
    }
    expect([watch.boundInBlock, watch.inBlockBack]).toEqual([3, 0]);
    await committed();
    const notes = [3, 4, 5, 6, 7, 8].map((id) => [expect.stringContaining(`row ${id}`)]);
    expect((await taken.images()).map(({ before }) => before)).toEqual(notes);
  });

  it.each(['repeatable read', 'serializable'])('fails as it would directly where it is %s', async (level) => {
    await client.query('commit');
    const told: unknown[] = [];
    for (const each of [client, other]) {
      const third = await RawClient.open(taken.fixture.postgres.port);
      await third.rows(`update kept set note = 'before' where id in (3, 4)`);
      await each.query(`begin isolation level ${level}`);
      await each.query('select from kept');
      await third.rows(`update kept set note = 'theirs' where id = 4`);
      await third.terminate();
      for (const id of ['3', '4']) {
        each.write(Buffer.concat(late(id)));
        const messages = await each.untilReady();
        told.push(
          shown(messages),
          errorsOf(messages).map(({ C, M }) => [C, M]),
        );
      }
      await each.query('rollback');
    }
    expect(told.slice(0, 4)).toEqual(told.slice(4));
    expect(told.slice(0, 3)).toEqual([['2nCZ', 'T'], [], ['2nEZ', 'E']]);
  });

  it('tells what has failed beside the question, although nobody waits for it', async () => {
    await other.rows('drop role if exists limited; create role limited login; grant all on kept to limited');
    const limited = await RawClient.open(taken.fixture.gateway.port, { user: 'limited' });
    limited.write(Buffer.concat(PREPARED));
    await limited.untilReady();
    await limited.query(`set default_transaction_isolation = 'repeatable read'`);
    const counts = 'execute on function pg_catalog.pg_stat_get_xact_tuples_inserted(oid)';
    const told: unknown[] = [];
    for (const sql of ['select 1', `alter table kept add more int; revoke ${counts} from public`]) {
      if (told.length > 0) await client.query('commit');
      await other.rows(sql);
      await limited.query('begin');
      limited.write(Buffer.concat(late()));
      const messages = await limited.untilReady();
      told.push(
        shown(messages),
        errorsOf(messages).map(({ C }) => C),
      );
      await limited.query('rollback');
    }
    await limited.terminate();
    await other.rows(`grant ${counts} to public; drop owned by limited; drop role limited`);
    expect(told).toEqual([['2nCZ', 'T'], [], ['EZ', 'E'], ['42501']]);
  });

  it('keeps what others have made of the row while it waited for them', async () => {
    const theirs = `update kept set note = 'theirs' where id = 3`;
    const messages = await sentBeside(theirs, run('amount', '33', '3'), () => other.rows('commit'));
    expect(shown(messages)).toEqual(['2nCZ', 'T']);
    await committed();
    expect(await row(3)).toEqual(['theirs', '33']);
    expect((await taken.images())[0]!.before[0]).toContain('theirs');
    expect([watch.boundInBlock, watch.inBlockBack]).toEqual([1, 0]);
  });

  it.each([
    ['a row', 'select from kept where id = 3 for update', '2nEZ'],
    ['its table', 'lock table kept in share row exclusive mode', 'EZ'],
  ])(
    'ends where it is cancelled as it waits for %s, or has waited too long',
    async (_, blocking, answered) => {
      await client.query('commit');
      for (const sql of ['begin', 'savepoint mine', 'savepoint holdfast_own']) await client.query(sql);
      const { processId, secretKey } = client;
      const { port } = taken.fixture.gateway;
      const canceled = await sentBeside(blocking, late(), () => cancel(port, processId, secretKey));
      expect(errorsOf(canceled)).toMatchObject([{ C: '57014' }]);
      expect(shown(canceled)).toEqual([answered, 'E']);
      for (const name of ['holdfast_own', 'mine', 'mine'])
        expect(statusOf(await client.query(`rollback to ${name}`))).toBe('T');
      await client.rows(`set lock_timeout = '50ms'`);
      const timed = await sent(...late());
      expect(errorsOf(timed)).toMatchObject([{ C: '55P03' }]);
      expect(shown(timed)).toEqual([answered, 'E']);
      expect(statusOf(await client.query('rollback to mine'))).toBe('T');
      await other.rows('rollback');
      expect(typesOf(await sent(...late()))).toBe('2nCZ');
      await client.query('commit');
      expect(await row(3)).toEqual(['late', '3']);
      expect((await taken.images()).length).toBe(1);
    },
  );

  it('is told of a deadlock behind its Bind', async () => {
    await client.rows(`set deadlock_timeout = '1s'`);
    const messages = await sentBeside(`update kept set note = 'theirs' where id = 3`, late(), async () => {
      other.write(
        fe.query(`set local deadlock_timeout = '20s'; update kept set note = 'theirs' where id = 2`),
      );
    });
    expect([errorsOf(messages), shown(messages)]).toMatchObject([[{ C: '40P01' }], ['2nEZ', 'E']]);
    await client.query('rollback');
    await other.untilReady();
    await other.rows('rollback');
  });

  it('tells the client that the server has gone', async () => {
    const terminate = () => taken.fixture.postgres.sql(`select pg_terminate_backend(${client.processId})`);
    await other.rows('begin; select from kept where id = 3 for update');
    client.write(Buffer.concat(late()));
    await taken.fixture.postgres.sql('select pg_sleep(0.2)');
    await terminate();
    await client.untilClosed();
    await other.rows('rollback');
    expect([await row(2), await row(3)]).toEqual([
      ['row 2', '2'],
      ['row 3', '3'],
    ]);
  });

  it.each(['destroy', 'reset'] as const)('changes nothing where the client goes: %s', async (how) => {
    await other.rows('begin; select from kept where id = 3 for update');
    client.write(Buffer.concat([...late(), fe.query('select 1')]));
    await taken.fixture.postgres.sql('select pg_sleep(0.2)');
    client[how]();
    await taken.fixture.postgres.sql('select pg_sleep(0.2)');
    await other.rows('rollback');
    await taken.fixture.postgres.sql('select pg_sleep(0.2)');
    expect([await row(2), await row(3)]).toEqual([
      ['row 2', '2'],
      ['row 3', '3'],
    ]);
  });

  it('is recorded as any other, once', async () => {
    await client.query(`set application_name = 'recorded ${version}'`);
    for (const id of ['5', '6']) await sent(...late(id));
    for (const messages of [run('amount', '7', '5'), late('8')]) await sent(...messages);
    await client.query('rollback');
    const isOurs = (event: Record<string, unknown>) =>
      event['application'] === `recorded ${version}` && event['operation'] === 'update';
    const events = await taken.fixture.auditEvents(isOurs, 3);
    const ids = (await taken.all()).map(({ id }) => id);
    const done = { end: 'completed', rows: 1, transaction_status: 'T', protocol: 'extended', parameters: 2 };
    expect(events.slice(0, 3)).toMatchObject([
      ...ids.map((snapshot) => ({ ...done, snapshot })),
      { end: 'failed', sqlstate: '23505', transaction_status: 'E' },
    ]);
    for (const manifest of await taken.all()) expect(await taken.isRolledBack(manifest)).toBe(true);
  });

  it('is taken back where it cannot be stored', async () => {
    await client.query('savepoint mine');
    await taken.whileUnstorable(async () => {
      const messages = await sent(...late());
      expect([errorsOf(messages), shown(messages)]).toMatchObject([[{ C: 'HF002' }], ['2nEZ', 'E']]);
    });
    await client.query('rollback to mine');
    expect(typesOf(await sent(...late('4')))).toBe('2nCZ');
    await committed();
    expect([await row(3), await row(4)]).toEqual([
      ['row 3', '3'],
      ['late', '4'],
    ]);
  });
});
