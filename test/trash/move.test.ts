import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Parser } from '../../src/sql/parsing/parser.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { judge, type Setting } from './as-dropped.ts';
import { EXAMPLES, type Example } from './examples.ts';

/** Which partitioned tables have had since PostgreSQL 17. */
const EXCLUSIONS: Example = {
  name: 'a partition of what excludes, at both levels',
  setup: `create table p (k int4range, exclude using gist (k with =)) partition by list (k); create table p1 partition of p for values in ('[1,2)') partition by list (k);
    create table p11 partition of p1 for values in ('[1,2)'); create table p2 partition of p default; insert into p values ('[1,2)'), ('[2,3)')`,
  drop: 'drop table p1, p2',
  outcome: 'moved',
};

/** Which partitioned tables can have since PostgreSQL 18. */
const NOT_VALID: Example = {
  name: 'a partition with rows that a key of its parent has not looked at',
  setup: `create table a (id int primary key); create table p (k int) partition by list (k); create table p1 partition of p for values in (1); create table p2 partition of p default partition by list (k);
    create table p3 partition of p2 default; insert into p values (1), (2); alter table p add constraint fk foreign key (k) references a not valid; comment on constraint fk on p1 is 'not yet'`,
  drop: 'drop table p1, p2',
  outcome: 'moved',
  // Whether a key of a table without children counts for them, of which nothing comes.
  except: [/"FOREIGN KEY \(k\) REFERENCES public\.a\(id\) NOT VALID",f,f,1,[ft],t,"not yet"/],
};

describe.each([18, 15] as const)('a DROP as a move on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let parser: Parser;
  let databases = 0;
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql('create role app login; create role reader');
    parser = await Parser.create();
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  async function inDatabase<T>(user: string, work: (setting: Setting) => Promise<T>): Promise<T> {
    const database = `d${++databases}`;
    await postgres.sql(`create database ${database} owner app`);
    const client = await RawClient.open(postgres.port, { database, user });
    const judging = await RawClient.open(postgres.port, { database });
    try {
      return await work({ parser, client, judge: judging });
    } finally {
      await client.terminate();
      await judging.terminate();
    }
  }

  it.each(version < 17 ? EXAMPLES : [...EXAMPLES, EXCLUSIONS, NOT_VALID])(
    'keeps $name',
    async ({ setup, drop, outcome, as = 'app', except = [] }) => {
      await inDatabase(as, async (setting) => {
        if (setup !== '') await setting.client.rows(setup);
        const judged = await judge(setting, drop);
        if (typeof outcome === 'string') expect(judged.outcome).toMatchObject({ kind: outcome });
        else expect(judged.outcome).toMatchObject({ kind: 'none', reason: expect.stringMatching(outcome) });
        if (outcome === 'moved') expect(judged.restored).toMatchObject({ kind: 'restored' });
        const unexpected = judged.differences.filter((line) => !except.some((known) => known.test(line)));
        expect(unexpected).toEqual([]);
      });
    },
  );
});
