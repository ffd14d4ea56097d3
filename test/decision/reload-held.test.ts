import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { eventually } from '../support/process-facts.ts';
import { cancel, errorsOf, type RawClient } from '../support/raw-client.ts';
import { DecisionFixture, heldId } from './fixture.ts';

const rule = (name: string, action: string) => `mode: protect
rules:
  - { name: ${name}, match: { operation: [delete] }, action: ${action} }
`;
const HOLDS = rule('ask', 'hold, hold: { timeout: 20s }');
const LOOSER = [
  ['allow', rule('let', 'allow')],
  ['snapshot', rule('keep', 'snapshot')],
] as const;
const DELETE = 'delete from precious';

describe('a statement that is held while the policy is replaced', () => {
  let fixture: DecisionFixture;
  let client: RawClient;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(HOLDS);
  });
  afterAll(async () => {
    await fixture?.stop();
  });
  beforeEach(async () => {
    await fixture.reset();
    await load(HOLDS);
    client = await fixture.client();
  });

  const load = async (policy: string) => {
    writeFileSync(fixture.gateway.policyPath, policy);
    expect((await fixture.gateway.http('/v1/policy/reload', { method: 'POST', body: {} })).status).toBe(200);
  };

  const ways = [
    ['a Query', () => [fe.query(DELETE)]],
    ['a Bind', () => [fe.parse('', DELETE), fe.bind({}), fe.execute(), fe.sync()]],
  ] as const;
  for (const [now, policy] of LOOSER) {
    for (const [way, messages] of ways) {
      it(`is not run by ${now} when it is denied, as ${way}`, async () => {
        client.write(...messages());
        const id = await heldId(client);
        await load(policy);
        await fixture.resolve(id, 'deny');
        expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '42501' }]);
        expect(await fixture.preciousRows()).toBe(10);
      });

      it(`is not run by ${now} when the client cancels it, as ${way}`, async () => {
        client.write(...messages());
        await heldId(client);
        await load(policy);
        await cancel(fixture.gateway.port, client.processId, client.secretKey);
        expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '57014' }]);
        expect(await fixture.preciousRows()).toBe(10);
      });

      it(`is not run by ${now} when the client goes, as ${way}`, async () => {
        client.write(...messages());
        const id = await heldId(client);
        await load(policy);
        client.destroy();
        await fixture.untilApprovalIs(id, 'disconnected');
        await fixture.auditEvents(({ approval_id }) => approval_id === id, 1);
        await eventually('the server', async () => {
          const rows = await fixture.postgres.sql(
            `select 1 from pg_stat_activity where pid = ${client.processId}`,
          );
          return rows.length === 0 ? null : 'still has the session';
        });
        expect(await fixture.preciousRows()).toBe(10);
      });
    }
  }

  it('is not run when nobody has approved it in time', async () => {
    await load(rule('ask', 'hold, hold: { timeout: 1s }'));
    client.write(fe.query(DELETE));
    await heldId(client);
    await load(LOOSER[0][1]);
    expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '57014' }]);
    expect(await fixture.preciousRows()).toBe(10);
  });

  it('is not run when it is blocked by then, though it was approved', async () => {
    client.write(fe.query(DELETE));
    const id = await heldId(client);
    await load(rule('never', 'block'));
    await fixture.resolve(id, 'approve');
    expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '42501' }]);
    expect(await fixture.preciousRows()).toBe(10);
  });

  it('is held again where another rule holds it by then, or more have to approve', async () => {
    client.write(fe.query(DELETE));
    let id = await heldId(client);
    await load(rule('ask others', 'hold'));
    await fixture.resolve(id, 'approve');
    id = await heldId(client);
    await load(rule('ask others', 'hold, hold: { approvals: 2 }'));
    await fixture.resolve(id, 'approve');
    id = await heldId(client);
    await fixture.resolve(id, 'approve');
    expect(await fixture.approval(id)).toMatchObject({
      state: 'pending',
      approvals_needed: 2,
      approved_by: ['tests'],
    });
    await fixture.resolve(id, 'approve');
    expect(await fixture.preciousRows()).toBe(10);
    await fixture.resolve(id, 'deny');
    expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '42501' }]);
    expect(await fixture.preciousRows()).toBe(10);
  });

  it('runs by its approval where the same rule still holds it, and where none does', async () => {
    for (const policy of [HOLDS, LOOSER[0][1]]) {
      await load(HOLDS);
      client.write(fe.query(DELETE));
      const id = await heldId(client);
      await load(policy);
      await fixture.resolve(id, 'approve');
      expect(errorsOf(await client.untilReady())).toEqual([]);
      expect(await fixture.preciousRows()).toBe(0);
      await fixture.reset();
    }
  });
});
