import { afterAll, beforeAll, beforeEach } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import { DecisionFixture } from './fixture.ts';

/** A client of a gateway that takes snapshots, and one of its server, to compare what they are told. */
export interface BesideDirect {
  readonly fixture: DecisionFixture;
  readonly direct: RawClient;
  readonly client: RawClient;
}

/** Has them for each test of the block that it is called in; `setup` is run before each, and `cleanup` behind it. */
export function besideDirect(policy: string, version: 15 | 18, setup: string, cleanup = ''): BesideDirect {
  const under = {} as { -readonly [K in keyof BesideDirect]: BesideDirect[K] };
  beforeAll(async () => {
    under.fixture = await DecisionFixture.start(policy, { HOLDFAST_SNAPSHOTS_TAKEN: 'on' }, version);
  });
  afterAll(async () => {
    await under.fixture?.stop();
  });
  beforeEach(async () => {
    const direct = await RawClient.open(under.fixture.postgres.port);
    await direct.rows(setup);
    const client = await under.fixture.client();
    under.direct = direct;
    under.client = client;
    return async () => {
      if (cleanup !== '') await direct.rows(cleanup);
      await direct.terminate();
      client.destroy();
    };
  });
  return under;
}
