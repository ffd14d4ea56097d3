import { afterAll, beforeAll } from 'vitest';
import { DecisionFixture } from './fixture.ts';

/** A gateway that takes snapshots, and databases of its server, each made for one case. */
export interface OwnDatabases {
  readonly fixture: DecisionFixture;
  /** Runs SQL past the gateway. */
  sql(text: string, database: string): Promise<(string | null)[][]>;
  /** A copy of the one that all are copies of, with what is made in it past the gateway; gives its name. */
  database(setup: string): Promise<string>;
  /** How many rows the table that matters has left. */
  left(database: string): Promise<number>;
}

/** Has them for the block that it is called in. */
export function ownDatabases(policy: string, version: 15 | 18, base: string): OwnDatabases {
  let fixture: DecisionFixture;
  let made = 0;
  beforeAll(async () => {
    fixture = await DecisionFixture.start(policy, { HOLDFAST_SNAPSHOTS_TAKEN: 'on' }, version);
    await fixture.postgres.sql('create database base');
    await fixture.postgres.sql(base, 'base');
  });
  afterAll(async () => {
    await fixture?.stop();
  });
  const sql = async (text: string, database: string) => await fixture.postgres.sql(text, database);
  return {
    get fixture() {
      return fixture;
    },
    sql,
    async database(setup) {
      const name = `made${made++}`;
      await fixture.postgres.sql(`create database ${name} template base`);
      if (setup !== '') await sql(setup, name);
      return name;
    },
    left: async (database) => Number((await sql('select count(*) from precious', database))[0]![0]),
  };
}
