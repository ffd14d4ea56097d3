import { describe, expect, it } from 'vitest';
import { describeAll, type RawClient } from '../support/raw-client.ts';
import { besideDirect } from './beside-direct.ts';

const SETUP = `drop schema if exists app cascade; create schema app;
  create table app.t (id int primary key, v text); create table app.u (id int references app.t); create table app.n (id int);
  create table app.p (id int) partition by range (id); create table app.p1 partition of app.p for values from (0) to (9);
  create table app.parent (id int); create table app.child () inherits (app.parent);
  create table app.told (id int); create function app.tell() returns trigger language plpgsql as
    $$ begin delete from app.n; return null; end $$;
  create trigger tell after truncate on app.told execute function app.tell();
  create table app.guarded (id int); alter table app.guarded enable row level security, force row level security`;

describe.each([18, 15] as const)('TRUNCATE of tables without rows, on PostgreSQL %i', (version) => {
  const under = besideDirect('mode: protect\n', version, SETUP);
  const said = async (client: RawClient, sql: string) => describeAll(await client.query(sql));
  /** In a transaction, where what is held gets a ticket. */
  const inBlock = async (sql: string) => {
    await under.client.rows('begin');
    const answer = await said(under.client, sql);
    await under.client.rows('rollback');
    return answer;
  };

  it.each([
    'truncate app.n',
    'TRUNCATE TABLE ONLY app.n;\n\n',
    'truncate app.t, app.u',
    'truncate app.p',
    'truncate app.parent',
    'truncate app.n continue identity restrict',
  ])('runs at once, in a transaction and by itself: %s', async (sql) => {
    const all = ['begin', sql, 'insert into app.n values (1)', 'rollback', sql, 'select count(*) from app.n'];
    const answers: string[][] = [];
    for (const client of [under.client, under.direct]) {
      const answered: string[] = [];
      for (const each of all) answered.push(await said(client, each));
      answers.push(answered);
    }
    expect(answers[0]).toEqual(answers[1]);
  });

  it('is held where there are rows, or others may add some', async () => {
    await under.direct.rows(
      'insert into app.n values (1); insert into app.child values (1); insert into app.p values (1)',
    );
    for (const sql of [
      'truncate app.n',
      'truncate app.t, app.u, app.n',
      'truncate app.parent',
      'truncate app.p',
    ])
      expect(await inBlock(sql)).toMatch(/HF001/);
    await under.direct.rows('delete from app.n; begin; insert into app.t values (1)');
    expect(await inBlock('truncate app.t, app.u')).toMatch(/HF001/);
    await under.direct.rows('commit');
    expect(await under.direct.rows('select count(*) from app.child')).toEqual([['1']]);
  });

  it.each([
    ['it goes further than it names', 'truncate app.t cascade'],
    ['a sequence begins anew', 'truncate app.n restart identity'],
    ['code runs with it', 'truncate app.told'],
  ])('is held where %s', async (_, sql) => {
    expect(await inBlock(sql)).toMatch(/HF001/);
  });

  it('is held where rows may be hidden, by a policy or a snapshot', async () => {
    const role = `hidden_${version}`;
    await under.direct.rows(`drop role if exists ${role}; create role ${role}; grant usage on schema app to ${role};
      grant all on app.guarded to ${role}; insert into app.guarded values (1)`);
    try {
      await under.client.rows(`set role ${role}`);
      expect(await under.client.rows('select count(*) from app.guarded')).toEqual([['0']]);
      expect(await inBlock('truncate app.guarded')).toMatch(/HF001/);
      await under.client.rows('reset role');
    } finally {
      await under.direct.rows(`drop owned by ${role}; drop role ${role}`);
    }
    await under.client.rows('begin isolation level repeatable read; select 1');
    await under.direct.rows('insert into app.n values (1)');
    expect(await said(under.client, 'truncate app.n')).toMatch(/HF001/);
    await under.client.rows('rollback');
    expect(await under.direct.rows('select count(*) from app.n')).toEqual([['1']]);
  });
});
