import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
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

  it('is not to be had without a token', async () => {
    for (const token of [null, 'wrong']) {
      const answer = await fixture.gateway.http('/v1/policy/reload', { method: 'POST', body: {}, token });
      expect(answer.status).toBe(401);
    }
  });
});
