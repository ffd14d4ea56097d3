import { describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { describeAll, errorsOf, type RawClient, statusOf } from '../support/raw-client.ts';
import { besideDirect } from './beside-direct.ts';
import { heldId } from './fixture.ts';

const POLICY = 'mode: protect\nhold: { mode: live }\n';
const SETUP = `drop schema if exists app cascade; create schema app; create table app.t (id int, v text);
  insert into app.t values (1, 'one'); create procedure app.p(a int) language sql as 'delete from app.t'`;

const REFUSED = [
  'delete from app.nope',
  'delete from app.t where nope',
  'delete from app.t returning nope',
  "update app.t set nope = 'a'",
  'update app.t set id = nope(id)',
  "update app.t set id = 'a'::nope",
  'with d as (delete from app.nope) select 1',
  'call nope()',
  'call app.p()',
  "call app.p('{}'::int[])",
  'execute nope',
  'execute nope(1, 2)',
  'select app.nope()',
];

const PLACE = /,?"[FLR]":"[^"]*"/g;

describe.each([18, 15] as const)('a Query that the server would refuse, on PostgreSQL %i', (version) => {
  const under = besideDirect(POLICY, version, SETUP);
  const said = async (client: RawClient, sql: string) =>
    describeAll(await client.query(sql)).replaceAll(PLACE, '');

  it.each(REFUSED)('is refused at once in the server’s words: %s', async (sql) => {
    for (const each of [
      sql,
      'begin',
      sql,
      'select 1',
      'rollback',
      `begin; savepoint a`,
      sql,
      'rollback to a',
      'commit',
    ])
      expect(await said(under.client, each)).toBe(await said(under.direct, each));
    expect(await under.direct.rows('select count(*) from app.t')).toEqual([['1']]);
  });

  it.each(['delete from app.t', 'call app.p(1)', 'update app.t set id = 2'])(
    'is held where the server has nothing against it, and locks nothing meanwhile: %s',
    async (sql) => {
      const { client, direct } = under;
      await client.rows('begin');
      client.write(fe.query(sql));
      const id = await heldId(client);
      const locks =
        "select count(*) from pg_locks where relation = 'app.t'::regclass and mode = 'RowExclusiveLock'";
      expect(await direct.rows(locks)).toEqual([['0']]);
      await under.fixture.resolve(id, 'deny');
      expect(statusOf(await client.untilReady())).toBe('E');
      await client.rows('rollback');
      expect(await direct.rows('select count(*), min(id) from app.t')).toEqual([['1', '1']]);
    },
  );

  it('is held where code has prepared what it executes, unseen', async () => {
    const { client } = under;
    await under.direct.rows(
      "create function app.prepares() returns void language plpgsql as $$ begin execute 'prepare unseen as delete from app.t'; end $$",
    );
    client.write(fe.query('select app.prepares()'));
    await under.fixture.resolve(await heldId(client), 'approve');
    expect(errorsOf(await client.untilReady())).toEqual([]);
    client.write(fe.query('execute unseen'));
    await under.fixture.resolve(await heldId(client), 'deny');
    await client.untilReady();
    expect(await under.direct.rows('select count(*) from app.t')).toEqual([['1']]);
  });
});
