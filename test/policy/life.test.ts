import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { holdfast } from '../cli/support.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';

/** A policy from its draft to its replay, over a gateway that runs. */
let postgres: TestPostgres;
let gateway: TestGateway;

beforeAll(async () => {
  postgres = await startPostgres();
  await postgres.sql('create table t (a int); insert into t values (1), (2)');
  const policy =
    'rules: [{ name: no deletes, draft: true, match: { operation: [delete] }, action: block }]\n';
  gateway = await startGateway({ upstreamPort: postgres.port, policy });
});
afterAll(async () => {
  await gateway?.stop();
  await postgres?.stop();
});

it('a draft lets pass what it would block, the audit and the metrics say so, and a replay of it in force agrees', async () => {
  const client = await RawClient.open(gateway.port, {});
  await client.rows('DELETE FROM t WHERE a = 1');
  await client.rows('DELETE FROM t WHERE a = 2');
  await client.rows('SELECT 1');
  await client.terminate();
  expect(await postgres.sql('select count(*) from t')).toEqual([['0']]);

  const { body } = await gateway.http('/v1/audit?operation=delete');
  const { items } = body as { items: readonly { action: string; draft: unknown }[] };
  const draft = { rule: 'no deletes', action: 'block' };
  expect(items.map(({ action, draft: noted }) => [action, noted])).toEqual([
    ['snapshot', draft],
    ['snapshot', draft],
  ]);
  expect((await gateway.http('/metrics')).text).toContain(
    'holdfast_draft_statements_total{draft="block",action="snapshot"} 2',
  );

  const file = join(gateway.directory, 'in-force.yaml');
  writeFileSync(file, 'rules: [{ name: no deletes, match: { operation: [delete] }, action: block }]\n');
  const env = { HOLDFAST_ADMIN_URL: gateway.adminUrl, HOLDFAST_TOKEN: gateway.token };
  const { code, out } = await holdfast(['policy', 'replay', file, '--json'], { env });
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({
    decided: 3,
    same: 1,
    changes: [
      {
        from: 'snapshot',
        to: 'block',
        rule_before: 'default:high',
        rule: 'no deletes',
        count: 2,
        examples: [{ sql: 'DELETE FROM t WHERE a = 2' }, { sql: 'DELETE FROM t WHERE a = 1' }],
      },
    ],
    complete: true,
  });
  const refused = await gateway.http('/v1/policy/replay', {
    method: 'POST',
    body: { policy: 'mode: prtect' },
  });
  expect(refused.status).toBe(422);
});
