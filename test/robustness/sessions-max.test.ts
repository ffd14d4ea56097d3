import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { eventually, openFiles } from '../support/process-facts.ts';
import { RawClient } from '../support/raw-client.ts';

const SESSIONS_MAX = 5;
const CLIENTS = 30;

describe('limits.sessions_max', () => {
  let postgres: TestPostgres;
  let gateway: TestGateway;
  beforeAll(async () => {
    postgres = await startPostgres();
    gateway = await startGateway({
      upstreamPort: postgres.port,
      environment: { HOLDFAST_LIMITS_SESSIONS_MAX: String(SESSIONS_MAX) },
    });
  });
  afterAll(async () => {
    await gateway?.stop();
    await postgres?.stop();
  });

  it('is kept by clients that log in at the same time', async () => {
    const clients = await Promise.all(
      Array.from({ length: SESSIONS_MAX * 2 }, () => RawClient.connect(gateway.port)),
    );
    for (const client of clients.slice(0, SESSIONS_MAX * 2)) {
      client.write(fe.startup({ user: 'postgres', database: 'postgres' }));
    }
    const ends = await Promise.all(
      clients.map(async (client) => {
        const { type } = (await client.until('Z').catch(() => []))?.at(-1) ?? { type: 'nothing' };
        return type;
      }),
    );
    expect(ends.filter((type) => type === 'Z').length).toBeLessThanOrEqual(SESSIONS_MAX);
    expect(await gateway.metric('holdfast_sessions_open')).toBeLessThanOrEqual(SESSIONS_MAX);
    for (const client of clients) client.destroy();
    await eventually('the sessions', async () => {
      const open = await gateway.metric('holdfast_sessions_open');
      return open === 0 ? null : `${open} are open`;
    });
  });

  it('bounds the connections that say nothing as well, of which the oldest make room', async () => {
    const before = openFiles(gateway.pid);
    const silent: RawClient[] = [];
    for (let i = 0; i < CLIENTS; i++) silent.push(await RawClient.connect(gateway.port));
    await eventually('the descriptors', async () => {
      const more = openFiles(gateway.pid) - before;
      return more <= SESSIONS_MAX + 1 ? null : `${more} more are open`;
    });
    const last = silent.at(-1)!;
    last.write(fe.startup({ user: 'postgres', database: 'postgres' }));
    await last.untilReady();
    expect(await last.rows('select 42')).toEqual([['42']]);
    for (const client of silent) client.destroy();
  });
});
