import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Parser } from '../../src/sql/parsing/parser.ts';
import type { Moved } from '../../src/trash/move.ts';
import { restoreDropped } from '../../src/trash/restore.ts';
import { onHidden } from '../../src/trash/session.ts';
import { HiddenClient } from '../support/hidden-client.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { move, type Setting } from './as-dropped.ts';
import { dumpDatabase } from './catalog-dump.ts';

describe.each([18, 15] as const)('the rights on what is in the trash of PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let parser: Parser;
  let client: RawClient;
  let setting: Setting;
  let databases = 0;
  const others: RawClient[] = [];
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql(
      'create role app login; create role bob login; create role eve login; create role own',
    );
    parser = await Parser.create();
  });
  afterAll(async () => {
    for (const each of [client, ...others]) each?.destroy();
    await postgres?.stop();
  });

  async function open(setup: string): Promise<void> {
    const database = `d${++databases}`;
    await postgres.sql(`create database ${database} owner app`);
    client = await as('postgres');
    setting = { parser, client, judge: client };
    await client.rows(setup);
  }

  async function as(user: string): Promise<RawClient> {
    const opened = await RawClient.open(postgres.port, { database: `d${databases}`, user });
    others.push(opened);
    return opened;
  }

  async function moved(sql: string): Promise<Moved> {
    await client.rows('begin');
    const outcome = await move(setting, sql);
    await client.rows('commit');
    if (outcome.kind !== 'moved') throw new Error(JSON.stringify(outcome));
    return outcome.moved;
  }

  const restore = (from: Moved) => restoreDropped(onHidden(new HiddenClient(client)), from);
  const inTrash = ({ objects }: Moved, of: string) =>
    `holdfast_trash."${objects.find(({ name }) => name === of)!.trash_name}"`;

  it('are nobody else’s where its schema kept others out', async () => {
    await open(`create schema private; create table private.t (v text); insert into private.t values ('hidden by the schema'); grant select on private.t to public;
      create function private.f() returns text language sql security definer as 'select current_user::text'; create sequence private.q; grant all on sequence private.q to public;
      create type private.e as enum ('x'); create table private.c (a int, b int); grant select (b) on private.c to bob`);
    const before = await dumpDatabase(client);
    const bob = await as('bob');
    for (const sql of ['select * from private.t', 'select private.f()'])
      await expect(bob.rows(sql)).rejects.toThrow('permission denied for schema');
    const dropped = await moved('drop schema private cascade');
    for (const sql of [
      `select * from ${inTrash(dropped, 't')}`,
      `select b from ${inTrash(dropped, 'c')}`,
      `select ${inTrash(dropped, 'f')}()`,
      `select nextval('${inTrash(dropped, 'q')}')`,
      `create temp table x (e ${inTrash(dropped, 'e')})`,
    ])
      await expect(bob.rows(sql)).rejects.toThrow('permission denied for');
    expect(await restore(dropped)).toMatchObject({ kind: 'restored', lacking: [] });
    expect(await dumpDatabase(client)).toEqual(before);
  });

  it('keep their owner from changing rows there, and not from backing them up', async () => {
    await open(`create schema s authorization app; create table s.t (i int); alter table s.t owner to app; insert into s.t values (1);
      revoke delete on s.t from app; create sequence s.q; alter sequence s.q owner to app`);
    const before = await dumpDatabase(client);
    const dropped = await moved('drop schema s cascade');
    const app = await as('app');
    const t = inTrash(dropped, 't');
    for (const sql of [
      `insert into ${t} values (2)`,
      `truncate ${t}`,
      `select nextval('${inTrash(dropped, 'q')}')`,
    ])
      await expect(app.rows(sql)).rejects.toThrow('permission denied');
    expect(
      await app.rows(`begin; lock table ${t} in access share mode; copy ${t} to stdout; commit`),
    ).toBeDefined();
    expect(await restore(dropped)).toMatchObject({ kind: 'restored', lacking: [] });
    expect(await dumpDatabase(client)).toEqual(before);
  });

  it('come back as they were given, by whom, and in their order', async () => {
    await open(`create table t (a int, b int); grant select, update on t to own with grant option; set role own; grant select on t to bob with grant option; grant update (b) on t to eve;
      reset role; set role bob; grant select on t to eve; reset role; grant insert (a, b) on t to public; revoke trigger on t from postgres; grant delete on t to postgres with grant option`);
    const before = await dumpDatabase(client);
    const dropped = await moved('drop table t');
    expect(
      await client.rows(
        `select a.grantee::regrole::text, count(*) from pg_class c, aclexplode(relacl) a where oid = '${inTrash(dropped, 't')}'::regclass group by 1`,
      ),
    ).toHaveLength(1);
    expect(await restore(dropped)).toMatchObject({ kind: 'restored', lacking: [] });
    expect(await dumpDatabase(client)).toEqual(before);
  });

  it('are not widened by the default privileges of who restores', async () => {
    await open('create schema s; create materialized view s.m as select 1 as one');
    const before = await dumpDatabase(client);
    const dropped = await moved('drop schema s cascade');
    await client.rows(
      'alter default privileges grant select on tables to public, bob; alter default privileges grant usage on schemas to bob',
    );
    expect(await restore(dropped)).toMatchObject({ kind: 'restored', lacking: [] });
    expect(await dumpDatabase(client)).toEqual(before);
  });

  it('are told where who had them, or had given them, is not there any more', async () => {
    await open(
      `create role gone; create role giver; create table t (a int); grant select on t to gone; grant select on t to giver with grant option; set role giver; grant select on t to bob; reset role`,
    );
    const dropped = await moved('drop table t');
    // Nothing in the trash keeps who only had rights.
    await client.rows('drop role gone; drop role giver');
    const bareReason = 'the database refused it';
    expect(await restore(dropped)).toEqual({
      kind: 'restored',
      left: false,
      objects: 1,
      dryRun: false,
      lacking: [
        { what: 'the rights of gone on "public"."t"', reason: 'role "gone" does not exist', bareReason },
        { what: 'the rights of giver on "public"."t"', reason: 'role "giver" does not exist', bareReason },
        { what: 'the rights of bob on "public"."t"', reason: 'giver had given them, and now the owner has' },
      ],
    });
  });
});
