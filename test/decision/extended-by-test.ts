import { beforeEach, expect } from 'vitest';
import { type BackendMessage, RawClient } from '../support/raw-client.ts';
import { typesOf } from './snapshots-taken.ts';
import { type TakenByTest, takenByTest } from './taken-by-test.ts';

export interface ExtendedByTest extends TakenByTest {
  /** A client of the server itself. */
  readonly direct: RawClient;
  /** Sends the same to the server itself, takes that back, and expects the same of the gateway. */
  asDirectly(...messages: Buffer[]): Promise<BackendMessage[]>;
}

/** Has them for each test of the block that it is called in. */
export function extendedByTest(version: 15 | 18): ExtendedByTest {
  const under = takenByTest(version, { application_name: 'extended' });
  let direct: RawClient;
  beforeEach(async () => {
    direct = await RawClient.open(under.taken.fixture.postgres.port);
    return () => direct.terminate();
  });
  return {
    get taken() {
      return under.taken;
    },
    get client() {
      return under.client;
    },
    get direct() {
      return direct;
    },
    async asDirectly(...messages) {
      const { taken, client } = under;
      const dump = await taken.fixture.postgres.sql('select id, note from precious order by id');
      direct.write(...messages);
      const wanted = await direct.untilReady();
      await taken.fixture.postgres.sql('truncate precious, other');
      for (const [id, note] of dump) {
        await taken.fixture.postgres.sql(`insert into precious values (${id}, '${note}')`);
      }
      client.write(...messages);
      const got = await client.untilReady();
      expect(typesOf(got)).toBe(typesOf(wanted));
      expect(got.map(({ body }) => body.toString('hex'))).toEqual(
        wanted.map(({ body }) => body.toString('hex')),
      );
      return got;
    },
  };
}
