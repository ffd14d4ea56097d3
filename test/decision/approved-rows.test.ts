import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { eventually } from '../support/process-facts.ts';
import { type BackendMessage, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { DecisionFixture, heldId } from './fixture.ts';

const POLICY = `
mode: protect
rules:
  - { name: asks, match: { application: [plain], risk: [high, critical] }, action: hold, snapshot: off, hold: { mode: ticket } }
  - { name: waits, match: { application: [waits], risk: [high, critical] }, action: hold, snapshot: off, hold: { mode: live } }
  - { name: kept, match: { application: [kept], risk: [high, critical] }, action: hold, hold: { mode: ticket } }
  - { name: as well as can be, match: { application: [best], risk: [high, critical] }, action: hold, snapshot: best_effort, hold: { mode: ticket } }
`;

const TABLES = `
drop table if exists few, parted cascade;
create table few (id int primary key, k int); insert into few select g, 1 from generate_series(1, 3) g;
create table parted (id int, k int) partition by list (k); create table parted_1 partition of parted for values in (1);
insert into parted select g, 1 from generate_series(1, 3) g;
`;

const MORE = 'select g, 1 from generate_series(100, 1099) g';

/** What waits for a lock takes its snapshot behind it, and so sees what has been committed meanwhile. */
describe.each([15, 18] as const)('rows that were approved, on PostgreSQL %i,', (version) => {
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
    await client.terminate();
  });

  const rowsOf = async (table: string) =>
    Number((await fixture.postgres.sql(`select count(*) from ${table}`))[0]![0]);
  const extended = (text: string) => [fe.parse('', text), fe.bind(), fe.execute(), fe.sync()];
  const query = (text: string) => [fe.query(text)];
  /** Of what was prepared before anybody had a lock. */
  const bound = () => [fe.bind({ statement: 's' }), fe.execute(), fe.sync()];

  const approved = async (messages: readonly Buffer[], rows: number): Promise<void> => {
    client.write(...messages);
    const errors = errorsOf(await client.untilReady());
    expect(errors).toMatchObject([{ C: 'HF001' }]);
    const id = JSON.parse(errors[0]!['D']!).approval_id;
    const { body } = await fixture.gateway.http(`/v1/approvals/${id}/preview`);
    expect((body as { preview: { rows: unknown } }).preview.rows).toMatchObject({ kind: 'exact', rows });
    await fixture.resolve(id, 'approve');
  };

  /** Runs it while another session keeps the table, adds rows, and lets it go once it is waited for. */
  const swollen = async (table: string, run: () => void): Promise<BackendMessage[]> => {
    await other.query('begin');
    await other.query(`lock table ${table} in share row exclusive mode`);
    await other.query(`insert into ${table} ${MORE}`);
    run();
    await eventually('the lock', async () => {
      const [row] = await fixture.postgres.sql('select count(*) from pg_locks where not granted');
      return row![0] === '1' ? null : 'nobody waits for it';
    });
    await other.query('commit');
    return await client.untilReady();
  };

  const DELETE = 'delete from few where k = 1';
  const MERGE = 'merge into few using (values (1)) s (k) on few.k = s.k when matched then update set k = 2';

  it.each([
    ['a Query', 'plain', DELETE, 'few', query],
    ['an Execute', 'plain', DELETE, 'few', bound],
    ['an UPDATE', 'plain', 'update few set k = 2', 'few', bound],
    ['what locks a partition only', 'plain', 'delete from parted where k = 1', 'parted_1', bound],
    ['a MERGE', 'plain', MERGE, 'few', query],
    ['a MERGE by an Execute', 'plain', MERGE, 'few', bound],
    ['a TRUNCATE', 'plain', 'truncate few', 'few', query],
    ['a TRUNCATE by an Execute', 'plain', 'truncate few', 'few', bound],
    ['a captured DELETE', 'kept', DELETE, 'few', query],
    ['a captured MERGE', 'kept', MERGE, 'few', query],
    ['a captured UPDATE', 'kept', 'update few set k = 2', 'few', bound],
    ['a captured TRUNCATE', 'kept', 'truncate few', 'few', query],
  ])('are no more when it has waited for a lock: %s', async (_, application_name, text, table, messages) => {
    client = await fixture.client({ application_name });
    client.write(fe.parse('s', text), fe.sync());
    await client.untilReady();
    await approved(messages(text), 3);
    const answer = await swollen(table, () => client.write(...messages(text)));
    expect(errorsOf(answer)).toMatchObject([{ C: '42501', D: expect.stringContaining('1003 rows') }]);
    expect(errorsOf(answer)[0]!['M']).toMatch(/more rows than were approved/);
    expect(statusOf(answer)).toBe('I');
    expect(await rowsOf(table)).toBe(1003);
    expect(await fixture.postgres.sql('select count(*) from few where k = 2')).toEqual([['0']]);
    await fixture.auditEvents((e) => e['sqlstate'] === '42501' && e['sql'] === text, 1);
  });

  it.each([
    ['parts of it are not', `${DELETE} returning id`, 1, '42501', 3],
    ['a tag is', DELETE, 0, undefined, 0],
    ['those of a TRUNCATE are, which were counted under its lock', 'truncate few', 0, undefined, 0],
  ])('are known where a snapshot fails that need not be taken: %s', async (_, text, max, code, left) => {
    await fixture.postgres.sql(`drop table if exists told; create table told (id int); insert into told values (0);
      create or replace function tell() returns trigger language plpgsql as $$ begin truncate told; return null; end $$;
      create trigger telling after delete on few for each row execute function tell();
      create trigger telling_once after truncate on few for each statement execute function tell()`);
    client = await fixture.client({ application_name: 'best' });
    const messages = [fe.parse('', text), fe.bind(), fe.execute('', max), fe.sync()];
    await approved(messages, 3);
    client.write(...messages);
    const errors = errorsOf(await client.untilReady());
    expect(errors[0]?.['C']).toBe(code);
    expect(await rowsOf('few')).toBe(left);
  });

  it('are no more in a transaction of the client, which fails', async () => {
    client = await fixture.client({ application_name: 'plain' });
    await client.query('begin');
    await approved([fe.query(DELETE)], 3);
    await client.query('rollback');
    await client.query('begin');
    const answer = await swollen('few', () => client.write(fe.query(DELETE)));
    expect(errorsOf(answer)).toMatchObject([{ C: '42501' }]);
    expect(statusOf(answer)).toBe('E');
    await client.query('commit');
    expect(await rowsOf('few')).toBe(1003);
  });

  it('are no more behind a live hold', async () => {
    client = await fixture.client({ application_name: 'waits' });
    client.write(fe.query(DELETE));
    const id = await heldId(client);
    await eventually('the preview', async () => {
      const { body } = await fixture.gateway.http(`/v1/approvals/${id}/preview`);
      return JSON.stringify(body).includes('"exact"') ? null : JSON.stringify(body);
    });
    const resolving = { now: Promise.resolve() };
    const answer = await swollen('few', () => {
      resolving.now = fixture.resolve(id, 'approve');
    });
    await resolving.now;
    expect(errorsOf(answer)).toMatchObject([{ C: '42501' }]);
    expect(await rowsOf('few')).toBe(1003);
  });

  it('are no more or fewer for what a MERGE inserts besides', async () => {
    client = await fixture.client({ application_name: 'plain' });
    const text =
      'merge into few using generate_series(3, 2000) s (id) on few.id = s.id when matched then delete when not matched then insert values (s.id, 2)';
    await approved([fe.query(text)], 1);
    expect(errorsOf(await client.query(text))).toEqual([]);
    expect(await rowsOf('few')).toBe(1999);
  });

  it.each([
    ['a Query', [fe.query(`${DELETE} returning 'x' as gone`)]],
    ['an Execute', extended(`${DELETE} returning 'x' as gone`)],
    ['a TRUNCATE', [fe.query('truncate few')]],
    ['a TRUNCATE by an Execute', extended('truncate few')],
  ])('run as they would without a gateway: %s', async (_, messages) => {
    client = await fixture.client({ application_name: 'plain' });
    await approved(messages, 3);
    client.write(...messages);
    const answer = await client.untilReady();
    await fixture.postgres.sql(TABLES);
    other.write(...messages);
    const direct = await other.untilReady();
    expect(answer.map(({ type, body }) => [type, body])).toEqual(
      direct.map(({ type, body }) => [type, body]),
    );
    await fixture.auditEvents((e) => e['end'] === 'completed' && e['approval_id'] !== null, 1);
    await fixture.postgres.sql(TABLES);
  });

  it('in a pipeline are committed with what stands beside them', async () => {
    client = await fixture.client({ application_name: 'plain' });
    const pipeline = [
      ...[fe.parse('', 'insert into few values (7, 7)'), fe.bind(), fe.execute()],
      ...[fe.parse('', DELETE), fe.bind(), fe.execute()],
      ...[fe.parse('', 'insert into few values (8, 8)'), fe.bind(), fe.execute()],
      fe.sync(),
    ];
    client.write(...pipeline);
    const errors = errorsOf(await client.untilReady());
    await fixture.resolve(JSON.parse(errors[0]!['D']!).approval_id, 'approve');
    client.write(...pipeline);
    expect(errorsOf(await client.untilReady())).toEqual([]);
    expect(await fixture.postgres.sql('select id from few order by id')).toEqual([['7'], ['8']]);
  });

  it('are not fetched in parts, because nobody is told how many they are', async () => {
    client = await fixture.client({ application_name: 'plain' });
    const text = `${DELETE} returning id`;
    const parts = [fe.parse('', text), fe.bind(), fe.execute('', 1), fe.sync()];
    await approved(parts, 3);
    client.write(...parts);
    expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '42501' }]);
    expect(await rowsOf('few')).toBe(3);
  });
});
