import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Catalog } from '../../src/catalog/catalog.ts';
import type { HiddenConnection } from '../../src/catalog/connection.ts';
import { textColumns } from '../../src/catalog/row.ts';
import { Listener } from '../../src/session/listener.ts';
import { captureBefore, plainQuery } from '../../src/snapshot/capture.ts';
import { NO_PARAMETERS, planCapture } from '../../src/snapshot/plan.ts';
import { captureAfter } from '../../src/snapshot/prove.ts';
import { Parser } from '../../src/sql/parsing/parser.ts';
import { sliceOf } from '../snapshot/exactness.ts';
import * as fe from '../support/frontend-messages.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';
import { cancel, RawClient } from '../support/raw-client.ts';
import { StubServices } from './stub-services.ts';

/** The words of a test: its UPDATEs are held, so that its client's stream waits. */
const UPDATE = 'UPDATE t SET b = b || b WHERE a < 3';

describe('hidden queries on a session with PostgreSQL', () => {
  let postgres: TestPostgres;
  let parser: Parser;
  let listener: Listener;
  let port: number;
  const services = new StubServices(1 << 20, 'protect');

  beforeAll(async () => {
    [postgres, parser] = await Promise.all([startPostgres(), Parser.create()]);
    await postgres.sql(
      `CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t VALUES (1, repeat('x', 100000)), (2, 'y'), (3, 'z')`,
    );
    listener = new Listener(services, {
      host: '127.0.0.1',
      port: 0,
      upstream: {
        host: '127.0.0.1',
        port: postgres.port,
        sslmode: 'disable',
        ca: null,
        cert: null,
        key: null,
        negotiation: 'postgres',
        connectTimeoutMs: 5_000,
      },
      tls: () => ({ mode: 'disable', secureContext: null, requestCert: false }),
      allowReplication: false,
      sessionsMax: 10,
      startupTimeoutMs: 5_000,
    });
    port = await listener.listen();
  });
  afterAll(async () => {
    listener.cut();
    await listener.drain(1_000);
    await postgres.stop();
  });

  /** The session whose client is held, once it is. */
  async function held(client: RawClient, end: 'flush' | 'sync') {
    const { asked } = services.approvals;
    await eventually('a hold', async () => (asked.length > 0 ? null : 'nothing is held'));
    const approval = asked.shift()!;
    await client.until('N');
    const session = [...listener['sessions']].find(({ id }) => id === approval.sessionId)!;
    const hidden: HiddenConnection = session['frontendMessages'].hidden.ending(end);
    return {
      session,
      hidden,
      approve: () => approval.settle({ kind: 'approved', by: 'ops', comment: null }),
    };
  }

  it.each(['sync', 'flush'] as const)('capture and prove in its transaction, by %s', async (end) => {
    const client = await RawClient.open(port);
    await client.query('BEGIN');
    const extended = [fe.parse('', UPDATE), fe.bind(), fe.execute(), fe.flush()];
    client.write(...(end === 'sync' ? [fe.query(UPDATE)] : extended));
    const { hidden, approve } = await held(client, end);
    const rows: Record<string, Buffer[]> = { before: [], after: [] };
    const sinks = {
      open: (_: unknown, image: 'before' | 'after') => ({
        write: async (row: Buffer) => {
          await new Promise((resolve) => setTimeout(resolve, 5));
          rows[image]!.push(Buffer.from(row));
        },
      }),
    };
    const slice = sliceOf(parser, UPDATE);
    const planned = await planCapture(hidden, new Catalog(), { scope: '', slice, parameters: NO_PARAMETERS });
    if (planned.kind !== 'exact') throw new Error(planned.reason);
    const capture = await captureBefore(hidden, planned.plan, sinks);
    approve();
    const messages = await client.until('C');
    const told = end === 'sync' ? [...messages, ...(await client.untilReady())] : messages;
    const proof = await captureAfter(hidden, planned.plan, capture, 'UPDATE 2', sinks);
    expect(proof.kind).toBe('proved');
    expect(rows['before']!.map(({ length }) => length)).toEqual([14 + 100_000, 14 + 1]);
    expect(rows['after']!.map(({ length }) => length)).toEqual([14 + 200_000, 14 + 2]);
    expect(told.map(({ type }) => type).join('')).toBe(end === 'sync' ? 'CZ' : '12C');
    if (end === 'flush') {
      client.write(fe.sync());
      await client.untilReady();
    }
    expect(await client.rows('SELECT count(*) FROM pg_prepared_statements')).toEqual([['0']]);
    await client.query('ROLLBACK');
    await client.terminate();
  });

  it.each(['sync', 'flush'] as const)(
    'are not compiled where that would cost more than it saves, whatever the client has set, by %s',
    async (end) => {
      const client = await RawClient.open(port);
      await client.query('SET jit = on');
      await client.query('BEGIN');
      const extended = [fe.parse('', UPDATE), fe.bind(), fe.execute(), fe.flush()];
      client.write(...(end === 'sync' ? [fe.query(UPDATE)] : extended));
      const { hidden, approve } = await held(client, end);
      const asked = plainQuery("SELECT pg_catalog.current_setting('jit')");
      const told: string[] = [];
      const tell = (row: Buffer) => void told.push(textColumns(row)[0]!);
      await hidden.run({ ...asked, neverCompiled: true }, tell);
      await hidden.run(asked, tell);
      expect(told).toEqual(['off', 'on']);
      const failing = { ...plainQuery('SELECT 1 / 0'), neverCompiled: true } as const;
      await expect(hidden.run(failing, tell)).rejects.toMatchObject({ sqlstate: '22012' });
      approve();
      if (end === 'flush') client.write(fe.sync());
      await client.untilReady();
      await client.query('ROLLBACK');
      expect(await client.rows('SHOW jit')).toEqual([['on']]);
      await client.terminate();
    },
  );

  it('are cancelled by the client as its own would be, and leave a transaction that can be rolled back', async () => {
    const client = await RawClient.open(port);
    await client.query('BEGIN');
    client.write(fe.query(UPDATE));
    const { session, hidden, approve } = await held(client, 'sync');
    const sleeping = hidden.run(plainQuery('SELECT pg_catalog.pg_sleep(60)'), () => {});
    sleeping.catch(() => {});
    await eventually('the sleep', async () => {
      const [row] = await postgres.sql(`select count(*) from pg_stat_activity where wait_event = 'PgSleep'`);
      return row![0] === '1' ? null : 'it has not begun';
    });
    // What is held besides takes a cancel for itself; without it, the server is asked.
    session.cancel = () => false;
    await cancel(port, client.processId, client.secretKey);
    await expect(sleeping).rejects.toMatchObject({ sqlstate: '57014' });
    approve();
    const messages = await client.untilReady();
    expect(messages.map(({ type }) => type).join('')).toBe('EZ');
    await client.query('ROLLBACK');
    const ran = hidden.run(plainQuery('SELECT 1'), () => {});
    await expect(ran).resolves.toMatchObject({ tag: 'SELECT 1' });
    expect(await client.rows('SELECT count(*) FROM pg_prepared_statements')).toEqual([['0']]);
    await client.terminate();
  });
});
