import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';
import { cancel, errorsOf, RawClient, statusOf } from '../support/raw-client.ts';
import { SnapshotSession, type Stall } from './snapshot-session.ts';

const PATIENCE_MS = 300;
const STALLS: readonly Stall[] = ['create', 'write', 'finish', 'manifest'];

describe('a storage that hangs', () => {
  let postgres: TestPostgres;
  let sessions: SnapshotSession;
  let client: RawClient;
  beforeAll(async () => {
    postgres = await startPostgres();
    sessions = await SnapshotSession.start(postgres.port, PATIENCE_MS);
  });
  afterAll(async () => {
    await sessions?.stop();
    await postgres?.stop();
  });
  beforeEach(async () => {
    sessions.store.stall = null;
    // More rows than the pipes to the storage take.
    await postgres.sql(`drop table if exists precious; create table precious (id int primary key, note text);
      alter table precious alter note set storage external;
      insert into precious select i, repeat(md5(i::text), 3000) from generate_series(1, 100) i`);
    client = await RawClient.open(sessions.port);
  });
  afterEach(() => {
    client.destroy();
  });

  const typesOf = (messages: readonly { type: string }[]) => messages.map(({ type }) => type).join('');
  const rows = async () =>
    Number((await postgres.sql(`select count(*) from precious where note <> ''`))[0]![0]);
  const extended = (sql: string) => client.write(fe.parse('', sql), fe.bind(), fe.execute(), fe.sync());
  const REMOVE = 'delete from precious';
  const CHANGE = `update precious set note = ''`;

  it.each(STALLS)('as in "%s" fails what has to have a snapshot, after a while', async (stall) => {
    sessions.store.stall = stall;
    const messages = await client.query(REMOVE);
    expect(errorsOf(messages)).toMatchObject([{ C: 'HF002' }]);
    expect(statusOf(messages)).toBe('I');
    extended(REMOVE);
    const segment = await client.untilReady();
    expect(errorsOf(segment)).toMatchObject([{ C: 'HF002' }]);
    expect(statusOf(segment)).toBe('I');
    await client.query('BEGIN');
    extended(REMOVE);
    expect(statusOf(await client.untilReady())).toBe('E');
    await client.query('ROLLBACK');
    await client.query('BEGIN');
    expect(statusOf(await client.query(REMOVE))).toBe('E');
    await client.query('ROLLBACK');
    expect(await rows()).toBe(100);
    expect(await client.rows('SELECT 1')).toEqual([['1']]);
  });

  it.each(STALLS)(
    'as in "%s" fails what is captured by the plan of last time, at its Execute',
    async (stall) => {
      const run = async (text: string, below: number) => {
        client.write(fe.parse('', text), fe.bind({ parameters: [String(below)] }), fe.execute(), fe.sync());
        return await client.untilReady();
      };
      const [removes, changes] = [`${REMOVE} where id < $1`, `${CHANGE} where id < $1`];
      for (const text of [removes, changes]) await run(text, 0);
      sessions.store.stall = stall;
      const messages = await run(removes, 200);
      expect(typesOf(messages)).toBe('12EZ');
      expect(errorsOf(messages)).toMatchObject([{ C: 'HF002' }]);
      expect(statusOf(messages)).toBe('I');
      expect(await rows()).toBe(100);
      // What may run without one does.
      expect(typesOf(await run(changes, 200))).toBe('12CZ');
      expect(await rows()).toBe(0);
    },
  );

  it.each(STALLS)(
    'as in "%s" keeps what may run without a snapshot waiting for a while only',
    async (stall) => {
      sessions.store.stall = stall;
      expect(typesOf(await client.query(CHANGE))).toBe('CZ');
      expect(await rows()).toBe(0);
      await postgres.sql(`update precious set note = repeat(md5(id::text), 3000)`);
      extended(CHANGE);
      expect(typesOf(await client.untilReady())).toBe('12CZ');
      expect(await rows()).toBe(0);
    },
  );

  it.each([0, 1])(
    'takes a manifest away that comes after its record has failed, at the %i. time',
    async (failing) => {
      const own = await SnapshotSession.start(postgres.port, 10_000);
      const kept = async () => {
        const keys: string[] = [];
        for await (const { key } of own.store.list('snapshots/')) {
          if (!key.endsWith('/rolled-back.json')) keys.push(key);
        }
        return keys;
      };
      own.store.stall = 'late manifest';
      own.audit.whenRecorded = async () => {
        await own.store.reached.promise;
        return false;
      };
      const unrecorded = await RawClient.open(own.port);
      expect(errorsOf(await unrecorded.query(REMOVE))).toMatchObject([{ C: '58030' }]);
      expect(await rows()).toBe(100);
      own.store.removals = failing;
      own.store.late.resolve();
      await eventually('it has come', () => (own.store.manifests === 1 ? null : 'it has not'));
      await eventually('nothing of it', async () =>
        (await kept()).length === 0 ? null : (await kept()).join(),
      );
      await unrecorded.terminate();
      await own.stop();
    },
  );

  it.each(['finish', 'manifest'] as const)(
    'as in "%s" is not waited for by a client that cancels, whose statement is taken back',
    async (stall) => {
      const patient = await SnapshotSession.start(postgres.port, 60_000);
      const own = await RawClient.open(patient.port);
      const bound = () => own.write(fe.parse('', REMOVE), fe.bind(), fe.execute(), fe.sync());
      const asked = (sql: string) => () => own.write(fe.query(sql));
      for (const [begin, send, status] of [
        ['', asked(REMOVE), 'I'],
        ['', bound, 'I'],
        ['', asked(CHANGE), 'I'],
        ['BEGIN', asked(REMOVE), 'E'],
        ['BEGIN', bound, 'E'],
      ] as const) {
        await own.query(begin);
        patient.store.stalled = false;
        patient.store.stall = stall;
        send();
        await eventually('the snapshot', async () =>
          patient.store.stalled ? null : 'it is not being stored',
        );
        await cancel(patient.port, own.processId, own.secretKey);
        const messages = await own.untilReady();
        expect(errorsOf(messages)).toMatchObject([{ C: '57014' }]);
        expect(statusOf(messages)).toBe(status);
        patient.store.stall = null;
        await own.query('ROLLBACK');
        expect(await rows()).toBe(100);
      }
      expect(await own.rows('SELECT 1')).toEqual([['1']]);
      await own.terminate();
      await patient.stop();
    },
  );

  it('does not keep a stop waiting, which records what it cuts first', async () => {
    const patient = await SnapshotSession.start(postgres.port, 60_000);
    patient.store.stall = 'finish';
    const cut = await RawClient.open(patient.port);
    cut.write(fe.query(REMOVE));
    // Its rows are gone in its transaction, and their snapshot waits for the storage.
    await eventually('the snapshot', async () => (patient.store.stalled ? null : 'it is not being stored'));
    const began = performance.now();
    await patient.stop();
    expect(performance.now() - began).toBeLessThan(3_000);
    expect(patient.audit.finished).toEqual([`${REMOVE}: lost`]);
    expect(await rows()).toBe(100);
    cut.destroy();
  });

  it.each(STALLS)('as in "%s" does not keep a session whose client is gone', async (stall) => {
    sessions.store.stall = stall;
    client.write(fe.query(REMOVE));
    await new Promise((resolve) => setTimeout(resolve, PATIENCE_MS / 3));
    client.destroy();
    const deadline = performance.now() + 10_000;
    while (sessions.metrics.sessionsOpen > 0) {
      if (performance.now() > deadline) throw new Error('the session is still there');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    // A client that goes after its statement has run has it committed, as directly; here it surely could not be.
    expect(await rows()).toBe(100);
  });
});
