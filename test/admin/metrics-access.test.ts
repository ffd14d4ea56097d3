import { afterAll, beforeAll, expect, it } from 'vitest';
import { startGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(async () => {
  await postgres?.stop();
});

it.each([
  [{}, 401],
  [{ HOLDFAST_ADMIN_METRICS: 'token' }, 401],
  [{ HOLDFAST_ADMIN_METRICS: 'open' }, 200],
] as const)('with %j, metrics without a token are answered with %d', async (environment, status) => {
  const gateway = await startGateway({ upstreamPort: postgres.port, environment });
  try {
    const answer = await gateway.http('/metrics', { token: null });
    expect(answer.status).toBe(status);
    expect(answer.text.includes('holdfast_sessions_open')).toBe(status === 200);
    // It opens nothing else.
    expect((await gateway.http('/v1/status', { token: null })).status).toBe(401);
  } finally {
    await gateway.stop();
  }
});
