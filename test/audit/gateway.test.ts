import { hash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { holdfast } from '../cli/support.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let postgres: TestPostgres;
let gateway: TestGateway;
let place: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  place = join(folder.path, 'snapshots');
  // Nothing can be kept below a file.
  writeFileSync(place, 'a file');
  postgres = await startPostgres();
  gateway = await startGateway({
    upstreamPort: postgres.port,
    environment: { HOLDFAST_SNAPSHOTS: `file:${place}/deep` },
  });
});
afterAll(async () => {
  await gateway?.stop();
  await postgres?.stop();
  await folder.remove();
});

it('a gateway that cannot anchor serves, and says why it cannot', async () => {
  const client = new pg.Client({
    port: gateway.port,
    host: '127.0.0.1',
    user: 'postgres',
    database: 'postgres',
  });
  await client.connect();
  for (let i = 0; i < 20; i++) await client.query(`select ${i}`);
  await client.end();
  expect((await gateway.http('/readyz', { token: null })).status).toBe(200);
  const { body } = await gateway.http('/v1/status');
  expect(body).toMatchObject({ ready: true, audit: { anchored_to: 0, anchor_problem: expect.any(String) } });
  expect(await gateway.metric('holdfast_audit_anchor_failures_total')).toBeGreaterThan(0);
  expect(gateway.log()).toContain('the end of the audit cannot be anchored');
  expect(gateway.log()).toContain('a key was made to sign the audit with');
});

it('records each text as it was sent, of whatever shape those before it were', async () => {
  const client = new pg.Client({
    port: gateway.port,
    host: '127.0.0.1',
    user: 'postgres',
    database: 'postgres',
  });
  await client.connect();
  const sent: string[] = [];
  const literals = ['0', '7', '-7', '12345678901', '1.5', "'a'", "'it''s'", "''", "'1, 2'", "'ä'"];
  for (let i = 0; i < 200; i++) {
    const [one, other] = [literals[i % 10]!, literals[(i * 7 + (i >> 4)) % 10]!];
    const text =
      i % 3 === 0 ? `select ${one} as a, ${other}` : `select ${one}::text || ${other} where ${i} > 1.${i}`;
    sent.push(text);
    await client.query(text).catch(() => null);
  }
  await client.end();
  const { body } = await gateway.http('/v1/audit?limit=200');
  const { items } = body as { items: { sql: string; sql_sha256: string }[] };
  expect(items.map(({ sql }) => sql).reverse()).toEqual(sent);
  for (const { sql, sql_sha256 } of items) expect(hash('sha256', sql)).toBe(sql_sha256);
});

it('verifies while it runs, and stops with its last event signed', async () => {
  const verify = async () => {
    const args = ['audit', 'verify', '--store', join(gateway.directory, 'h.db'), '--no-anchors', '--json'];
    const { code, out } = await holdfast(args);
    return { code, ...(JSON.parse(out) as { records: number; signed_to: number }) };
  };
  await gateway.http('/v1/audit?limit=1');
  expect(await verify()).toMatchObject({ code: 0, records: 220, signed_to: 0 });
  // It ends although its audit was searched, by a thread of its own.
  expect(await gateway.terminate()).toBe(0);
  expect(await verify()).toMatchObject({ code: 0, records: 220, signed_to: 220 });
});
