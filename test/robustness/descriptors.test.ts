import { afterAll, beforeAll, describe, it } from 'vitest';
import { DecisionFixture, heldId } from '../decision/fixture.ts';
import * as fe from '../support/frontend-messages.ts';
import { eventually, openFiles } from '../support/process-facts.ts';
import { cancel, RawClient } from '../support/raw-client.ts';

const HOLDS = 'mode: protect\nrules:\n  - { name: ask, match: { operation: [delete] }, action: hold }\n';
const TIMES = 10;

describe('the descriptors of a gateway', () => {
  let fixture: DecisionFixture;
  let client: RawClient;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(HOLDS);
    client = await fixture.client();
  });
  afterAll(async () => {
    client?.destroy();
    await fixture?.stop();
  });

  const open = () => openFiles(fixture.gateway.pid);
  const goBackTo = async (before: number) => {
    await eventually('the descriptors', async () =>
      open() <= before + 2 ? null : `${before}, then ${open()}`,
    );
  };

  it('are given back by those who cancel what is held', async () => {
    const before = open();
    for (let i = 0; i < TIMES; i++) {
      client.write(fe.query('delete from precious'));
      await heldId(client);
      await cancel(fixture.gateway.port, client.processId, client.secretKey);
      await client.untilReady();
    }
    await goBackTo(before);
  });

  it('are given back by logins that the server refuses, also where the client stays', async () => {
    const before = open();
    const staying: RawClient[] = [];
    for (let i = 0; i < TIMES; i++) {
      const refused = await RawClient.connect(fixture.gateway.port);
      refused.write(fe.startup({ user: 'postgres', database: 'nowhere' }));
      await refused.untilEnd();
      staying.push(refused);
    }
    await goBackTo(before);
    for (const each of staying) each.destroy();
  });
});
