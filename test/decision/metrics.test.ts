import { afterAll, beforeAll, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { DecisionFixture } from './fixture.ts';

let fixture: DecisionFixture;
beforeAll(async () => {
  fixture = await DecisionFixture.start('mode: protect\n');
});
afterAll(() => fixture?.stop());

const NAMES = ['decision_seconds_count', 'client_received_bytes_total', 'client_sent_bytes_total'] as const;

async function counted(): Promise<number[]> {
  return await Promise.all(
    NAMES.map(async (name) => (await fixture.gateway.metric(`holdfast_${name}`)) ?? 0),
  );
}

it('counts what an open session does, not only one that has ended', async () => {
  const client = await fixture.client();
  const query = fe.query("select repeat('x', 10000)");
  const extended = Buffer.concat([fe.parse('', 'select 1'), fe.bind(), fe.execute(), fe.sync()]);
  // The bytes of its login are counted with the first answer.
  await client.query('select 1');
  const before = await counted();
  for (const message of [query, extended]) {
    client.write(message);
    await client.untilReady();
  }
  const [decisions, received, sent] = (await counted()).map((value, i) => value - before[i]!);
  expect([decisions, received]).toEqual([3, query.length + extended.length]);
  expect(sent).toBeGreaterThan(10_000);
  client.destroy();
});
