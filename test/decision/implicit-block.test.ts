import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

const POLICY = `mode: protect
rules:
  - { name: kept, match: { operation: [delete] }, action: snapshot, snapshot: required, without_plan: block }
`;

/**
 * PostgreSQL from 2024 on makes a block of an Execute and the Query behind it, which nobody has begun and the next Sync
 * ends: one of the gateway's own would end it under a capture.
 */
describe.each([15, 18] as const)('a block that nobody has begun, on PostgreSQL %i', (version) => {
  let fixture: DecisionFixture;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(POLICY, { HOLDFAST_SNAPSHOTS_TAKEN: 'on' }, version);
  });
  afterAll(async () => {
    await fixture?.stop();
  });

  it('is not one in which rows could be captured', async () => {
    const client = await fixture.client();
    client.write(fe.parse('', 'select 1'), fe.bind(), fe.execute(), fe.query('select 1'));
    const status = statusOf(await client.untilReady());
    client.write(fe.query('delete from precious where id = 1'));
    const errors = errorsOf(await client.untilReady()).map(({ C }) => C);
    if (status === 'I') {
      expect(errors).toEqual([]);
      expect(await fixture.preciousRows()).toBe(9);
    } else {
      expect(errors).toEqual(['HF002']);
      client.write(fe.sync());
      await client.untilReady();
      expect(await fixture.preciousRows()).toBe(10);
    }
    // Behind the end of it all is as ever.
    client.write(fe.query('rollback'));
    await client.untilReady();
    await fixture.reset();
    client.write(fe.query('delete from precious where id = 2'));
    expect(errorsOf(await client.untilReady())).toEqual([]);
    const [event] = await fixture.auditEvents((each) => String(each['sql']).includes('id = 2'), 1);
    expect(event!['snapshot']).toMatch(/^snap_/);
    await client.terminate();
  });

  it.each([
    ['has not run', [fe.parse('', 'select 1'), fe.bind()]],
    ['has run nothing', [fe.parse('', ';'), fe.bind(), fe.execute()]],
  ])('is not made where a Query is asked about behind an unnamed portal that %s', async (_, messages) => {
    const direct = await RawClient.open(fixture.postgres.port);
    const client = await fixture.client();
    await direct.rows('drop table if exists one, two');
    await direct.rows('create table one (id int); create table two (id int)');
    for (const each of [client, direct]) {
      const table = each === client ? 'one' : 'two';
      each.write(...messages, fe.query(`insert into ${table} values (1)`));
      expect(statusOf(await each.untilReady())).toBe('I');
      expect(await direct.rows(`select count(*) from ${table}`)).toEqual([['1']]);
      await each.terminate();
    }
  });
});
