import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { type BackendMessage, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

const POLICY = `
mode: protect
rules:
  - name: precious stays
    match: { table: [precious, public.precious], operation: [delete, truncate, update] }
    action: block
    reason: The rows of precious are not to be changed.
`;
/** The statement that policy blocks, and one that fails of its own accord in the same place. */
const BLOCKED = 'delete from precious where id = 1';
const FAILING = 'delete from missing where id = 1';

/** Everything but the error's own words, which are ours on one side and the server's on the other. */
function shapeOf(messages: readonly BackendMessage[]): string[] {
  return messages.map((m) => (m.type === 'E' ? 'E' : `${m.type}:${m.body.toString('latin1')}`));
}

type Scenario = (statement: string) => { readonly send: Buffer[]; readonly readies: number };

const extended = (sql: string): Buffer =>
  Buffer.concat([fe.parse('', sql), fe.bind(), fe.describe('P'), fe.execute()]);

const SCENARIOS: Record<string, Scenario> = {
  'alone in a Query': (sql) => ({ send: [fe.query(sql)], readies: 1 }),
  'first in a multi-statement Query': (sql) => ({
    send: [fe.query(`${sql}; insert into other values (2)`)],
    readies: 1,
  }),
  'in a Query in an explicit transaction': (sql) => ({
    send: [fe.query('begin'), fe.query('insert into other values (1)'), fe.query(sql), fe.query('commit')],
    readies: 4,
  }),
  'in a transaction that has failed already': (sql) => ({
    send: [fe.query('begin'), fe.query('select 1/0'), fe.query(sql), fe.query('rollback')],
    readies: 4,
  }),
  'after a savepoint': (sql) => ({
    send: [
      fe.query('begin'),
      fe.query('insert into other values (1)'),
      fe.query('savepoint a'),
      fe.query(sql),
      fe.query('rollback to a'),
      fe.query('commit'),
    ],
    readies: 6,
  }),
  'in the middle of a pipeline': (sql) => ({
    send: [
      extended('insert into other values (1)'),
      extended(sql),
      extended('insert into other values (2)'),
      fe.sync(),
    ],
    readies: 1,
  }),
  'in a pipeline in an explicit transaction': (sql) => ({
    send: [
      fe.query('begin'),
      extended('insert into other values (1)'),
      extended(sql),
      extended('insert into other values (2)'),
      fe.sync(),
      extended('insert into other values (3)'),
      fe.sync(),
      fe.query('commit'),
    ],
    readies: 4,
  }),
  'after an error in the same pipeline': (sql) => ({
    send: [
      extended('select 1/0'),
      extended(sql),
      fe.sync(),
      extended('insert into other values (1)'),
      fe.sync(),
    ],
    readies: 2,
  }),
  'in the second segment of a burst': (sql) => ({
    send: [
      extended('insert into other values (1)'),
      fe.sync(),
      extended(sql),
      fe.sync(),
      extended('insert into other values (2)'),
      fe.sync(),
    ],
    readies: 3,
  }),
};

describe('a statement that policy blocks', () => {
  let fixture: DecisionFixture;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(POLICY);
  });
  afterAll(async () => {
    await fixture?.stop();
  });
  beforeEach(async () => {
    await fixture.reset();
  });

  it.each(Object.keys(SCENARIOS))('%s leaves everything as a failing statement does', async (name) => {
    const scenario = SCENARIOS[name]!;
    const run = async (port: number, statement: string) => {
      await fixture.reset();
      const client = await RawClient.open(port);
      const { send, readies } = scenario(statement);
      client.write(...send);
      const messages: BackendMessage[] = [];
      for (let i = 0; i < readies; i++) messages.push(...(await client.untilReady()));
      const usable = await client.rows('select 1');
      await client.terminate();
      const others = await fixture.postgres.sql('select id from other order by id');
      return { messages, usable, others };
    };
    const failing = await run(fixture.postgres.port, FAILING);
    const blocked = await run(fixture.gateway.port, BLOCKED);
    // A Parse of a missing table fails at Parse, the blocked one later at Bind: ParseComplete may be more.
    const withoutParse = (m: readonly BackendMessage[]) => shapeOf(m).filter((line) => line !== '1:');
    expect(withoutParse(blocked.messages)).toEqual(withoutParse(failing.messages));
    expect(blocked.others).toEqual(failing.others);
    expect(blocked.usable).toEqual([['1']]);
    expect(await fixture.preciousRows()).toBe(10);
  });

  it('in a multi-statement Query blocks the whole of it', async () => {
    const client = await fixture.client();
    const messages = await client.query(
      `insert into other values (1); ${BLOCKED}; insert into other values (2)`,
    );
    expect(messages.map((m) => m.type).join('')).toBe('EZ');
    expect(statusOf(messages)).toBe('I');
    expect(await fixture.postgres.sql('select count(*) from other')).toEqual([['0']]);
    await client.terminate();
  });

  it('is an ERROR 42501 that names the rule and says what to do', async () => {
    const client = await fixture.client();
    const [error] = errorsOf(await client.query(BLOCKED));
    expect(error).toMatchObject({ S: 'ERROR', V: 'ERROR', C: '42501' });
    expect(JSON.stringify(error)).toContain('precious stays');
    expect(error!['H'] ?? '').not.toBe('');
    await client.terminate();
  });

  it('is answered to a client that flushes and never syncs', async () => {
    const client = await fixture.client();
    client.write(extended(BLOCKED), fe.flush());
    const messages = await client.until('E', 3_000);
    expect(errorsOf(messages)).toMatchObject([{ C: '42501' }]);
    client.write(fe.sync());
    expect(statusOf(await client.untilReady())).toBe('I');
    await client.terminate();
  });

  it('is blocked at every execution of a prepared statement, and each is audited', async () => {
    const client = await fixture.client({ application_name: 'again-and-again' });
    client.write(fe.parse('s', 'delete from precious where id = $1', [23]), fe.sync());
    await client.untilReady();
    for (let i = 1; i <= 3; i++) {
      client.write(fe.bind({ statement: 's', parameters: [String(i)] }), fe.execute(), fe.sync());
      expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '42501' }]);
    }
    client.write(fe.parse('r', 'select $1::int', [23]), fe.sync());
    await client.untilReady();
    for (let i = 1; i <= 3; i++) {
      client.write(fe.bind({ statement: 'r', parameters: [String(i)] }), fe.execute(), fe.sync());
      expect(errorsOf(await client.untilReady())).toEqual([]);
    }
    await client.terminate();
    const events = await fixture.auditEvents((e) => e['application'] === 'again-and-again', 6);
    expect(events).toHaveLength(6);
    expect(await fixture.preciousRows()).toBe(10);
  });

  it('is in the audit with its outcome, as are statements that ran and that failed', async () => {
    const client = await fixture.client({ application_name: 'outcomes' });
    await client.query('select 1');
    await client.query('select 1/0');
    await client.query(BLOCKED);
    await client.query('insert into other values (1), (2)');
    await client.terminate();
    const events = await fixture.auditEvents((e) => e['application'] === 'outcomes', 4);
    expect(events.map((e) => e['sqlstate'])).toEqual([null, '22012', '42501', null]);
    expect(events.map((e) => e['rows'])).toEqual([1, null, null, 2]);
  });
});
