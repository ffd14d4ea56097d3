import { beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { eventually } from '../support/process-facts.ts';
import { cancel, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { typesOf } from './snapshots-taken.ts';
import { type TakenByTest, takenByTest } from './taken-by-test.ts';

describe.each([18, 15] as const)('an Execute that others have run into, on PostgreSQL %i', (version) => {
  const under = takenByTest(version);
  let { taken, client }: TakenByTest = under;
  let direct: RawClient;
  beforeEach(async () => {
    ({ taken, client } = under);
    await taken.fixture.postgres.sql('insert into other values (1)');
    direct = await RawClient.open(taken.fixture.postgres.port);
    return () => direct.terminate();
  });

  const ONE = `update precious set note = $1 where exists (select from other where other.id = precious.id)`;

  async function untilWaiting(sessions: number) {
    await eventually('the wait', async () => {
      const waits = `select count(*) from pg_stat_activity where wait_event_type = 'Lock'`;
      const [[count]] = (await taken.fixture.postgres.sql(waits)) as [[string]];
      return count === String(sessions) ? null : `${count} wait`;
    });
  }

  /** Others have locked a row of it, and have it change another by the time that it goes on. */
  async function runInto(sent: readonly Buffer[], meanwhile = async () => {}) {
    await direct.query('begin; insert into other values (3); update precious set note = note where id = 1');
    client.write(...sent);
    await untilWaiting(1);
    await meanwhile();
    await direct.query('commit');
    return await client.untilReady();
  }
  const notes = async () =>
    (await taken.fixture.postgres.sql(`select id from precious where note = 'n' order by id`)).flat();
  const bind = (portal = '', statement = '') => fe.bind({ portal, statement, parameters: ['n'] });

  it.each([
    ['all in one go', [fe.parse('', ONE), bind(), fe.describe('P'), fe.execute(), fe.sync()], '12nCZ'],
    [
      'named',
      [fe.parse('a', ONE), fe.describe('S', 'a'), bind('p', 'a'), fe.execute('p'), fe.sync()],
      '1tn2CZ',
    ],
  ])('runs once more, as a Query does: %s', async (_, sent, answer) => {
    const messages = await runInto(sent);
    expect(typesOf(messages)).toBe(answer);
    expect(statusOf(messages)).toBe('I');
    expect(await notes()).toEqual(['1', '3']);
    const [snapshot] = await taken.all();
    expect(snapshot!.tables).toMatchObject([{ name: 'precious', before: { rows: 2 }, after: { rows: 2 } }]);
    const events = await taken.fixture.auditEvents((event) => event['snapshot'] === snapshot!.id, 1);
    expect(events).toMatchObject([{ sql: ONE, end: 'completed', rows: 2, transaction_status: 'I' }]);
    // Its portal is gone with its transaction, and its statement is not.
    client.write(...sent.slice(answer.startsWith('12') ? 1 : 2));
    expect(errorsOf(await client.untilReady())).toEqual([]);
    expect(await taken.all()).toHaveLength(2);
  });

  it.each([
    ['gives rows', [fe.parse('', `${ONE} returning id`), bind(), fe.execute(), fe.sync()]],
    [
      'is not alone',
      [fe.parse('', 'select 1'), fe.bind(), fe.execute(), fe.parse('', ONE), bind(), fe.execute(), fe.sync()],
    ],
    ['is in a block', [fe.query('begin'), fe.parse('', ONE), bind(), fe.execute(), fe.sync()]],
    [
      'has begun one',
      [fe.parse('', 'begin'), fe.bind(), fe.execute(), fe.parse('', ONE), bind(), fe.execute(), fe.sync()],
    ],
    ['may be followed by others', [fe.parse('', ONE), bind(), fe.execute(), fe.close('S', ''), fe.sync()]],
  ])('is taken back with its segment where it %s', async (_, sent) => {
    const messages = await runInto(sent);
    const all = statusOf(messages) === 'T' ? await client.untilReady() : messages;
    expect(errorsOf(all)).toMatchObject([{ C: '40001' }]);
    expect(await notes()).toEqual([]);
    expect(await taken.all()).toEqual([]);
    await client.query('rollback');
    expect(await client.rows('select 1')).toEqual([['1']]);
  });

  it.each([
    ['is not planned', 'create rule r as on update to precious do also select 1', '40001'],
    // Whether it is planned or bound by then is left to chance.
    ['names what is gone', 'alter table precious rename note to was', '42703|40001'],
    ['is refused by the server', `alter table precious add check (note <> 'n') not valid`, '23514'],
  ])('fails where it %s the next time', async (_, change, code) => {
    const third = await RawClient.open(taken.fixture.postgres.port);
    const sent = [fe.parse('', ONE), bind(), fe.execute(), fe.sync()];
    // What is altered waits for the first time to be taken back.
    const messages = await runInto(sent, async () => {
      third.write(fe.query(change));
      await untilWaiting(2);
    });
    expect(errorsOf(messages)).toMatchObject([{ C: expect.stringMatching(code) }]);
    expect(typesOf(messages)).toBe('12EZ');
    expect(statusOf(messages)).toBe('I');
    expect(errorsOf(await third.untilReady())).toEqual([]);
    await third.terminate();
    expect(await taken.all()).toEqual([]);
    expect(await client.rows(`select from precious where to_jsonb(precious) ? 'n'`)).toEqual([]);
    await client.rows('select 1');
  });

  it.each(['cancels', 'goes'])(
    'ends with its snapshot or not at all where its client %s meanwhile',
    async (how) => {
      const third = await RawClient.open(taken.fixture.postgres.port);
      await third.query('begin');
      await direct.query('begin; insert into other values (3); update precious set note = note where id = 1');
      client.write(fe.parse('', ONE), bind(), fe.execute(), fe.sync());
      await untilWaiting(1);
      third.write(fe.query('lock table precious in access exclusive mode'));
      await untilWaiting(2);
      await direct.query('commit');
      // It has run once by then, and waits to be captured anew.
      expect(errorsOf(await third.untilReady())).toEqual([]);
      await untilWaiting(1);
      if (how === 'cancels') {
        await cancel(taken.fixture.gateway.port, client.processId, client.secretKey);
        const messages = await client.untilReady();
        expect(typesOf(messages)).toBe('12EZ');
        expect(errorsOf(messages)).toMatchObject([{ C: '40001' }]);
        expect(await client.rows('select 1')).toEqual([['1']]);
      } else client.destroy();
      await third.query('commit');
      await third.terminate();
      if (how === 'goes') {
        // Its Sync had come, so that the server itself would have gone on as well.
        await eventually('the end', async () => ((await taken.all()).length === 1 ? null : 'no snapshot'));
        await eventually('the commit', async () => ((await notes()).length === 2 ? null : 'none'));
        client = await taken.fixture.client();
      }
      const kept = how === 'goes' ? [{ tables: [{ before: { rows: 2 }, after: { rows: 2 } }] }] : [];
      expect(await taken.all()).toMatchObject(kept);
      expect(await notes()).toHaveLength(kept.length * 2);
    },
  );
});
