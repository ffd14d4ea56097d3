import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { SNAPSHOTS } from '../support/gateway.ts';
import { eventually } from '../support/process-facts.ts';
import { errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { DecisionFixture, heldId } from './fixture.ts';

const POLICY = `mode: protect
rules:
  - { name: asked, match: { operation: [truncate] }, action: hold }
  - { name: kept, match: { operation: [drop table, alter table, update] }, action: snapshot }
`;

let fixture: DecisionFixture;
let client: RawClient;
let blocker: RawClient;
beforeAll(async () => {
  fixture = await DecisionFixture.start(POLICY, SNAPSHOTS);
});
afterAll(() => fixture?.stop());
beforeEach(async () => {
  await fixture.reset();
  client = await fixture.client();
  blocker = await RawClient.open(fixture.postgres.port);
});
afterEach(async () => {
  await fixture.gateway.http('/v1/resume', { method: 'POST' });
  client.destroy();
  blocker.destroy();
});

const UPDATE = `update precious set note = 'changed'`;
const ONE = `update precious set note = 'changed' where id = 3`;
const extended = (sql: string) => Buffer.concat([fe.parse('', sql), fe.bind(), fe.execute(), fe.sync()]);

async function blockedBy(lock: string): Promise<void> {
  await blocker.query(`begin; ${lock}`);
}

/** Waits for a session of the server that waits for a lock. */
async function untilBlocked(): Promise<void> {
  await eventually('a lock is waited for', async () => {
    const [row] = await fixture.postgres.sql(
      `select count(*) from pg_stat_activity where wait_event_type = 'Lock'`,
    );
    return Number(row![0]) > 0 ? null : 'nobody waits';
  });
}

async function pauseNow(): Promise<void> {
  const { status } = await fixture.gateway.http('/v1/pause', { method: 'POST', body: { reason: 'stop' } });
  expect(status).toBe(200);
}

async function changed(): Promise<number> {
  const [row] = await fixture.postgres.sql(`select count(*) from precious where note = 'changed'`);
  return Number(row![0]);
}

const REFUSED = [{ C: '42501', M: 'statement refused: the gateway is paused' }];

describe('a pause that comes while a statement waits', () => {
  for (const [name, sql] of [
    ['of several rows', UPDATE],
    ['of one row', ONE],
  ] as const) {
    it(`refuses a Query ${name} that waits for its rows`, async () => {
      for (let i = 0; i < 2; i++) await client.query(sql.replace('changed', 'warm'));
      await blockedBy('select * from precious where id = 3 for update');
      client.write(fe.query(sql));
      await untilBlocked();
      await pauseNow();
      await blocker.query('rollback');
      const messages = await client.untilReady();
      expect(errorsOf(messages)).toMatchObject(REFUSED);
      expect(statusOf(messages)).toBe('I');
      expect(await changed()).toBe(0);
      const events = await fixture.auditEvents(({ rule }) => rule === 'pause', 1);
      expect(events.at(-1)).toMatchObject({ action: 'block', sqlstate: '42501', end: 'blocked' });
      await fixture.gateway.http('/v1/resume', { method: 'POST' });
      expect(errorsOf(await client.query(sql))).toEqual([]);
    });

    it(`refuses an Execute ${name} that waits for its rows`, async () => {
      for (let i = 0; i < 2; i++) {
        client.write(extended(sql.replace('changed', 'warm')));
        await client.untilReady();
      }
      await blockedBy('select * from precious where id = 3 for update');
      client.write(extended(sql));
      await untilBlocked();
      await pauseNow();
      await blocker.query('rollback');
      const messages = await client.untilReady();
      expect(errorsOf(messages)).toMatchObject(REFUSED);
      expect(statusOf(messages)).toBe('I');
      expect(await changed()).toBe(0);
      await fixture.gateway.http('/v1/resume', { method: 'POST' });
      client.write(extended(sql));
      expect(errorsOf(await client.untilReady())).toEqual([]);
    });

    it(`refuses one ${name} in a transaction, which may go on to its end`, async () => {
      for (let i = 0; i < 2; i++) await client.query(sql.replace('changed', 'warm'));
      await client.query('begin; insert into other values (1)');
      await blockedBy('select * from precious where id = 3 for update');
      client.write(fe.query(sql));
      await untilBlocked();
      await pauseNow();
      await blocker.query('rollback');
      const messages = await client.untilReady();
      expect(errorsOf(messages)).toMatchObject(REFUSED);
      expect(statusOf(messages)).toBe('E');
      await client.query('commit');
      expect(await changed()).toBe(0);
    });
  }

  it('refuses a text of several statements of which some have run', async () => {
    await blockedBy('select * from precious where id = 3 for update');
    client.write(fe.query(`insert into other values (1); ${UPDATE}; select 1`));
    await untilBlocked();
    await pauseNow();
    await blocker.query('rollback');
    const messages = await client.untilReady();
    expect(errorsOf(messages)).toMatchObject(REFUSED);
    expect(statusOf(messages)).toBe('I');
    expect(await changed()).toBe(0);
  });

  it('refuses a DROP that waits for its table', async () => {
    await blockedBy('select * from precious');
    client.write(fe.query('drop table precious'));
    await untilBlocked();
    await pauseNow();
    await blocker.query('rollback');
    const messages = await client.untilReady();
    expect(errorsOf(messages)).toMatchObject(REFUSED);
    expect(statusOf(messages)).toBe('I');
    expect(await fixture.preciousRows()).toBe(10);
  });

  it('refuses an ALTER that waits for its table', async () => {
    await blockedBy('select * from precious');
    client.write(fe.query('alter table precious drop column note'));
    await untilBlocked();
    await pauseNow();
    await blocker.query('rollback');
    expect(errorsOf(await client.untilReady())).toMatchObject(REFUSED);
    expect(await fixture.postgres.sql('select note from precious where id = 1')).toEqual([['row 1']]);
  });

  it.each(['simple', 'extended'] as const)('refuses what waits for its record, %s', async (protocol) => {
    const sql = 'create table made_in_a_pause (id int)';
    const store = new DatabaseSync(join(fixture.gateway.directory, 'h.db'));
    try {
      // Nobody else writes until it is over.
      store.exec('begin immediate');
      client.write(protocol === 'simple' ? fe.query(sql) : extended(sql));
      await new Promise((resolve) => setTimeout(resolve, 200));
      const pausing = fixture.gateway.http('/v1/pause', { method: 'POST', body: { reason: 'stop' } });
      await eventually('the pause', async () =>
        (await fixture.gateway.metric('holdfast_paused')) === 1 ? null : 'is not in force',
      );
      store.exec('rollback');
      expect((await pausing).status).toBe(200);
      expect(errorsOf(await client.untilReady())).toMatchObject(REFUSED);
      expect(await fixture.postgres.sql(`select to_regclass('made_in_a_pause')`)).toEqual([[null]]);
    } finally {
      store.close();
    }
  });

  it('refuses a DROP whose Sync has not come', async () => {
    client.write(Buffer.concat([fe.parse('', 'drop table precious'), fe.bind(), fe.execute()]));
    await new Promise((resolve) => setTimeout(resolve, 300));
    await pauseNow();
    client.write(fe.sync());
    const messages = await client.untilReady();
    expect(errorsOf(messages)).toMatchObject(REFUSED);
    expect(await fixture.preciousRows()).toBe(10);
  });

  it('refuses what was approved and waits for its rows', async () => {
    client.write(fe.query('truncate precious'));
    const id = await heldId(client);
    await blockedBy('select * from precious');
    await fixture.resolve(id, 'approve');
    await untilBlocked();
    await pauseNow();
    await blocker.query('rollback');
    expect(errorsOf(await client.untilReady())).toMatchObject(REFUSED);
    expect(await fixture.preciousRows()).toBe(10);
  });

  it.each(['simple', 'extended'] as const)(
    'refuses a COPY whose data have not ended, %s',
    async (protocol) => {
      const sql = 'copy other from stdin';
      client.write(protocol === 'simple' ? fe.query(sql) : extended(sql));
      await client.until('G');
      client.write(fe.copyData(Buffer.from('1\n')));
      await pauseNow();
      client.write(fe.copyData(Buffer.from('2\n')), fe.copyDone());
      if (protocol === 'extended') client.write(fe.sync());
      const messages = await client.untilReady();
      expect(errorsOf(messages)).toMatchObject(REFUSED);
      expect(statusOf(messages)).toBe('I');
      expect(await fixture.postgres.sql('select count(*) from other')).toEqual([['0']]);
      const [event] = await fixture.auditEvents(
        ({ operation, rule }) => operation === 'copy from' && rule === 'pause',
        1,
      );
      expect(event).toMatchObject({ end: 'blocked', sqlstate: '42501', action: 'block' });
      await fixture.gateway.http('/v1/resume', { method: 'POST' });
      client.write(fe.query(sql));
      await client.until('G');
      client.write(fe.copyData(Buffer.from('1\n')), fe.copyDone());
      expect(errorsOf(await client.untilReady())).toEqual([]);
    },
  );

  it('commits what a transaction of the client has written before', async () => {
    await client.query(`begin; insert into other values (1); ${UPDATE}`);
    await pauseNow();
    expect(errorsOf(await client.query('commit'))).toEqual([]);
    expect(await changed()).toBe(10);
  });
});

describe('a quarantine that comes while a statement waits', () => {
  it('refuses those of its role, and of no other', async () => {
    await fixture.postgres.sql('drop role if exists kept_out; create role kept_out login superuser');
    const own = await fixture.client({ user: 'kept_out' });
    await blockedBy('select * from precious where id = 3 for update');
    own.write(fe.query(UPDATE.replace('changed', 'own')));
    client.write(fe.query(UPDATE));
    await untilBlocked();
    const body = { role: 'kept_out', reason: 'odd' };
    const { body: put } = await fixture.gateway.http('/v1/quarantine', { method: 'POST', body });
    await blocker.query('rollback');
    expect(errorsOf(await own.untilReady())).toMatchObject([
      { C: '42501', M: 'statement refused: role "kept_out" is in quarantine' },
    ]);
    expect(errorsOf(await client.untilReady())).toEqual([]);
    expect(await changed()).toBe(10);
    await fixture.gateway.http(`/v1/quarantine/${(put as { id: string }).id}`, { method: 'DELETE' });
    own.destroy();
  });
});
