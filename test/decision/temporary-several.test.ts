import { describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { describeAll, errorsOf, type RawClient } from '../support/raw-client.ts';
import { besideDirect } from './beside-direct.ts';
import { heldId } from './fixture.ts';

const POLICY = 'mode: protect\nhold: { mode: live }\n';
const SETUP = `drop schema if exists app cascade; create schema app; create table app.orders (id int primary key, v text);
  insert into app.orders select i, 'row ' || i from generate_series(1, 10) i`;

const TEXTS = [
  'create temp table staging (id int); insert into staging values (1), (2); delete from staging; drop table staging',
  'drop table if exists staging; create temp table staging as select 1 as id; truncate staging; select * from staging',
  "begin; create temp table staging (id int, v text) on commit drop; insert into staging values (1, 'x'); update staging set v = 'y'; select v from staging; commit",
  "create temp table orders (id int); insert into orders values (1); delete from orders; update app.orders set v = 'new' where id = 1; select count(*) from orders; drop table pg_temp.orders; select v from app.orders where id = 1",
  'create temp table a (id int); create temp table b (id int); drop table a, b; select 1/0',
  'create temp table a (id int); drop table a; drop table a',
  "create temp table staging (id int); /* ü */ delete from staging where id = 'a' or true; select 2",
];

const APART = /,?"[FLR]":"[^"]*"|(?<=^T )[0-9a-f]+/gm;

describe.each([18, 15] as const)(
  'a text of several statements on temporary tables, on PostgreSQL %i',
  (version) => {
    const under = besideDirect(POLICY, version, SETUP);
    const said = async (client: RawClient, sql: string) =>
      describeAll(await client.query(sql)).replaceAll(APART, '');
    const orders = async () =>
      await under.direct.rows('select count(*), max(v) from app.orders where id > 1');

    it.each(TEXTS)('runs at once, and is answered as by the server: %s', async (text) => {
      const within = text.startsWith('begin') ? [] : ['begin', text, 'rollback'];
      const told: string[][] = [];
      for (const client of [under.direct, under.client]) {
        const answers: string[] = [];
        for (const sql of ['set search_path = app', text, 'rollback', ...within, 'discard temp'])
          answers.push(await said(client, sql));
        told.push(answers);
        await client.query("update app.orders set v = 'row 1' where id = 1");
      }
      expect(told[1]).toEqual(told[0]);
    });

    it.each([
      'create temp table staging (id int); delete from staging; delete from orders',
      'create table orders_now (id int); delete from orders_now',
      'create temp table orders (id int); drop table orders; delete from orders',
      'create temp table staging (id int); alter table staging rename to others; delete from orders; drop table others',
      'create temp table orders (id int); delete from app.orders',
      'delete from orders; create temp table orders (id int)',
      'create temp table orders (id int); set search_path = app, pg_temp; delete from orders',
      'create temp table orders (id int); alter table pg_temp.orders rename to x; delete from orders',
      'begin; create temp table orders (id int); rollback; begin; delete from orders; commit',
      'begin; savepoint a; create temp table orders (id int); rollback to a; delete from orders; commit',
    ])('is held, or refused as a whole, where any of it is of another: %s', async (text) => {
      const { client } = under;
      await client.rows('set search_path = app');
      client.write(fe.query(text));
      const first = await client.next();
      if (first?.type === 'N') {
        client.inbox.unshift(first);
        await under.fixture.resolve(await heldId(client), 'deny');
        expect(errorsOf(await client.untilReady())).toMatchObject([{ C: '42501' }]);
      } else expect(errorsOf(await client.untilReady())).toMatchObject([{ C: 'HF002' }]);
      await client.query('rollback');
      expect(await orders()).toEqual([['9', 'row 9']]);
      expect(await under.direct.rows("select to_regclass('app.orders_now')")).toEqual([[null]]);
    });
  },
);
