import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { startGateway } from '../support/gateway.ts';
import { scratchFolder } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';
import { errorsOf, type RawClient } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

const ALLOWS = 'mode: protect\n';
const BLOCKS = `mode: protect
rules:
  - { name: no inserts, match: { operation: [insert] }, action: block, reason: None today. }
`;
const INSERT = 'insert into other values (1)';

describe('the policy of a running gateway', () => {
  let fixture: DecisionFixture;
  let client: RawClient;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(ALLOWS);
    client = await fixture.client();
    client.write(fe.parse('i', INSERT), fe.sync());
    await client.untilReady();
  });
  afterAll(async () => {
    await client?.terminate();
    await fixture?.stop();
  });

  const sqlstate = async (): Promise<string | null> => errorsOf(await client.query(INSERT))[0]?.['C'] ?? null;
  const preparedSqlstate = async (): Promise<string | null> => {
    client.write(fe.bind({ statement: 'i' }), fe.execute(), fe.sync());
    return errorsOf(await client.untilReady())[0]?.['C'] ?? null;
  };

  it('is replaced by the API, for open sessions and prepared statements too', async () => {
    expect(await sqlstate()).toBeNull();
    expect(await preparedSqlstate()).toBeNull();
    writeFileSync(fixture.gateway.policyPath, BLOCKS);
    expect((await fixture.gateway.http('/v1/policy/reload', { method: 'POST', body: {} })).status).toBe(200);
    expect(await sqlstate()).toBe('42501');
    expect(await preparedSqlstate()).toBe('42501');
  });

  it('is replaced by SIGHUP', async () => {
    writeFileSync(fixture.gateway.policyPath, ALLOWS);
    fixture.gateway.child.kill('SIGHUP');
    await eventually('the policy', async () => ((await sqlstate()) === null ? null : 'the old one'));
    expect(await preparedSqlstate()).toBeNull();
  });

  it.each([
    ['that is no YAML', 'mode: [protect\n'],
    ['with an unknown key', 'mode: protect\nrulez: []\n'],
    ['with an unknown action', 'mode: protect\nrules: [{ name: x, match: {}, action: destroy }]\n'],
    ['that is empty', ''],
  ])('stays as it was when the new file is one %s', async (_, text) => {
    writeFileSync(fixture.gateway.policyPath, BLOCKS);
    expect((await fixture.gateway.http('/v1/policy/reload', { method: 'POST', body: {} })).status).toBe(200);
    writeFileSync(fixture.gateway.policyPath, text);
    const answer = await fixture.gateway.http('/v1/policy/reload', { method: 'POST', body: {} });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.text).toMatch(/policy\.yaml/);
    fixture.gateway.child.kill('SIGHUP');
    await new Promise((resolve) => setTimeout(resolve, 200));
    fixture.gateway.assertAlive();
    expect(await sqlstate()).toBe('42501');
  });

  it('may come, as webhooks may, with the file that is put where it is looked for', async () => {
    const folder = await scratchFolder('usual');
    const gateway = await startGateway({
      ...{ upstreamPort: fixture.postgres.port, policy: null, cwd: folder },
    });
    const reload = async (what: string) =>
      await gateway.http(`/v1/${what}/reload`, { method: 'POST', body: {} });
    try {
      const builtIn = (await reload('policy')).body;
      expect(await reload('webhooks')).toMatchObject({ status: 200, body: { items: [] } });
      expect(gateway.log()).toContain('there is no file to read webhooks from');
      expect(gateway.log()).not.toContain('the webhooks were read again');
      mkdirSync(join(folder, 'config'));
      writeFileSync(join(folder, 'config/policy.yaml'), BLOCKS);
      const key = `whsec_${Buffer.alloc(32).toString('base64')}`;
      const hook = `webhooks: [{ name: oncall, url: "http://127.0.0.1:1/", key: "${key}" }]\n`;
      writeFileSync(join(folder, 'config/webhooks.yaml'), hook);
      gateway.child.kill('SIGHUP');
      const webhooks = async () => (await gateway.http('/v1/webhooks')).body as { items: object[] };
      await eventually('the webhooks', async () =>
        (await webhooks()).items.length === 1 ? null : 'there is none',
      );
      expect((await reload('policy')).body).not.toEqual(builtIn);
      const lines = gateway.log().split('\n');
      expect(lines.filter((line) => line.includes('the webhooks were read again'))).toHaveLength(1);
      // What was once read and is gone ends nothing.
      rmSync(join(folder, 'config'), { recursive: true });
      for (const what of ['policy', 'webhooks']) expect((await reload(what)).status).toBe(422);
      expect((await webhooks()).items).toMatchObject([{ name: 'oncall' }]);
    } finally {
      await gateway.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('is not to be had without a token', async () => {
    for (const token of [null, 'wrong']) {
      const answer = await fixture.gateway.http('/v1/policy/reload', { method: 'POST', body: {}, token });
      expect(answer.status).toBe(401);
    }
  });
});
