import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import { errorsOf, type RawClient } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

export const TICKET_POLICY = `
mode: protect
hold: { mode: auto, grant_for: 10m }
rules:
  - { name: agents ask, match: { role: ["*"], application: ["agent*"], risk: [high, critical] }, action: hold, hold: { mode: ticket } }
  - { name: critical asks, match: { application: [careful], risk: [critical] }, action: hold, hold: { mode: ticket } }
  - { name: two people, match: { application: [pair] , risk: [critical] }, action: hold, hold: { mode: ticket, approvals: 2 } }
  - { name: the few, match: { application: [few], risk: [critical] }, action: hold, hold: { mode: ticket, approvers: [dba] } }
  - { name: waits, match: { application: [waits], risk: [critical] }, action: hold, hold: { mode: live, notice_every: 1s } }
`;

/** A gateway by which agents have to come again. */
export interface Tickets {
  readonly fixture: DecisionFixture;
  agent(more?: Record<string, string>): Promise<RawClient>;
}

/** Has it, with its tables as ever, for each test of the file that it is called in. */
export function tickets(): Tickets {
  let fixture: DecisionFixture;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(TICKET_POLICY);
    await fixture.postgres.sql('create role robot login superuser; create schema elsewhere');
  });
  afterAll(async () => await fixture?.stop());
  beforeEach(async () => await fixture.reset());
  return {
    get fixture() {
      return fixture;
    },
    agent: (more = {}) => fixture.client({ application_name: 'agent', ...more }),
  };
}

/** What a client is told that has to come again. */
export async function ticketOf(client: RawClient, ...messages: Buffer[]): Promise<Record<string, unknown>> {
  client.write(...messages);
  return ticketIn(errorsOf(await client.untilReady()));
}

export function ticketIn(
  errors: readonly Record<string, string>[],
): Record<string, unknown> & { id: string } {
  expect(errors).toMatchObject([{ S: 'ERROR', C: 'HF001' }]);
  const { approval_id: id, ...rest } = JSON.parse(errors[0]!['D']!) as Record<string, unknown>;
  return { id: String(id), message: errors[0]!['M'], hint: errors[0]!['H'], ...rest };
}
