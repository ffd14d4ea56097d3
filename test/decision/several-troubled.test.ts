import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { eventually } from '../support/process-facts.ts';
import { cancel, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { heldId } from './fixture.ts';
import { SnapshotsTaken, typesOf } from './snapshots-taken.ts';

/** What comes in between the statements of one Query. */
describe('a Query of several statements', () => {
  let taken: SnapshotsTaken;
  let client: RawClient;
  let application = '';
  let runs = 0;
  beforeAll(async () => {
    taken = await SnapshotsTaken.start(18);
  });
  afterAll(async () => {
    await taken?.fixture.stop();
  });
  beforeEach(async () => {
    await taken.reset();
    application = `run ${++runs}`;
    client = await taken.fixture.client({ application_name: application });
    return () => client.destroy();
  });

  const remove = (id: number) => `delete from precious where id = ${id}`;
  const rows = async () => await taken.fixture.preciousRows();
  const events = async (count: number, of = application) =>
    await taken.fixture.auditEvents((event) => event['application'] === of && 'end' in event, count);

  it('is in the audit by its statements, each with its own snapshot', async () => {
    await client.query(`select 1; ${remove(1)}; select 2; ${remove(77)}; ${remove(2)}`);
    const manifests = await taken.all();
    const all = await events(5);
    expect(
      all.map((event) => [event['statement_index'], event['operation'], event['end'], event['rows']]),
    ).toEqual([
      [0, 'select', 'completed', 1],
      [1, 'delete', 'completed', 1],
      [2, 'select', 'completed', 1],
      [3, 'delete', 'completed', 0],
      [4, 'delete', 'completed', 1],
    ]);
    expect(all.map((event) => event['snapshot'])).toEqual([
      'none: policy asks for none of it',
      manifests[0]!.id,
      'none: policy asks for none of it',
      'none: it changed no row',
      manifests[1]!.id,
    ]);
    expect(manifests.map(({ statement }) => statement.text.trim())).toEqual([remove(1), remove(2)]);
    expect(all.map((event) => event['transaction_status'])).toEqual(['I', 'I', 'I', 'I', 'I']);
  });

  it('that fails says so of the statement that did, and its snapshots are marked', async () => {
    await client.query(`${remove(1)}; select 1/0; ${remove(2)}`);
    expect(
      (await events(2)).map((event) => [event['statement_index'], event['end'], event['sqlstate']]),
    ).toEqual([
      [0, 'completed', null],
      [1, 'failed', '22012'],
    ]);
    const [manifest] = await taken.all();
    await eventually('the mark', async () =>
      (await taken.isRolledBack(manifest!)) ? null : 'there is none',
    );
    expect(await rows()).toBe(10);
  });

  it('that is held is captured once it is approved', async () => {
    const held = await taken.fixture.client({ application_name: 'held' });
    held.write(fe.query(`select 1; ${remove(1)}; ${remove(2)}`));
    const id = await heldId(held);
    expect((await taken.fixture.approval(id))['reason']).not.toContain('no snapshot');
    await taken.fixture.resolve(id, 'approve');
    expect(typesOf(await held.untilReady())).toMatch(/^N?TDCCCZ$/);
    expect(await taken.all()).toMatchObject([{ approval_id: id }, { approval_id: id }]);
    await held.terminate();
  });

  it('goes on without a snapshot of what has no plan, where its rule lets it', async () => {
    const careless = await taken.fixture.client({ application_name: 'careless' });
    const messages = await careless.query(
      `${remove(1)}; delete from precious where random() < 2 and id = 2; ${remove(3)}`,
    );
    expect(typesOf(messages)).toBe('CCCZ');
    expect(await taken.all()).toHaveLength(2);
    expect(await rows()).toBe(7);
    await careless.terminate();
  });

  it('that has one without a plan is refused before any of it runs', async () => {
    const messages = await client.query(`select 1; ${remove(1)}; delete from precious where random() < 2`);
    expect(typesOf(messages)).toBe('EZ');
    expect(errorsOf(messages)).toMatchObject([{ C: 'HF002' }]);
    expect(await rows()).toBe(10);
  });

  it('that cannot be stored is taken back whole', async () => {
    await taken.whileUnstorable(async () => {
      const messages = await client.query(`insert into other values (1); ${remove(1)}; ${remove(2)}`);
      expect(errorsOf(messages)).toMatchObject([{ C: 'HF002' }]);
      expect(statusOf(messages)).toBe('I');
      expect(await rows()).toBe(10);
      await client.query('begin');
      expect(statusOf(await client.query(`${remove(1)}; ${remove(2)}`))).toBe('E');
      await client.query('rollback');
    });
  });

  it('is cancelled as one', async () => {
    client.write(fe.query(`${remove(1)}; select pg_sleep(60); ${remove(2)}`));
    await client.until('C');
    await eventually('the sleep', async () => {
      const found = await taken.fixture.postgres.sql(
        `select from pg_stat_activity where query like '%pg_sleep(60)%' and state = 'active' and pid <> pg_backend_pid()`,
      );
      return found.length === 1 ? null : 'it does not run yet';
    });
    await cancel(taken.fixture.gateway.port, client.processId, client.secretKey);
    const messages = await client.untilReady();
    expect(errorsOf(messages)).toMatchObject([{ C: '57014' }]);
    expect(statusOf(messages)).toBe('I');
    expect(await rows()).toBe(10);
  });

  it.each(['', 'begin'])('is cancelled before any of it runs, as its parts are tried: %s', async (begin) => {
    const { postgres, gateway } = taken.fixture;
    client.destroy();
    client = await taken.fixture.client({ application_name: 'drops' });
    if (begin !== '') await client.query(begin);
    const other = await RawClient.open(postgres.port);
    await other.query('begin; lock table precious in access share mode');
    client.write(fe.query('drop table other; alter table precious drop column note'));
    const untilWaiting = async () =>
      await eventually('the lock', async () => {
        const [row] = await postgres.sql('select count(*) from pg_locks where not granted');
        return row![0] === '1' ? null : 'nobody waits for it';
      });
    await untilWaiting();
    await cancel(gateway.port, client.processId, client.secretKey);
    const messages = await client.untilReady();
    await other.query('commit');
    expect(errorsOf(messages)).toMatchObject([{ C: '57014' }]);
    expect(statusOf(messages)).toBe(begin === '' ? 'I' : 'E');
    expect(await postgres.sql("select to_regclass('other') is null")).toEqual([['f']]);
    for (const each of [client, other]) await each.terminate();
  });

  it('whose client goes, or whose server ends it, is taken back', async () => {
    client.write(fe.query(`${remove(1)}; select pg_sleep(0.5); ${remove(2)}`));
    await client.until('C');
    client.reset();
    const other = await taken.fixture.client();
    other.write(fe.query(`${remove(3)}; select pg_terminate_backend(pg_backend_pid()); ${remove(4)}`));
    const messages = await other.untilEnd();
    expect(errorsOf(messages)).toMatchObject([{ C: '57P01' }]);
    await eventually('no sessions', async () => {
      const left = await taken.fixture.postgres.clientSessions();
      return left === 0 ? null : `${left} sessions`;
    });
    expect(await rows()).toBe(10);
  });

  it('that others have run into is refused to be tried again', async () => {
    const other = await taken.fixture.client();
    await other.query('begin');
    await other.query('insert into other values (7)');
    client.write(fe.query(`${remove(1)}; delete from precious where id in (select id from other)`));
    await client.until('C');
    await other.query('commit');
    expect(statusOf(await client.untilReady())).toBe('I');
    await other.terminate();
  });

  it('keeps what the client sends behind it in its place', async () => {
    client.write(
      fe.query(`${remove(1)}; ${remove(2)}`),
      fe.query('select count(*) from precious'),
      fe.query(`begin; ${remove(3)}; commit`),
      fe.query('select count(*) from precious'),
    );
    const counts: string[] = [];
    for (let i = 0; i < 4; i++) counts.push(typesOf(await client.untilReady()));
    expect(counts).toEqual(['CCZ', 'TDCZ', 'CCCZ', 'TDCZ']);
    expect(await rows()).toBe(7);
  });
});
