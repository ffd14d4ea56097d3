import { createHash } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { openBlobStore } from '../../src/blobs/open.ts';
import { type Manifest, readManifest } from '../../src/snapshot/manifest.ts';
import * as fe from '../support/frontend-messages.ts';
import { eventually } from '../support/process-facts.ts';
import { type BackendMessage, cancel, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

const POLICY = `
mode: protect
without_plan: block
rules:
  - { name: as well as can be, match: { application: [careless] }, action: snapshot, snapshot: best_effort }
  - { name: what changes, match: { operation: [update, delete, merge, truncate, insert] }, action: snapshot }
`;

const typesOf = (messages: readonly BackendMessage[]) => messages.map(({ type }) => type).join('');

describe('a statement of which policy wants a snapshot', () => {
  let fixture: DecisionFixture;
  let folder: string;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(POLICY, { HOLDFAST_SNAPSHOTS_TAKEN: 'on' });
    folder = join(fixture.gateway.directory, 'snapshots');
  });
  afterAll(async () => {
    await fixture?.stop();
  });
  beforeEach(async () => {
    await fixture.reset();
    rmSync(join(folder, 'snapshots'), { recursive: true, force: true });
  });

  /** All snapshots that are there. */
  async function snapshots(): Promise<Manifest[]> {
    const store = openBlobStore({ kind: 'file', directory: folder });
    const manifests: Manifest[] = [];
    for await (const { key } of store.list('snapshots/')) {
      if (!key.endsWith('/manifest.json')) continue;
      // What is given up may go between the two looks.
      const gone = (error: unknown) => {
        if (error instanceof HoldfastError && error.code === 'BLOB_NOT_FOUND') return null;
        throw error;
      };
      const manifest = await readManifest(store, key.slice(0, -14)).catch(gone);
      if (manifest !== null) manifests.push(manifest);
    }
    await store.close();
    return manifests;
  }

  const auditOf = async (application: string, count = 1) =>
    await fixture.auditEvents((event) => event['application'] === application, count);

  it('has neither its secret in the manifest nor a hash by which it could be guessed', async () => {
    const client = await fixture.client();
    const text = "update precious set note = 'n' where id = 1 and 'user=a password=hunter2' <> note";
    await client.query(text);
    await client.terminate();
    const [manifest] = await snapshots();
    const masked = text.replace('hunter2', '***');
    expect(manifest?.statement).toMatchObject({
      text: masked,
      sha256: createHash('sha256').update(masked).digest('hex'),
    });
  });

  it('is captured, and its client reads what it would read directly', async () => {
    const client = await fixture.client({ application_name: 'captured' });
    const statement = 'delete from precious where id < 4 returning id';
    const direct = await RawClient.open(fixture.postgres.port);
    await direct.query('begin');
    const wanted = await direct.query(statement);
    await direct.query('rollback');
    const messages = await client.query(statement);
    expect(typesOf(messages)).toBe(typesOf(wanted));
    expect(statusOf(messages)).toBe('I');
    expect(await fixture.preciousRows()).toBe(7);
    const [snapshot] = await snapshots();
    expect(snapshot).toMatchObject({
      session: { role: 'postgres', application: 'captured' },
      statement: { text: statement, operation: 'delete' },
      decision: { rule: 'what changes' },
      tables: [{ name: 'precious', key: ['id'], before: { rows: 3 }, after: null }],
    });
    const [event] = await auditOf('captured');
    expect(event).toMatchObject({
      snapshot: snapshot!.id,
      rows: 3,
      end: 'completed',
      transaction_status: 'I',
    });
    await client.terminate();
    await direct.terminate();
  });

  it('is captured in the transaction of the client, and goes back with it', async () => {
    const client = await fixture.client();
    await client.query('begin');
    const messages = await client.query(`update precious set note = 'n' where id = 1`);
    expect(typesOf(messages)).toBe('CZ');
    expect(statusOf(messages)).toBe('T');
    const [snapshot] = await snapshots();
    expect(snapshot).toMatchObject({ tables: [{ before: { rows: 1 }, after: { rows: 1 } }] });
    await client.query('rollback');
    expect(await fixture.postgres.sql('select note from precious where id = 1')).toEqual([['row 1']]);
    expect((await client.query('select 1')).length).toBe(4);
    await client.terminate();
  });

  it('in a burst of Queries is followed by the others in order', async () => {
    const client = await fixture.client();
    client.write(
      fe.query('insert into other values (1)'),
      fe.query('delete from precious where id = 1'),
      fe.query('select count(*) from precious'),
      fe.query('begin'),
      fe.query('delete from precious where id = 2'),
      fe.query('commit'),
      fe.query('select count(*) from precious'),
    );
    const types: string[] = [];
    const statuses: string[] = [];
    for (let i = 0; i < 7; i++) {
      const messages = await client.untilReady();
      types.push(typesOf(messages));
      statuses.push(statusOf(messages));
    }
    expect(types).toEqual(['EZ', 'CZ', 'TDCZ', 'CZ', 'CZ', 'CZ', 'TDCZ']);
    expect(statuses.join('')).toBe('IIITTII');
    expect(await snapshots()).toHaveLength(2);
    await client.terminate();
  });

  it('that fails says so as it would directly, and leaves no snapshot and no transaction', async () => {
    const client = await fixture.client({ application_name: 'failing' });
    const direct = await RawClient.open(fixture.postgres.port);
    const statement = `update precious set id = 2, note = 'gone' where id = 1`;
    const [wanted] = errorsOf(await direct.query(statement));
    const messages = await client.query(statement);
    expect(errorsOf(messages)).toEqual([wanted]);
    expect(statusOf(messages)).toBe('I');
    await eventually('no snapshot', async () => ((await snapshots()).length === 0 ? null : 'there is one'));
    expect((await auditOf('failing'))[0]).toMatchObject({ end: 'failed', sqlstate: '23505' });
    await client.query('begin');
    expect(statusOf(await client.query(statement))).toBe('E');
    await client.query('rollback');
    await client.terminate();
    await direct.terminate();
  });

  it('that only fails at its commit is not told to have succeeded', async () => {
    await fixture.postgres.sql('alter table other add unique (id) deferrable initially deferred');
    await fixture.postgres.sql('insert into other values (1), (2)');
    const client = await fixture.client();
    const messages = await client.query('update other set id = 3');
    expect(typesOf(messages)).toBe('EZ');
    expect(errorsOf(messages)).toMatchObject([{ C: '23505' }]);
    expect(statusOf(messages)).toBe('I');
    await eventually('no snapshot', async () => ((await snapshots()).length === 0 ? null : 'there is one'));
    await client.terminate();
  });

  it('of which none can be taken is refused with the reason, unless its rule lets it run without', async () => {
    const statement = 'delete from precious where random() < 2';
    const client = await fixture.client({ application_name: 'careful' });
    const messages = await client.query(statement);
    expect(errorsOf(messages)).toMatchObject([{ C: 'HF002', S: 'ERROR' }]);
    expect(statusOf(messages)).toBe('I');
    await client.query('begin');
    expect(statusOf(await client.query(statement))).toBe('E');
    await client.query('rollback');
    client.write(fe.parse('', statement), fe.bind(), fe.execute(), fe.sync());
    expect(errorsOf(await client.untilReady())).toMatchObject([{ C: 'HF002' }]);
    expect(await fixture.preciousRows()).toBe(10);
    await client.terminate();
    const careless = await fixture.client({ application_name: 'careless' });
    expect(typesOf(await careless.query(statement))).toBe('CZ');
    expect(await fixture.preciousRows()).toBe(0);
    await careless.terminate();
    const [event] = await fixture.auditEvents((e) => e['application'] === 'careless' && e['rows'] === 10, 1);
    expect(event!['snapshot']).toMatch(/^none: /);
  });

  it('that changes nothing leaves none', async () => {
    const client = await fixture.client({ application_name: 'nothing' });
    expect(typesOf(await client.query('delete from precious where id = 77'))).toBe('CZ');
    expect(await snapshots()).toEqual([]);
    expect((await auditOf('nothing'))[0]!['snapshot']).toBe('none: it changed no row');
    await client.terminate();
  });

  it('is not run behind a ROLLBACK in its own text, which ends a transaction that had failed', async () => {
    const client = await fixture.client();
    for (const sql of ['rollback; delete from precious', 'commit; truncate precious']) {
      await client.query('begin');
      await client.query('select 1/0');
      expect(errorsOf(await client.query(sql))).toMatchObject([{ C: 'HF002' }]);
      expect(statusOf(await client.query('delete from precious'))).toBe('E');
      await client.query('rollback');
    }
    expect(await fixture.preciousRows()).toBe(10);
    await client.terminate();
  });

  it('takes back what it cannot store', async () => {
    const client = await fixture.client();
    await client.query('delete from precious where id = 1');
    rmSync(join(folder, 'snapshots'), { recursive: true, force: true });
    writeFileSync(join(folder, 'snapshots'), 'in the way');
    try {
      const messages = await client.query('delete from precious where id = 2');
      expect(errorsOf(messages)).toMatchObject([{ C: 'HF002' }]);
      expect(statusOf(messages)).toBe('I');
      await client.query('begin');
      await client.query('select 1');
      expect(statusOf(await client.query('delete from precious where id = 2'))).toBe('E');
      await client.query('rollback');
      expect(await fixture.preciousRows()).toBe(9);
      const careless = await fixture.client({ application_name: 'careless' });
      expect(typesOf(await careless.query('delete from precious where id = 3'))).toBe('CZ');
      expect(await fixture.preciousRows()).toBe(8);
      await careless.terminate();
    } finally {
      rmSync(join(folder, 'snapshots'), { force: true });
    }
    await client.terminate();
  });

  describe('where others change more meanwhile than was captured', () => {
    const SQL = `update precious set note = 'n' where exists (select from other where other.id = precious.id)`;
    const changed = async () =>
      Number((await fixture.postgres.sql(`select count(*) from precious where note = 'n'`))[0]![0]);
    const waiters = async (count: number) =>
      await eventually(`${count} waiting`, async () => {
        const waits = `select count(*) from pg_stat_activity where wait_event_type = 'Lock'`;
        const [[now]] = (await fixture.postgres.sql(waits)) as [[string]];
        return now === String(count) ? null : `${now} wait`;
      });
    let others: RawClient[] = [];
    beforeEach(async () => {
      await fixture.postgres.sql('insert into other values (1)');
      others = [];
      return async () => {
        for (const other of others) await other.terminate();
      };
    });

    /** Has one more row changed by the statement, once it is let go on: its capture waits for the first and does not see it. */
    async function disturb(
      id: number,
    ): Promise<{ locked: Promise<unknown>; commit: () => Promise<unknown> }> {
      const other = await RawClient.open(fixture.postgres.port);
      others.push(other);
      await other.query(`begin; insert into other values (${id})`);
      const locked = other.query('update precious set note = note where id = 1');
      return { locked, commit: async () => await other.query('commit') };
    }

    it('begins anew by itself, and has a snapshot of all', async () => {
      const client = await fixture.client({ application_name: 'again' });
      const { locked, commit } = await disturb(3);
      await locked;
      client.write(fe.query(SQL));
      await waiters(1);
      await commit();
      expect(typesOf(await client.untilReady())).toBe('CZ');
      expect(await changed()).toBe(2);
      const [event] = await auditOf('again');
      expect(event).toMatchObject({ end: 'completed', rows: 2, snapshot: expect.stringMatching(/^snap_/) });
      await client.terminate();
    });

    it('is taken back with 40001 at last', async () => {
      const client = await fixture.client({ application_name: 'drifting' });
      let disturbing = await disturb(3);
      await disturbing.locked;
      client.write(fe.query(SQL));
      for (const id of [4, 5]) {
        await waiters(1);
        const next = await disturb(id);
        await waiters(2);
        await disturbing.commit();
        await next.locked;
        disturbing = next;
      }
      await waiters(1);
      await disturbing.commit();
      const messages = await client.untilReady();
      expect(errorsOf(messages)).toMatchObject([{ C: '40001' }]);
      expect(typesOf(messages)).toBe('EZ');
      expect(statusOf(messages)).toBe('I');
      expect(await changed()).toBe(0);
      expect((await auditOf('drifting'))[0]).toMatchObject({ end: 'failed', sqlstate: '40001' });
      await client.terminate();
    });

    it.each([
      ['has told of rows', `${SQL} returning id`, []],
      ['is in a transaction of the client', SQL, ['begin']],
    ])('is taken back with 40001 at once where it %s', async (_, sql, before) => {
      const client = await fixture.client();
      for (const each of before) await client.query(each);
      const { locked, commit } = await disturb(3);
      await locked;
      client.write(fe.query(sql));
      await waiters(1);
      await commit();
      expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '40001' }]);
      if (before.length > 0) await client.query('rollback');
      expect(await changed()).toBe(0);
      await client.terminate();
    });
  });

  it('can be cancelled while its rows are locked by others', async () => {
    const other = await RawClient.open(fixture.postgres.port);
    await other.query('begin; update precious set note = note where id = 1');
    const client = await fixture.client();
    client.write(fe.query('delete from precious where id = 1'));
    await eventually('the wait', async () => {
      const [row] = await fixture.postgres.sql(
        `select count(*) from pg_stat_activity where wait_event_type = 'Lock'`,
      );
      return row![0] === '1' ? null : 'nobody waits';
    });
    await cancel(fixture.gateway.port, client.processId, client.secretKey);
    const messages = await client.untilReady();
    expect(errorsOf(messages)).toMatchObject([{ C: '57014' }]);
    expect(statusOf(messages)).toBe('I');
    await other.query('rollback');
    expect(await fixture.preciousRows()).toBe(10);
    await client.terminate();
    await other.terminate();
  });

  it('of a client that sends no more runs all the same, as it would directly, and has its snapshot', async () => {
    const other = await RawClient.open(fixture.postgres.port);
    await other.query('begin; update precious set note = note where id = 1');
    const client = await fixture.client();
    client.write(fe.query('delete from precious where id = 1'));
    const waits = `select count(*) from pg_stat_activity where wait_event_type = 'Lock'`;
    await eventually('the wait', async () =>
      (await fixture.postgres.sql(waits))[0]![0] === '1' ? null : 'nobody waits',
    );
    client.stream.destroy();
    await other.query('rollback');
    await eventually('its end', async () => ((await fixture.preciousRows()) === 9 ? null : 'it has not run'));
    expect(await snapshots()).toHaveLength(1);
    await other.terminate();
  });
});
