import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Parser } from '../../src/sql/parsing/parser.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { judge } from './as-dropped.ts';

/** As `public` is by default: whoever owns a table there may drop it, and make and rename nothing. */
const SETUP = `create schema s; grant create, usage on schema s to mere; set role mere; set search_path = s;
  create table par (id serial primary key, v text unique); insert into par (v) select 'v' || g from generate_series(1, 9) g;
  create table chi (id int primary key, p int references par); insert into chi values (1, 1); create index i on chi (p);
  create view seen as select p.id, v, count(*) as n from par p join chi on p = p.id group by p.id;
  create function tf() returns trigger language plpgsql as 'begin return null; end';
  create trigger tr instead of update on seen for each row execute function tf(); create view above as select * from seen where n > 0;
  alter view above alter v set default 'd'; create rule ru as on delete to above do instead nothing;
  create materialized view kept as select * from above; create statistics st on id, v from par;
  create table parts (id int primary key, v text) partition by list (id); create table part1 partition of parts for values in (1); insert into parts values (1, 'x');
  reset role; reset search_path; revoke create on schema s from mere;
  create schema holdfast_trash; grant usage, create on schema holdfast_trash to public`;

describe.each([18, 15] as const)('in a schema where a role may make nothing, on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let parser: Parser;
  let databases = 0;
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql('create role mere login');
    parser = await Parser.create();
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  it.each([
    'drop table s.par cascade',
    'drop table s.chi, s.par cascade',
    'drop view s.seen cascade',
    'drop table s.parts',
    'drop table s.part1',
  ])('it drops what is its own: %s', async (sql) => {
    const database = `d${++databases}`;
    await postgres.sql(`create database ${database}`);
    const restorer = await RawClient.open(postgres.port, { database });
    await restorer.rows(SETUP);
    const client = await RawClient.open(postgres.port, { database, user: 'mere' });
    const judged = await judge({ parser, client, restorer, judge: restorer }, sql);
    expect(judged.outcome).toMatchObject({ kind: 'moved' });
    expect(judged.restored).toMatchObject({ kind: 'restored', lacking: [] });
    expect(judged.differences).toEqual([]);
    await client.terminate();
    await restorer.terminate();
  });

  it('is kept from it only by what has the name in the trash already', async () => {
    const database = `d${++databases}`;
    await postgres.sql(`create database ${database}`);
    const restorer = await RawClient.open(postgres.port, { database });
    await restorer.rows(`${SETUP}; create table holdfast_trash.chi ()`);
    const client = await RawClient.open(postgres.port, { database, user: 'mere' });
    const judged = await judge({ parser, client, judge: restorer }, 'drop table s.chi cascade');
    expect(judged.outcome).toMatchObject({ kind: 'none', reason: expect.stringContaining('already exists') });
    expect(judged.differences).toEqual([]);
    await client.terminate();
    await restorer.terminate();
  });
});
